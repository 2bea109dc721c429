"""The pages that are compared: what each is, when it is ready, and how a reader chooses what it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page

Choose = Callable[[Page, int], object]
"""What a reader does to see another layer or, where the page has no layers to choose from, a head of it."""


@dataclass(frozen=True)
class Peer:
    """One row of the table.

    Attributes:
        name: ``peers/with_NAME.py`` makes the page.
        title: how the table names it.
        package: the distribution that makes it.
        mode: what page it is, and why this is its best.
        ready: JavaScript that holds once the first heatmap, or what stands for it, is drawn.
        shown: JavaScript whose value changes with what is shown; empty where everything is shown at once.
        event: the DOM event that a choice begins with.
        choose: makes a choice.
        choice: what is chosen, as the table says it.
    """

    name: str
    title: str
    package: str
    mode: str
    ready: str
    shown: str = ""
    event: str = "change"
    choose: Choose | None = None
    choice: str = ""


SCRIPTS = {
    "/require.js/": "requirejs@2.3.6/require.js",
    "/d3/": "d3@5.7.0/dist/d3.min.js",
    "/jquery/": "jquery@2.1.0/dist/jquery.min.js",
    "/vega@": "vega@6.2.0/build/vega.min.js",
    "/vega-lite@": "vega-lite@6.4.1/build/vega-lite.min.js",
    "/vega-embed@": "vega-embed@7.1.0/build/vega-embed.min.js",
}
"""What pages ask the network for, by a part of the address: package, version and file. jQuery 2.0.0 is in no index."""


def choose_option(selector: str) -> Choose:
    """Return a choice from a list of layers."""
    return lambda page, layer: page.locator(selector).select_option(index=layer)


def click_thumbnail(page: Page, layer: int) -> None:
    """Click a head's picture in BertViz' model view."""
    page.locator(f"#attn_background_{layer}_4").evaluate("element => element.scrollIntoView()")
    box = page.locator(f"#attn_background_{layer}_4").bounding_box()
    assert box
    page.mouse.click(box["x"] + 10, box["y"] + 10)


def point_at_canvas(page: Page, layer: int) -> None:
    """Point at a head's picture of CircuitsVis; layers follow each other, nine heads each."""
    place = page.locator("canvas").nth(layer * 9 + 4)
    place.scroll_into_view_if_needed()
    place.hover(force=True)


def point_at_canvas_of_layer(page: Page, layer: int) -> None:
    """Point at a head's picture of CircuitsVis where one layer is all."""
    page.locator("canvas").nth(layer // 4).hover(force=True)


def click_layer(page: Page, layer: int) -> None:
    """Click a layer of Inspectus."""
    page.locator(".dimension-values").first.locator(".value").nth(layer).click()


PEERS = (
    Peer(
        "reportgen",
        "reportgen",
        "reportgen",
        "all layers and heads on one page, and what no peer's page has: probabilities, head scores and evidence",
        ready="drawn(canvas(document.querySelector('#figure-head')))",
        shown="sample(canvas(document.querySelector('#figure-head')))",
        choose=choose_option("#layer"),
        choice="another layer, from a list",
    ),
    Peer(
        "inspectus",
        "Inspectus",
        "inspectus",
        "the attention chart with all layers and heads; it starts with their mean",
        ready="document.querySelector('.grid .cell')",
        shown="cells()",
        event="click",
        choose=click_layer,
        choice="another layer, by a click",
    ),
    Peer(
        "circuitsvis",
        "CircuitsVis",
        "circuitsvis",
        "`attention_heads` with the heads of all layers, its script within the page",
        ready="drawn(document.querySelector('canvas'))",
        shown="sample([...document.querySelectorAll('canvas')].at(-1))",
        event="mouseover",
        choose=point_at_canvas,
        choice="another head, by pointing at it",
    ),
    Peer(
        "circuitsvis_layer",
        "CircuitsVis, one layer",
        "circuitsvis",
        "the same with the heads of layer 15 alone, as tutorials have it: one page of 30",
        ready="drawn(document.querySelector('canvas'))",
        shown="sample([...document.querySelectorAll('canvas')].at(-1))",
        event="mouseover",
        choose=point_at_canvas_of_layer,
        choice="another head, by pointing at it",
    ),
    Peer(
        "bertviz_head",
        "BertViz, head view",
        "bertviz",
        "`head_view`: lines, all heads of one layer on top of each other",
        ready="document.querySelector('#attention line')",
        shown="document.querySelector('#attention line')",
        choose=choose_option("#layer"),
        choice="another layer, from a list",
    ),
    Peer(
        "bertviz_model",
        "BertViz, model view",
        "bertviz",
        "`model_view`: lines, every head of every layer as a small picture",
        ready="document.querySelector('#vis line')",
        shown="document.querySelector('.detail')",
        event="click",
        choose=click_thumbnail,
        choice="another head, by a click",
    ),
    Peer(
        "altair",
        "Altair, at its best",
        "altair",
        "one heatmap with lists to choose layer and head from, lower triangles alone, Vega within the page",
        ready="drawn(document.querySelector('canvas'))",
        shown="sample(document.querySelector('canvas'))",
        choose=choose_option("select[name=layer]"),
        choice="another layer, from a list",
    ),
    Peer(
        "altair_notebook",
        "Altair, as in notebooks",
        "altair",
        "a heatmap of rectangles for each head, a row of the table for each cell, saved with its defaults",
        ready="document.querySelector('.vega-embed .marks')",
    ),
    Peer(
        "bokeh",
        "Bokeh, naive",
        "bokeh",
        "a figure for each head, each an image, in a grid, BokehJS within the page",
        ready="drawn(canvas(document))",
    ),
)
