"""Heatmaps tell the truth: colours, labels, numbers, tooltips and clicks of planted patterns.

In the sample, head 0 of layer 0 reads itself, 1 the token before, 2 the first, 3 all alike; layer 1 begins with the
second of these. The prompt is ``The cat ate the mat``; `` the`` comes once more as the last generated
token, at position 7. Head ``h`` of layer ``l`` adds ``(step + 1) * (l + 1) * (1 - h)`` tenths of a logit.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from browser.captures import CAPTURES
from browser.reader import Reader

from reportgen.pages.palettes import PALETTES

NUM_TOKENS = 8
EMPTY = ""
"""Colour of a cell without a value: that of the card behind the figure."""
PLACES = """() => Object.fromEntries([...document.querySelectorAll("h2, h3, .card, .cells, .bar, .hint")]
  .filter((one) => one.checkVisibility())
  .map((one, i) => {
    const { x, y, width, height } = one.getBoundingClientRect();
    const text = one.matches("h2, h3, .hint") ? one.innerText : "";
    return [i, [x, y, width, height, text, scrollY, document.documentElement.scrollHeight].join(" ")];
  }))"""


def expected_color(weight: float, palette: str = "blues") -> str:
    """Return the colour of a weight, which the page has with 8 bits, on the square-root scale from 0 to 1."""
    return PALETTES[palette][min(255, int(round(255 * weight**0.5) / 255 * 256))]


@pytest.fixture(scope="module")
def many(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> Reader:
    """The page of 20 layers, 18 heads and 8 generated tokens."""
    return new_reader(viewport={"width": 1440, "height": 900}).open(f"{addresses['file']}/many.html")


@pytest.fixture(scope="module")
def long(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> Reader:
    """The page of 396 tokens and three generated ones."""
    return new_reader().open(f"{addresses['file']}/long.html")


@pytest.mark.parametrize(
    ("head", "weight_at"),
    [
        (0, lambda query, key: float(query == key)),
        (1, lambda query, key: float(key == max(query - 1, 0))),
        (2, lambda _, key: float(key == 0)),
    ],
)
def test_colour_of_every_cell_is_that_of_its_weight(cat: Reader, head: int, weight_at) -> None:
    found = cat.go(f"#layer=0&head={head}").look_at("head").ask("colors", "head", NUM_TOKENS, NUM_TOKENS)
    for query in range(NUM_TOKENS):
        for key in range(NUM_TOKENS):
            expected = expected_color(weight_at(query, key)) if key <= query else EMPTY
            assert found[query][key] == expected, (query, key)


def test_uniform_attention_is_paler_the_longer_the_row(cat: Reader) -> None:
    cat.go("#layer=0&head=3").look_at("head")
    for query, (color, *_) in enumerate(cat.ask("colors", "head", NUM_TOKENS, 1)):
        assert color == expected_color(1 / (query + 1))


def test_linear_scale_shows_the_weight_itself(cat: Reader) -> None:
    cat.go("#layer=0&head=3&scale=linear").look_at("head")
    assert cat.ask("color", "head", 1.5, 3.5) == PALETTES["blues"][int(0.25 * 256)]
    assert cat.ask("color", "head", 0.5, 0.5) == PALETTES["blues"][255]
    assert cat.page.locator("[data-legend=weight] small").inner_text() == "0 · .25 · .5 · .75 · 1 (linear)"


def test_colours_keep_their_meaning_without_the_first_token(cat: Reader) -> None:
    cat.go("#layer=0&head=3&first=out").look_at("head")
    assert cat.ask("color", "head", 0.5, 5.5) == EMPTY
    assert cat.ask("color", "head", 1.5, 1.5) == expected_color(0.5)
    assert cat.point_at(5, 0) == "L0 H3\nfrom . at 5\n"
    cat.go("#layer=0&head=2&first=out")
    assert cat.ask("limits", "head") == [0, 1]


def test_cells_are_one_unit_and_the_first_query_is_at_the_top(cat: Reader) -> None:
    cat.go("#layer=0&head=0").look_at("head")
    (left, top), (right, bottom) = (cat.ask("point", "head", i, i) for i in (0, NUM_TOKENS))
    cells = cat.page.locator("#figure-head .cells").bounding_box()
    assert cells
    found = [left, top, right - left, bottom - top]
    assert found == pytest.approx([cells[name] for name in ("x", "y", "width", "height")], abs=1)


def test_labels_stand_at_their_cells_and_equal_tokens_have_places_of_their_own(cat: Reader) -> None:
    cat.go("#layer=0&head=3").look_at("head")
    shown = [token.shown for token in CAPTURES["cat"].tokens]
    middles = cat.page.locator("#figure-head .columns span").evaluate_all(
        "(all) => all.map((one) => { const { left, right } = one.getBoundingClientRect(); return (left + right) / 2; })"
    )
    for side in ("columns", "rows"):
        assert cat.ask("labels", "head", side) == shown
    assert middles == pytest.approx([cat.ask("point", "head", i + 0.5, 0)[0] for i in range(NUM_TOKENS)], abs=1.5)
    for key in (3, 7):
        assert cat.point_at(7, key) == f"L0 H3\nfrom ␣the at 7\nreads ␣the at {key}\nweight 0.12\nweight × value 0.14"


def test_numbers_stand_in_cells_that_have_room(cat: Reader) -> None:
    cat.go("#layer=0&head=3").look_at("head")
    assert cat.ask("texts", "head")[:6] == ["1.00", ".50", ".50", ".33", ".33", ".33"]
    assert len(cat.ask("texts", "head")) == NUM_TOKENS * (NUM_TOKENS + 1) / 2


def test_nothing_is_read_above_the_diagonal_and_nothing_said_beside_the_frame(cat: Reader) -> None:
    cat.go("#layer=0&head=3").look_at("head")
    assert "reads ␣ate at 2" in (cat.point_at(5, 2) or "")
    assert "reads" not in (cat.point_at(2, 5) or "")
    assert cat.hover("head", -0.5, 5) is None


def test_tooltip_goes_when_the_page_scrolls_or_the_pointer_leaves(cat: Reader) -> None:
    cat.go("#layer=0&head=3").look_at("head")
    tooltip = cat.page.locator("#tooltip")
    assert cat.point_at(5, 2) is not None
    cat.page.mouse.wheel(0, 30)
    tooltip.wait_for(state="hidden")
    cat.look_at("head")
    assert cat.point_at(6, 3) is not None
    cat.page.mouse.move(2, 2)
    tooltip.wait_for(state="hidden")


def test_click_in_the_pattern_selects_the_position_that_reads(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0&query=0").look_at("head").click_cell(2, 1)
    assert cat.address() == {"layer": "0", "head": "0", "step": "0", "query": "2"}
    assert cat.ask("frames", "head") == [[0, 2, 3, 1]]
    cat.click_cell(6, 5)
    assert cat.address() == {"layer": "0", "head": "0", "step": "2"}


@pytest.mark.parametrize("held", [0, 250, 450])
def test_click_selects_however_long_the_button_is_held(cat: Reader, held: int) -> None:
    """Bokeh calls a button that is held for 0.3 s a press and no tap."""
    cat.go("#layer=0&head=0&step=0&query=0").look_at("head").click("head", 1.5, 2.5, held=held)
    assert cat.address()["query"] == "2"


def test_map_selects_layer_and_head(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=1").look_at("map")
    assert cat.ask("labels", "map", "rows") == ["2", "1", "0"]
    assert cat.rows("map") == [
        pytest.approx([0.2 * (layer + 1) * (1 - head) for head in range(4)], abs=1e-4) for layer in (2, 1, 0)
    ]
    assert cat.point_at(0, 3, "map") == "L2 H3\neffect of the whole head −1.20 logits\nkey head 1, shared with H2"
    cat.click_cell(1, 2, "map")
    assert cat.address() == {"layer": "1", "head": "2", "step": "1"}
    assert cat.page.locator("#head-name").inner_text() == "L1 H2 ▾"
    assert cat.ask("frames", "map") == [[2, 1, 1, 1]]


def test_map_shows_largest_weights_or_patterns_on_demand(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0&by=weight&scale=linear").look_at("map")
    # At 4, a head that reads all alike has 1/5 on each; the first token is aside.
    assert cat.rows("map")[2] == pytest.approx([1, 1, 0, 0.2], abs=0.003)
    assert cat.page.locator("#map-says").inner_text() == "largest weight"
    cat.go("#layer=0&head=0&step=0&by=pattern")
    rows = cat.rows("map")
    assert (len(rows), len(rows[0])) == (3 * NUM_TOKENS, 4 * NUM_TOKENS)
    # Layer 0 is at the bottom: its head 1 reads the token before.
    assert rows[2 * NUM_TOKENS + 5][NUM_TOKENS + 3 : NUM_TOKENS + 7] == [0, 1, 0, None]


def test_selected_layers_keep_their_numbers(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> None:
    reader = new_reader().open(f"{addresses['file']}/selected.html#layer=5&head=3")
    assert reader.ask("labels", "map", "rows") == ["7", "5", "2"]
    assert reader.ask("labels", "map", "columns") == ["1", "3"]
    assert reader.ask("labels", "layers", "rows") == ["L7", "L5", "L2"]
    assert reader.ask("labels", "heads", "rows") == ["H1", "H3"]
    reader.click_cell(0, 0, "map")
    assert {"layer": "7", "head": "1"}.items() <= reader.address().items()
    assert reader.problems == []


def test_panels_name_what_they_show_and_hold_its_weights(cat: Reader) -> None:
    cat.go("#layer=1&head=2&step=0")
    assert cat.page.locator("#heads-title").inner_text() == "Layer 1, every head"
    assert cat.page.locator("#layers-title").inner_text() == "Head 2, every layer"
    assert [hint.inner_text() for hint in cat.page.locator(".panels > .card > .hint").all()] == [
        "Which token does each head of this layer read when it predicts .?",
        "Which token does the same head read in other layers when it predicts .?",
    ]
    assert cat.ask("labels", "heads", "columns") == ["The", "␣cat", "␣ate", "␣the", "␣mat"]
    # In layer 1, head 0 reads the token before, 1 the first, 2 all alike, 3 itself.
    assert [row.index(max(row)) for row in cat.rows("heads")] == [3, 0, 0, 4]
    assert cat.rows("heads")[2] == pytest.approx([0.2**0.5] * 5, abs=0.003)
    assert cat.ask("notes", "heads") == [
        ["␣the", "3", "1.00", "+0.2"],
        ["The", "0", "1.00", "0.0"],
        ["The", "0", "0.20", "−0.2"],
        ["␣mat", "4", "1.00", "−0.4"],
    ]
    # The last layer is at the top: head 2 reads itself in layer 2.
    assert [row.index(max(row)) for row in cat.rows("layers")] == [4, 0, 0]
    assert cat.ask("notes", "layers")[0] == ["␣mat", "4", "1.00", "−0.3"]
    assert (cat.ask("frames", "heads"), cat.ask("frames", "layers")) == ([[0, 2, 5, 1]], [[0, 1, 5, 1]])


def test_panels_answer_for_a_word_of_the_prompt_and_effects_are_not_of_it(cat: Reader) -> None:
    cat.go("#layer=0&head=1&step=1&query=3")
    assert cat.page.locator("#heads > .hint").inner_text().endswith("read at ␣the3?")
    assert cat.ask("notes", "heads") == [
        ["␣the", "3", "1.00"], ["␣ate", "2", "1.00"], ["The", "0", "1.00"], ["The", "0", "0.25"],
    ]  # fmt: skip
    assert cat.page.locator("#figure-heads .titles span").last.is_hidden()


def test_click_in_a_panel_selects_the_head_of_the_row(cat: Reader) -> None:
    cat.go("#layer=1&head=0&step=0").look_at("heads")
    assert cat.point_at(0, 3, "heads") == (
        "L1 H0\nfrom ␣mat at 4\nreads ␣the at 3\nweight 1\nweight × value 1\neffect +0.20 logits"
    )
    cat.click_cell(2, 1, "heads")
    assert cat.address() == {"layer": "1", "head": "2", "step": "0"}
    cat.look_at("layers").click_cell(0, 1, "layers")
    assert cat.address() == {"layer": "2", "head": "2", "step": "0"}


def test_line_divides_prompt_and_generated_tokens(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0")
    assert cat.ask("dividers", "heads") == []
    cat.go("#layer=0&head=0&step=2").look_at("heads")
    assert cat.ask("dividers", "heads") == ["M5 0L5 4"]
    assert cat.look_at("head").ask("dividers", "head") == ["M5 5L5 8", "M0 5L5 5"]


def test_patterns_are_the_same_heads_as_rows(cat: Reader) -> None:
    cat.go("#layer=1&head=2&step=0").look_at("heads").page.get_by_text("patterns", exact=True).click()
    assert cat.settle().address()["layout"] == "patterns"
    assert cat.ask("texts", "heads") == ["L1 H0", "L1 H1", "L1 H2", "L1 H3"]
    assert cat.ask("texts", "layers") == ["L2 H2", "L1 H2", "L0 H2"]
    rows = cat.rows("heads", 2)
    assert (len(rows), len(rows[0])) == (NUM_TOKENS, NUM_TOKENS)
    # Layer 1's head 2 reads all alike.
    assert rows[1] == [pytest.approx(0.5**0.5, abs=0.003)] * 2 + [None] * 6
    assert cat.ask("frames", "heads")[0][0] == 2
    image = cat.ask("images", "heads")[3]
    tip = cat.hover("heads", image["x"] + 0.01, image["y"] + 0.9 * image["height"])
    assert tip
    assert tip.startswith("L1 H3\nfrom ␣the at 7\nreads The at 0")
    cat.click("heads", image["x"] + 0.5, image["y"] + 0.5)
    assert cat.address() == {"layer": "1", "head": "3", "step": "0", "layout": "patterns"}
    assert cat.page.locator("#head-title").inner_text() == "L1 H3, every position"
    cat.page.get_by_text("rows", exact=True).click()
    assert "layout" not in cat.settle().address()


def test_sixteen_rows_are_shown_first_and_all_on_demand(many: Reader) -> None:
    many.go("#layer=3&head=1&step=0").look_at("heads")
    # Heads 0 to 17 of layer 3: the effects grow with the distance from head 1, which is selected and always shown.
    assert many.ask("labels", "heads", "rows") == ["H1", *(f"H{head}" for head in range(3, 18))]
    assert many.ask("labels", "layers", "rows")[0] == "L19"
    assert len(many.ask("labels", "layers", "rows")) == 16
    assert "L3" in many.ask("labels", "layers", "rows")
    button = many.page.locator("[data-all=heads]")
    assert button.inner_text() == "16 of 18 heads: show all"
    button.click()
    assert many.settle().ask("labels", "heads", "rows") == [f"H{head}" for head in range(18)]
    assert many.address()["all"] == "heads"
    assert len(many.rows("heads")) == 18
    many.page.locator("[data-all=layers]").click()
    assert many.settle().ask("labels", "layers", "rows") == [f"L{layer}" for layer in reversed(range(20))]
    button.click()
    assert len(many.settle().ask("labels", "heads", "rows")) == 16


@pytest.mark.parametrize("width", [1024, 1440, 1920])
def test_pointing_changes_nothing_but_tints_and_a_click_takes_what_the_tooltip_names(many: Reader, width: int) -> None:
    many.page.set_viewport_size({"width": width, "height": 900})
    many.go("#layer=10&head=11&step=0").look_at("head")
    many.page.mouse.move(4, 4)
    for figure, row, column in (("head", 5, 3), ("heads", 2, 4), ("layers", 6, 1), ("read", 2, 3), ("head", 9, 2)):
        many.look_at(figure)
        before, drawn = many.page.evaluate(PLACES), many.ask("images", figure)
        tip = many.point_at(row, column, figure)
        many.page.wait_for_timeout(50)
        assert many.page.evaluate(PLACES) == before, figure
        assert many.ask("images", figure) == drawn
        assert tip
        assert f"\nreads {CAPTURES['many'].tokens[column].shown} at {column}\n" in f"\n{tip}\n"
        assert many.ask("brushes", figure) != []
        assert many.page.locator("#strip .brushed").get_attribute("data-position") == str(column)
        assert many.address() == {"layer": "10", "head": "11", "step": "0"}
    tip = many.look_at("head").point_at(3, 1)
    assert tip
    assert tip.startswith("L10 H11\nfrom ␣the at 3\n")
    many.click_cell(3, 1)
    assert many.ask("selected", "head", "rows") == "␣the"
    assert many.address()["query"] == "3"


def test_token_of_the_text_tints_its_column_everywhere(cat: Reader) -> None:
    cat.go("#layer=0&head=1&step=1").look_at("heads")
    cat.page.locator("#strip .token").nth(3).hover()
    cat.settle()
    assert cat.ask("brushes", "heads") == [[3, 0, 1, 4]]
    assert cat.ask("brushes", "layers") == [[3, 0, 1, 3]]
    assert cat.page.locator("#head-title").inner_text() == "L0 H1, every position"
    cat.page.mouse.move(4, 4)
    cat.settle()
    assert cat.ask("brushes", "heads") == []


def test_head_of_the_map_tints_its_row(cat: Reader) -> None:
    cat.go("#layer=1&head=0&step=1").look_at("map").point_at(1, 2, "map")
    assert cat.ask("brushes", "heads") == [[0, 2, 6, 1]]
    assert cat.page.locator("#heads-title").inner_text() == "Layer 1, every head"
    cat.page.mouse.move(4, 4)


def test_long_text_shows_the_tokens_read_most_with_their_positions(long: Reader) -> None:
    long.go("#layer=0&head=0&step=0").look_at("heads")
    # Head 0 reads itself, head 1 the token before; of layers 1 to 3 head 0 reads the one before, the first, all alike.
    assert len(long.rows("heads")[0]) == 40
    labels, places = long.ask("labels", "heads", "columns"), long.ask("places", "heads", "columns")
    assert (labels[0], places[0], labels[-1], places[-1]) == ("␣t0", "0", "␣t394", "394")
    assert [int(label[2:]) for label in labels] == list(map(int, places))
    assert long.rows("heads")[0][-2:] == [0, 1]
    assert long.rows("heads")[1][-2:] == [1, 0]
    assert long.rows("layers")[2][-2:] == [1, 0]
    long.page.locator("#layers [data-all=columns]").click()
    assert len(long.settle().rows("heads")[0]) == 396
    assert long.address()["all"] == "columns"
    long.page.locator("#layers [data-all=columns]").click()
    assert len(long.settle().rows("heads")[0]) == 40


def test_drag_sets_the_range_of_every_figure_and_all_ends_it(long: Reader) -> None:
    long.go("#layer=0&head=0&step=0&query=130").look_at("head")
    coarse = long.ask("labels", "head", "columns")
    long.page.mouse.move(*long.ask("point", "head", 100.5, 110.5))
    long.page.mouse.down()
    long.page.mouse.move(*long.ask("point", "head", 139.5, 139.5), steps=4)
    long.page.mouse.up()
    start, end = map(int, long.settle().address()["tokens"].split("-"))
    assert 98 <= start <= 101
    assert 138 <= end <= 142
    assert long.ask("range", "head", "x") == [0, end + 1 - start]
    assert len(long.rows("head")) == end + 1 - start
    labels = long.ask("labels", "head", "columns")
    assert {int(label[2:]) for label in labels} <= set(range(start, end + 1))
    within = [label for label in coarse if label[2:].isdigit() and start <= int(label[2:]) <= end]
    assert len(labels) > len(within) + 5
    assert long.page.locator("#range").input_value() == f"{start}–{end}"
    assert len(long.look_at("heads").rows("heads")[0]) == 131 - start  # what the position sees of them
    assert long.look_at("rollout").ask("range", "rollout", "x") == [0, end + 1 - start]
    field = long.page.locator("#range")
    field.evaluate("(one) => one.closest('[popover]').showPopover()")
    field.fill("")
    field.press("Enter")
    assert "tokens" not in long.settle().address()
    long.press("Escape")
    assert long.look_at("head").ask("range", "head", "x") == [0, 399]
    assert long.problems == []


def test_modules_had_no_problem(cat: Reader, many: Reader, long: Reader) -> None:
    assert (cat.problems, many.problems, long.problems) == ([], [], [])
