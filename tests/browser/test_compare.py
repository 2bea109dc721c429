"""Two prompts side by side in a browser: linked, with their difference, for everyone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from browser.captures import CAPTURES
from browser.reader import Reader
from browser.test_everyone import AXE, VIOLATIONS
from browser.test_reading import no_sideways_scroll
from playwright.sync_api import Browser
from samples import HOSTILE, make_capture, make_token

from reportgen.captures.record import Capture
from reportgen.pages.alignment import slim
from reportgen.pages.compare import render_comparison
from reportgen.records import Comparison, Token
from reportgen.site.site import Site

CAT = make_capture()


def change_tokens(capture: Capture, tokens: dict[int, Token]) -> Capture:
    """Return the capture with other tokens at some positions."""
    return replace(capture, tokens=tuple(tokens.get(i, token) for i, token in enumerate(capture.tokens)))


DOG = change_tokens(
    make_capture(("A", " dog", " ate", " the", " mat"), (".", " And", " a"), slug="dog", title="A dog"),
    {7: make_token(" a", 99)},
)
RARE = change_tokens(
    make_capture(("Jo", "na", "than", " cat", " ate", " the", " mat"), slug="rare", title="A rare name"),
    {2: make_token("than", 99)} | {position + 2: CAT.tokens[position] for position in range(1, 8)},
)


def swap_heads(capture: Capture) -> Capture:
    """Return the capture with heads 0 and 1 of every layer changed for one another."""
    return replace(capture, attention=capture.attention[:, [1, 0, 2, 3]])


PAIRS = {
    "equal": (CAT, swap_heads(DOG)),
    "rare": (RARE, CAT),
    "models": (make_capture(layers=(0, 1), heads=(0, 1)), make_capture(layers=(0, 1, 2, 7), heads=(0, 1, 2))),
    "hostile": (CAPTURES["hostile"], CAPTURES["hostile"]),
    "apart": (CAT, make_capture(("x", "y"), ("z",))),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of comparisons, by name."""
    folder: Path = Site(tmp_path_factory.mktemp("beside")).open().root
    return {
        name: Site(folder)
        .write_page(
            name,
            render_comparison(
                Comparison(("a", "b"), HOSTILE[0] if name == "hostile" else "Side by side", name),
                *(slim(side, 8) for side in sides),
            ),
        )
        .as_uri()
        for name, sides in PAIRS.items()
    }


@pytest.fixture
def equal(new_reader: Callable[..., Reader], pages: dict[str, str]) -> Reader:
    return new_reader().open(f"{pages['equal']}#layer=0&head=0&a=3&b=3")


def image(reader: Reader, figure: str) -> list[list[float | None]]:
    """Return the rows of the image of a figure."""
    (drawn,) = reader.ask("data", figure, "image")["image"]
    rows, columns = drawn["shape"]
    values = [None if value is None else round(value, 2) for value in drawn["values"]]
    return [values[row * columns : (row + 1) * columns] for row in range(rows)]


def rows(reader: Reader, table: str) -> list[list[str]]:
    """Return the texts of the cells of a table."""
    lines = reader.page.locator(f"#{table} tbody tr")
    return [[cell.strip() for cell in line.locator("td, th").all_inner_texts()] for line in lines.all()]


def test_both_sides_show_the_same_head_and_the_difference_of_their_weights(equal: Reader) -> None:
    """A reads itself, B the token before."""
    assert image(equal, "head_a")[2][:3] == [0, 0, 1]
    assert image(equal, "head_b")[2][:3] == [0, 1, 0]
    assert image(equal, "difference")[2][:3] == [0, -1, 1]
    assert image(equal, "difference")[0][0] == 0
    assert rows(equal, "changes")[:2] == [
        ["␣ate", "2 · 2", "0", "1", "−1.000"], ["␣the", "3 · 3", "1", "0", "+1.000"]
    ]  # fmt: skip
    assert "1.000" in equal.page.locator("#changes-note").inner_text()
    assert equal.problems == []
    assert len(equal.requests) == 1 + sum(address.startswith("data:") for address in equal.requests)


def test_generated_tokens_are_compared_as_far_as_they_are_the_same(equal: Reader) -> None:
    assert len(image(equal, "difference")) == 7
    assert list(equal.ask("labels", "difference", "y").values())[:2] == ["The | A", "␣cat | ␣dog"]
    equal.go("#layer=0&head=0&a=7&b=7")
    assert "do not stand beside one another" in equal.page.locator("#changes-of").inner_text()
    assert rows(equal, "changes") == []


def test_layer_and_head_are_one_choice_for_both(equal: Reader) -> None:
    equal.press("j", "l")
    assert equal.page.locator("#head-name-a").inner_text() == equal.page.locator("#head-name-b").inner_text() == "L1 H1"
    assert {key: equal.address()[key] for key in ("layer", "head")} == {"layer": "1", "head": "1"}
    equal.press("k", "h")
    assert equal.page.locator("#head-name-b").inner_text() == "L0 H0"
    equal.look_at("overview_b").click("overview_b", 2.5, 1.5)
    assert equal.page.locator("#head-name-a").inner_text() == "L1 H2"
    equal.page.locator("#variations button").first.click()
    assert equal.settle().page.locator("#variations tr.chosen").count() == 1


