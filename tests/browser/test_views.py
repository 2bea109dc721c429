"""What a reader can make of the patterns: words, lines, marks, a cut, other scales, heads together, heads compared.

In the sample, head 0 of layer 0 reads itself, 1 the token before, 2 the first, 3 all alike. The prompt is ``The cat ate
the mat``; three tokens are generated. ``pieces`` has words of several tokens.
"""

from __future__ import annotations

import math

import pytest
from browser.captures import CAPTURES
from browser.reader import Reader

from reportgen.pages.palettes import PALETTES

NUM_TOKENS = 8


@pytest.fixture
def pieces(new_reader, addresses: dict[str, str]) -> Reader:
    return new_reader().open(f"{addresses['file']}/pieces.html#layer=0&head=3&query=3")


def image_of(reader: Reader, figure: str) -> list[list[float | None]]:
    (image, *_) = reader.ask("data", figure, "image")["image"]
    rows, columns = image["shape"]
    return [image["values"][row * columns : (row + 1) * columns] for row in range(rows)]


def test_logarithmic_scale_spreads_small_weights(cat: Reader) -> None:
    cat.go("#layer=0&head=3&scale=log").look_at("head")
    values = image_of(cat, "head")
    assert values[7][0] == pytest.approx(4 + math.log10(0.125), abs=0.02)
    assert values[0][0] == pytest.approx(4, abs=1e-6)
    assert cat.ask("bar", "head")[1] == ["≤0.0001", "0.001", "0.01", "0.1", "1"]
    assert cat.page.locator("#scale").input_value() == "log"


def test_rows_are_renormalised_without_the_first_token(cat: Reader) -> None:
    cat.go("#layer=0&head=3&query=3&first=renormalised").look_at("head")
    values = image_of(cat, "head")
    assert values[3][0] is None
    assert values[3][1] ** 2 == pytest.approx(1 / 3, abs=0.01)
    assert values[1][1] == pytest.approx(1, abs=0.01)
    assert cat.ask("bar", "head")[1][-1] == "1"  # query 1 keeps one key
    assert "weight 0.33" in cat.hover("head", 1, 3)
    strongest = cat.page.locator("#strongest tbody tr")
    assert strongest.count() == 3
    assert "0.33" in strongest.first.inner_text()
    assert (
        cat.page.locator("#head-hint").inner_text()
        == "a row is one query, without the first token, divided by the rest"
    )


def test_row_that_is_all_first_token_is_blank_when_renormalised(cat: Reader) -> None:
    cat.go("#layer=0&head=2&query=3&first=renormalised").look_at("head")
    assert {value for row in image_of(cat, "head") for value in row} == {None}
    assert cat.page.locator("#strongest tbody tr").count() == 0


def test_first_token_goes_round_by_key_and_list(cat: Reader) -> None:
    cat.go("#layer=0&head=0&query=2").press("f", "f")
    assert cat.address()["first"] == "renormalised"
    cat.press("f")
    assert "first" not in cat.address()
    cat.page.locator("#first").select_option("out")
    assert cat.settle().address()["first"] == "out"


def test_words_sum_what_is_read_of_their_tokens(pieces: Reader) -> None:
    pieces.look_at("head").page.locator("#words").check()
    pieces.look_at("head")
    assert list(pieces.ask("labels", "head", "x").values()) == ["Jonathan", "␣ate", "x"]
    values = image_of(pieces, "head")
    # "␣ate" at position 2 reads three tokens alike, two of which are one word.
    assert values[1][0] ** 2 == pytest.approx(2 / 3, abs=0.01)
    assert values[1][1] ** 2 == pytest.approx(1 / 3, abs=0.01)
    tip = pieces.hover("head", 0, 1)
    assert tip.startswith("query ␣ate at 2\nkey Jonathan at 0–1\nweight 0.66")
    weights = "(all) => all.map((one) => Number(one.style.getPropertyValue('--weight')))"
    # Pointed at, the row is that of "␣ate".
    assert pieces.page.locator("#strip .token").evaluate_all(weights) == [0.82, 0.82, 0.58, 0]
    assert pieces.address()["words"] == "on"
    pieces.click("head", 0, 1)
    assert pieces.address()["step"] == "0"  # the last token of the word
    assert pieces.problems == []


