"""Two prompts side by side in a browser: one head in both, their difference, linked, for everyone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser.captures import CAPTURES
from browser.reader import PROBE, Reader
from browser.test_everyone import AXE, VIOLATIONS
from browser.test_first_window import BOXES, RECORD_SHIFTS, SIZES, find_difference
from browser.test_reading import no_sideways_scroll
from playwright.sync_api import Browser
from samples import HOSTILE, make_capture, make_patching, make_token

from reportgen.captures.record import Capture
from reportgen.pages.alignment import slim
from reportgen.pages.compare import draw_comparison
from reportgen.pages.palettes import SIDES
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
    return replace(capture, triangles=capture.triangles[:, [1, 0, 2, 3]])


FIGURES = ("a", "b", "difference", "map")
PAIRS = {
    "equal": (CAT, swap_heads(DOG)),
    "rare": (RARE, CAT),
    "models": (make_capture(layers=(0, 1), heads=(0, 1)), make_capture(layers=(0, 1, 2, 7), heads=(0, 1, 2))),
    "hostile": (CAPTURES["hostile"], CAPTURES["hostile"]),
    "apart": (CAT, make_capture(("x", "y"), ("z",))),
    "patched": (CAT, swap_heads(DOG)),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of comparisons, by name."""
    folder: Path = Site(tmp_path_factory.mktemp("beside")).open().root
    return {
        name: Site(folder)
        .write_page(
            name,
            draw_comparison(
                Comparison(("a", "b"), HOSTILE[0] if name == "hostile" else "Side by side", name),
                *(slim(side, 8) for side in sides),
                patching=make_patching() if name == "patched" else "",
            )[0],
        )
        .as_uri()
        for name, sides in PAIRS.items()
    }


@pytest.fixture
def equal(new_reader: Callable[..., Reader], pages: dict[str, str]) -> Reader:
    return new_reader().open(f"{pages['equal']}#layer=0&head=0&a=3&b=3")


def image(reader: Reader, figure: str) -> list[list[float | None]]:
    """Return the rows of the image of a figure."""
    (drawn,) = reader.ask("images", figure)
    return [[None if value is None else round(value, 2) for value in row] for row in drawn["rows"]]


def queries(reader: Reader) -> list[str]:
    """Return the positions that read in A and in B."""
    return [reader.address()[name] for name in "ab"]


@pytest.fixture
def open_first(new_reader: Callable[..., Reader], pages: dict[str, str]) -> Callable[..., Reader]:
    """Opens a comparison whose scripts never arrive."""

    def open_(name: str, **options: object) -> Reader:
        reader = new_reader(**options)
        html = Path(pages[name].removeprefix("file://")).read_text("utf-8")
        reader.page.route("**/first.html", lambda route: route.fulfill(
            body=html.partition('<div class="tooltip"')[0], content_type="text/html"
        ))  # fmt: skip
        reader.page.goto("http://127.0.0.1:9/first.html")
        reader.page.evaluate(PROBE)
        return reader

    return open_


def test_long_titles_of_both_sides_stay_in_their_columns(new_reader: Callable[..., Reader], tmp_path: Path) -> None:
    """Also where they are no links, because no index stands beside the page."""
    titled = replace(CAT, prompt=replace(CAT.prompt, title="The lighthouse keeper walked along the shore " * 3))
    page = tmp_path / "titles.html"
    html, _ = draw_comparison(Comparison(("a", "b"), title="a", slug="a"), titled, titled, has_index=False)
    page.write_text(html, encoding="utf-8")
    reader = new_reader().open(page.as_uri()).look_at("difference")
    inside = """() => [...document.querySelectorAll(".part h3")].map(
      (title) => title.scrollWidth <= title.clientWidth + 1)"""
    assert reader.page.evaluate(inside) == [True] * 3


