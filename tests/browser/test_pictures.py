"""Every view can be taken away as a picture that says what it is, from the page and from the command line."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from browser.captures import CAPTURES
from browser.reader import Reader
from browser.test_kinds import PAGES
from PIL import Image
from pypdf import PdfReader
from samples import HOSTILE, make_capture

from reportgen.pages.compare import render_comparison
from reportgen.pages.page import render_page
from reportgen.pages.palettes import PALETTES
from reportgen.pages.screenshot import why_no_sandbox
from reportgen.records import Comparison

HASH = "#layer=1&head=1&step=1&pin=2.3"
READ = ("text", "head", "step_heads", "step_layers", "layer_tiles", "head_tiles", "aggregate", "pinned", "difference")
VIEWS = (*READ, "overview", "logprobs", "grid", "lens", "rollout", "entropy")
HONEST = "Weights say where a head reads, not how much it matters."
TAGS = {"svg", "title", "rect", "text", "g", "defs", "clipPath", "path", "image", "pattern", "line"}


@pytest.fixture
def reader(cat: Reader) -> Reader:
    return cat.go(HASH)


def save(reader: Reader, view: str, picture_format: str) -> bytes:
    """Save a view through its button and return the file."""
    button = reader.page.locator(f".card:has([data-figure={view}]) button.save")
    pair = reader.page.locator(f"div:not(.card):has(> h3):has(> [data-figure={view}]) button.save")
    button = (pair if pair.count() else button).first
    button.scroll_into_view_if_needed()
    reader.settle()  # figures that come into sight are drawn, and move what is below them
    button.click()
    with reader.page.expect_download() as download:
        reader.page.locator(f"#save [data-format={picture_format}]").click()
    state = reader.address()
    moment = f"step-{state['step']}" if "step" in state else f"query-{state['query']}"
    name = f"{reader.page.evaluate('() => JSON.parse(card.textContent).slug')}-{view}"
    assert download.value.suggested_filename == f"{name}-L{state['layer']}-H{state['head']}-{moment}.{picture_format}"
    reader.page.keyboard.press("Escape")
    return download.value.path().read_bytes()


def make(reader: Reader, view: str) -> str:
    """Return the SVG that the page makes of a view."""
    return reader.page.evaluate("async (view) => (await __studio.make(view, 'svg')).text()", view)


def texts_of(svg: str | bytes) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]


def plain(texts: list[str]) -> str:
    """Return texts as one, without the marks that keep the direction of a token to itself."""
    return " ".join(texts).replace("\u2068", "").replace("\u2069", "").replace("\u00a0", " ")


@pytest.mark.parametrize("view", VIEWS)
def test_button_saves_an_svg_that_says_what_it_is(reader: Reader, view: str) -> None:
    said = plain(texts_of(save(reader, view, "svg")))
    assert said.startswith("A cat and a mat tiny · ")
    assert "step 1, which chose “␣And”; query “.” at 5" in said or view == "overview"
    assert ("L1 H1" in said) == (view not in {"logprobs", "lens", "rollout", "aggregate", "pinned"})
    assert (HONEST in said) == (view in READ or view == "overview")
    assert said.endswith(f"cat.html{HASH}")
    assert reader.problems == []


@pytest.mark.parametrize("view", VIEWS)
def test_png_is_the_svg_with_two_pixels_for_one(reader: Reader, view: str) -> None:
    picture = Image.open(io.BytesIO(save(reader, view, "png")))
    root = ElementTree.fromstring(save(reader, view, "svg"))
    assert picture.size == (2 * int(root.attrib["width"]), 2 * int(root.attrib["height"]))
    assert picture.format == "PNG"
    assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 20


def test_views_are_all_figures_of_the_page(reader: Reader) -> None:
    assert sorted(reader.page.evaluate("__studio.views")) == sorted(VIEWS)
    assert reader.page.locator("button.save").count() == len(VIEWS)


def test_heatmap_keeps_its_cells_and_colours(reader: Reader) -> None:
    """Layer 0's head 1 reads the token before."""
    reader.go("#layer=0&head=1&query=2")
    picture = Image.open(io.BytesIO(save(reader, "head", "png"))).convert("RGB")
    strongest = tuple(bytes.fromhex(PALETTES["blues"][255][1:]))
    found = {color: count for count, color in picture.getcolors(1 << 24) or []}
    # Eight cells of 85 pixels, twice as many in the picture, and a little of the colour bar; frames take some.
    assert 7.5 * 170**2 < found[strongest] < 8.3 * 170**2


def test_caption_says_what_colours_show(reader: Reader) -> None:
    reader.go(f"{HASH}&show=weighted&scale=linear&first=out&by=induction")
    said = plain(texts_of(make(reader, "head")))
    assert "Weighted attention of L1 H1 · weighted share · " in said
    assert "linear scale · first token left out" in said
    assert "by induction" in plain(texts_of(make(reader, "overview")))
    assert "scale ·" not in plain(texts_of(make(reader, "overview")))
    assert "effect against the alternatives" in plain(texts_of(make(reader, "grid")))


