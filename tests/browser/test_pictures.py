"""Every view can be taken away as a picture that says what it is, from the page and from the command line."""

from __future__ import annotations

import base64
import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from browser.captures import CAPTURES
from browser.reader import Reader
from counts import sample
from PIL import Image
from playwright.sync_api import Locator
from pypdf import PdfReader
from samples import HOSTILE, make_capture

from reportgen.evidence.opening import find_opening
from reportgen.pages.compare import render_comparison
from reportgen.pages.page import render_page
from reportgen.pages.palettes import PALETTES
from reportgen.pages.screenshot import why_no_sandbox
from reportgen.records import Comparison

HASH = "#layer=1&head=1&step=1&pin=2.3"
OF_EFFECTS = ("read", "effect", "lens", "map")
FIGURES = ("read", "heads", "layers", "head", "pinned", "difference", "effect", "map", "lens", "rollout", "aggregate",
           "entropy")  # fmt: skip
VIEWS = ("text", *FIGURES)
HONEST = "Weights say where a head reads, not how much it matters."
TAGS = {"svg", "title", "rect", "text", "g", "path", "image", "circle", "pattern"}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def reader(cat: Reader) -> Reader:
    cat.press("Escape")
    return cat.go(HASH)


def choose(reader: Reader, view: str) -> Locator:
    """Open the menu and choose a figure; return the menu."""
    menu = reader.page.locator("#save")
    if not menu.is_visible():
        reader.page.locator("[popovertarget=save]").click()
    menu.locator("select").select_option(view)
    return menu


def save(reader: Reader, view: str, picture_format: str) -> bytes:
    """Save a figure through the menu and return the file."""
    menu = choose(reader, view)
    with reader.page.expect_download() as download:
        menu.locator(f"[data-format={picture_format}]").click()
    menu.locator("[role=status]", has_text="Saved.").wait_for()
    state = reader.address()
    place = f"position-{state['query']}" if "query" in state else f"token-{int(state['step']) + 1}"
    name = f"{reader.page.evaluate('() => JSON.parse(card.textContent).slug')}-{view}"
    assert download.value.suggested_filename == f"{name}-L{state['layer']}-H{state['head']}-{place}.{picture_format}"
    reader.press("Escape")
    return download.value.path().read_bytes()


def make(reader: Reader, view: str) -> str:
    """Return the SVG that the page makes of a figure."""
    return reader.page.evaluate("async (view) => (await __studio.make(view, 'svg')).text()", view)


def caption_of(reader: Reader, view: str) -> str:
    return reader.page.evaluate("(view) => __studio.captionOf(view)", view)


def texts_of(svg: str | bytes) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


def plain(texts: list[str]) -> str:
    """Return texts as one, without the marks that keep the direction of a token to itself."""
    return " ".join(texts).replace("\u2068", "").replace("\u2069", "").replace("\u00a0", " ")


def images_of(svg: str | bytes) -> list[Image.Image]:
    """Return the pictures of cells in an SVG, its legend last."""
    found = [element.attrib["href"] for element in ElementTree.fromstring(svg).iter(f"{SVG}image")]
    return [Image.open(io.BytesIO(base64.b64decode(href.partition(",")[2]))) for href in found]


def read_csv(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))


def test_one_menu_lists_all_figures_that_are_there(reader: Reader) -> None:
    assert sorted(reader.page.evaluate("__studio.views")) == sorted(VIEWS)
    listed = choose(reader, "head").locator("option").evaluate_all("(all) => all.map(({ value }) => value)")
    assert sorted(listed) == sorted(VIEWS)
    titles = dict(zip(listed, reader.page.locator("#save option").all_inner_texts(), strict=True))
    assert titles["head"] == "L1 H1, every position"
    assert titles["heads"] == "Layer 1, every head"
    assert titles["difference"] == "L1 H1 − L2 H3"
    assert titles["lens"].startswith("Logit lens: ")
    assert "" not in titles.values()
    assert reader.page.locator("[popovertarget=save]").count() == 1
    reader.go("#layer=1&head=1&step=1")
    reader.press("Escape")
    without = choose(reader, "head").locator("option").evaluate_all("(all) => all.map(({ value }) => value)")
    assert set(listed) - set(without) == {"pinned", "difference"}


@pytest.mark.parametrize("view", VIEWS)
def test_menu_saves_an_svg_that_says_what_it_is(reader: Reader, view: str) -> None:
    svg = save(reader, view, "svg")
    said = plain(texts_of(svg))
    assert said.startswith("A cat and a mat tiny · ")
    assert "token 2, “␣And” at 6" in said
    assert ("L1 H1" in said) == (view in {"head", "difference"})
    assert ("linear scale" in said) == (view in {"text", "read", "effect", "map", "difference", "entropy"})
    assert (HONEST in said) == (view not in {"text", *OF_EFFECTS})
    assert said.endswith(f"cat.html{HASH}")
    assert reader.problems == []