def test_page_opens_on_the_head_that_differs_most(new_reader, pages: dict[str, str]) -> None:
    reader: Reader = new_reader().open(pages["equal"])
    assert reader.page.locator("#head-name").inner_text() == "L0 H0 ▾"
    assert reader.page.locator(".claim").inner_text() == (
        "The prompts differ in 2 of 5 tokens. The head that reads them most differently is L0 H0: at ␣cat of A and "
        "␣dog of B it reads ␣cat 1.00 in A and A 1.00 in B. A goes on with . (50 %), B too (50 %)."
    )
    assert reader.ask("frames", "a") == reader.ask("frames", "difference") == [[0, 1, 2, 1]]
    assert reader.page.locator(".reads tr.chosen .chip").inner_text() == "L0 H0"
    assert reader.problems == []
    assert len(reader.requests) == 1 + sum(address.startswith("data:") for address in reader.requests)


def test_both_sides_show_the_same_head_and_the_difference_of_their_weights(equal: Reader) -> None:
    """A reads itself, B the token before."""
    assert image(equal, "a")[2][:3] == [0, 0, 1]
    assert image(equal, "b")[2][:3] == [0, 1, 0]
    assert image(equal, "difference")[2] == [0, -1, 1, None, None, None, None]
    assert image(equal, "difference")[0][0] == 0
    assert equal.ask("limits", "difference") == [-1, 1]
    assert equal.page.locator("#difference-limit").inner_text() == "1.00"
    equal.page.set_viewport_size({"width": 1680, "height": 900})
    assert equal.settle().ask("texts", "difference")[:3] == [".00", "−1.00", "+1.00"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["equal", "rare"])
def test_figures_have_the_colours_of_their_pictures(
    open_first, new_reader, pages: dict[str, str], name: str, scheme: str
) -> None:
    first = open_first(name, color_scheme=scheme)
    reader: Reader = new_reader(color_scheme=scheme).open(pages[name])
    for figure in FIGURES:
        still = first.ask("still", figure, scheme)
        reader.look_at(figure)
        drawn = reader.ask("colors", figure, len(still), len(still[0]))
        pairs = [pair for rows in zip(still, drawn, strict=True) for pair in zip(*rows, strict=True)]
        # One code of a ramp lies between what Python and Bokeh round.
        assert max(find_difference(*pair) for pair in pairs) <= 4, figure
        for side in ("columns", "rows"):
            if figure != "map":
                assert reader.ask("labels", figure, side) == first.ask("labels", figure, side)
        assert reader.ask("frames", figure) == first.ask("frames", figure)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_moves_when_the_scripts_have_drawn(
    open_first, new_reader, pages: dict[str, str], width: int, height: int
) -> None:
    viewport = {"width": width, "height": height}
    before = open_first("rare", viewport=viewport).page.evaluate(BOXES)
    reader: Reader = new_reader(viewport=viewport)
    reader.page.add_init_script(RECORD_SHIFTS)
    reader.open(pages["rare"])
    after = reader.page.evaluate(BOXES)
    assert after.keys() == before.keys()
    assert len(before) > 6
    for name, box in before.items():
        assert after[name] == pytest.approx(box, abs=1), name
    assert sum(reader.page.evaluate("shifts")) <= 0.02


def test_generated_tokens_are_compared_as_far_as_they_are_the_same(equal: Reader) -> None:
    assert len(image(equal, "difference")) == 7
    assert equal.ask("labels", "difference", "rows")[:2] == ["The | A", "␣cat | ␣dog"]
    assert equal.ask("labels", "b", "rows")[:2] == ["A", "␣dog"]
    equal.go("#layer=0&head=0&a=7&b=7")
    assert equal.ask("frames", "a") == equal.ask("frames", "difference") == []


def test_layer_and_head_are_one_choice_for_both(equal: Reader) -> None:
    equal.press("j", "l")
    assert {key: equal.address()[key] for key in ("layer", "head")} == {"layer": "1", "head": "1"}
    assert equal.page.locator("#patterns-title").inner_text() == "L1 H1 in both"
    assert queries(equal) == ["3", "3"]
    equal.press("k", "h")
    assert equal.page.locator("#patterns-title").inner_text() == "L0 H0 in both"