def test_picture_shows_what_is_zoomed(reader: Reader) -> None:
    reader.look_at("head")
    whole = texts_of(make(reader, "head"))
    reader.page.evaluate(
        """() => {
          const doc = Bokeh.documents.find((one) => one.get_model_by_name("head"));
          doc.get_model_by_name("head.x_range").setv({ start: 1.6, end: 4.4 });
        }"""
    )
    part = texts_of(make(reader, "head"))
    assert whole.count("The") == 2
    assert part.count("The") == 1
    assert part.count("␣mat") == 2
    reader.page.locator("#figure-head .bk-tool-icon-reset").click()
    assert texts_of(make(reader.settle(), "head")) == whole


def test_drawing_leaves_nothing_behind(reader: Reader) -> None:
    reader.look_at("head")
    reader.page.wait_for_timeout(1500)
    before = reader.page.evaluate("() => [Bokeh.documents.length, document.body.childElementCount]")
    for view in VIEWS:
        make(reader, view)
    assert reader.page.evaluate("() => [Bokeh.documents.length, document.body.childElementCount]") == before


def test_same_selection_gives_the_same_bytes_in_any_window(new_reader: Callable[..., Reader], addresses) -> None:
    wide: Reader = new_reader().open(f"{addresses['file']}/cat.html{HASH}")
    phone: Reader = new_reader(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    phone.open(f"{addresses['file']}/cat.html{HASH}")
    for view in VIEWS:
        assert make(wide, view) == make(wide, view) == make(phone, view), view
    assert wide.problems == phone.problems == []


@pytest.mark.parametrize("view", VIEWS)
def test_hostile_tokens_are_text_in_a_picture(new_reader: Callable[..., Reader], addresses, view: str) -> None:
    reader: Reader = new_reader().open(
        f"{addresses['file']}/hostile.html#layer=0&head=3&query={len(HOSTILE) - 2}&pin=1.1"
    )
    svg = make(reader, view)
    for element in ElementTree.fromstring(svg).iter():
        assert element.tag.removeprefix("{http://www.w3.org/2000/svg}") in TAGS
        assert not [name for name in element.attrib if name.lower().startswith("on")]
        assert element.get("href", "data:image/png;").startswith("data:image/png;")
    assert texts_of(svg)[0] == HOSTILE[0]
    if view == "text":
        assert texts_of(svg)[2:][: len(HOSTILE)] == [
            token.shown for token in CAPTURES["hostile"].tokens[: len(HOSTILE)]
        ]
    assert save(reader, view, "png")
    assert reader.problems == []


def test_characters_that_xml_lacks_are_replaced(new_reader: Callable[..., Reader], tmp_path: Path) -> None:
    page = tmp_path / "control.html"
    page.write_text(render_page(make_capture(("a\x01b", "c\x0bd", "e\ufffe"), title="x\x02y")), "utf-8")
    reader: Reader = new_reader().open(f"{page.as_uri()}#layer=0&head=0&query=1")
    texts = texts_of(make(reader, "text"))
    assert texts[0] == "x\ufffdy"
    assert {"a\ufffdb", "c\ufffdd", "e\ufffd"} <= set(texts)
    assert save(reader, "head", "png")


def test_picture_names_what_is_hatched(new_reader: Callable[..., Reader], tmp_path: Path) -> None:
    page = tmp_path / "sliding.html"
    page.write_text(render_page(next(one for one in PAGES if one.prompt.slug == "sliding")), "utf-8")
    reader: Reader = new_reader().open(f"{page.as_uri()}#layer=0&head=2&query=6")
    for view in ("head", "layer_tiles", "text"):
        svg = make(reader, view)
        assert "Hatched: outside the layer's window. Weights say" in plain(texts_of(svg)), view
        assert "url(#part-" in svg, view
    assert "window" not in plain(texts_of(make(reader.go("#layer=1&head=2&query=6"), "head")))


def test_dark_page_gives_a_dark_picture(new_reader: Callable[..., Reader], addresses) -> None:
    reader: Reader = new_reader(color_scheme="dark").open(f"{addresses['file']}/cat.html{HASH}")
    picture = Image.open(io.BytesIO(save(reader, "head", "png"))).convert("RGB")
    assert picture.getpixel((2, 2)) == (0x18, 0x1C, 0x21)


def test_menu_copies_html_that_embeds_the_view(new_reader: Callable[..., Reader], addresses) -> None:
    reader: Reader = new_reader(permissions=["clipboard-read", "clipboard-write"])
    reader.open(f"{addresses['http']}/cat.html{HASH}")
    reader.page.locator(".card:has(#figure-head) button.save").click()
    reader.page.locator("#save [data-format=embed]").click()
    reader.page.locator("#save [role=status]", has_text="Copied").wait_for()
    copied = reader.page.evaluate("() => navigator.clipboard.readText()")
    assert copied.startswith(f'<iframe src="{addresses["http"]}/cat.html?embed=head{HASH.replace("&", "&amp;")}"')
    assert 'title="Attention of L1 H1"' in copied


def export(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, as a user does."""
    command = [sys.executable, "-m", "reportgen", "export", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.mark.parametrize(
    ("view", "picture_format"), [("head", "svg"), ("head", "png"), ("text", "svg"), ("grid", "png")]
)
def test_command_gives_the_bytes_that_the_page_saves(
    reader: Reader, folder: Path, tmp_path: Path, view: str, picture_format: str
) -> None:
    file = tmp_path / f"picture.{picture_format}"
    chosen = ("--view", view, "--layer", "1", "--head", "1", "--step", "1", "--output", str(file))
    done = export(folder, "cat.html#pin=2.3", *chosen)
    reason = why_no_sandbox()
    note = f"note: the browser ran without its sandbox: {reason}\n" if reason else ""
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file}\n", note)
    assert file.read_bytes() == save(reader, view, picture_format)


def test_command_takes_an_address_as_the_browser_shows_it(reader: Reader, folder: Path, tmp_path: Path) -> None:
    address = f"{(folder / 'cat.html').as_uri()}#layer=2&head=0&query=3&scale=linear&first=out"
    done = export(tmp_path, address, "--format", "svg", "--layer", "0")
    assert (done.returncode, done.stdout) == (0, "cat-head.svg\n")
    reader.go("#layer=0&head=0&query=3&scale=linear&first=out")
    assert (tmp_path / "cat-head.svg").read_bytes() == save(reader, "head", "svg")


def test_pdf_is_one_page_with_text(folder: Path, tmp_path: Path) -> None:
    done = export(folder, "cat.html", "--layer", "1", "--head", "1", "--output", str(tmp_path / "head.pdf"))
    assert done.returncode == 0, done.stderr
    (page,) = PdfReader(tmp_path / "head.pdf").pages
    text = page.extract_text()
    assert "A cat and a mat" in text
    assert "Attention of L1 H1" in text
    assert "key: the token attended to" in text


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (("missing.html",), {}, "missing.html: no such file; name a page that reportgen build wrote"),
        (("index.html",), {}, "index.html: not the page of a prompt; name one"),
        (("cat.html", "--view", "nose"), {}, "cat.html: no view 'nose'; it has text, overview, head"),
        (("cat.html", "--view", "pinned"), {}, "cat.html: no head is pinned; name one after the page"),
        (("plain.html", "--view", "lens"), {}, "plain.html: no view 'lens'; it has text"),
        (("cat.html", "--layer", "9"), {}, "cat.html: no layer 9; it has 0, 1, 2"),
        (("cat.html", "--head", "9"), {}, "cat.html: no head 9; it has 0, 1, 2, 3"),
        (("cat.html", "--query", "8"), {}, "cat.html: no query 8; it has 0 to 7"),
        (("plain.html", "--step", "0"), {}, "plain.html: no step 0; nothing was generated"),
        (("cat.html", "--browser", "no-such"), {}, "--browser: there is no program 'no-such'; name a Chromium"),
        (("cat.html",), {"CHROMIUM": "no-such"}, "CHROMIUM: there is no program 'no-such'; name a Chromium"),
        (("cat.html",), {"CHROMIUM": "", "PATH": ""}, "no browser: none of chromium, chromium-browser"),
        (("cat.html", "--browser", sys.executable), {}, "cannot be started as Chromium"),
        (("cat.html", "--output", "missing/a.png"), {}, "missing/a.png: cannot be written: No such file"),
    ],
)  # fmt: skip
def test_command_says_what_is_wrong(folder: Path, arguments, environment, message: str) -> None:
    done = export(folder, *arguments, **environment)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"error: {message}" in done.stderr or message in done.stderr
    assert "Traceback" not in done.stderr


def test_command_does_not_open_a_page_of_another_program(tmp_path: Path) -> None:
    """No browser is started: there is none."""
    (tmp_path / "other.html").write_text('<!doctype html><script id="card">{}</script>', "utf-8")
    done = export(tmp_path, "other.html", CHROMIUM="no-such")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: other.html: was not written by reportgen, so it is not opened; name a page")


def test_command_says_that_comparisons_cannot_be_exported(tmp_path: Path) -> None:
    pair = [make_capture(slug=slug) for slug in ("cat", "dog")]
    comparison = Comparison(("cat", "dog"), title="both", slug="both")
    (tmp_path / "both.html").write_text(render_comparison(comparison, *pair), "utf-8")
    done = export(tmp_path, "both.html")
    assert (done.returncode, done.stdout) == (1, "")
    assert "both.html: is a comparison, which cannot be exported; name the page of one of its prompts" in done.stderr


def test_command_refuses_a_query_and_a_step(folder: Path) -> None:
    done = export(folder, "cat.html", "--query", "1", "--step", "1")
    assert done.returncode == 2
    assert "--query and --step exclude each other" in done.stderr


def test_command_says_what_to_install(folder: Path, tmp_path: Path) -> None:
    """A package of that name without the module is as good as none."""
    (tmp_path / "playwright").mkdir()
    (tmp_path / "playwright" / "__init__.py").touch()
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    done = export(folder, "cat.html", PYTHONPATH=path)
    assert done.returncode == 1
    assert "pip install 'attention-reportgen[export]'" in done.stderr


def test_module_had_no_problem(cat: Reader) -> None:
    assert cat.problems == []
