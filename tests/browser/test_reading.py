"""Everyone can read a page: with scripts off, in the dark, on a phone, on paper, by keyboard and by ear."""

from __future__ import annotations

import pytest
from browser.captures import CAPTURES
from browser.reader import Reader
from playwright.sync_api import Browser, Page

from reportgen.pages.palettes import PALETTES


def no_sideways_scroll(page: Page) -> bool:
    return page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def background(page: Page) -> str:
    return page.evaluate("() => getComputedStyle(document.body).backgroundColor")


def test_without_scripts_the_page_still_tells_its_numbers(browser: Browser, addresses) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{addresses['file']}/cat.html")
        assert page.locator("h1").inner_text() == "A cat and a mat"
        assert page.locator(".masthead .note").inner_text() == "Note of the author"
        assert "drawn by a script" in page.locator("#figure-head").inner_text()
        assert page.locator("#strip .token:visible").all_inner_texts()[:3] == ["The", "␣cat", "␣ate"]
        rows = page.locator("[aria-labelledby=tables-title] details").first.locator("tbody tr:visible")
        assert rows.nth(1).inner_text().split("\t")[:5] == ["1", "␣And", "16", "0.500", "−0.693"]
        assert "␣dog 0.250" in rows.nth(1).inner_text()
        assert "L0 H1 1.000" in page.locator("[aria-labelledby=largest-title]").inner_text()
        assert page.locator(".toolbar:visible, .scripted:visible").count() == 0
        page.locator("summary", has_text="Evidence by generated token").click()
        evidence = page.locator("details", has_text="Evidence by generated token").locator("tbody tr:visible").first
        assert "L2 H3 −0.600" in evidence.inner_text()
        assert "parts +4.300, logit +4.300" in evidence.inner_text()
        page.locator("summary", has_text="Prompt tokens").click()
        assert page.locator("details", has_text="Prompt tokens").locator("tbody tr:visible").count() == 5
        page.locator("summary", has_text="To make this page again").click()
        assert "text: The cat ate the mat" in page.locator("#recipe").inner_text()


@pytest.mark.parametrize(("scheme", "palette", "masked"), [("light", "blues", "#f1f2f4"), ("dark", "magma", "#22272e")])
def test_colours_follow_the_system(new_reader, addresses, scheme: str, palette: str, masked: str) -> None:
    reader: Reader = new_reader(color_scheme=scheme).open(f"{addresses['file']}/cat.html#layer=0&head=0")
    reader.look_at("head")
    assert reader.ask("color", "head", 3, 3) == PALETTES[palette][255].lower()
    assert reader.ask("color", "head", 2, 3) == PALETTES[palette][0].lower()
    assert reader.ask("color", "head", 3, 2) == masked
    paper = background(reader.page)
    reader.page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    reader.settle()
    assert background(reader.page) != paper
    assert reader.ask("color", "head", 3, 3) == PALETTES["magma" if palette == "blues" else "blues"][255].lower()


def test_theme_and_palette_can_be_chosen(new_reader, addresses) -> None:
    reader: Reader = new_reader().open(f"{addresses['file']}/cat.html#layer=0&head=0")
    reader.look_at("head")
    paper = background(reader.page)
    reader.press("d")
    assert background(reader.page) != paper
    assert reader.ask("color", "head", 3, 3) == PALETTES["magma"][255].lower()
    reader.page.get_by_role("button", name="switch between light and dark").click()
    assert background(reader.settle().page) == paper
    reader.page.locator("#palette").select_option("cividis")
    assert reader.settle().ask("color", "head", 3, 3) == PALETTES["cividis"][255].lower()
    assert reader.problems == []


@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("slug", ["cat", "hostile"])
def test_phone_scrolls_downwards_alone(new_reader, addresses, slug: str, width: int) -> None:
    reader: Reader = new_reader(viewport={"width": width, "height": 800}, has_touch=True, is_mobile=True)
    reader.open(f"{addresses['file']}/{slug}.html#layer=0&head=3&step=1")
    for figure in (
        "head",
        "overview",
        "step_heads",
        "logprobs",
        "grid",
        "lens",
        "layer_tiles",
        "head_tiles",
        "rollout",
    ):
        reader.look_at(figure)
        drawn, room = reader.page.evaluate(
            "(box) => [box.firstElementChild.offsetWidth, box.clientWidth]",
            reader.page.locator(f"#figure-{figure}").element_handle(),
        )
        assert drawn <= room, figure
        assert no_sideways_scroll(reader.page)
    assert reader.problems == []