def test_queries_go_together_or_alone(new_reader, pages: dict[str, str]) -> None:
    """As far from the end of either prompt: 7 tokens beside 5."""
    reader: Reader = new_reader().open(pages["rare"])
    queries = lambda: [reader.address()[name] for name in "ab"]  # noqa: E731
    reader.press("ArrowLeft")
    assert queries() == ["5", "3"]
    reader.page.locator("#strip-b .token").nth(1).click()
    reader.settle()
    assert queries() == ["3", "1"]
    reader.press("u", "ArrowRight")  # in the strip of B, arrows go through B
    assert queries() == ["3", "2"]
    reader.page.locator("h1").click()
    reader.press("ArrowRight")
    assert queries() == ["4", "2"]
    reader.press("Shift+ArrowRight")
    assert queries() == ["4", "3"]
    assert reader.address()["linked"] == "no"
    reader.page.go_back()
    assert reader.settle().problems == []


def test_texts_of_other_length_are_compared_where_they_end_alike(new_reader, pages: dict[str, str]) -> None:
    reader: Reader = new_reader().open(f"{pages['rare']}#layer=0&head=0")
    assert len(image(reader, "difference")) == 7
    assert next(iter(reader.ask("labels", "difference", "x").values())) == "␣cat"
    assert rows(reader, "changes")[-1] == ["all before these", "", "0", "0", "0.000"]
    card = reader.page.locator("section[aria-labelledby=difference-title]")
    assert "The prompts have 7 and 5 tokens" in card.inner_text()
    assert reader.problems == []


def test_texts_with_nothing_in_common_have_no_difference(new_reader, pages: dict[str, str]) -> None:
    reader: Reader = new_reader().open(pages["apart"])
    assert "no difference to draw" in reader.page.locator("[aria-labelledby=difference-title]").inner_text()
    assert reader.press("j", "ArrowLeft").problems == []


def test_side_that_lacks_a_layer_or_head_says_what_it_shows(new_reader, pages: dict[str, str]) -> None:
    reader: Reader = new_reader().open(f"{pages['models']}#layer=7&head=2")
    assert reader.page.locator("#head-name-a").inner_text() == "L1 H1"
    assert reader.page.locator("#head-name-b").inner_text() == "L7 H2"
    assert reader.page.locator("#stand-in").inner_text() == (
        "A: layer 7 is not here, layer 1 stands in for it; head 2 is not here, head 1 stands in for it."
    )
    reader.press("k", "k", "h")
    assert reader.page.locator("#stand-in").inner_text() == ""
    assert reader.problems == []


def test_colours_mean_the_same_on_both_sides_without_the_first_token(new_reader, pages: dict[str, str]) -> None:
    reader: Reader = new_reader().open(f"{pages['equal']}#layer=0&head=3&first=out")
    assert reader.ask("bar", "head_a") == reader.ask("bar", "head_b")
    assert image(reader, "head_a")[1][0] is None
    reader.go("#layer=0&head=0&first=out")
    assert reader.ask("bar", "head_a")[1][-1] == reader.ask("bar", "head_b")[1][-1] == "1"


def test_pointing_at_a_difference_names_both_cells(equal: Reader) -> None:
    equal.look_at("difference")
    text = equal.hover("difference", 1, 2) or ""
    assert "␣cat | ␣dog" in text
    assert "in A at 2 and 1: weight 0" in text
    assert "in B at 2 and 1: weight 1" in text
    assert "A less B −1.000" in text
    equal.click("difference", 0, 4)
    assert [equal.address()[name] for name in "ab"] == ["4", "4"]


def test_scores_of_both_sides_stand_beside_one_another(equal: Reader) -> None:
    assert len(rows(equal, "scores")[0]) == 4
    previous = next(row for row in rows(equal, "scores") if row[0].startswith("previous"))
    assert previous[1:3] == [
        f"{side.evidence.scores['previous'][0, 0]:.3f}" for side in (CAT, DOG)
    ]  # fmt: skip


def test_theme_changes_all_figures(equal: Reader) -> None:
    before = [equal.ask("palette", figure) for figure in ("head_a", "overview_b", "difference")]
    equal.press("d")
    after = [equal.ask("palette", figure) for figure in ("head_a", "overview_b", "difference")]
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert equal.problems == []


def test_hostile_tokens_stay_texts(new_reader, pages: dict[str, str]) -> None:
    reader: Reader = new_reader().open(pages["hostile"])
    for step in range(4):
        reader.press(*["ArrowLeft"] * step, "j", "s", "f")
    reader.look_at("difference")
    reader.hover("difference", 0, 6)
    reader.look_at("head_b")
    reader.hover("head_b", 0, 5)
    assert reader.page.title() == HOSTILE[0]
    assert reader.page.locator("img").count() == 0
    assert reader.problems == []


def test_without_scripts_both_texts_and_tables_are_there(browser: Browser, pages: dict[str, str]) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(pages["equal"])
        assert page.locator("#strip-a .token:visible").all_inner_texts()[:2] == ["The", "␣cat"]
        assert page.locator("#strip-b .token:visible").all_inner_texts()[:2] == ["A", "␣dog"]
        assert page.locator("#variations tbody tr:visible").count() == 12
        assert page.locator("[aria-label='Generated tokens of B'] tbody tr:visible").count() == 3
        assert "drawn by a script" in page.locator("#figure-head_b").inner_text()
        assert page.locator(".toolbar:visible, .scripted:visible").count() == 0


@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("name", ["equal", "hostile"])
def test_phone_scrolls_downwards_alone(new_reader, pages: dict[str, str], name: str, width: int) -> None:
    reader: Reader = new_reader(viewport={"width": width, "height": 800}, has_touch=True, is_mobile=True)
    reader.open(pages[name])
    assert no_sideways_scroll(reader.page)
    assert reader.problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(new_reader, pages: dict[str, str], scheme: str) -> None:
    reader: Reader = new_reader(bypass_csp=True, color_scheme=scheme, viewport={"width": 1280, "height": 3000})
    page = reader.open(pages["equal"]).page
    page.add_script_tag(path=AXE)
    assert page.evaluate(VIOLATIONS) == []