def test_words_hold_in_every_heatmap_of_tokens(pieces: Reader) -> None:
    pieces.go("#layer=0&head=3&step=0&words=on")
    for figure, side in (("layer_tiles", 3), ("aggregate", 3), ("rollout", 3)):
        pieces.look_at(figure)
        assert pieces.ask("data", figure, "image")["image"][0]["shape"] == [side, side], figure
    pieces.look_at("step_heads")
    assert pieces.ask("data", "step_heads", "image")["image"][0]["shape"] == [4, 2]
    assert pieces.problems == []


def test_page_whose_tokens_are_words_offers_none(cat: Reader, pieces: Reader) -> None:
    assert cat.page.locator("#words").is_hidden()
    assert pieces.page.locator("#words").is_visible()


def test_lines_lead_from_the_query_to_its_strongest_keys(cat: Reader) -> None:
    cat.go("#layer=0&head=3&query=3").page.locator("#lines").check()
    paths = cat.settle().page.locator("#strip svg path")
    assert paths.count() == 4  # it reads all four alike
    assert cat.address()["lines"] == "on"
    cat.go("#layer=0&head=1&query=3&lines=on")
    assert paths.count() == 1
    # It ends above the token before the query.
    end = float(paths.first.get_attribute("d").split()[-2])
    box = cat.page.locator("#strip .token").nth(2).evaluate("one => [one.offsetLeft, one.offsetLeft + one.offsetWidth]")
    assert box[0] < end < box[1]
    cat.press("a")
    assert paths.count() == 0


def test_strongest_key_of_each_row_is_marked(cat: Reader) -> None:
    cat.go("#layer=0&head=1&query=2").look_at("head").page.locator("#marks").check()
    marks = cat.settle().ask("data", "head", "marks")
    assert marks == {"x": [0, *range(NUM_TOKENS - 1)], "y": list(range(NUM_TOKENS))}
    cat.press("f")
    assert cat.ask("data", "head", "marks") == {"x": list(range(1, NUM_TOKENS - 1)), "y": list(range(2, NUM_TOKENS))}
    cat.press("m")
    assert cat.ask("data", "head", "marks") == {"x": [], "y": []}


def test_range_of_positions_cuts_the_heatmap(cat: Reader) -> None:
    cat.go("#layer=0&head=0&query=2").look_at("head")
    field = cat.page.locator("#range")
    field.fill("2-4")
    field.press("Enter")
    cat.settle()
    assert cat.ask("range", "head", "x") == [1.5, 4.5]
    assert cat.ask("range", "head", "y") == [4.5, 1.5]
    assert cat.ask("ticks", "head", "x") == [2, 3, 4]
    assert cat.address()["tokens"] == "2-4"
    field.fill("")
    field.press("Enter")
    assert "tokens" not in cat.settle().address()
    assert cat.ask("range", "head", "x") == [-0.5, NUM_TOKENS - 0.5]


def test_heads_are_put_together(cat: Reader) -> None:
    cat.go("#layer=0&head=3&query=3").look_at("aggregate")
    assert cat.page.locator("#aggregate-name").inner_text() == "Mean of 4 heads: layer 0, all heads"
    # Of query 3: itself 1 and 1/4, the one before 1 and 1/4, the first 1 and 1/4, the other 1/4; by four heads.
    values = [value**2 for value in image_of(cat, "aggregate")[3][:4]]
    assert values == pytest.approx([1.25 / 4, 0.25 / 4, 1.25 / 4, 1.25 / 4], abs=0.01)
    assert "mean weight 0.31" in cat.hover("aggregate", 3, 3)
    assert cat.page.locator("#aggregate-keys tbody tr").count() == 4
    cat.page.locator("#way").select_option("max")
    cat.page.locator("#over-heads").fill("0, 3")
    cat.page.locator("#over").get_by_role("button", name="Show").click()
    cat.settle()
    assert cat.page.locator("#aggregate-name").inner_text() == "Maximum of 2 heads: layer 0, heads 0, 3"
    assert image_of(cat, "aggregate")[3][2] ** 2 == pytest.approx(0.25, abs=0.01)
    assert cat.address()["over"] == "max:this:0,3"


