"""Heatmaps tell the truth: colours, labels, tooltips and clicks of planted patterns.

In the sample, head 0 of layer 0 reads itself, 1 the token before, 2 the first, 3 all alike; layer 1 begins with the
second of these. The prompt is ``The cat ate the mat``; `` the`` comes once more as the last generated
token, at position 7.
"""

from __future__ import annotations

import pytest
from browser.captures import CAPTURES
from browser.reader import Reader

from reportgen.pages.palettes import PALETTES

NUM_TOKENS = 8
MASKED = "#f1f2f4"


def expected_color(weight: float, palette: str = "blues") -> str:
    """Return the colour of a weight on the square-root scale from 0 to 1."""
    return PALETTES[palette][min(255, int(weight**0.5 * 256))]


@pytest.mark.parametrize(
    ("head", "weight_at"),
    [
        (0, lambda query, key: float(query == key)),
        (1, lambda query, key: float(key == max(query - 1, 0))),
        (2, lambda _, key: float(key == 0)),
    ],
)
def test_colour_of_every_cell_is_that_of_its_weight(cat: Reader, head: int, weight_at) -> None:
    cat.go(f"#layer=0&head={head}").look_at("head")
    for query in range(NUM_TOKENS):
        for key in range(NUM_TOKENS):
            expected = expected_color(weight_at(query, key)) if key <= query else MASKED
            assert cat.ask("color", "head", key, query) == expected, (query, key)


def test_uniform_attention_is_paler_the_longer_the_row(cat: Reader) -> None:
    cat.go("#layer=0&head=3").look_at("head")
    for query in range(NUM_TOKENS):
        code = round(255 * (1 / (query + 1)) ** 0.5)
        assert cat.ask("color", "head", 0, query) == PALETTES["blues"][min(255, int(code / 255 * 256))]


def test_linear_scale_shows_the_weight_itself(cat: Reader) -> None:
    cat.go("#layer=0&head=3&scale=linear").look_at("head")
    assert cat.ask("color", "head", 1, 3) == PALETTES["blues"][int(0.25 * 256)]
    assert cat.ask("color", "head", 0, 0) == PALETTES["blues"][255]


def test_without_the_first_token_the_rest_fills_the_scale(cat: Reader) -> None:
    cat.go("#layer=0&head=3&first=out").look_at("head")
    assert cat.ask("color", "head", 0, 5) == MASKED
    # Half a weight at query 1 is the strongest that is left.
    assert cat.ask("color", "head", 1, 1) == PALETTES["blues"][255]
    assert cat.hover("head", 0, 5) is None


def test_first_query_is_at_the_top(cat: Reader) -> None:
    cat.go("#layer=0&head=0").look_at("head")
    (left, top), (right, bottom) = (cat.ask("point", "head", i, i) for i in (0, NUM_TOKENS - 1))
    assert top < bottom
    assert left < right


def test_equal_tokens_have_places_of_their_own(cat: Reader) -> None:
    cat.go("#layer=0&head=3").look_at("head")
    shown = {str(i): token.shown for i, token in enumerate(CAPTURES["cat"].tokens)}
    for letter in ("x", "y"):
        assert cat.ask("labels", "head", letter) == shown
        assert cat.ask("ticks", "head", letter) == list(range(NUM_TOKENS))
    assert cat.hover("head", 3, 7) == "query ␣the at 7\nkey ␣the at 3\nweight 0.12\nweighted share 0.14"
    assert cat.hover("head", 7, 7) == "query ␣the at 7\nkey ␣the at 7\nweight 0.12\nweighted share 0.14"


def test_nothing_is_said_above_the_diagonal_or_beside_the_frame(cat: Reader) -> None:
    cat.go("#layer=0&head=3").look_at("head")
    assert cat.hover("head", 2, 5) is not None
    assert cat.hover("head", 5, 2) is None
    assert cat.hover("head", 2, 5) is not None
    assert cat.hover("head", -1, 5) is None


def test_tooltip_stays_while_other_figures_are_drawn(cat: Reader) -> None:
    assert cat.look_at("grid").hover("grid", 3.5, 2.5) is not None
    cat.page.locator("#figure-rollout canvas").first.wait_for(state="attached")  # once the selection has rested
    assert cat.settle().page.locator("#tooltip").is_visible()


