"""What a reader can make of the patterns: words, lines, marks, a range, other scales, heads together, heads compared.

In the sample, head 0 of layer 0 reads itself, 1 the token before, 2 the first, 3 all alike. The prompt is ``The cat ate
the mat``; three tokens are generated. ``pieces`` has words of several tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from browser.captures import CAPTURES
from browser.reader import Reader

from reportgen.pages.palettes import DIVERGING, PALETTES

NUM_TOKENS = 8
SHADES = """(all) => all.map((one) => one.style.getPropertyValue("--shade"))"""


@pytest.fixture(scope="module")
def pieces(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> Reader:
    return new_reader().open(f"{addresses['file']}/pieces.html#layer=0&head=3&query=3")


def write_in(reader: Reader, field: str, text: str) -> Reader:
    """Write into a field, in a menu or not, and confirm it."""
    place = reader.page.locator(f"#{field}")
    place.evaluate("(one) => one.closest('[popover]')?.showPopover()")
    place.fill(text)
    place.press("Enter")
    return reader.settle()


def test_logarithmic_scale_spreads_small_weights(cat: Reader) -> None:
    cat.go("#layer=0&head=3&scale=log").look_at("head")
    values = cat.rows("head")
    assert values[7][0] == pytest.approx(4 + math.log10(0.125), abs=0.02)
    assert values[0][0] == pytest.approx(4, abs=1e-6)
    assert cat.ask("limits", "head") == [0, pytest.approx(4)]
    assert cat.page.locator("[data-legend=weight] small").inner_text() == "≤.0001 · .001 · .01 · .1 · 1 (logarithmic)"
    assert cat.page.locator("#scale").input_value() == "log"


@pytest.mark.parametrize(("scale", "value"), [("sqrt", 0.25**0.5), ("linear", 0.25), ("log", 1 + math.log10(0.25) / 4)])
def test_text_is_shaded_on_the_scale_that_the_legend_names(cat: Reader, scale: str, value: float) -> None:
    cat.go(f"#layer=0&head=3&step=0&query=3&shading=weight&scale={scale}")
    shades = cat.page.locator("#strip .token").evaluate_all(SHADES)
    # Position 3 reads four tokens alike, as far as 8 bits know it.
    expected = {PALETTES["blues"][round(255 * value) + off] for off in (-1, 0, 1)}
    assert set(shades[:4]) <= expected
    assert len(set(shades[:4])) == 1
    assert shades[4:] == [""] * 4
    named = {"sqrt": "square root", "linear": "linear", "log": "logarithmic"}[scale]
    assert f"({named})" in cat.page.locator("[data-legend=weight] small").inner_text()


def test_chosen_colours_hold_for_patterns_text_and_legend(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=0&query=3&shading=weight").choose("palette", "viridis")
    viridis = [color.lower() for color in PALETTES["viridis"]]
    shades = cat.page.locator("#strip .token").evaluate_all(SHADES)
    assert set(shades[:4]) <= set(viridis[126:131])
    ramp = "(one) => getComputedStyle(one).backgroundImage"
    rgb = [tuple(bytes.fromhex(viridis[end][1:])) for end in (0, 255)]
    found = cat.page.locator("[data-legend=weight] .ramp").evaluate(ramp)
    assert found.startswith(f"linear-gradient(to right, rgb{rgb[0]}, ")
    assert found.endswith(f", rgb{rgb[1]})")
    assert cat.look_at("head").ask("palette", "head") == viridis
    assert cat.ask("color", "head", 0.5, 0.5) == viridis[255]
    cat.choose("palette", "auto")
    assert cat.page.locator("[data-legend=weight] .ramp").evaluate(ramp) != found
    assert cat.ask("color", "head", 0.5, 0.5) == PALETTES["blues"][255]


def test_text_is_shaded_by_effects_linearly_unless_weights_are_asked_for(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=1")
    attribution = CAPTURES["cat"].evidence.attribution
    assert attribution is not None
    assert attribution.read is not None
    row = attribution.read[5:11]
    largest = max(abs(row[1:]))
    shades = cat.page.locator("#strip .token").evaluate_all(SHADES)
    assert shades[:6] == [
        DIVERGING["light"][round(254 * (value / largest + 1) / 2)] for value in row.clip(-largest, largest)
    ]
    assert shades[6:] == ["", ""]
    cat.choose("shading", "weight")
    assert cat.page.locator("#strip .token").evaluate_all(SHADES)[0] in PALETTES["blues"]
    # A word of the prompt writes no token: there its weights are shown.
    cat.choose("shading", "effect").go("#layer=0&head=3&step=1&query=0")
    assert cat.page.locator("#strip .token").evaluate_all(SHADES) == [PALETTES["blues"][255]] + [""] * 7


def test_rows_are_renormalised_without_the_first_token(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=0&query=3&first=renormalised").look_at("head")
    values = cat.rows("head")
    assert values[3][0] is None
    assert values[3][1] ** 2 == pytest.approx(1 / 3, abs=0.01)
    assert values[1][1] == pytest.approx(1, abs=0.01)
    assert "\nweight 0.33" in (cat.point_at(3, 1) or "")
    strongest = cat.table("strongest")
    assert [row[0] for row in strongest] == ["␣cat", "␣ate", "␣the"]
    assert strongest[0][2] == "0.33"
    assert "first token is left out, rows are divided by the rest" in cat.page.locator("#head-hint").inner_text()


def test_row_that_is_all_first_token_is_blank_when_renormalised(cat: Reader) -> None:
    cat.go("#layer=0&head=2&step=0&query=3&first=renormalised").look_at("head")
    assert {value for row in cat.rows("head") for value in row} == {None}
    assert cat.table("strongest") == []


def test_first_token_goes_round_by_key(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0&query=2").press("f", "f")
    assert cat.address()["first"] == "renormalised"
    assert "first" not in cat.press("f").address()


def test_words_sum_what_is_read_of_their_tokens(pieces: Reader) -> None:
    pieces.go("#layer=0&head=3&step=0&query=3").check("words").look_at("head")
    assert pieces.ask("labels", "head", "columns") == ["Jonathan", "␣ate", "x"]
    values = pieces.rows("head")
    # "␣ate" at position 2 reads three tokens alike, two of which are one word.
    assert values[1][0] ** 2 == pytest.approx(2 / 3, abs=0.01)
    assert values[1][1] ** 2 == pytest.approx(1 / 3, abs=0.01)
    assert (pieces.point_at(1, 0) or "").startswith("L0 H3\nfrom ␣ate at 2\nreads Jonathan at 0–1\nweight 0.66")
    assert pieces.address()["words"] == "on"
    pieces.click_cell(1, 0)
    assert pieces.address() == {"layer": "0", "head": "3", "step": "0", "words": "on"}  # the last token of the word
    assert pieces.ask("labels", "heads", "columns") == ["Jonathan", "␣ate"]
    assert pieces.rows("heads")[3][0] ** 2 == pytest.approx(2 / 3, abs=0.01)
    for figure in ("aggregate", "rollout"):
        rows = pieces.look_at(figure).rows(figure)
        assert (len(rows), len(rows[0])) == (3, 3), figure
    assert pieces.problems == []


def test_page_whose_tokens_are_words_offers_none(cat: Reader, pieces: Reader) -> None:
    label = "(one) => !one.parentElement.hidden"
    assert not cat.page.locator("#words").evaluate(label)
    assert pieces.page.locator("#words").evaluate(label)


def test_lines_lead_from_the_position_that_reads_to_what_it_reads_most(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=0&query=3").check("lines")
    paths = cat.page.locator("#strip svg path")
    assert paths.count() == 4  # it reads all four alike
    assert cat.address()["lines"] == "on"
    cat.go("#layer=0&head=1&step=0&query=3&lines=on")
    assert paths.count() == 1
    # It ends above the token before.
    end = float((paths.first.get_attribute("d") or "").split()[-2])
    box = cat.page.locator("#strip .token").nth(2).evaluate("one => [one.offsetLeft, one.offsetLeft + one.offsetWidth]")
    assert box[0] < end < box[1]
    cat.press("a")
    assert paths.count() == 0


def test_token_read_most_is_marked_in_each_row(cat: Reader) -> None:
    cat.go("#layer=0&head=1&step=0&query=2").check("marks").look_at("head")
    assert cat.ask("marks", "head") == [[max(query - 1, 0), query] for query in range(NUM_TOKENS)]
    assert cat.ask("marks", "heads") == [[2, 0], [1, 1], [0, 2], [0, 3]]
    cat.press("f")
    assert cat.ask("marks", "head") == [[query - 1, query] for query in range(2, NUM_TOKENS)]
    cat.press("m")
    assert cat.ask("marks", "head") == []


def test_range_of_tokens_holds_for_every_figure(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0")
    write_in(cat, "range", "2-4").press("Escape")
    assert cat.address()["tokens"] == "2-4"
    for figure in ("head", "aggregate", "rollout"):
        assert cat.look_at(figure).ask("labels", figure, "columns") == ["␣ate", "␣the", "␣mat"], figure
        assert cat.ask("labels", figure, "rows") == ["␣ate", "␣the", "␣mat"], figure
    for figure in ("read", "heads", "layers", "entropy"):
        assert cat.look_at(figure).ask("labels", figure, "columns") == ["␣ate", "␣the", "␣mat"], figure
    assert cat.rows("heads")[1] == [0, 1, 0]
    write_in(cat, "range", "").press("Escape")
    assert "tokens" not in cat.address()
    assert cat.look_at("head").ask("range", "head", "x") == [0, NUM_TOKENS]


def test_range_that_there_is_not_is_refused_with_the_reason(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0&tokens=2-4")
    write_in(cat, "range", "abc")
    said = cat.page.locator("#range-error")
    assert said.inner_text() == "“abc” is no range of these tokens; write from–to, such as 0–7."
    assert cat.page.locator("#range").get_attribute("aria-invalid") == "true"
    assert cat.address()["tokens"] == "2-4"
    write_in(cat, "range", "1–3").press("Escape")
    assert said.inner_text() == ""
    assert cat.address()["tokens"] == "1-3"


def test_dragging_in_a_pattern_sets_the_range(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=0").look_at("head")
    cat.page.mouse.move(*cat.ask("point", "head", 2.5, 3.5))
    cat.page.mouse.down()
    cat.page.mouse.move(*cat.ask("point", "head", 5.5, 5.5), steps=4)
    cat.page.mouse.up()
    assert cat.settle().address() == {"layer": "0", "head": "3", "step": "0", "tokens": "2-5"}
    assert cat.ask("labels", "head", "rows") == ["␣ate", "␣the", "␣mat", "."]
    assert cat.rows("head")[1][:2] == pytest.approx([0.5, 0.5], abs=0.003)
    # The tooltip still names the tokens of the text.
    assert (cat.point_at(1, 0) or "").startswith("L0 H3\nfrom ␣the at 3\nreads ␣ate at 2\nweight 0.25")
    cat.click_cell(0, 0)
    assert cat.address()["query"] == "2"


def test_heads_are_put_together(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=0&query=3").look_at("aggregate")
    assert cat.page.locator("#aggregate-name").inner_text() == "Mean of 4 heads: layer 0, all heads."
    # Of query 3: itself 1 and 1/4, the one before 1 and 1/4, the first 1 and 1/4, the other 1/4; by four heads.
    values = [value**2 for value in cat.rows("aggregate")[3][:4] if value is not None]
    assert values == pytest.approx([1.25 / 4, 0.25 / 4, 1.25 / 4, 1.25 / 4], abs=0.01)
    assert "mean weight 0.31" in (cat.point_at(3, 3, "aggregate") or "")
    assert len(cat.table("aggregate-keys")) == 4
    cat.page.locator("#way").select_option("max")
    cat.page.locator("#over-heads").fill("0, 3")
    cat.page.locator("#over").get_by_role("button", name="Show").click()
    assert cat.settle().page.locator("#aggregate-name").inner_text() == "Maximum of 2 heads: layer 0, heads 0, 3."
    assert cat.rows("aggregate")[3][2] ** 2 == pytest.approx(0.25, abs=0.01)
    assert cat.address()["over"] == "max:this:0,3"


def test_set_of_heads_that_there_is_not_is_told_and_changes_nothing(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=0&query=3").look_at("aggregate")
    write_in(cat, "over-layers", "0-4,77")
    assert cat.address()["over"] == "mean:0-4,77:all"
    write_in(cat, "over-layers", "99")
    said = cat.page.locator("#over-error").inner_text()
    assert said.startswith("No head is in “99” and “all”; write this, all, or numbers from 0 to 2 and 3")
    assert cat.address()["over"] == "mean:0-4,77:all"
    write_in(cat, "over-layers", "this")
    assert "over" not in cat.address()
    assert cat.page.locator("#over-error").inner_text() == ""


def test_pinned_head_stands_beside_another_and_the_difference_in_one_row(cat: Reader) -> None:
    cat.page.set_viewport_size({"width": 1440, "height": 900})
    cat.go("#layer=0&head=1&step=0&query=3").look_at("head")
    assert cat.page.locator("#pinned").is_hidden()
    cat.page.locator("#pin").click()
    assert cat.settle().address()["pin"] == "0.1"
    assert cat.page.locator("#pin").inner_text() == "Select another head"
    cat.press("h").look_at("difference")
    titles = [cat.page.locator(f"#{name}").inner_text() for name in ("pinned-name", "difference-name")]
    assert titles == ["L0 H1", "L0 H0 − L0 H1"]
    boxes = [cat.page.locator(f"#figure-{name} .cells").bounding_box() for name in ("head", "pinned", "difference")]
    lefts, tops = ([box[side] for box in boxes if box] for side in ("x", "y"))
    assert lefts == sorted(lefts)
    assert max(tops) - min(tops) < 1
    values = cat.rows("difference")
    assert values[3][:4] == pytest.approx([0, 0, -1, 1], abs=0.01)
    assert cat.ask("palette", "difference") == list(DIVERGING["light"])
    assert cat.ask("limits", "difference") == [-1, 1]
    assert cat.point_at(3, 2, "difference") == "from ␣the at 3\nreads ␣ate at 2\nL0 H0 0\nL0 H1 1\ndifference −1"
    assert (cat.point_at(3, 2, "pinned") or "").startswith("L0 H1\nfrom ␣the at 3\nreads ␣ate at 2\nweight 1")
    cat.page.locator("#unpin").click()
    assert cat.settle().page.locator("#pinned").is_hidden()
    assert "pin" not in cat.address()
    cat.page.set_viewport_size({"width": 1280, "height": 900})


def test_pinned_head_is_in_the_address(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> None:
    reader = new_reader().open(f"{addresses['file']}/cat.html#layer=0&head=0&pin=2.3").look_at("pinned")
    assert reader.page.locator("#difference-name").inner_text() == "L0 H0 − L2 H3"
    assert reader.problems == []


def test_finger_prints_the_numbers_of_a_cell_and_tints_nothing(
    new_reader: Callable[..., Reader], addresses: dict[str, str]
) -> None:
    reader = new_reader(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    reader.open(f"{addresses['file']}/cat.html#layer=0&head=3&step=0")
    reader.page.locator("#strip .token").nth(1).tap()
    assert reader.settle().address()["query"] == "1"
    reader.look_at("head").page.touchscreen.tap(*reader.ask("point", "head", 2.5, 3.5))
    reader.page.locator("#tapped", has_text="weight").wait_for()
    assert reader.page.locator("#tapped").inner_text().startswith("L0 H3\nfrom ␣the at 3\nreads ␣ate at 2\nweight 0.25")
    assert reader.page.locator("#tooltip").is_hidden()
    assert reader.address()["query"] == "3"
    assert reader.problems == []


def test_captures_of_words_are_what_they_say() -> None:
    assert [token.text for token in CAPTURES["pieces"].tokens] == ["Jon", "athan", " ate", "x"]


def test_module_had_no_problem(cat: Reader) -> None:
    assert cat.problems == []
