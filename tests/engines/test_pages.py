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

STATE = "#layer=1&head=1&step=1"
HEIGHT = 900


def test_page_draws_every_figure_without_a_fault(page: Page, folder: Path) -> None:
    page.open((folder / "cat.html").as_uri())
    colours = {name: counts for name, counts in page.colours().items() if counts}
    assert PICTURE_OF in colours
    assert len(colours) >= 5
    assert [name for name, counts in colours.items() if max(counts) < 3] == []
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


def test_first_window_is_painted(page: Page, folder: Path) -> None:
    page.open((folder / "cat.html").as_uri())
    picture = Image.open(io.BytesIO(page.driver.screenshot()))
    assert picture.size == (1280, HEIGHT)
    thirds = [picture.crop((0, top, 1280, top + HEIGHT // 3)) for top in range(0, HEIGHT, HEIGHT // 3)]
    assert all(len(third.convert("RGB").getcolors(1 << 20) or ()) > 20 for third in thirds)


def test_keys_change_layer_head_and_query(page: Page, folder: Path) -> None:
    page.open((folder / "cat.html").as_uri() + STATE)
    assert page.press("j").address() == {"layer": "2", "head": "1", "step": "1"}
    assert page.press("k", "k", "l").address() == {"layer": "0", "head": "2", "step": "1"}
    assert page.press("h", "h", "ArrowRight").address() == {"layer": "0", "head": "0", "step": "2"}
    assert page.press("ArrowLeft", "b").address()["step"] == "0"
    assert page.press("n").address()["step"] == "1"
    assert page.faults() == []


def test_click_on_a_token_selects_it_and_back_restores(page: Page, folder: Path) -> None:
    page.open((folder / "cat.html").as_uri() + STATE).click(f'{TOKEN}[data-position="2"]')
    assert page.address() == {"layer": "1", "head": "1", "query": "2"}
    assert page.back().address() == {"layer": "1", "head": "1", "step": "1"}
    assert page.press("j").address() == {"layer": "2", "head": "1", "step": "1"}


def test_pointing_at_a_cell_describes_it_and_a_click_selects_it(page: Page, folder: Path) -> None:
    page.open((folder / "cat.html").as_uri() + STATE)
    assert page.visible(TOOLTIP) == []
    page.point(HEAD, 0.3, 0.7)
    (text,) = page.visible(TOOLTIP)
    assert "weight" in text
    before = page.address()
    page.click(HEAD, 0.3, 0.7)
    assert page.address() != before


@pytest.mark.parametrize("key", DIALOGS)
def test_dialog_opens_and_closes_by_key(page: Page, folder: Path, key: str) -> None:
    page.open((folder / "cat.html").as_uri() + STATE)
    assert page.visible("dialog") == []
    page.press(key)
    assert page.visible("dialog") == page.visible(DIALOGS[key]) != []
    page.press("j", "Escape")
    assert page.visible("dialog") == []
    assert page.address()["layer"] == "1"
    assert page.press("j").address()["layer"] == "2"


def test_pictures_are_saved(page: Page, folder: Path) -> None:
    page.open((folder / "cat.html").as_uri() + STATE)
    picture = Image.open(io.BytesIO(page.save("png")))
    assert picture.format == "PNG"
    assert min(picture.size) > 300
    assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 20
    drawing = ElementTree.fromstring(page.save("svg"))
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert "A cat and a mat" in "".join(drawing.itertext())
    assert page.faults() == []


def test_figures_follow_the_width_of_the_window(page: Page, folder: Path) -> None:
    page.open((folder / "cat.html").as_uri())
    page.driver.resize(600, HEIGHT)
    try:
        assert max(page.settle().colours(HEAD)[PICTURE_OF]) >= 3
        assert page.driver.run("() => document.documentElement.scrollWidth <= innerWidth")
        assert page.faults() == []
    finally:
        page.driver.resize(1280, HEIGHT)


def test_whole_page_is_scrolled_down_and_up(page: Page, folder: Path) -> None:
    """WebKit hung for good at closed popovers with ``position-try-fallbacks``, its bug 299742."""
    page.open((folder / "long.html").as_uri() + STATE)
    for pixels in (HEIGHT, HEIGHT // 2):
        top, height = page.scroll_down_and_up(pixels)
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


def test_page_without_scripts_shows_its_text(page: Page, folder: Path, served: str) -> None:
    """A sandboxed frame runs none, and the page around it looks in."""
    (folder / "off.html").write_text(
        "<!doctype html><title>Off</title><iframe sandbox=allow-same-origin width=900 height=800></iframe>"
    )
    page.driver.open(f"{served}/off.html")
    faults, text, notes = page.driver.run(
        """async (address) => {
          const frame = document.querySelector("iframe");
          await new Promise((done) => { frame.onload = done; frame.src = address; });
          const inner = frame.contentDocument;
          return [
            frame.contentWindow.__faults, inner.body.innerText,
            [...inner.querySelectorAll("noscript")].map((one) => one.innerText),
          ];
        }""",
        f"{served}/cat.html",
    )
    assert faults is None  # no script ran
    assert "A cat and a mat" in text
    assert "␣cat" in text
    assert any("script" in note and note in text for note in notes)


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


@pytest.mark.parametrize("engine", [Firefox.name], indirect=True)  # WebKit's driver cannot print
def test_printed_page_begins_with_the_selected_view(driver: Firefox, folder: Path) -> None:
    Page(driver).open((folder / "cat.html").as_uri() + STATE)
    sheets = PdfReader(io.BytesIO(driver.print())).pages
    assert 0 < len(sheets) < 12
    first = " ".join(sheets[0].extract_text().split())
    assert "A cat and a mat" in first
    assert "layer 1, head 1, step 1" in first


def test_browser_that_hangs_is_killed_and_the_test_told(driver: Driver) -> None:
    driver.open("about:blank")
    driver.set_limit(1)
    start = time.monotonic()
    with pytest.raises(Hung, match=rf"{driver.name} gave no answer in 1 s and was killed, while running"):
        driver.run("() => { for (;;); }")
    assert time.monotonic() - start < 10
    assert not driver.running
