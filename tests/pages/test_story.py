"""Stories on a page and as files: stills without a browser, and what they have in common with what is exported."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from html_tree import parse_html
from PIL import Image
from samples import HOSTILE, make_capture, make_noisy, make_random, with_attribution, with_foil, withhold

from reportgen.captures.record import Capture
from reportgen.cli import main as cli
from reportgen.pages.captions import caption_to_html, caption_to_latex, caption_to_markdown
from reportgen.pages.figure_stills import draw_figure, write_svg
from reportgen.pages.options import PageOptions
from reportgen.pages.page import draw_page, render_page
from reportgen.pages.page_data import PageData, read_parts, restore
from reportgen.pages.palettes import DIVERGING, PALETTES
from reportgen.pages.precision import Precision, quantize
from reportgen.records import SourceLocation
from reportgen.records.address import parse_address
from reportgen.records.errors import PromptError
from reportgen.records.story import FIGURES, StoryStep

SVG = "{http://www.w3.org/2000/svg}"
VIEWS = (
    "", "layer=1&head=2&step=1", "query=3&key=2", "layer=2&head=1&step=2&tokens=1-5&scale=linear&marks=on",
    "step=1&first=out&scale=log&all=steps%2Cheads%2Clayers%2Ccolumns", "step=1&first=renormalised&by=weight",
    "step=0&contrast=attribution-mean&measure=ablation&by=induction",
)  # fmt: skip


def with_story(made: Capture, *steps: StoryStep) -> Capture:
    return replace(made, prompt=replace(made.prompt, story=steps, evidence=("ablation",)))


def tell(view: str = "", figure: str = "head", text: str = "A *caption*.") -> StoryStep:
    return StoryStep(figure, text, view)


EVERY = tuple(tell(view, figure) for view in VIEWS for figure in FIGURES)
"""Every figure of every view."""


def read(made: Capture, options: PageOptions = PageOptions()) -> PageData:
    return restore(read_parts(draw_page(made, options).html))


def cells_of(svg: ElementTree.Element | str) -> list[str]:
    """Return the pictures of an SVG as they are there, cells first."""
    root = ElementTree.fromstring(svg) if isinstance(svg, str) else svg
    return [one.attrib["href"] for one in root.iter(f"{SVG}image") if one.get("class") != "of-dark"]


def texts_of(svg: ElementTree.Element) -> list[tuple[str, str, str]]:
    """Return the texts of an SVG, each with its place."""
    return [
        ("".join(one.itertext()), one.get("transform") or f"{one.get('x')} {one.get('y')}", one.get("font-weight", ""))
        for one in svg.iter(f"{SVG}text")
    ]


def colours_of(href: str) -> np.ndarray:
    """Return the colours of a picture, ``[row, column, 4]``."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(href.partition(",")[2]))).convert("RGBA"))


def inline_of(html: str) -> list[ElementTree.Element]:
    """Return the stills of a page."""
    found = re.findall(r'<svg class="drawn".*?</svg>', html, re.DOTALL)
    return [
        ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)) for svg in found
    ]


@pytest.mark.parametrize(
    "made", [make_capture(), with_foil(make_capture()), make_random()], ids=["plain", "foil", "random"]
)
@pytest.mark.parametrize("options", [PageOptions(), PageOptions(precision=16)], ids=["8 bits", "16 bits"])
def test_stills_of_a_page_are_what_is_exported_of_it(made: Capture, options: PageOptions) -> None:
    """Cells, texts and their places: one is drawn from what is written, the other from what is read."""
    html = draw_page(with_story(made, *EVERY), options).html
    stills, data = inline_of(html), restore(read_parts(html))
    assert len(stills) == len(EVERY) > 40
    assert tuple(data.story) == EVERY
    for step, still in zip(EVERY, stills, strict=True):
        svg = ElementTree.fromstring(write_svg(draw_figure(data, step.figure, parse_address(step.view))))
        assert cells_of(svg) == cells_of(still), step
        assert texts_of(svg) == texts_of(still), step


def test_cells_are_the_numbers_of_the_capture() -> None:
    made = make_random()
    data, view = read(made), {"layer": "7", "head": "2", "step": "3"}
    blues = np.array([[*bytes.fromhex(color[1:])] for color in PALETTES["blues"]])
    (cells, _) = cells_of(write_svg(draw_figure(data, "head", view)).decode())
    pixels, pattern = colours_of(cells), made.attention[7, 2]
    expected = blues[np.rint(255 * np.sqrt(pattern)).astype(int)]
    is_seen = np.tri(made.num_tokens, dtype=bool)
    assert (pixels[is_seen][:, :3] == expected[is_seen]).all()
    assert (pixels[~is_seen][:, 3] == 0).all()

    (cells, _) = cells_of(write_svg(draw_figure(data, "heads", view)).decode())
    query_pos = made.query_pos_of_step(3)
    row = made.attention[7, :, query_pos, : query_pos + 1]
    assert (colours_of(cells)[..., :3] == blues[np.rint(255 * np.sqrt(row)).astype(int)]).all()

    attribution = made.evidence.attribution
    assert attribution
    effects = np.column_stack([attribution.heads[0, 3], attribution.other_parts[0, 3]])[::-1]
    (cells, _) = cells_of(write_svg(draw_figure(data, "effect", view)).decode())
    drawn = np.delete(colours_of(cells), 3, axis=1)
    shares = effects / np.abs(effects).max()
    ramp = np.array([[*bytes.fromhex(color[1:])] for color in DIVERGING["light"]])
    # Effects have 16 bits on a page: one in some hundred cells is at the border of two colours.
    near = [ramp[np.clip(np.rint(127 * (shares + nudge) + 127), 0, 254).astype(int)] for nudge in (-1e-4, 0, 1e-4)]
    assert np.any([(drawn[..., :3] == one).all(-1) for one in near], axis=0).all()


