"""Pages in Firefox and WebKit: they draw, answer and stop for nothing, as in Chromium, which the other tests use."""

from __future__ import annotations

import io
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from engines.driver import Driver, Hung
from engines.firefox import Firefox
from engines.page import CARD, DIALOGS, FILTER, HEAD, PICTURE_OF, TOKEN, TOOLTIP, Page
from PIL import Image
from pypdf import PdfReader
from samples import HOSTILE

STATE = "#layer=1&head=1&step=1"
HEIGHT = 900


@pytest.fixture
def cat(page: Page, folder: Path) -> Page:
    """The page of five tokens and three generated ones, at one step."""
    return page.show((folder / "cat.html").as_uri() + STATE)


@pytest.mark.parametrize(("slug", "least"), [("cat", 5), ("beside", 2)])
def test_page_draws_every_figure_without_a_fault(page: Page, folder: Path, slug: str, least: int) -> None:
    page.open((folder / f"{slug}.html").as_uri())
    colours = {name: counts for name, counts in page.colours().items() if counts}
    assert len(colours) >= least
    assert [name for name, counts in colours.items() if max(counts) < 3] == []
    assert page.faults() == []


def test_hostile_tokens_run_nothing(page: Page, folder: Path) -> None:
    page.open((folder / "hostile.html").as_uri())
    assert page.driver.run("() => document.title") == f"{HOSTILE[0]} · tiny"
    assert page.visible(TOKEN) != []
    assert page.faults() == []


def test_faults_of_a_page_are_noticed(page: Page, folder: Path) -> None:
    page.open((folder / "cat.html").as_uri())
    page.driver.run(
        """() => {
          const script = document.createElement("script");
          script.textContent = "document.title = 'owned'";
          document.body.append(script);
          reportError(new Error("lost"));
        }"""
    )
    page.settle()
    violation, error = sorted(page.faults(), reverse=True)
    assert violation.startswith("violation: script-src")
    assert error.startswith("error: ")
    assert page.driver.run("() => document.title") != "owned"