def test_a_head_is_chosen_where_it_differs_most(equal: Reader) -> None:
    """A key keeps the position that reads, a click does not."""
    equal.page.locator(".reads .chip").nth(1).click()
    equal.settle()
    assert queries(equal) == ["1", "1"]
    assert equal.page.locator(".reads tr.chosen").count() == 1
    equal.go("#layer=0&head=0&a=3&b=3").look_at("map").click("map", 1.5, 1.5)
    assert [equal.address()[key] for key in ("layer", "head", "a")] == ["1", "1", "2"]
    assert "total variation" in (equal.hover("map", 0.5, 0.5) or "")


def test_patches_are_drawn_in_the_colour_of_the_run_that_they_lead_to(new_reader, pages: dict[str, str]) -> None:
    reader: Reader = new_reader(viewport={"width": 1280, "height": 3000}).open(pages["patched"])
    patching = make_patching()
    for name in ("heads", "last", "stream"):
        for into, sign in enumerate((1, -1)):
            figure = f"patch-{name}-{into}"
            shares = sign * getattr(patching, name)[into][::-1]
            assert np.array(image(reader.look_at(figure), figure)) == pytest.approx(shares, abs=0.006)
    assert reader.hover("patch-heads-0", 3.5, 0.5) == "L2 H3\n13.5 % of the way to the other run"
    assert (
        reader.hover("patch-stream-1", 1.5, 2.5) == "before layer 0, at ␣cat | ␣dog\n55.2 % of the way to the other run"
    )
    reader.click("patch-last-0", 2.5, 1.5)
    assert [reader.address()[key] for key in ("layer", "head")] == ["1", "2"]
    assert reader.ask("frames", "patch-heads-1") == [[2, 1, 1, 1]]
    assert reader.problems == []


def test_queries_go_together_or_alone(new_reader, pages: dict[str, str]) -> None:
    """As far from the end of either prompt: 7 tokens beside 5."""
    reader: Reader = new_reader().open(f"{pages['rare']}#a=6&b=4")
    reader.press("ArrowLeft")
    assert queries(reader) == ["5", "3"]
    reader.page.locator("#strip-b .token").nth(1).click()
    reader.settle()
    assert queries(reader) == ["3", "1"]
    reader.page.locator("#strip-b .token.from").focus()
    reader.press("u", "ArrowRight")  # in the text of B, arrows go through B
    assert queries(reader) == ["3", "2"]
    assert reader.page.evaluate("document.activeElement.dataset.position") == "2"
    reader.page.locator("h1").click()
    reader.press("ArrowRight")
    assert queries(reader) == ["4", "2"]
    reader.press("Shift+ArrowRight")
    assert queries(reader) == ["4", "3"]
    assert reader.address()["linked"] == "no"
    reader.page.go_back()
    assert reader.settle().problems == []


def test_texts_of_other_length_are_compared_where_they_end_alike(new_reader, pages: dict[str, str]) -> None:
    reader: Reader = new_reader().open(f"{pages['rare']}#layer=0&head=2&a=5&b=3")
    for figure in FIGURES[:3]:
        assert reader.ask("labels", figure, "columns")[:2] == ["(before)", "␣cat"]
        assert reader.ask("labels", figure, "rows")[0] == "␣cat"
    # Head 2 reads the first token, which stands before the shared ending on both sides.
    assert [row[0] for row in image(reader, "a")] == [1] * 7
    assert reader.ask("frames", "a") == [[0, 2, 4, 1]]
    assert reader.look_at("a").hover("a", 0.5, 2.5) == (
        "from ␣the at 5\nreads (before) at 0–2\nA 1, most of it from “Jo”\nB 1, most of it from “The”\nA − B 0.00"
    )
    assert reader.page.locator("#strip-a .token.before").all_inner_texts() == ["Jo", "na", "than"]
    reader.press("f")
    assert [row[0] for row in image(reader, "a")] == [0] * 7
    assert reader.address()["first"] == "out"
    reader.press("f")
    assert reader.address()["first"] == "renormalised"
    assert reader.problems == []