def test_page_holds_what_its_capture_has() -> None:
    made = with_foil(make_capture())
    capture = read(made).capture
    attribution, own = capture.evidence.attribution, made.evidence.attribution
    assert attribution
    assert own
    assert (capture.triangles == quantize(made.triangles, Precision())).all()
    assert attribution.heads == pytest.approx(own.heads, abs=1e-4, nan_ok=True)
    assert (attribution.read == own.read).all()
    assert attribution.withheld == own.withheld
    assert [foil.step for foil in capture.measured_foils] == [0]
    noisy = make_noisy(40)
    fine = read(noisy, PageOptions(precision=16)).capture
    assert fine.attention[...] == pytest.approx(noisy.attention[...], abs=1e-3)


def test_page_without_scripts_has_every_caption_and_still() -> None:
    made = with_story(make_capture(), tell("step=1", text="One *head* `x` [there](#story=2) <b>"), tell(figure="read"))
    page = parse_html(render_page(made))
    (section,) = page.find("section", id="story")
    first, second = section.find("li")
    assert first.find("figcaption")[0].text.startswith("One head x there <b>")
    assert [link.attributes["href"] for link in first.find("a")] == ["#story=2", "#story=1"]
    assert first.find("em")[0].text == "head"
    assert not first.find("b")
    assert [item.attributes["data-view"] for item in (first, second)] == ["step=1", ""]
    for item in (first, second):
        (svg,) = item.find("svg")
        assert svg.attributes["role"] == "img"
        assert "token read" in svg.attributes["aria-label"]
        assert len(svg.find("image")) == 4
    assert not parse_html(render_page(make_capture())).find("section", id="story")


def test_same_page_has_the_same_bytes_and_stills_are_small() -> None:
    texts = tuple(f" token{position}" for position in range(18))
    made = with_story(make_capture(texts, (" a", " b")), tell("layer=0&head=3"), tell(figure="read"))
    html = render_page(made)
    assert html == render_page(made)
    assert max(len(part) for part in re.findall(r'<svg class="drawn".*?</svg>', html, re.DOTALL)) < 10_000
    data = read(made)
    assert write_svg(draw_figure(data, "head", {})) == write_svg(draw_figure(data, "head", {}))
    assert len(write_svg(draw_figure(data, "head", {}))) < 10_000


@pytest.mark.parametrize(
    ("made", "step", "says"),
    [
        (make_capture(), tell("layer=9"), "no layer 9; it has 0, 1, 2"),
        (make_capture(), tell("head=9"), "no head 9; it has 0, 1, 2, 3"),
        (make_capture(), tell("step=1&query=8"), "no query 8; it has 0 to 7"),
        (make_capture(), tell("query=2&key=3"), "no key 3 at the position 2, which reads what is before it"),
        (make_capture(), tell("tokens=9-12"), "no range of tokens 9-12; write two positions from 0 to 7"),
        (make_capture(), tell("contrast=runner-up-7", "map"), "no contrast runner-up-7; it has attribution, attr"),
        (make_capture(generated=()), tell(figure="effect"), "no figure 'effect': no tokens were generated"),
        (make_capture(generated=(".",)), tell(figure="read"), "no figure 'read': only one token was written"),
        (withhold(make_capture(), 1), tell("step=1", "effect"), "no figure 'effect': x"),
    ],
)
def test_what_a_page_lacks_is_told_with_the_line_of_the_step(made: Capture, step: StoryStep, says: str) -> None:
    place = SourceLocation("p.yaml", 1, {"story[2]": 7})
    told = with_story(made, tell(), step)
    with pytest.raises(PromptError) as caught:
        render_page(replace(told, prompt=replace(told.prompt, place=place)))
    assert str(caught.value).startswith(f"p.yaml:7: story[2] has {says}")


def test_hostile_tokens_are_text_in_a_still() -> None:
    made = make_capture(tuple(HOSTILE), ("x", "a\x01b"), title=HOSTILE[0])
    html = render_page(with_story(made, *(tell(figure=figure) for figure in FIGURES)))
    data = restore(read_parts(html))
    for still, figure in zip(inline_of(html), FIGURES, strict=True):
        tags = {element.tag.removeprefix(SVG) for element in still.iter()}
        assert tags <= {"svg", "text", "image", "rect", "path", "circle", "defs", "pattern"}
        written = ElementTree.fromstring(write_svg(draw_figure(data, figure, {})))
        assert {element.tag.removeprefix(SVG) for element in written.iter()} <= {*tags, "title", "desc"}
    assert "</script><script>" not in html.partition('id="story"')[2].partition("</section>")[0]