def test_first_window_is_painted(cat: Page) -> None:
    picture = Image.open(io.BytesIO(cat.driver.screenshot()))
    assert picture.size == (1280, HEIGHT)
    thirds = [picture.crop((0, top, 1280, top + HEIGHT // 3)) for top in range(0, HEIGHT, HEIGHT // 3)]
    assert all(len(third.convert("RGB").getcolors(1 << 20) or ()) > 20 for third in thirds)


def test_keys_change_layer_head_and_query(cat: Page) -> None:
    assert cat.press("j").address() == {"layer": "2", "head": "1", "step": "1"}
    assert cat.press("k", "k", "l").address() == {"layer": "0", "head": "2", "step": "1"}
    assert cat.press("h", "h", "ArrowRight").address() == {"layer": "0", "head": "0", "step": "2"}
    assert cat.press("ArrowLeft", "b").address()["step"] == "0"
    assert cat.press("n").address()["step"] == "1"
    assert cat.faults() == []


def test_click_on_a_token_selects_it_and_back_restores(cat: Page) -> None:
    cat.click(f'{TOKEN}[data-position="2"]')
    assert cat.address() == {"layer": "1", "head": "1", "step": "1", "query": "2"}
    assert cat.back().address() == {"layer": "1", "head": "1", "step": "1"}
    assert cat.press("j").address() == {"layer": "2", "head": "1", "step": "1"}


def test_pointing_at_a_cell_describes_it_and_a_click_selects_it(cat: Page) -> None:
    assert cat.visible(TOOLTIP) == []
    cat.point(HEAD, 0.3, 0.7)
    (text,) = cat.visible(TOOLTIP)
    assert "weight" in text
    before = cat.address()
    cat.click(HEAD, 0.3, 0.7)
    assert cat.address() != before


@pytest.mark.parametrize("key", DIALOGS)
def test_dialog_opens_and_closes_by_key(cat: Page, key: str) -> None:
    assert cat.visible("dialog") == []
    cat.press(key)
    assert cat.visible("dialog") == cat.visible(DIALOGS[key]) != []
    cat.press("j", "Escape")
    assert cat.visible("dialog") == []
    assert cat.address()["layer"] == "1"
    assert cat.press("j").address()["layer"] == "2"


def test_pictures_are_saved(cat: Page) -> None:
    picture = Image.open(io.BytesIO(cat.save("png")))
    assert picture.format == "PNG"
    assert min(picture.size) > 300
    assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 20
    drawing = ElementTree.fromstring(cat.save("svg"))
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert "A cat and a mat" in "".join(drawing.itertext())
    assert cat.faults() == []


def test_figures_follow_the_width_of_the_window(cat: Page) -> None:
    cat.driver.resize(600, HEIGHT)
    try:
        assert max(cat.settle().colours(HEAD)[PICTURE_OF]) >= 3
        assert cat.driver.run("() => document.documentElement.scrollWidth <= innerWidth")
        assert cat.faults() == []
    finally:
        cat.driver.resize(1280, HEIGHT)


@pytest.mark.parametrize("engine", [Firefox.name], indirect=True)  # WebKit's driver cannot print
def test_printed_page_begins_with_the_selected_view(cat: Page) -> None:
    assert isinstance(cat.driver, Firefox)
    sheets = PdfReader(io.BytesIO(cat.driver.print())).pages
    assert 0 < len(sheets) < 12
    first = " ".join(sheets[0].extract_text().split())
    assert "A cat and a mat" in first
    assert "token 2 of 3" in first
    assert "L1 H1" in first


def test_whole_page_is_scrolled_down_and_up(page: Page, folder: Path) -> None:
    """WebKit hung for good at closed popovers with ``position-try-fallbacks``, its bug 299742."""
    page.open((folder / "long.html").as_uri() + STATE)
    top, height = page.scroll_down_and_up(HEIGHT)
    assert top == 0
    assert height > HEIGHT
    assert page.press("j").address()["layer"] == "2"
    assert page.faults() == []


def test_view_in_a_frame_opens_again_and_again(page: Page, folder: Path, served: str) -> None:
    """The same bug."""
    (folder / "frame.html").write_text("<!doctype html><title>Post</title><iframe width=700 height=500></iframe>")
    page.driver.open(f"{served}/frame.html")
    for layer in (0, 1, 2, 1, 0):
        drawn = page.driver.run(
            """async (address) => {
              const frame = document.querySelector("iframe");
              await new Promise((done) => { frame.onload = done; frame.src = address; });
              const inner = frame.contentWindow;
              const isReady = () => inner.document.documentElement.hasAttribute("data-ready");
              while (!isReady()) await new Promise((go) => setTimeout(go, 20));
              await inner.__settled();
              await new Promise((done) => inner.requestAnimationFrame(() => setTimeout(done)));
              inner.scrollBy(0, 200);
              return [inner.__faults, inner.document.body.innerText];
            }""",
            f"{served}/cat.html?embed={PICTURE_OF}&again={layer}#layer={layer}&head=1&step=1",
        )
        faults, text = drawn
        assert faults == []
        assert f"L{layer} H1" in text


def test_page_without_scripts_shows_its_first_view(page: Page, folder: Path, served: str) -> None:
    """A sandboxed frame runs none, and the page around it looks in."""
    (folder / "off.html").write_text(
        "<!doctype html><title>Off</title><iframe sandbox=allow-same-origin width=900 height=800></iframe>"
    )
    page.driver.open(f"{served}/off.html")
    faults, text, pictures = page.driver.run(
        """async (address) => {
          const frame = document.querySelector("iframe");
          await new Promise((done) => { frame.onload = done; frame.src = address; });
          const inner = frame.contentDocument;
          return [
            frame.contentWindow.__faults, inner.body.innerText,
            [...inner.querySelectorAll(".still img")].map((one) => [one.complete, one.naturalWidth]),
          ];
        }""",
        f"{served}/cat.html",
    )
    assert faults is None  # no script ran
    assert "A cat and a mat" in text
    assert "␣cat" in text
    assert len(pictures) == 5  # the figures of the first view
    assert all(complete and width > 0 for complete, width in pictures)


def test_index_finds_pages(page: Page, folder: Path) -> None:
    page.open((folder / "index.html").as_uri())
    everything = page.visible(CARD)
    assert len(everything) > 5
    page.click(FILTER).press(*"several")
    (found,) = page.visible(CARD)
    assert "Words of several tokens" in found
    assert page.address()["filter"] == "several"
    page.press(*["Backspace"] * len("several"))
    assert page.visible(CARD) == everything
    assert page.faults() == []


def test_browser_that_hangs_is_killed_and_the_test_told(driver: Driver) -> None:
    driver.open("about:blank")
    driver.set_limit(1)
    start = time.monotonic()
    with pytest.raises(Hung, match=rf"{driver.name} gave no answer in 1 s and was killed, while running"):
        driver.run("() => { for (;;); }")
    assert time.monotonic() - start < 10
    assert not driver.running