def test_texts_with_nothing_in_common_have_no_difference(new_reader, pages: dict[str, str]) -> None:
    reader: Reader = new_reader().open(pages["apart"])
    assert "The texts do not end alike" in reader.page.locator(".claim").inner_text()
    assert [reader.page.locator(f"#figure-{figure}").count() for figure in FIGURES] == [1, 1, 0, 0]
    assert [len(image(reader, side)) for side in "ab"] == [8, 3]
    assert reader.press("j", "ArrowLeft").problems == []


def test_side_that_lacks_a_layer_or_head_says_what_it_shows(new_reader, pages: dict[str, str]) -> None:
    reader: Reader = new_reader().open(f"{pages['models']}#layer=7&head=2")
    assert reader.page.locator("#patterns-title").inner_text() == "L7 H2 in both"
    assert reader.page.locator("#stand-in").inner_text() == (
        "A: layer 7 is not here, layer 1 stands in for it; head 2 is not here, head 1 stands in for it."
    )
    reader.press("k", "k", "h")
    assert reader.page.locator("#stand-in").inner_text() == ""
    assert reader.problems == []


def test_pointing_at_a_cell_names_both_sides(equal: Reader) -> None:
    equal.look_at("difference")
    said = "from ␣ate at 2\nreads ␣cat | ␣dog at 1\nA 0\nB 1\nA − B −1.00"
    assert equal.hover("difference", 1.5, 2.5) == said
    assert all(equal.ask("brushes", figure) for figure in FIGURES[:3])
    assert equal.page.locator(".token.brushed").all_inner_texts() == ["␣cat", "␣dog"]
    equal.click("difference", 0.5, 4.5)
    assert queries(equal) == ["4", "4"]
    equal.page.locator("#figure-a").focus()
    equal.press("ArrowUp")
    assert queries(equal) == ["3", "3"]


def test_range_holds_for_all_three(equal: Reader) -> None:
    equal.go("#layer=0&head=0&a=3&b=3&tokens=2-4")
    assert [len(image(equal, figure)) for figure in FIGURES[:3]] == [3, 3, 3]
    equal.page.locator("#whole").click()
    equal.settle()
    assert len(image(equal, "a")) == 7
    assert "tokens" not in equal.address()


def test_next_tokens_follow_the_generated_token_that_reads(equal: Reader) -> None:
    assert equal.page.locator("#next-of").inner_text() == "after the prompts"
    equal.go("#layer=0&head=0&a=5&b=5")
    assert equal.page.locator("#next-of").inner_text() == "token 2 of 3"
    first = equal.page.locator("#next-rows tr").first.locator("td").all_inner_texts()
    assert [cell.strip() for cell in first] == ["", "50 %", "␣And", "50 %", ""]


def test_scores_of_both_sides_stand_beside_one_another(equal: Reader) -> None:
    equal.go("#layer=1&head=1&a=3&b=3")
    equal.page.locator("#scores summary").click()
    cells = equal.page.locator("[data-score=previous] td").all_inner_texts()
    values = [side.evidence.scores["previous"][1, 1] for side in PAIRS["equal"]]
    assert cells[:2] == [f"{value:.3f}" for value in values]


def test_theme_changes_all_figures(equal: Reader) -> None:
    before = [equal.look_at(figure).ask("palette", figure) for figure in FIGURES]
    equal.press("d")
    after = [equal.look_at(figure).ask("palette", figure) for figure in FIGURES]
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert after[2] == list(SIDES["dark"])
    assert equal.problems == []


