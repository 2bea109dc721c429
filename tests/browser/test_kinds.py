"""What is special about a model's attention is seen: hidden keys, sinks, layers without attention, shared keys.

Hand-made captures of 8 tokens, ``The cat ate the mat`` and three generated ones, 4 heads a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from browser.reader import Reader
from browser.test_heatmaps import MASKED, expected_color
from samples import make_capture

from reportgen.captures.record import Capture
from reportgen.pages.page import render_page
from reportgen.records import LayerType
from reportgen.site.site import Site

NUM_TOKENS = 8
WINDOW = 3
SINK_SHARE = 0.25


def within(pattern: np.ndarray, kind: LayerType) -> np.ndarray:
    """Return a pattern as a layer of this kind would have it: rows over the keys that it sees."""
    seen = np.array(
        [[kind.first_key(query) <= key <= query for key in range(NUM_TOKENS)] for query in range(NUM_TOKENS)]
    )
    uniform = seen / seen.sum(1, keepdims=True)
    return np.where((pattern * seen).sum(1, keepdims=True) > 0.999, pattern * seen, uniform)


def make_special(slug: str, *layer_types: LayerType, num_kv_heads: int = 4, features: tuple[str, ...] = ()) -> Capture:
    """Return the sample with layers of these types, its weights inside what they see and beside what sinks take."""
    layers = tuple(kind.layer for kind in layer_types if kind.has_attention)
    capture = make_capture(slug=slug, title=slug, layers=layers)
    cells = np.tril_indices(NUM_TOKENS)
    left = [1 - SINK_SHARE * kind.has_sink for kind in layer_types]
    triangles = [
        [within(capture.pattern(layer, head), layer_types[layer])[cells] * left[layer] for head in capture.heads]
        for layer in layers
    ]
    has_sink = any(kind.has_sink for kind in layer_types)
    mass = np.full((len(layers), 4, NUM_TOKENS), SINK_SHARE, np.float32) if has_sink else None
    model = replace(capture.model, num_layers=len(layer_types), num_kv_heads=num_kv_heads, features=features)
    return replace(
        capture, model=model, layer_types=layer_types, attention=np.array(triangles, np.float16), sink_mass=mass
    )


def make_wide() -> Capture:
    """Return a hybrid of many layers and heads: its tiles are small, and some layers stand close together."""
    layer_types = tuple(LayerType(layer, has_attention=layer % 4 == 3 or layer in (17, 18)) for layer in range(48))
    layers = tuple(kind.layer for kind in layer_types if kind.has_attention)
    capture = make_capture(slug="wide", title="wide", layers=layers, heads=tuple(range(32)))
    return replace(capture, layer_types=layer_types)


PAGES = (
    make_special("sliding", LayerType(0, window=WINDOW), LayerType(1), LayerType(2, chunk=4), features=("window",)),
    make_special("sinks", LayerType(0, has_sink=True), LayerType(1, has_sink=True), features=("sink",)),
    make_special(
        "hybrid",
        LayerType(0, has_attention=False, what="Mamba"),
        LayerType(1),
        LayerType(2, has_attention=False, what="Mamba"),
        LayerType(3, has_attention=False, what="Mamba"),
        LayerType(4),
        LayerType(5),
        LayerType(6, has_attention=False),
        features=("hybrid",),
    ),
    make_wide(),
    make_special("grouped", LayerType(0), LayerType(1), num_kv_heads=2, features=("grouped",)),
    make_special("pairs", LayerType(0), features=("differential",)),
    make_special("disbelieved", LayerType(0, note="its config says a window of 2 tokens, but …")),
)


@pytest.fixture(scope="module")
def open_page(new_reader: Callable[..., Reader], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Reader]:
    """Opens one of the pages, in a reader of its own."""
    folder = Site(tmp_path_factory.mktemp("layers")).open().root
    for capture in PAGES:
        Site(folder).write_page(capture.prompt.slug, render_page(capture))

    def open_(slug: str, hash_: str = "", **options: object) -> Reader:
        return new_reader(**options).open(f"{Path(folder, slug).as_uri()}.html{hash_}")

    return open_


def hidden_cells(kind: LayerType) -> set[tuple[int, int]]:
    """Return the cells, query and key, that come before their query and that it cannot see."""
    return {(query, key) for query in range(NUM_TOKENS) for key in range(kind.first_key(query))}


def areas_of(reader: Reader, figure: str) -> list[list[tuple[float, float]]]:
    """Return the hatched areas of a figure as points."""
    shade = reader.ask("data", figure, "shade")
    return [list(zip(xs, ys, strict=True)) for xs, ys in zip(shade["xs"], shade["ys"], strict=True) if xs]


@pytest.mark.parametrize(("layer", "kind"), [(0, LayerType(0, window=WINDOW)), (2, LayerType(2, chunk=4))])
def test_hidden_cells_are_hatched_and_not_empty(open_page, layer: int, kind: LayerType) -> None:
    reader = open_page("sliding", f"#layer={layer}&head=3").look_at("head")
    (image,) = reader.ask("data", "head", "image")["image"]
    found = {(cell // NUM_TOKENS, cell % NUM_TOKENS) for cell, value in enumerate(image["values"]) if value is None}
    future = {(query, key) for query in range(NUM_TOKENS) for key in range(query + 1, NUM_TOKENS)}
    assert found == future | hidden_cells(kind)
    ((first, *_),) = areas_of(reader, "head")
    assert first == (-0.5, min(query for query, _ in hidden_cells(kind)) - 0.5)
    # Inside the hatching there are two colours, the masked one and that of the lines; above the diagonal there is one.
    hatched = {reader.ask("color", "head", 0.3 + i / 20, 7 + j / 20) for i in range(-6, 6) for j in range(-6, 6)}
    assert MASKED in hatched
    assert len(hatched) > 1
    assert {reader.ask("color", "head", 6 + i / 20, 1 + i / 20) for i in range(-6, 6)} == {MASKED}
    assert reader.problems == []


def test_what_is_seen_keeps_its_colours(open_page) -> None:
    reader = open_page("sliding", "#layer=0&head=0").look_at("head")
    assert reader.ask("color", "head", 5, 5) == expected_color(1)
    assert reader.ask("color", "head", 4, 5) == expected_color(0)
    reader.go("#layer=1&head=0")
    assert reader.ask("color", "head", 0, 5) == expected_color(0)
    assert areas_of(reader, "head") == []


def test_tooltip_of_a_hidden_cell_says_why_it_is_empty(open_page) -> None:
    reader = open_page("sliding", "#layer=0&head=3").look_at("head")
    says = "query ␣mat at 4\nkey The at 0\noutside this layer's window of 3 tokens"
    assert reader.hover("head", 0, 4) == says
    assert "weight 0.33\nweighted share 0.33" in reader.hover("head", 2, 4)
    reader.look_at("head_tiles")
    assert reader.hover("head_tiles", 0.05, 0.9).endswith("outside this layer's window of 3 tokens")
    reader.go("#layer=2&head=3").look_at("head")
    assert reader.hover("head", 1, 5).endswith("in an earlier chunk of 4 tokens")


def test_every_way_to_show_a_head_hides_the_same(open_page) -> None:
    for show in ("weight", "weighted", "attribution"):
        reader = open_page("sliding", f"#layer=0&head=3&show={show}").look_at("head")
        (image,) = reader.ask("data", "head", "image")["image"]
        hidden = hidden_cells(LayerType(0, window=WINDOW))
        assert all(image["values"][query * NUM_TOKENS + key] is None for query, key in hidden)
        assert areas_of(reader, "head")


def test_tiles_hatch_the_layers_that_have_a_window(open_page) -> None:
    reader = open_page("sliding", "#layer=0&head=3").look_at("head_tiles")
    assert reader.ask("data", "head_tiles", "labels")["text"] == [
        "layer 0 · window 3",
        "layer 1",
        "layer 2 · chunks of 4",
    ]
    tops = [min(y for _, y in points) for points in areas_of(reader, "head_tiles")]
    lefts = [int(min(x for x, _ in points)) for points in areas_of(reader, "head_tiles")]
    assert lefts == [0, 2]
    assert tops[0] < tops[1]  # a window of 3 hides the first key earlier than a chunk of 4 does
    reader.look_at("layer_tiles")
    assert len(areas_of(reader, "layer_tiles")) == 4
    assert reader.page.locator("#layer-name").inner_text() == "layer 0 · window 3"


def test_rows_of_a_step_hatch_what_each_layer_hides(open_page) -> None:
    reader = open_page("sliding", "#layer=0&head=3&step=2").look_at("step_layers")
    widths = {points[0][1] + 0.5: points[1][0] + 0.5 for points in areas_of(reader, "step_layers")}
    assert widths == {0: 4, 2: 4}  # query 6 sees 4, 5, 6 in layer 0, and its own chunk from 4 on in layer 2
    (image,) = reader.ask("data", "step_layers", "image")["image"]
    assert [value is None for value in image["values"][:7]] == [True] * 4 + [False] * 3
    assert None not in image["values"][7:14]
    assert reader.hover("step_layers", 1, 0).endswith("outside this layer's window of 3 tokens")


def test_overview_leaves_hidden_cells_out(open_page) -> None:
    reader = open_page("sliding", "#layer=0&head=3").look_at("overview")
    (image,) = reader.ask("data", "overview", "image")["image"]
    across = image["shape"][1]
    row = image["values"][7 * across : 8 * across][:8]
    assert [value is None for value in row] == [True] * 5 + [False] * 3
    assert reader.hover("overview", 0.5, 0.5) == "L0 H0\nwindow of 3 tokens"


def test_text_strip_hatches_what_the_query_cannot_see(open_page) -> None:
    reader = open_page("sliding", "#layer=0&head=3&query=4")
    outside = reader.page.locator("#strip .token.outside")
    assert outside.all_inner_texts() == ["The", "␣cat"]
    reader.go("#layer=1&head=3&query=4")
    assert outside.count() == 0


def test_hidden_keys_are_none_of_the_strongest(open_page) -> None:
    reader = open_page("sliding", "#layer=0&head=0&query=4")
    positions = reader.page.locator("#strongest tbody td:nth-child(2)").all_inner_texts()
    assert positions == ["4", "2", "3"]


def test_page_says_what_the_hatching_is(open_page) -> None:
    reader = open_page("sliding", "#layer=0&head=3")
    assert reader.page.locator("#head-kind").inner_text() == "Window of 3 tokens"
    keys = reader.page.locator(".shade")
    assert set(keys.all_inner_texts()) == {"outside the layer's window"}
    assert all(key.is_visible() for key in keys.all())
    # A layer that hides nothing needs no key; the views of all layers still do.
    reader.go("#layer=1&head=3")
    assert [key.is_visible() for key in keys.all()].count(True) == 2
    reader.page.locator(".traits button").click()
    assert "Hatched cells are outside the window" in reader.page.locator("#help-trait-window").inner_text()


def test_sink_has_a_column_of_its_own(open_page) -> None:
    reader = open_page("sinks", "#layer=0&head=0").look_at("head")
    heads, sink = reader.ask("data", "head", "image")["image"]
    assert (heads["shape"], sink["shape"]) == ([NUM_TOKENS] * 2, [NUM_TOKENS, 1])
    assert sink["values"] == pytest.approx([SINK_SHARE**0.5] * NUM_TOKENS, abs=0.003)
    assert list(reader.ask("labels", "head", "x").values())[-1] == "sink"
    assert "sink" not in reader.ask("labels", "head", "y").values()
    x = NUM_TOKENS + 0.5
    assert reader.hover("head", x, 4) == "query ␣mat at 4\nlearned sink, no token: 0.25"
    assert reader.hover("head", 4, 4).endswith("\nlearned sink, no token: 0.25 of this row")
    reader.click("head", x, 6)
    assert reader.address()["step"] == "2"
    assert reader.problems == []


def test_sink_goes_with_the_first_token(open_page) -> None:
    """Both are places to rest, and would take the colours from what is left."""
    reader = open_page("sinks", "#layer=0&head=3&first=out").look_at("head")
    _, sink = reader.ask("data", "head", "image")["image"]
    assert set(sink["values"]) == {None}


def test_sink_writes_nothing(open_page) -> None:
    reader = open_page("sinks", "#layer=0&head=3&show=weighted").look_at("head")
    _, sink = reader.ask("data", "head", "image")["image"]
    assert set(sink["values"]) == {None}
    assert reader.hover("head", NUM_TOKENS + 0.5, 4) is None


def test_sink_is_a_line_of_the_strongest_keys(open_page) -> None:
    reader = open_page("sinks", "#layer=1&head=0&query=4")
    last = reader.page.locator("#strongest tbody tr").last.locator("td").all_inner_texts()
    assert [text.strip() for text in last] == ["learned sink", "none", "0.25", "", ""]
    table = reader.page.locator("#strongest").bounding_box()
    card = reader.page.locator(".side").bounding_box()
    assert table["x"] + table["width"] <= card["x"] + card["width"]


def test_layers_without_attention_are_thin_rows(open_page) -> None:
    reader = open_page("hybrid", "#layer=1&head=0").look_at("overview")
    labels = {float(at): text for at, text in reader.ask("labels", "overview", "y").items()}
    assert [text for _, text in sorted(labels.items())] == ["0", "1", "2–3", "4", "5", "6"]
    gaps = reader.ask("data", "overview", "gaps")
    assert gaps["text"] == ["Mamba", "Mamba", "no attention"]
    heights = reader.ask("data", "overview", "image")["dh"]
    assert heights[:3] == [1, 1, 1]
    assert all(0 < height < 0.9 for height in heights[3:])
    assert reader.hover("overview", 1.5, gaps["y"][1]) == "layers 2–3: no attention, Mamba"
    assert reader.hover("overview", 1.5, gaps["y"][2]) == "layer 6: no attention"
    assert reader.page.locator(".overview").get_by_text("Thin rows: layers without attention.").is_visible()
    assert reader.problems == []


def test_patterns_stand_in_the_rows_of_their_layers(open_page) -> None:
    reader = open_page("hybrid", "#layer=1&head=0").look_at("overview")
    at = {text: float(at) for at, text in reader.ask("labels", "overview", "y").items()}
    for layer in ("1", "4", "5"):
        assert reader.hover("overview", 2.5, at[layer]) == f"L{layer} H2"
    reader.click("overview", 2.5, at["4"])
    assert {"layer": "4", "head": "2"}.items() <= reader.address().items()
    frame = reader.ask("data", "overview", "frame")
    assert frame["top"][0] == pytest.approx(at["4"] - 0.5)
    # The first row of a thumbnail holds the whole weight of its only key, in every layer.
    images = reader.ask("data", "overview", "image")["image"]
    assert [image["values"][0] for image in images[:3]] == [1, 1, 1]


def test_walking_passes_over_layers_without_attention(open_page) -> None:
    reader = open_page("hybrid", "#layer=1&head=0").look_at("overview")
    at = {text: float(at) for at, text in reader.ask("labels", "overview", "y").items()}
    reader.click("overview", 1.5, at["2–3"])
    assert {"layer": "1", "head": "0"}.items() <= reader.address().items()
    assert reader.press("j").address()["layer"] == "4"
    assert reader.press("k").address()["layer"] == "1"
    assert reader.page.locator("#layer option").all_inner_texts() == ["1", "4", "5"]
    reader.go("#layer=2&head=1")
    assert reader.page.locator("#layer").input_value() in {"1", "4", "5"}


def test_scores_and_measures_leave_room_for_layers_without_attention(open_page) -> None:
    for by in ("self", "attribution"):
        reader = open_page("hybrid", f"#layer=1&head=0&step=0&by={by}").look_at("overview")
        images = reader.ask("data", "overview", "image")["image"]
        assert [image["shape"] for image in images] == [[1, 4]] * 3 + [[1, 1]] * 3


def test_overview_keeps_its_rows_when_the_window_changes(open_page) -> None:
    reader = open_page("hybrid", "#layer=1&head=0").look_at("overview")
    reader.page.set_viewport_size({"width": 390, "height": 844})
    reader.look_at("overview")
    source = reader.ask("data", "overview", "image")
    start, end = reader.ask("range", "overview", "y")
    assert sum(source["dh"]) == pytest.approx(start - end if start > end else end - start)
    assert reader.problems == []


def test_many_heads_fit_and_labels_stand_clear_of_one_another(open_page) -> None:
    reader = open_page("wide", "#layer=3&head=0").look_at("overview")
    (right, _), box = reader.ask("point", "overview", 32, 0), reader.page.locator("#figure-overview").bounding_box()
    assert right <= box["x"] + box["width"]
    ticks = sorted(reader.ask("ticks", "overview", "y"))
    heights = [reader.ask("point", "overview", 0, tick)[1] for tick in ticks]
    assert min(b - a for a, b in pairwise(heights)) > 9
    assert {"0–2", "3", "16", "19"} <= set(reader.ask("labels", "overview", "y").values())


def test_sum_says_that_it_holds_more_than_mlps(open_page) -> None:
    reader = open_page("hybrid", "#layer=1&head=0&step=0").look_at("grid")
    assert "MLPs, and layers without attention" in reader.page.locator("#sum").inner_text()


def test_heads_are_named_with_those_that_share_their_keys(open_page) -> None:
    reader = open_page("grouped", "#layer=0&head=2")
    assert reader.page.locator("#head-kind").inner_text() == "Key head 1, shared with H3"
    groups = reader.page.locator("#head optgroup")
    assert [group.get_attribute("label") for group in groups.all()] == ["key head 0", "key head 1"]
    reader.press("l")
    assert reader.page.locator("#head-kind").inner_text() == "Key head 1, shared with H2"
    assert reader.look_at("overview").hover("overview", 0.5, 0.5) == "L0 H0\nkey head 0, shared with H1"
    assert reader.problems == []


def test_differential_heads_are_named_with_the_other_of_their_pair(open_page) -> None:
    reader = open_page("pairs", "#layer=0&head=1")
    assert reader.page.locator("#head-kind").inner_text() == "Less λ times H3"
    reader.go("#layer=0&head=3")
    assert reader.page.locator("#head-kind").inner_text() == "Subtracted, λ times, from H1"


def test_a_claim_that_the_weights_contradict_is_named(open_page) -> None:
    reader = open_page("disbelieved", "#layer=0&head=1")
    assert "config says a window of 2 tokens" in reader.page.locator("#head-kind").inner_text()
    assert reader.page.locator(".shade").count() == 0


@pytest.mark.parametrize("slug", [capture.prompt.slug for capture in PAGES])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone_and_have_no_problem(open_page, slug: str, scheme: str) -> None:
    reader = open_page(slug, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    for figure in ("head", "overview", "layer_tiles"):
        reader.look_at(figure)
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert reader.problems == []