@pytest.mark.parametrize("view", FIGURES)
def test_svg_has_a_pixel_for_each_cell_labels_and_a_legend(reader: Reader, view: str) -> None:
    svg = make(reader, view)
    *cells, legend = images_of(svg)
    drawn = reader.look_at(view).ask("images", view)
    assert [image.size for image in cells] == [(len(one["rows"][0]), len(one["rows"])) for one in drawn]
    assert legend.size == (64, 1)
    for image, one in zip(cells, drawn, strict=True):
        alpha = np.asarray(image.convert("RGBA"))[:, :, 3]
        assert (alpha > 0).tolist() == [[value is not None for value in row] for row in one["rows"]]
    said = texts_of(svg)
    for side in ("rows", "columns"):
        labels = reader.ask("labels", view, side)
        assert labels
        assert all(any(text.startswith(label) for text in said) for label in labels), side
    assert any(re.match(r"(0|−[\d.e-]+) to [+\d.e-]+( times|$)", text) for text in said)


@pytest.mark.parametrize("view", ["text", "read", "head", "difference", "map"])
def test_png_is_the_svg_with_two_pixels_for_one(reader: Reader, view: str) -> None:
    picture = Image.open(io.BytesIO(save(reader, view, "png")))
    root = ElementTree.fromstring(make(reader, view))
    assert picture.size == (2 * int(root.attrib["width"]), 2 * int(root.attrib["height"]))
    assert picture.format == "PNG"
    assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 20


@pytest.mark.parametrize("view", FIGURES)
def test_csv_has_the_values_of_the_page(reader: Reader, view: str) -> None:
    header, *lines = read_csv(save(reader, view, "csv"))
    assert header[0] == ""
    values = [[None if cell == "" else float(cell) for cell in line[1:]] for line in lines]
    assert {len(line) for line in lines} == {len(header)}
    capture = CAPTURES["cat"]
    attribution, lens = capture.evidence.attribution, capture.evidence.lens
    assert attribution
    assert lens
    assert capture.evidence.rollout is not None
    assert capture.evidence.entropy is not None
    query_pos = capture.query_pos_of_step(1)
    patterns = capture.attention[...]
    effects = attribution.heads[0, 1]
    n = capture.num_tokens
    square = np.full((n, n), np.nan)
    square[np.tril_indices(n)] = capture.evidence.rollout
    entropy = capture.evidence.entropy[1]
    expected = {
        "heads": patterns[1, :, query_pos, : query_pos + 1],
        "layers": patterns[::-1, 1, query_pos, : query_pos + 1],
        "head": patterns[1, 1],
        "pinned": patterns[2, 3],
        "difference": patterns[1, 1] - patterns[2, 3],
        "map": effects,
        "effect": np.hstack([effects, attribution.other_parts[0, 1][:, None]]),
        "lens": lens.logprobs[::-1],
        "rollout": square,
        "aggregate": patterns.mean((0, 1)),
        "entropy": entropy,
    }
    if view == "read":
        rows = [attribution.read[start : start + length] for start, length in ((0, 5), (5, 6), (11, 7))]
        for line, row in zip(values, rows, strict=True):
            assert line[: len(row)] == pytest.approx(row, abs=2e-3)
            assert line[len(row) :] == [None] * (len(line) - len(row))
        return
    shape = expected[view].shape
    assert (len(values), len(values[0])) == shape
    shown = np.array([[np.nan if value is None else value for value in line] for line in values])
    there = ~np.isnan(shown)
    assert there.sum() >= n
    if view in {"head", "pinned", "difference", "rollout", "aggregate"}:
        assert (there == np.tri(n, dtype=bool)).all()
    else:
        assert there.all()
    assert shown[there] == pytest.approx(np.broadcast_to(expected[view], shape)[there], abs=4e-3)


def test_tokens_of_a_csv_survive_a_reader(new_reader: Callable[..., Reader], addresses) -> None:
    reader: Reader = new_reader().open(f"{addresses['file']}/hostile.html#layer=0&head=3&query={len(HOSTILE) - 1}")
    header, *lines = read_csv(save(reader, "head", "csv"))
    shown = [f"{position} {token.shown}" for position, token in enumerate(CAPTURES["hostile"].tokens)]
    assert header[1:] == shown
    assert [line[0] for line in lines] == shown
    assert reader.problems == []