def test_tooltip_goes_when_the_page_scrolls_or_the_pointer_leaves(cat: Reader) -> None:
    cat.go("#layer=0&head=3").look_at("head")
    tooltip = cat.page.locator("#tooltip")
    assert cat.hover("head", 2, 5) is not None
    cat.page.mouse.wheel(0, 30)
    tooltip.wait_for(state="hidden")
    cat.look_at("head")
    assert cat.hover("head", 3, 6) is not None
    cat.page.mouse.move(2, 2)
    tooltip.wait_for(state="hidden")


def test_click_in_the_head_selects_the_query(cat: Reader) -> None:
    cat.go("#layer=0&head=0&query=0").look_at("head").click("head", 1, 2)
    assert cat.address() == {"layer": "0", "head": "0", "query": "2"}
    cat.click("head", 5, 6)
    assert cat.address()["step"] == "2"


def test_click_in_the_overview_selects_layer_and_head(cat: Reader) -> None:
    cat.go("#layer=0&head=0").look_at("overview").click("overview", 2.5, 1.5)
    assert {"layer": "1", "head": "2"}.items() <= cat.address().items()
    assert cat.page.locator("#head-name").inner_text() == "L1 H2"


def test_click_in_the_tiles_selects_one(cat: Reader) -> None:
    cat.go("#layer=0&head=0").look_at("layer_tiles").click("layer_tiles", 2.4, 0.5)
    assert {"layer": "0", "head": "2"}.items() <= cat.address().items()
    cat.look_at("head_tiles").click("head_tiles", 1.4, 0.5)
    assert {"layer": "1", "head": "2"}.items() <= cat.address().items()


def test_tiles_show_the_heads_of_the_layer_and_the_layers_of_the_head(cat: Reader) -> None:
    cat.go("#layer=1&head=2").look_at("layer_tiles")
    assert cat.ask("data", "layer_tiles", "labels")["text"] == [
        *(f"head {head} · key head 0" for head in (0, 1)),
        *(f"head {head} · key head 1" for head in (2, 3)),
    ]
    # Layer 1's head 2 reads all alike.
    image = cat.ask("data", "layer_tiles", "image")["image"][2]
    assert image["shape"] == [NUM_TOKENS, NUM_TOKENS]
    assert image["values"][NUM_TOKENS] == pytest.approx(0.5**0.5, abs=0.003)
    assert image["values"][1] is None
    cat.look_at("head_tiles")
    assert cat.ask("data", "head_tiles", "labels")["text"] == ["layer 0", "layer 1", "layer 2"]
    assert cat.hover("head_tiles", 1.01, 0.9).startswith("L1 H2\nquery ")


def test_overview_has_a_thumbnail_for_every_layer_and_head(cat: Reader) -> None:
    cat.go("#layer=0&head=0").look_at("overview")
    (image,) = cat.ask("data", "overview", "image")["image"]
    assert image["shape"] == [3 * (NUM_TOKENS + 1), 4 * (NUM_TOKENS + 1)]
    assert cat.hover("overview", 3.5, 2.5) == "L2 H3\nkey head 1, shared with H2"


def test_selected_layers_keep_their_numbers(new_reader, addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/selected.html#layer=5&head=3")
    reader.look_at("overview")
    assert list(reader.ask("labels", "overview", "y").values()) == ["2", "5", "7"]
    assert list(reader.ask("labels", "overview", "x").values()) == ["1", "3"]
    reader.click("overview", 0.5, 2.5)
    assert {"layer": "7", "head": "1"}.items() <= reader.address().items()


def test_zoom_labels_what_is_in_view_and_reset_undoes_it(new_reader, addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/long.html").look_at("head")
    whole = reader.ask("range", "head", "x")
    coarse = reader.ask("ticks", "head", "x")
    reader.page.mouse.move(*reader.ask("point", "head", 100, 200))
    reader.page.mouse.down()
    reader.page.mouse.move(*reader.ask("point", "head", 140, 240), steps=4)
    reader.page.mouse.up()
    reader.settle()
    start, end = reader.ask("range", "head", "x")
    assert 95 < start < end < 145
    fine = reader.ask("ticks", "head", "x")
    assert coarse[1] - coarse[0] > fine[1] - fine[0]
    assert all(start <= tick <= end for tick in fine)
    assert reader.ask("labels", "head", "x")[str(fine[0])] == f"␣t{fine[0]}"
    reader.page.locator("#figure-head .bk-tool-icon-reset").click()
    reader.settle()
    assert reader.ask("range", "head", "x") == whole
    assert reader.ask("ticks", "head", "x") == coarse
    assert reader.problems == []


def test_module_had_no_problem(cat: Reader) -> None:
    assert cat.problems == []