def test_captions_become_what_an_article_takes() -> None:
    text = "50 % of *it* & **more** `a_b` [x](https://a.b/c?d=1&e=%20#f) <b> [v](#story=2) “␣Paris”"
    page = "../x.html".__add__
    assert caption_to_html(text) == (
        "50 % of <em>it</em> &amp; <strong>more</strong> <code>a_b</code> "
        '<a href="https://a.b/c?d=1&amp;e=%20#f" rel="noopener">x</a> &lt;b&gt; <a href="#story=2" '
        'rel="noopener">v</a> “␣Paris”'
    )
    assert caption_to_markdown(text, page) == (
        "50 % of *it* \\& **more** `a_b` [x](<../x.htmlhttps://a.b/c?d=1&e=%20#f>) \\<b\\> "
        "[v](<../x.html#story=2>) “␣Paris”"
    )
    assert caption_to_latex(text) == (
        r"50 \% of \emph{it} \& \textbf{more} \texttt{a\_b} \href{https://a.b/c?d=1&e=\%20\#f}{x} <b> "
        r"\href{\#story=2}{v} ``\textvisiblespace{}Paris''"
    )
    assert caption_to_markdown("`` a`b ``") == "`` a`b ``"


def test_story_is_exported_without_a_browser_as_svg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "no-such")
    page = tmp_path / "cat.html"
    page.write_text(render_page(with_story(make_capture(), tell("step=1"), tell("step=0", "effect"))), "utf-8")
    folder = tmp_path / "out"
    done = CliRunner().invoke(cli.main, ["export", str(page), "--story", str(folder), "--format", "svg"])
    assert done.exit_code == 0, done.output
    assert {path.name for path in folder.iterdir()} == {"story.md", "story.tex", "step-1.svg", "step-2.svg"}
    markdown, latex = ((folder / name).read_text("utf-8") for name in ("story.md", "story.tex"))
    assert "](step-1.svg)" in markdown
    assert "**Figure 2.** A *caption*. [Every head and MLP](<../cat.html#story=2>)" in markdown
    assert r"\includesvg[width=\linewidth]{step-2}" in latex
    for number, address in enumerate(("#step=1", "#story=2"), 1):
        one = tmp_path / "one.svg"
        made = CliRunner().invoke(cli.main, ["export", f"{page}{address}", "-o", str(one)])
        assert made.exit_code == 0, made.output
        assert one.read_bytes() == (folder / f"step-{number}.svg").read_bytes()
    refused = CliRunner().invoke(cli.main, ["export", str(page), "--story", str(tmp_path / "png")])
    assert refused.exit_code == 1
    assert "no program 'no-such'" in refused.stderr
    assert "or add --format svg, which needs no browser" in refused.stderr
    assert not (tmp_path / "png").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--story", "out"), 1, "has no story; write one under 'story'"),
        (("--story", "out", "--layer", "1"), 2, "--story writes all steps"),
        (("#story=2",), 1, "no step 2 of the story; the page has no story"),
        (("#laier=2", "--format", "svg"), 1, "has the key 'laier'; did you mean 'layer'?"),
    ],
)
def test_export_says_what_is_wrong(tmp_path: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    page = tmp_path / "cat.html"
    page.write_text(render_page(make_capture()), "utf-8")
    fragment = arguments[0] if arguments[0].startswith("#") else ""
    done = CliRunner().invoke(cli.main, ["export", f"{page}{fragment}", *arguments[bool(fragment) :]])
    assert (done.exit_code, says in done.stderr) == (code, True), done.stderr


def test_links_lead_to_where_the_page_is_published(tmp_path: Path) -> None:
    page = tmp_path / "cat.html"
    page.write_text(
        draw_page(with_story(make_capture(), tell(text="[x](#step=1)")), PageOptions(site_url="https://a.b/c/")).html,
        "utf-8",
    )
    done = CliRunner().invoke(cli.main, ["export", str(page), "--story", str(tmp_path / "out"), "--format", "svg"])
    assert done.exit_code == 0, done.stderr
    markdown = (tmp_path / "out" / "story.md").read_text("utf-8")
    assert "(<https://a.b/c/cat.html#story=1>)" in markdown
    assert "[x](<https://a.b/c/cat.html#step=1>)" in markdown


def test_weak_weights_that_were_left_out_are_not_divided_by() -> None:
    made = with_attribution(make_noisy(), note="")
    data = restore(read_parts(render_page(made, precision=Precision(threshold=9))))
    assert not data.has_all_weights
    with pytest.raises(ValueError, match="the page leaves weak weights out"):
        draw_figure(data, "head", {"first": "renormalised"})
    assert draw_figure(data, "head", {"first": "out"}).figure == "head"