def test_caption_is_copied_and_says_what_the_picture_says(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader(permissions=["clipboard-read", "clipboard-write"])
    reader.open(f"{addresses['http']}/cat.html{HASH}")
    for view in VIEWS:
        menu = choose(reader, view)
        menu.locator("[data-format=caption]").click()
        menu.locator("[role=status]", has_text="Copied.").wait_for()
        copied = reader.page.evaluate("() => navigator.clipboard.readText()")
        words = [word for word in re.split(r"[\s·]+|\. ", copied.replace("\u00a0", " ")) if word]
        drawn = plain(texts_of(make(reader, view)))
        assert all(word in drawn for word in words), view
        assert copied.startswith("A cat and a mat. tiny · ")
        assert copied.endswith(f". reportgen {version('attention-reportgen')} · cat.html{HASH}")
        assert ".." not in copied


def test_where_copying_is_not_allowed_the_menu_says_so(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/cat.html{HASH}")
    reader.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    menu = choose(reader, "head")
    menu.locator("[data-format=caption]").click()
    menu.locator("[role=status]", has_text="The browser does not allow copying here.").wait_for()
    assert reader.problems == []


def test_caption_says_what_colours_show(reader: Reader) -> None:
    reader.go(f"{HASH}&show=weighted&scale=linear&first=out")
    assert (
        "L1 H1, every position · predicting token 2, “␣And” at 6 · weight × value · linear scale · first token left"
        in (caption_of(reader, "head"))
    )
    reader.go(f"{HASH}&by=induction")
    assert "Whole heads: induction · " in caption_of(reader, "map")
    assert "effect" not in caption_of(reader, "map")
    reader.go(HASH)
    assert "effect against the alternatives" in caption_of(reader, "effect")
    assert "effect against the alternatives" in caption_of(reader, "map")
    assert "effect through each token · linear scale" in caption_of(reader, "text")
    reader.go(f"{HASH}&shading=weight&scale=log")
    assert "weight of L1 H1 · logarithmic scale" in caption_of(reader, "text")
    reader.go(f"{HASH}&pin=2.3&scale=log&show=attribution")
    for view in ("head", "pinned", "difference"):
        assert "linear scale" in caption_of(reader, view)
    reader.go("#layer=1&head=1&step=1&query=2")
    assert "reading from “␣ate” at 2" in caption_of(reader, "head")
    assert "weight of L1 H1 · square-root scale" in caption_of(reader, "text")


def test_legend_of_a_picture_ends_at_the_largest_value_on_every_scale(reader: Reader) -> None:
    ends = set()
    for scale in ("sqrt", "linear", "log"):
        reader.go(f"{HASH}&scale={scale}&by=weight")
        for view in ("head", "lens", "map"):
            assert "0 to 1" in texts_of(save(reader, view, "svg"))
        reader.go(f"{HASH}&scale={scale}&by=induction")
        ends |= {said for said in texts_of(save(reader, "map", "svg")) if said.startswith("0 to ")}
    assert len(ends) == 1


def test_picture_of_what_attention_read_names_its_numbers(reader: Reader) -> None:
    said = texts_of(save(reader, "read", "svg"))
    assert "most from · all heads · largest head" in said
    assert "−1 to +1 times the largest of its row" in said
    cells = [line for line in said if line.startswith(("+", "−")) and "to" not in line]
    assert len(cells) >= 6
    assert "reads most · weight · whole head" in texts_of(save(reader, "heads", "svg"))
    reader.go("#layer=1&head=1&query=2")
    assert "reads most · weight" in texts_of(save(reader, "heads", "svg"))


def test_what_lies_ahead_is_hatched_as_on_the_page(reader: Reader) -> None:
    picture = Image.open(io.BytesIO(save(reader, "read", "png"))).convert("RGB")
    hatch = [
        int(level) for level in re.findall(r"\d+", reader.page.evaluate("() => reportgen.theme.readColors().hatch"))
    ]
    found = np.argwhere((np.asarray(picture) == hatch).all(-1))
    svg = ElementTree.fromstring(make(reader, "read"))
    (ground,) = [rect for rect in svg.iter(f"{SVG}rect") if rect.attrib.get("fill", "").startswith("url")]
    width, height = (float(ground.attrib[side]) for side in ("width", "height"))
    top, left = found.min(0) // 2
    bottom, right = found.max(0) // 2
    # The first of three tokens sees all but two of seven keys, the last one all.
    assert right - left == pytest.approx(width * 2 / 7, abs=6)
    assert bottom - top == pytest.approx(height * 2 / 3, abs=6)
    assert "hatch" not in make(reader, "effect")


def test_heatmap_keeps_its_cells_and_colours(reader: Reader) -> None:
    """Layer 0's head 1 reads the token before."""
    reader.go("#layer=0&head=1&query=2")
    (cells, _) = images_of(make(reader, "head"))
    strongest = tuple(bytes.fromhex(PALETTES["blues"][255][1:]))
    pixels = np.asarray(cells.convert("RGBA"))
    n = CAPTURES["cat"].num_tokens
    dark = {(row, column) for row, column in np.ndindex(n, n) if tuple(pixels[row, column]) == (*strongest, 255)}
    assert dark == {(row, max(row - 1, 0)) for row in range(n)}
    picture = Image.open(io.BytesIO(save(reader, "head", "png"))).convert("RGB")
    found = {color: count for count, color in picture.getcolors(1 << 24) or []}
    cell = 2 * 320 / n * 2 * 8 * 20 / n  # pixels
    # Numbers stand in the cells.
    assert 6 * cell < found[strongest] < 8.5 * cell


def test_picture_shows_the_range_that_the_page_shows(reader: Reader) -> None:
    whole = texts_of(make(reader, "head"))
    assert whole.count("The") == 2
    reader.go(f"{HASH}&tokens=2-4")
    part = texts_of(make(reader, "head"))
    assert part.count("The") == 0
    assert part.count("␣mat") == 2
    assert part[-1].endswith("&tokens=2-4&pin=2.3")
    assert texts_of(make(reader.go(HASH), "head")) == whole


def test_refusals_say_why(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/cat.html#layer=1&head=1&step=1")
    why = "(view) => __studio.make(view, 'svg').then(() => '', (error) => error.message)"
    for view in ("pinned", "difference"):
        assert reader.page.evaluate(why, view) == "no head is pinned; name one, as pin=3.7"
    reader.page.evaluate("() => { HTMLCanvasElement.prototype.toBlob = function (done) { done(null); }; }")
    menu = choose(reader, "head")
    menu.locator("[data-format=png]").click()
    menu.locator("[role=status]", has_text="Not saved").wait_for()
    said = menu.locator("[role=status]").inner_text()
    assert said == "Not saved: the browser cannot paint a picture of this size; save the SVG."
    assert reader.problems == []


def test_drawing_leaves_nothing_behind(reader: Reader) -> None:
    reader.page.wait_for_timeout(1500)
    for view in VIEWS:
        make(reader, view)
    count = "() => [Bokeh.documents.length, document.body.childElementCount]"
    before = reader.page.evaluate(count)
    for view in VIEWS:
        make(reader, view)
    assert reader.page.evaluate(count) == before


def test_same_selection_gives_the_same_bytes_in_any_window(new_reader: Callable[..., Reader], addresses) -> None:
    wide: Reader = new_reader().open(f"{addresses['file']}/cat.html{HASH}")
    phone: Reader = new_reader(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    phone.open(f"{addresses['file']}/cat.html{HASH}")
    phone.page.evaluate("() => document.getElementById('rail').showPopover()")
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
        assert element.tag.removeprefix(SVG) in TAGS
        assert not [name for name in element.attrib if name.lower().startswith("on")]
        assert element.get("href", "data:image/png;").startswith("data:image/png;")
    assert texts_of(svg)[0] == HOSTILE[0]
    if view == "text":
        drawn = "".join(texts_of(svg)[1:])
        for token in CAPTURES["hostile"].tokens[: len(HOSTILE)]:
            assert token.shown in drawn
    if view in {"text", "head"}:
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


def test_dark_page_gives_a_dark_picture(new_reader: Callable[..., Reader], addresses) -> None:
    reader: Reader = new_reader(color_scheme="dark").open(f"{addresses['file']}/cat.html{HASH}")
    picture = Image.open(io.BytesIO(save(reader, "head", "png"))).convert("RGB")
    assert picture.getpixel((2, 2)) == (0x18, 0x1C, 0x21)


def copy_frame(reader: Reader, view: str) -> str:
    """Return the HTML that the menu copies."""
    menu = choose(reader, view)
    menu.locator("[data-format=embed]").click()
    menu.locator("[role=status]", has_text="Copied.").wait_for()
    return reader.page.evaluate("() => navigator.clipboard.readText()")


def test_menu_copies_html_that_embeds_the_whole_state(new_reader: Callable[..., Reader], addresses) -> None:
    reader: Reader = new_reader(permissions=["clipboard-read", "clipboard-write"])
    page = f"{addresses['http']}/cat.html"
    reader.open(page)
    assert "#" not in reader.page.url
    opening = find_opening(CAPTURES["cat"])
    start = f"#layer={opening.layer}&amp;head={opening.head}&amp;step={opening.step}&amp;key={opening.key_pos}"
    copied = copy_frame(reader, "head")
    assert copied.startswith(f'<iframe src="{page}?embed=head{start}"')
    assert f'title="L{opening.layer} H{opening.head}, every position"' in copied
    reader.go(f"{HASH}&scale=linear")
    parts = ("layer=1", "head=1", "step=1", "pin=2.3", "scale=linear")
    assert all(part in copy_frame(reader, "effect") for part in parts)
    assert reader.problems == []


@pytest.mark.parametrize("slug", ["cat", "long"])
@pytest.mark.parametrize("view", ["read", "heads", "head", "effect", "lens"])
def test_frame_of_a_figure_fits_it(new_reader: Callable[..., Reader], addresses, slug: str, view: str) -> None:
    reader: Reader = new_reader(permissions=["clipboard-read", "clipboard-write"])
    reader.open(f"{addresses['http']}/{slug}.html")
    copied = copy_frame(reader, view)
    reader.page.goto(f"{addresses['http']}/around.html")
    reader.page.set_content(f'<!doctype html><body style="margin: 0; width: 700px">{copied}')
    inner = reader.page.frame_locator("iframe")
    inner.locator("html[data-ready]").wait_for(state="attached")
    inner.locator(f"#figure-{view} canvas").first.wait_for(state="attached")
    frame = reader.page.frames[1]
    frame.evaluate("() => __settled()")
    high, across = frame.evaluate(
        "() => [document.documentElement.scrollHeight - innerHeight, document.documentElement.scrollWidth - innerWidth]"
    )
    assert high <= 0
    assert across <= 0
    assert inner.locator(".source").is_visible()


def export(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, as a user does."""
    command = [sys.executable, "-m", "reportgen", "export", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.mark.parametrize(
    ("view", "picture_format"),
    sample([("pinned", "svg"), ("text", "svg"), ("lens", "png"), ("rollout", "svg")], 2),
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
    address = f"{(folder / 'cat.html').as_uri()}#layer=2&head=0&query=3&scale=linear&first=out&show=weighted"
    done = export(tmp_path, address, "--format", "svg", "--layer", "0")
    assert (done.returncode, done.stdout) == (0, "cat-head.svg\n")
    reader.go("#layer=0&head=0&query=3&scale=linear&first=out&show=weighted")
    assert (tmp_path / "cat-head.svg").read_bytes() == save(reader, "head", "svg")


def test_pdf_is_one_page_with_text(folder: Path, tmp_path: Path) -> None:
    done = export(folder, "cat.html", "--layer", "1", "--head", "1", "--output", str(tmp_path / "head.pdf"))
    assert done.returncode == 0, done.stderr
    (page,) = PdfReader(tmp_path / "head.pdf").pages
    text = page.extract_text()
    assert "L1 H1, every position" in text
    assert "␣mat" in text


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    sample(
    [
        (("missing.html",), {}, "missing.html: no such file; name a page that reportgen build wrote"),
        (("index.html",), {}, "index.html: not the page of a prompt; name one"),
        (("cat.html", "--view", "nose"), {}, "cat.html: no view 'nose'; it has text, map, read, heads"),
        (("cat.html", "--view", "pinned"), {}, "cat.html: no head is pinned; name one after the page"),
        (("plain.html", "--view", "lens"), {}, "plain.html: no view 'lens'; it has text"),
        (("cat.html", "--layer", "9"), {}, "cat.html: no layer 9; it has 0, 1, 2"),
        (("cat.html", "--head", "9"), {}, "cat.html: no head 9; it has 0, 1, 2, 3"),
        (("cat.html", "--query", "8"), {}, "cat.html: no query 8; it has 0 to 7"),
        (("cat.html#key=8",), {}, "cat.html: no key 8; it has 0 to 7"),
        (("plain.html", "--step", "0"), {}, "plain.html: no step 0; nothing was generated"),
        (("cat.html", "--browser", "no-such"), {}, "--browser: there is no program 'no-such'; name a Chromium"),
        (("cat.html",), {"CHROMIUM": "no-such"}, "CHROMIUM: there is no program 'no-such'; name a Chromium"),
        (("cat.html",), {"CHROMIUM": "", "PATH": ""}, "no browser: none of chromium, chromium-browser"),
        (("cat.html", "--browser", sys.executable), {}, "cannot be started as Chromium"),
        (("cat.html", "--output", "missing/a.png"), {}, "missing/a.png: cannot be written: No such file"),
    ], 3),
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