def test_set_of_heads_that_there_is_not_is_told_and_changes_nothing(cat: Reader) -> None:
    cat.go("#layer=0&head=3&query=3").look_at("aggregate")
    field = cat.page.locator("#over-layers")
    field.fill("99")
    field.press("Enter")
    assert field.evaluate("one => one.validationMessage").startswith("Write this, all, or numbers")
    assert "over" not in cat.settle().address()


def test_pinned_head_stands_beside_another_with_the_difference(cat: Reader) -> None:
    cat.go("#layer=0&head=1&query=3")
    assert cat.page.locator("#pinned").is_hidden()
    cat.page.locator("#pin").click()
    assert cat.settle().address()["pin"] == "0.1"
    assert cat.page.locator("#pin").inner_text() == "Pinned"
    cat.press("h").look_at("difference")
    assert cat.page.locator("#pinned-title").inner_text() == "L0 H0 beside L0 H1"
    values = image_of(cat, "difference")
    assert values[3][:4] == pytest.approx([0, 0, -1, 1], abs=0.01)
    assert cat.hover("difference", 2, 3) == "query ␣the at 3\nkey ␣ate at 2\nL0 H0 0\nL0 H1 1\ndifference −1"
    assert cat.hover("pinned", 2, 3).startswith("L0 H1\nquery ␣the at 3\nkey ␣ate at 2\nweight 1")
    cat.page.locator("#unpin").click()
    assert cat.settle().page.locator("#pinned").is_hidden()
    assert "pin" not in cat.address()


def test_pinned_head_is_in_the_address(new_reader, addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/cat.html#layer=0&head=0&pin=2.3").look_at("pinned")
    assert reader.page.locator("#pinned-title").inner_text() == "L0 H0 beside L2 H3"
    assert reader.problems == []


def test_what_is_pointed_at_shows_in_passing_and_a_click_keeps_it(cat: Reader) -> None:
    cat.go("#layer=0&head=0&query=2").look_at("overview")
    name = cat.page.locator("#head-name")
    cat.page.mouse.move(*cat.ask("point", "overview", 2.5, 1.5))
    cat.page.locator("html[data-preview]").wait_for(state="attached")
    assert cat.settle().page.locator("#head-name").inner_text().startswith("L1 H2")
    assert cat.address() == {"layer": "0", "head": "0", "query": "2"}
    cat.page.mouse.move(4, 4)
    cat.page.locator("html:not([data-preview])").wait_for(state="attached")
    assert name.inner_text() == "L0 H0"
    cat.page.mouse.move(*cat.ask("point", "overview", 2.5, 1.5))
    cat.page.locator("html[data-preview]").wait_for(state="attached")
    cat.click("overview", 2.5, 1.5)
    assert cat.address() == {"layer": "1", "head": "2", "query": "2"}


def test_token_that_is_pointed_at_is_the_query_in_passing(cat: Reader) -> None:
    cat.go("#layer=0&head=1&query=2")
    cat.page.locator("#strip .token").nth(4).hover()
    cat.page.locator("html[data-preview]").wait_for(state="attached")
    cat.settle()
    assert "for query “␣mat”" in cat.page.locator("#strongest-of").inner_text()
    cat.press("j")  # moves from what is selected, not from what is shown in passing
    assert cat.address() == {"layer": "1", "head": "1", "query": "2"}
    assert "for query “␣ate”" in cat.page.locator("#strongest-of").inner_text()
    cat.page.mouse.move(4, 4)


def test_a_finger_previews_nothing(new_reader, addresses) -> None:
    reader = new_reader(has_touch=True, viewport={"width": 390, "height": 844}).open(f"{addresses['file']}/cat.html")
    reader.page.locator("#strip .token").nth(1).tap()
    reader.page.wait_for_timeout(200)
    assert reader.settle().page.locator("html[data-preview]").count() == 0
    assert reader.address()["query"] == "1"


def test_palette_of_a_difference_is_diverging(cat: Reader) -> None:
    cat.go("#layer=0&head=0&pin=0.1").look_at("difference")
    assert cat.ask("palette", "difference") != PALETTES["blues"]
    assert cat.ask("bar", "difference")[1][0].startswith("−")


def test_captures_of_words_are_what_they_say() -> None:
    assert [token.text for token in CAPTURES["pieces"].tokens] == ["Jon", "athan", " ate", "x"]


def test_module_had_no_problem(cat: Reader) -> None:
    assert cat.problems == []
