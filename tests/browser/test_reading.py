"""Everyone can read a page: with scripts off, in the dark, on a phone, on paper, by keyboard and by ear."""

from __future__ import annotations

import pytest
from browser.captures import CAPTURES
from browser.reader import Reader
from playwright.sync_api import Browser, Page

from reportgen.pages.palettes import PALETTES

SIZE = "(canvas) => [canvas.offsetWidth, canvas.offsetHeight]"


def no_sideways_scroll(page: Page) -> bool:
    return page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def background(page: Page) -> str:
    return page.evaluate("() => getComputedStyle(document.body).backgroundColor")


def test_without_scripts_the_page_still_tells_its_numbers(browser: Browser, addresses) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{addresses['file']}/cat.html")
        assert page.locator("h1").inner_text() == "A cat and a mat"
        assert page.locator(".answer .note").inner_text() == "Note of the author"
        claim = page.locator("#claim").inner_text()
        assert claim.startswith("The model wrote ")
        assert "The largest effect through one earlier token: L" in claim
        for figure in ("read", "heads", "layers", "head"):
            still = page.locator(f"#figure-{figure} .still img")
            assert still.evaluate("(one) => one.complete && one.naturalWidth > 1 && one.naturalHeight > 1"), figure
            box = still.bounding_box()
            assert box
            assert box["width"] > 200
            assert page.locator(f"#figure-{figure} .columns span").first.is_visible()
        assert page.locator("#figure-heads .notes li").count() == 4
        assert page.locator("#strip .token:visible").all_inner_texts()[:3] == ["The", "␣cat", "␣ate"]
        assert page.locator(".scripted:visible, #controls button:not(#head-name):visible").count() == 0
        for fold in page.locator("summary:visible").all():
            fold.click()
        rows = page.locator("[aria-label='Generated tokens'] tbody tr:visible")
        assert rows.nth(1).inner_text().split("\t")[:5] == ["2", "␣And", "16", "0.500", "−0.693"]
        assert "␣dog 0.250" in rows.nth(1).inner_text()
        assert "L0 H1 1.000" in page.locator("[aria-labelledby=largest-title]").inner_text()
        evidence = page.locator("[aria-label='Evidence by token'] tbody tr:visible").first
        assert "L2 H3 −0.600" in evidence.inner_text()
        assert "parts +4.300, logit +4.300" in evidence.inner_text()
        assert page.locator("[aria-label='Prompt tokens'] tbody tr:visible").count() == 5
        assert "text: The cat ate the mat" in page.locator("#recipe").inner_text()


@pytest.mark.parametrize(("scheme", "palette", "masked"), [("light", "blues", ""), ("dark", "night", "")])
def test_colours_follow_the_system(new_reader, addresses, scheme: str, palette: str, masked: str) -> None:
    reader: Reader = new_reader(color_scheme=scheme).open(f"{addresses['file']}/cat.html#layer=0&head=0")
    reader.look_at("head")
    assert reader.ask("color", "head", 3.5, 3.5) == PALETTES[palette][255].lower()
    assert reader.ask("color", "head", 2.5, 3.5) == PALETTES[palette][0].lower()
    assert reader.ask("color", "head", 3.5, 2.5) == masked
    paper = background(reader.page)
    reader.page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    reader.settle()
    assert background(reader.page) != paper
    assert reader.ask("color", "head", 3.5, 3.5) == PALETTES["night" if palette == "blues" else "blues"][255].lower()


def test_theme_and_palette_can_be_chosen(new_reader, addresses) -> None:
    reader: Reader = new_reader().open(f"{addresses['file']}/cat.html#layer=0&head=0")
    reader.look_at("head")
    paper = background(reader.page)
    reader.press("d")
    assert background(reader.page) != paper
    assert reader.ask("color", "head", 3.5, 3.5) == PALETTES["night"][255].lower()
    reader.page.get_by_role("button", name="switch between light and dark").click()
    assert background(reader.settle().page) == paper
    reader.page.locator("[popovertarget=view]").click()
    reader.page.locator("#palette").select_option("cividis")
    assert reader.settle().ask("color", "head", 3.5, 3.5) == PALETTES["cividis"][255].lower()
    assert reader.problems == []