@pytest.mark.parametrize("format_", ["svg", "png", "csv"])
def test_figures_are_saved(equal: Reader, format_: str) -> None:
    equal.page.locator("[popovertarget=save]").click()
    options = equal.page.locator("#save-figure option")
    assert options.all_inner_texts()[1:] == ["A A cat and a mat", "B A dog", "A − B up to 1.00"]
    equal.page.locator("#save-figure").select_option("difference")
    with equal.page.expect_download() as waited:
        equal.page.locator(f"[data-format={format_}]").click()
    assert waited.value.suggested_filename == f"equal-difference-L0-H0-A3-B3.{format_}"
    saved = Path(waited.value.path()).read_bytes()
    if format_ == "csv":
        assert saved.decode().split("\r\n")[2] == '"1 ␣cat | ␣dog",-1,1,,,,,'
    if format_ == "svg":
        said = " ".join(re.findall(r">([^<]+)</text>", saved.decode()))
        assert "reading from “␣the” at 3 in A and “␣the” at 3 in B" in said
    assert equal.problems == []


def test_view_is_cited_with_both_sides(equal: Reader) -> None:
    equal.press("c")
    text = equal.page.locator("#cite-text").input_value()
    assert text.startswith(
        "Side by side: attention of tiny, layer 0, head 0, reading from “␣the” at 3 in A and “␣the” at 3"
    )
    assert "compare:" in equal.page.locator("#cite-recipe").input_value()
    equal.press("Escape", "?")
    assert "tokens that read together" in equal.page.locator("#keys").inner_text()


def test_figure_can_stand_alone_in_a_frame(new_reader, pages: dict[str, str]) -> None:
    reader: Reader = new_reader().open(f"{pages['equal']}?embed=difference#layer=0&head=0&a=3&b=3")
    assert reader.page.locator("#figure-difference canvas").first.is_visible()
    assert not reader.page.locator("#figure-a").is_visible()
    assert reader.problems == []


def test_hostile_tokens_stay_texts(new_reader, pages: dict[str, str]) -> None:
    reader: Reader = new_reader().open(pages["hostile"])
    for step in range(4):
        reader.press(*["ArrowLeft"] * step, "j", "s", "f")
    reader.look_at("difference")
    reader.hover("difference", 0.5, 6.5)
    reader.look_at("b")
    reader.hover("b", 0.5, 5.5)
    assert reader.page.title() == HOSTILE[0]
    assert reader.page.locator("img:not([src^='data:image/png'])").count() == 0
    assert reader.problems == []


def test_without_scripts_the_first_window_is_there(browser: Browser, pages: dict[str, str]) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(pages["equal"])
        assert page.locator("#strip-a .token:visible").all_inner_texts()[:2] == ["The", "␣cat"]
        assert page.locator("#strip-b .token:visible").all_inner_texts()[:2] == ["A", "␣dog"]
        assert "most differently is L0 H0" in page.locator(".claim").inner_text()
        assert [page.locator(f"#figure-{figure} .still img").is_visible() for figure in FIGURES[:3]] == [True] * 3
        assert page.locator(".reads tbody tr:visible").count() == 6
        assert page.locator("#next-rows tr:visible").count() == 3
        assert page.locator(".scripted:visible").count() == 0


@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("name", ["equal", "rare", "hostile", "patched"])
def test_phone_scrolls_downwards_alone(new_reader, pages: dict[str, str], name: str, width: int) -> None:
    reader: Reader = new_reader(viewport={"width": width, "height": 800}, has_touch=True, is_mobile=True)
    reader.open(pages[name])
    assert no_sideways_scroll(reader.page)
    assert reader.problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["equal", "rare", "patched"])
def test_axe_finds_nothing(new_reader, pages: dict[str, str], name: str, scheme: str) -> None:
    reader: Reader = new_reader(bypass_csp=True, color_scheme=scheme, viewport={"width": 1280, "height": 3000})
    page = reader.open(pages[name]).page
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    page.add_script_tag(path=AXE)
    assert page.evaluate(VIOLATIONS) == []
