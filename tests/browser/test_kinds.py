"""What is special about a model's attention is seen: hidden keys, sinks, layers without attention, shared keys.

Hand-made captures of 8 tokens, ``The cat ate the mat`` and three generated ones, 4 heads a layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser.reader import Reader
from browser.test_heatmaps import expected_color
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
        [within(capture.attention[layer, head], layer_types[layer])[cells] * left[layer] for head in capture.heads]
        for layer in layers
    ]
    has_sink = any(kind.has_sink for kind in layer_types)
    mass = np.full((len(layers), 4, NUM_TOKENS), SINK_SHARE, np.float32) if has_sink else None
    model = replace(capture.model, num_layers=len(layer_types), num_kv_heads=num_kv_heads, features=features)
    return replace(
        capture, model=model, layer_types=layer_types, triangles=np.array(triangles, np.float16), sink_mass=mass
    )


def make_wide() -> Capture:
    """Return a hybrid of many layers and heads, whose layers with attention are few."""
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


def empty_cells(rows: list[list[float | None]]) -> set[tuple[int, int]]:
    """Return the cells, query and key, that hold nothing."""
    return {(query, key) for query, row in enumerate(rows) for key, value in enumerate(row) if value is None}


FUTURE = {(query, key) for query in range(NUM_TOKENS) for key in range(query + 1, NUM_TOKENS)}


@pytest.mark.parametrize(("layer", "kind"), [(0, LayerType(0, window=WINDOW)), (2, LayerType(2, chunk=4))])
def test_hidden_cells_are_hatched_and_not_zero(open_page, layer: int, kind: LayerType) -> None:
    reader = open_page("sliding", f"#layer={layer}&head=3").look_at("head")
    assert empty_cells(reader.rows("head")) == FUTURE | hidden_cells(kind)
    hatched = reader.page.locator("#figure-head .cells").evaluate("(one) => getComputedStyle(one).backgroundImage")
    assert hatched.startswith("repeating-linear-gradient")
    assert reader.ask("color", "head", 0.5, 7.5) == ""  # the hatching is seen through it
    reader.go("#layer=1&head=3")
    assert empty_cells(reader.rows("head")) == FUTURE
    assert reader.problems == []


def test_what_is_seen_keeps_its_colours(open_page) -> None:
    reader = open_page("sliding", "#layer=0&head=0").look_at("head")
    assert reader.ask("color", "head", 5.5, 5.5) == expected_color(1)
    assert reader.ask("color", "head", 4.5, 5.5) == expected_color(0)
    reader.go("#layer=1&head=0")
    assert reader.ask("color", "head", 0.5, 5.5) == expected_color(0)


def test_tooltip_of_a_hidden_cell_says_why_it_is_empty(open_page) -> None:
    reader = open_page("sliding", "#layer=0&head=3").look_at("head")
    assert reader.point_at(4, 0) == "L0 H3\nfrom ␣mat at 4\nreads The at 0\noutside this layer's window of 3 tokens"
    assert "weight 0.33\nweight × value 0.33" in reader.point_at(4, 2)
    reader.go("#layer=0&head=3&step=0").look_at("layers")
    assert reader.point_at(2, 0, "layers").endswith("outside this layer's window of 3 tokens")
    reader.go("#layer=2&head=3").look_at("head")
    assert reader.point_at(5, 1).endswith("in an earlier chunk of 4 tokens")


def test_every_way_to_show_a_head_hides_the_same(open_page) -> None:
    reader = open_page("sliding", "#layer=0&head=3").look_at("head")
    hidden = hidden_cells(LayerType(0, window=WINDOW))
    for show in ("weight", "weighted", "attribution"):
        reader.go(f"#layer=0&head=3&show={show}")
        assert hidden <= empty_cells(reader.rows("head"))
        reader.go(f"#layer=0&head=3&show={show}&layout=patterns").look_at("layers")
        assert hidden <= empty_cells(reader.rows("layers", 2))
        assert show == "attribution" or not hidden & empty_cells(reader.rows("layers", 1))
    assert reader.problems == []


def test_rows_of_a_panel_leave_out_what_each_layer_hides(open_page) -> None:
    reader = open_page("sliding", "#layer=0&head=3&step=2").look_at("layers")
    rows = reader.rows("layers")  # layers 2, 1 and 0
    # Position 6 sees 4, 5, 6 in layer 0, and its own chunk from 4 on in layer 2.
    assert [value is None for value in rows[2]] == [True] * 4 + [False] * 3
    assert [value is None for value in rows[0]] == [True] * 4 + [False] * 3
    assert None not in rows[1]
    assert reader.ask("notes", "layers")[2][:3] == ["␣mat", "4", "0.33"]


def test_text_shades_nothing_that_the_position_cannot_see(open_page) -> None:
    reader = open_page("sliding", "#layer=0&head=3&query=4&shading=weight")
    shades = """(all) => all.map((one) => one.style.getPropertyValue("--shade") !== "")"""
    tokens = reader.page.locator("#strip .token")
    assert tokens.evaluate_all(shades) == [False] * 2 + [True] * 3 + [False] * 3
    reader.go("#layer=1&head=3&query=4&shading=weight")
    assert tokens.evaluate_all(shades) == [True] * 5 + [False] * 3


def test_hidden_tokens_are_none_of_those_read_most(open_page) -> None:
    reader = open_page("sliding", "#layer=0&head=0&query=4")
    assert [row[1] for row in reader.table("strongest")] == ["4", "2", "3"]


def test_page_says_what_the_hatching_is(open_page) -> None:
    reader = open_page("sliding", "#layer=0&head=3")
    assert reader.page.locator("#head-kind").inner_text().endswith("window of 3 tokens")
    assert reader.page.locator("#heads-title").inner_text() == "Layer 0 · window 3, every head"
    said = reader.page.locator(".of-layer")
    assert said.inner_text() == "Hatched: outside the layer's window."
    reader.go("#layer=1&head=3")
    assert said.is_hidden()
    reader.page.locator("#made").evaluate("(fold) => (fold.open = true)")
    reader.page.locator("#made .help").first.click()
    assert "Hatched cells are outside the window" in reader.page.locator("#help-trait-window").inner_text()


def test_sink_has_a_column_of_its_own(open_page) -> None:
    reader = open_page("sinks", "#layer=0&head=0").look_at("head")
    heads, sink = reader.ask("images", "head")
    assert (len(heads["rows"]), len(heads["rows"][0]), len(sink["rows"][0])) == (NUM_TOKENS, NUM_TOKENS, 1)
    assert [value for (value,) in sink["rows"]] == pytest.approx([SINK_SHARE**0.5] * NUM_TOKENS, abs=0.003)
    x = sink["x"] + sink["width"] / 2
    assert sink["x"] > NUM_TOKENS
    assert reader.hover("head", x, 4.5) == "L0 H0\nfrom ␣mat at 4\nlearned sink, no token: 0.25 of this row"
    assert reader.point_at(4, 4).endswith("\nlearned sink, no token: 0.25 of this row")
    reader.click("head", x, 6.5)
    assert reader.address()["step"] == "2"
    assert reader.problems == []


def test_sink_writes_nothing(open_page) -> None:
    reader = open_page("sinks", "#layer=0&head=3&show=weighted").look_at("head")
    assert len(reader.ask("images", "head")) == 1
    assert reader.ask("range", "head", "x") == [0, NUM_TOKENS]


def test_sink_is_a_line_of_the_tokens_read_most(open_page) -> None:
    reader = open_page("sinks", "#layer=1&head=0&query=4")
    last = reader.table("strongest")[-1]
    assert [text.strip() for text in last] == ["learned sink", "0.25", "", ""]
    table, card = (reader.page.locator(name).bounding_box() for name in ("#strongest", "#side"))
    assert table["x"] + table["width"] <= card["x"] + card["width"]


def test_layers_without_attention_are_named_and_passed_over(open_page) -> None:
    reader = open_page("hybrid", "#layer=1&head=0&step=0").look_at("map")
    assert reader.ask("labels", "map", "rows") == ["5", "4", "1"]
    said = reader.page.locator(".rail .hint").all_inner_texts()
    assert any("2" in one and "Mamba" in one for one in said)
    assert reader.ask("labels", "layers", "rows") == ["L5", "L4", "L1"]
    for row, layer in enumerate((5, 4, 1)):
        assert reader.point_at(row, 2, "map").startswith(f"L{layer} H2\n")
    reader.click_cell(1, 2, "map")
    assert {"layer": "4", "head": "2"}.items() <= reader.address().items()
    assert reader.press("k").address()["layer"] == "1"
    assert reader.press("j").address()["layer"] == "4"
    reader.go("#layer=2&head=1")
    assert reader.page.locator("#head-name").inner_text().split()[0] in {"L1", "L4", "L5"}
    assert "MLPs, and layers without attention" in reader.look_at("effect").page.locator("#sum").inner_text()
    assert reader.problems == []


def test_many_heads_fit_and_labels_stand_clear_of_one_another(open_page) -> None:
    reader = open_page("wide", "#layer=3&head=0").look_at("map")
    right, _ = reader.ask("point", "map", 32, 0)
    box = reader.page.locator("#figure-map").bounding_box()
    assert right <= box["x"] + box["width"] + 1
    for side, axis in (("rows", "y"), ("columns", "x")):
        boxes = [label.bounding_box() for label in reader.page.locator(f"#figure-map .{side} span").all()]
        ends = sorted((box[axis], box[axis] + box["height" if axis == "y" else "width"]) for box in boxes)
        assert len(ends) > 3
        overlaps = [before[1] - after[0] for before, after in itertools.pairwise(ends)]
        assert max(overlaps) < 5, side
    assert "3" in reader.ask("labels", "map", "rows")
    assert len(reader.ask("labels", "heads", "rows")) == 16


def test_heads_are_named_with_those_that_share_their_keys(open_page) -> None:
    reader = open_page("grouped", "#layer=0&head=2")
    kind = reader.page.locator("#head-kind")
    assert kind.inner_text().endswith("key head 1, shared with H3")
    reader.press("l")
    assert kind.inner_text().endswith("key head 1, shared with H2")
    assert reader.look_at("map").point_at(1, 0, "map").endswith("\nkey head 0, shared with H1")
    assert reader.problems == []


def test_differential_heads_are_named_with_the_other_of_their_pair(open_page) -> None:
    reader = open_page("pairs", "#layer=0&head=1")
    kind = reader.page.locator("#head-kind")
    assert kind.inner_text().endswith("less λ times H3")
    reader.go("#layer=0&head=3")
    assert kind.inner_text().endswith("subtracted, λ times, from H1")


def test_a_claim_that_the_weights_contradict_is_named(open_page) -> None:
    reader = open_page("disbelieved", "#layer=0&head=1")
    assert "config says a window of 2 tokens" in reader.page.locator("#head-kind").inner_text()
    assert reader.page.locator(".of-layer").count() == 0


@pytest.mark.parametrize("slug", [capture.prompt.slug for capture in PAGES])
def test_pages_fit_a_phone_and_have_no_problem(open_page, slug: str) -> None:
    reader = open_page(slug, viewport={"width": 390, "height": 844}, color_scheme="dark")
    for figure in ("head", "heads", "map"):
        reader.look_at(figure)
        if figure == "map":
            reader.page.keyboard.press("Escape")
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert reader.problems == []