@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("slug", ["cat", "hostile"])
def test_phone_scrolls_downwards_alone(new_reader, addresses, slug: str, width: int) -> None:
    reader: Reader = new_reader(viewport={"width": width, "height": 800}, has_touch=True, is_mobile=True)
    reader.open(f"{addresses['file']}/{slug}.html#layer=0&head=3&step=1")
    for figure in ("heads", "layers", "head", "effect", "lens", "rollout", "entropy", "aggregate"):
        reader.look_at(figure)
        drawn, room = reader.page.evaluate(
            "(box) => [box.getBoundingClientRect().right, box.closest('.card').getBoundingClientRect().right]",
            reader.page.locator(f"#figure-{figure}").element_handle(),
        )
        assert drawn <= room, figure
        assert no_sideways_scroll(reader.page)
    assert reader.problems == []


def test_tap_selects_and_prints_its_numbers_in_the_bar(new_reader, addresses) -> None:
    reader: Reader = new_reader(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    reader.open(f"{addresses['file']}/cat.html#layer=0&head=3&step=1&query=0").look_at("head")
    reader.page.touchscreen.tap(*reader.ask("point", "head", 1.5, 3.5))
    assert reader.settle().address()["query"] == "3"
    assert reader.page.locator("#tooltip").is_hidden()
    tapped = reader.page.locator("#tapped")
    tapped.get_by_text("weight").wait_for()
    said = tapped.inner_text()
    assert "from ␣the at 3" in said
    assert "reads ␣cat at 1" in said
    assert f"weight {CAPTURES['cat'].attention[0, 3][3, 1]:.2g}" in said


def test_figures_follow_the_window(new_reader, addresses) -> None:
    reader: Reader = new_reader(viewport={"width": 1400, "height": 1000}).open(f"{addresses['file']}/cat.html")
    figures = ("heads", "layers", "head")
    wide = {
        figure: reader.look_at(figure).page.locator(f"#figure-{figure} canvas").first.evaluate(SIZE)
        for figure in figures
    }
    reader.page.set_viewport_size({"width": 500, "height": 1000})
    for figure in figures:
        narrow = reader.look_at(figure).page.locator(f"#figure-{figure} canvas").first.evaluate(SIZE)
        assert narrow[0] < wide[figure][0], figure
    reader.page.set_viewport_size({"width": 1400, "height": 1000})
    assert {
        figure: reader.look_at(figure).page.locator(f"#figure-{figure} canvas").first.evaluate(SIZE)
        for figure in figures
    } == wide


def test_quick_switching_ends_where_it_should(new_reader, addresses) -> None:
    reader: Reader = new_reader().open(f"{addresses['file']}/long.html#layer=0&head=0&query=395")
    reader.look_at("head")
    reader.press("j", "l", "j", "h", "j", "l", "k")
    assert reader.page.locator("#head-title").inner_text() == "L2 H1, every position"
    # Layer 2's head 1 reads all alike.
    weights = reader.rows("head")
    assert weights[99][50] == pytest.approx(0.1, abs=0.01)  # the square root
    assert reader.address()["head"] == "1"
    assert reader.problems == []


def test_print_keeps_the_figures_and_drops_the_controls(cat: Reader) -> None:
    cat.page.emulate_media(media="print")
    assert cat.page.locator(".masthead button, .rail, [data-move], #play").locator("visible=true").count() == 0
    cat.page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert cat.page.locator("#figure-head .printed canvas").first.is_visible()
    cat.page.emulate_media(media="screen")


def test_paper_has_every_figure_whole_once_the_selection_rests(new_reader, addresses) -> None:
    reader: Reader = new_reader(viewport={"width": 1400, "height": 900}).open(f"{addresses['file']}/cat.html")
    stale = reader.page.locator(".heatmap[data-stale]")
    reader.page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert stale.count() > 0  # what was never in sight is not drawn yet, and says so
    reader.page.wait_for_function(
        """() => {
          dispatchEvent(new Event("beforeprint"));
          return !document.querySelector(".heatmap[data-stale]");
        }"""
    )
    reader.page.emulate_media(media="print")
    reader.page.set_viewport_size({"width": 703, "height": 990})
    reader.settle()
    cut = reader.page.evaluate(
        """() => [...document.querySelectorAll(".heatmap .cells")].filter((box) => {
          if (!box.checkVisibility()) return false;
          const [drawn, room] = [box, box.closest(".card")].map((one) => one.getBoundingClientRect());
          return !(drawn.width > 60 && drawn.right <= room.right);
        }).map((box) => box.parentElement.id)"""
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