def test_tap_selects_and_leaves_no_tooltip(new_reader, addresses) -> None:
    reader: Reader = new_reader(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    reader.open(f"{addresses['file']}/cat.html#layer=0&head=3&query=0").look_at("head")
    reader.page.touchscreen.tap(*reader.ask("point", "head", 1, 3))
    assert reader.settle().address()["query"] == "3"
    assert reader.page.locator("#tooltip").is_hidden()


def test_figures_follow_the_window(new_reader, addresses) -> None:
    reader: Reader = new_reader(viewport={"width": 1400, "height": 1000}).open(f"{addresses['file']}/cat.html")
    figures = ("head", "layer_tiles", "head_tiles")
    wide = {figure: reader.look_at(figure).ask("size", figure) for figure in figures}
    reader.page.set_viewport_size({"width": 500, "height": 1000})
    for figure in figures:
        narrow = reader.look_at(figure).ask("size", figure)
        assert narrow[0] < wide[figure][0], figure
    reader.page.set_viewport_size({"width": 1400, "height": 1000})
    assert {figure: reader.look_at(figure).ask("size", figure) for figure in figures} == wide


def test_quick_switching_ends_where_it_should(new_reader, addresses) -> None:
    reader: Reader = new_reader().open(f"{addresses['file']}/long.html#layer=0&head=0&query=395")
    reader.look_at("head")
    reader.press("j", "l", "j", "h", "j", "l", "k")
    assert reader.page.locator("#head-name").inner_text() == "L2 H1"
    # Layer 2's head 1 reads all alike.
    code = round(255 * 0.1)
    assert reader.ask("color", "head", 50, 99) == PALETTES["blues"][int(code / 255 * 256)]
    reader.look_at("layer_tiles")
    assert reader.page.locator(".pooled:visible").count() > 0
    assert reader.problems == []


def test_print_keeps_the_figures_and_drops_the_controls(cat: Reader) -> None:
    cat.page.emulate_media(media="print")
    assert cat.page.locator("#controls").is_hidden()
    assert cat.page.locator("#figure-head canvas").first.is_visible()
    cat.page.emulate_media(media="screen")


def test_paper_has_every_figure_whole_once_the_selection_rests(new_reader, addresses) -> None:
    reader: Reader = new_reader(viewport={"width": 1400, "height": 900}).open(f"{addresses['file']}/cat.html")
    stale = reader.page.locator(".figure[data-stale]")
    reader.page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert stale.count() > 0  # what was never in sight is not drawn yet, and says so
    reader.page.wait_for_function(
        """() => {
          dispatchEvent(new Event("beforeprint"));
          return !document.querySelector(".figure[data-stale]");
        }"""
    )
    reader.page.emulate_media(media="print")
    reader.page.set_viewport_size({"width": 703, "height": 990})
    reader.settle()
    cut = reader.page.evaluate(
        """() => [...document.querySelectorAll(".figure")].filter((box) => {
          if (!box.checkVisibility()) return false;
          const [drawn, room] = [box.firstElementChild, box].map((one) => one.getBoundingClientRect().width);
          return !(drawn > 100 && drawn <= room);
        }).map((box) => box.id)"""
    )
    assert cut == []
    assert reader.problems == []


def test_index_shows_failures_and_links_to_its_pages(browser: Browser, addresses) -> None:
    index = browser.new_page(viewport={"width": 320, "height": 800})
    index.goto(f"{addresses['file']}/index.html")
    index.locator("html[data-ready]").wait_for(state="attached")
    assert no_sideways_scroll(index)
    failed = index.locator("#failures")
    assert "prompts.yaml:5 the prompt is too long" in (failed.text_content() or "")
    assert failed.locator("a").count() == 0
    hrefs = index.locator("#cards a").evaluate_all("(links) => links.map((link) => link.getAttribute('href'))")
    assert hrefs == [f"{slug}.html" for slug in CAPTURES]
    index.get_by_role("link", name="Some layers").click()
    assert index.title() == "Some layers · tiny"
    index.get_by_role("link", name="All reports").click()
    assert index.title() == "Attention reports"


def test_module_had_no_problem(cat: Reader) -> None:
    assert cat.problems == []
