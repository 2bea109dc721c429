"""Pages of captures of every shape: what is measured is there, what is not is said in one line, no place is empty."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from html_tree import Element, parse_html
from PIL import Image
from samples import make_capture, make_random, withhold
from unpacking import decode_bytes

from reportgen.captures.record import Capture
from reportgen.evidence.opening import find_opening
from reportgen.pages.page import render_page
from reportgen.records import LayerType
from reportgen.records.evidence import Evidence


def make_special(*layer_types: LayerType, features: tuple[str, ...], **changes: object) -> Capture:
    """Return the sample, of as many layers as have attention, with these layer types."""
    capture = make_capture(layers=tuple(kind.layer for kind in layer_types if kind.has_attention))
    model = replace(capture.model, num_layers=len(layer_types), num_kv_heads=4, features=features)
    return replace(capture, model=model, layer_types=layer_types, **changes)  # pyright: ignore[reportArgumentType]


WITHOUT_ATTRIBUTION = replace(
    make_capture(),
    evidence=make_capture().evidence.replace(attribution=None, missing={"attribution": "asked for nothing"}),
)
CAPTURES = {
    "plain": make_capture(),
    "without attribution": WITHOUT_ATTRIBUTION,
    "without evidence": replace(make_capture(), evidence=Evidence()),
    "some steps withheld": withhold(make_capture(), 0, 2),
    "all steps withheld": withhold(make_capture(), 0, 1, 2),
    "one step": make_capture(generated=(".",)),
    "no steps": make_capture(generated=()),
    "a forecast": make_capture(generated=(".",), max_new_tokens=0),
    "one token": make_capture(("a",), ()),
    "one token, then one": make_capture(("a",), ("b",)),
    "one head": make_capture(layers=(0,), heads=(0,)),
    "a part of the heads": make_capture(layers=(2, 5), heads=(1, 3)),
    "many layers": make_random(),
    "a long text": make_random(3, 2, num_prompt_tokens=300, num_steps=10),
    "80 × 64 heads": make_random(80, 64, num_prompt_tokens=5, num_steps=2),
    "windows": make_special(LayerType(0, window=3), LayerType(1), LayerType(2, chunk=4), features=("window",)),
    "gaps": make_special(
        LayerType(0, has_attention=False, what="Mamba"), LayerType(1), LayerType(2, has_attention=False, what="Mamba"),
        features=("hybrid",),
    ),
    "sinks": make_special(
        LayerType(0, has_sink=True), features=("sink",),
        sink_mass=np.linspace(0, 1, 32, dtype=np.float32).reshape(1, 4, 8),
    ),
}  # fmt: skip
PAGES = {name: parse_html(render_page(capture)) for name, capture in CAPTURES.items()}
EVERY = pytest.mark.parametrize("name", CAPTURES)


def sections_of(page: Element) -> list[str]:
    """Return the names of the sections and folds of a page."""
    (main,) = page.find("main")
    return [
        child.attributes["id"]
        for child in main.children
        if isinstance(child, Element) and "card" in child.attributes.get("class", "").split()
    ]


def size_of(picture: Element) -> tuple[int, int]:
    """Return rows and columns of a picture in a ``data:`` URL."""
    _, _, data = (picture.attributes.get("src") or picture.attributes["srcset"]).partition(",")
    with Image.open(io.BytesIO(base64.b64decode(data))) as opened:
        return opened.height, opened.width


def read_block(page: Element, name: str) -> Any:
    """Return a block of JSON."""
    (block,) = page.find("script", id=f"block-{name}")
    return json.loads(decode_bytes(block.text))


@EVERY
def test_every_picture_has_the_cells_of_its_figure(name: str) -> None:
    figures = [figure for figure in PAGES[name].find(class_="heatmap") if figure.find("picture")]
    assert {"figure-heads", "figure-layers", "figure-head", "figure-map"} <= {one.attributes["id"] for one in figures}
    for figure in figures:
        (light,), (dark,) = figure.find("img"), figure.find("source")
        rows, columns = size_of(light)
        assert size_of(dark) == (rows, columns)
        assert figure.attributes["style"] == f"--rows:{rows};--columns:{columns}"
        (overlay,) = figure.find("svg")
        assert overlay.attributes["viewbox"] == f"0 0 {columns} {rows}"
        for frame in figure.find("rect"):
            x, y, width, height = (float(frame.attributes[one]) for one in ("x", "y", "width", "height"))
            assert 0 <= x < x + width <= max(columns, len(CAPTURES[name].tokens))
            assert 0 <= y < y + height <= max(rows, len(CAPTURES[name].tokens))
        assert light.attributes["alt"]


@EVERY
def test_beside_every_row_stand_its_label_and_its_numbers(name: str) -> None:
    page = PAGES[name]
    for figure in [figure for figure in page.find(class_="heatmap") if figure.find("ol", class_="notes")]:
        rows, _ = size_of(figure.find("img")[0])
        notes = figure.find("li")
        assert len(notes) == len(figure.find(class_="rows")[0].find("span")) == rows
        assert len([note for note in notes if note.attributes.get("class") == "selected"]) == 1
        titles = figure.find(class_="titles")[0].find("span")
        for note in notes:
            said = [
                child
                for child in note.children
                if isinstance(child, Element) and child.tag in ("bdi", "b", "i", "button")
            ]
            assert len(said) <= len(titles)
            assert said[0].text


@EVERY
def test_nothing_is_empty_and_every_link_leads_somewhere(name: str) -> None:
    page = PAGES[name]
    ids = [element.attributes["id"] for element in page if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert {link.attributes["href"][1:] for link in page.find("a") if link.attributes["href"].startswith("#")} <= set(
        ids
    )
    for heading in [one for tag in ("h1", "h2", "summary") for one in page.find(tag)]:
        assert heading.text.strip(), heading.attributes
    # What else has no text or no choice is filled by a script, which finds it by its name.
    for element in [one for tag in ("p", "select", "option", "legend", "dd", "pre") for one in page.find(tag)]:
        named = any("id" in inner.attributes for inner in element) or element.attributes.get("role") == "status"
        assert element.text.strip() or named, (element.tag, element.attributes)
    for select in page.find("select"):
        assert select.find("option") or select.attributes["id"] == "save-figure"
    (claim,) = page.find(id="claim")
    assert claim.text.strip()
    for word in ("None", "nan", "undefined", "Undefined"):
        assert word not in page.find("main")[0].text.split()


@EVERY
def test_every_step_has_its_answer(name: str) -> None:
    capture = CAPTURES[name]
    said = read_block(PAGES[name], "answers")
    assert len(said["answers"]) == max(1, len(capture.steps))
    assert all(answer["claim"] for answer in said["answers"])
    opening = find_opening(capture)
    (claim,) = PAGES[name].find(id="claim")
    assert claim.text.startswith(said["answers"][opening.step or 0]["claim"][0])


@EVERY
def test_text_has_every_token_and_one_stop_of_the_keyboard(name: str) -> None:
    capture = CAPTURES[name]
    tokens = PAGES[name].find(id="strip")[0].find(class_="token")
    assert [token.attributes["data-position"] for token in tokens] == [str(i) for i in range(capture.num_tokens)]
    assert len([token for token in tokens if token.attributes["tabindex"] == "0"]) == 1
    assert len([token for token in tokens if "now" in token.attributes["class"].split()]) == (1 if capture.steps else 0)


ALWAYS = ["pattern", "average", "tokens", "made"]


@pytest.mark.parametrize(
    ("name", "sections"),
    [
        ("plain", ["answer", "read", "pattern", "effect", "lens", "rollout", "entropy", "average", "scores"]),
        ("without attribution", ["answer", "pattern", "effect", "lens", "rollout", "entropy", "average", "scores"]),
        ("without evidence", ["answer", "pattern", "average"]),
        (
            "some steps withheld",
            ["answer", "read", "pattern", "effect", "lens", "rollout", "entropy", "average", "scores"],
        ),
        ("all steps withheld", ["answer", "pattern", "effect", "lens", "rollout", "entropy", "average", "scores"]),
        ("one step", ["answer", "pattern", "effect", "lens", "rollout", "entropy", "average", "scores"]),
        ("a forecast", ["answer", "pattern", "effect", "lens", "rollout", "entropy", "average", "scores"]),
        ("no steps", ["answer", "pattern", "rollout", "entropy", "average", "scores"]),
        ("one token", ["answer", "pattern", "rollout", "entropy", "average", "scores"]),
    ],
)
def test_sections_are_those_that_have_something_to_show(name: str, sections: list[str]) -> None:
    """The sample has an ablation, which the figure of all heads shows without any attribution."""
    assert sections_of(PAGES[name]) == [*sections, "tokens", "made"]
    for panel in ("heads", "layers"):
        assert len(PAGES[name].find("section", id=panel)) == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("plain", []),
        ("without evidence", []),
        ("without attribution", ["Not on this page: direct logit attribution (asked for nothing)."]),
        (
            "no steps",
            ["Not on this page: direct logit attribution, logit lens (no tokens were generated)."],
        ),
    ],
)
def test_what_was_not_measured_is_one_line(name: str, line: list[str]) -> None:
    assert [found.text for found in PAGES[name].find("p", class_="unmeasured")] == line


def test_a_withheld_step_has_no_numbers_of_effects() -> None:
    notes = PAGES["some steps withheld"].find(id="figure-read")[0].find("li")
    assert [note.find("bdi")[0].text == "n/a" for note in notes] == [True, False, True]
    assert [bool(note.find(class_="chip")) for note in notes] == [False, True, False]
    said = read_block(PAGES["some steps withheld"], "answers")["answers"]
    assert [answer["read"] is None for answer in said] == [True, False, True]


def test_where_all_steps_are_withheld_weights_speak() -> None:
    page = PAGES["all steps withheld"]
    assert (
        page.find(id="figure-map")[0].find("img")[0].attributes["alt"]
        == "Largest weight of every head off the first token"
    )
    for figure in ("figure-heads", "figure-layers"):
        assert not page.find(id=figure)[0].find("i")
    assert "withheld" in page.find(id="details")[0].text


def test_a_forecast_is_not_called_written() -> None:
    page = PAGES["a forecast"]
    assert "wrote" not in page.find(id="claim")[0].text
    assert page.find(class_="forecast")
    assert not page.find(id="play")
    assert "nothing written" in page.find("form", id="controls")[0].text
    headings = [heading.text for heading in page.find("details", id="tokens")[0].find("h3")]
    assert headings[0] == "The token that would come next"


def test_one_step_has_no_figure_of_steps_and_effects_all_the_same() -> None:
    page = PAGES["one step"]
    assert not page.find(id="figure-read")
    assert page.find(id="step-name")[0].text == "1 of 1"
    assert page.find(id="figure-heads")[0].find("i")


def test_models_with_more_than_sixteen_rows_offer_all_of_them() -> None:
    page = PAGES["80 × 64 heads"]
    offered = [one for one in page.find("button") if one.attributes.get("data-all") in ("heads", "layers")]
    assert [button.text for button in offered] == [
        "16 of 64 heads: show all", "16 of 80 layers: show all",
    ]  # fmt: skip
    assert size_of(page.find(id="figure-heads")[0].find("img")[0])[0] == 16
    assert size_of(page.find(id="figure-map")[0].find("img")[0]) == (80, 64)
    # A label every fifth layer, and as many heads as have room.
    labels = page.find(id="figure-map")[0].find(class_="rows")[0].find("span")
    assert [label.text for label in labels] == [str(layer) for layer in range(0, 80, 5)]
    columns = page.find(id="figure-map")[0].find(class_="columns")[0].find("span")
    assert [column.text for column in columns] == [str(head) for head in range(0, 64, 10)]
    assert not [one for one in PAGES["plain"].find("button") if one.attributes.get("data-all") in ("heads", "layers")]


def test_long_texts_offer_all_columns_and_all_steps() -> None:
    page = PAGES["a long text"]
    offered = {
        button.attributes["data-all"]: "hidden" not in button.attributes
        for button in page.find("button")
        if "data-all" in button.attributes
    }
    assert offered == {"steps": True, "columns": True}
    for figure in ("figure-read", "figure-heads", "figure-layers"):
        assert size_of(page.find(id=figure)[0].find("img")[0])[1] == 40
        labels = page.find(id=figure)[0].find(class_="columns")[0].find("span")
        assert all(label.find("sub") for label in labels)
    assert size_of(page.find(id="figure-head")[0].find("img")[0]) == (256, 256)


def test_windows_gaps_and_sinks_are_named() -> None:
    assert "Hatched: outside the layer's window." in PAGES["windows"].find("section", id="pattern")[0].text
    assert "Layers without attention: 0 (Mamba), 2 (Mamba)." in PAGES["gaps"].find(id="rail")[0].text
    assert PAGES["sinks"].find("script", id="block-sinks")
    assert not PAGES["plain"].find("script", id="block-sinks")
    assert read_block(PAGES["windows"], "content")["layer_types"][0]["window"] == 3


def test_one_layer_has_no_map_to_choose_for() -> None:
    assert not PAGES["one head"].find("select", id="by")
    assert size_of(PAGES["one head"].find(id="figure-map")[0].find("img")[0]) == (1, 1)
