"""A story in the browser: steps are views, stills have the colours of the page's figures, and a view becomes a step."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from browser.reader import Reader
from browser.test_everyone import AXE, VIOLATIONS
from counts import sample
from PIL import Image
from samples import make_capture, make_random, with_foil

from reportgen.pages.figure_stills import draw_figure
from reportgen.pages.page import render_page
from reportgen.pages.page_data import PageData, read_parts, restore
from reportgen.pages.views import open_view, select_view
from reportgen.prompts.prompt_file import load_prompts
from reportgen.records.address import KEYS, parse_address
from reportgen.records.story import _UNDRAWN, FIGURES, StoryStep

STORY = (
    StoryStep("head", "One head reads *the token before*.", "layer=0&head=1&step=1"),
    StoryStep("heads", "Every head of `layer 2`.", "layer=2&head=3&step=0&scale=linear"),
    StoryStep("effect", "What each adds, see [step 1](#story=1).", "layer=1&head=0&step=2"),
)
CAPTURES = {
    "story": with_foil(make_capture(slug="story", story=STORY)),
    "random": replace(make_random(6, 3), prompt=make_capture(slug="random").prompt),
}
SVG = "{http://www.w3.org/2000/svg}"
VIEWS = (
    "", "layer=2&head=1&step=1", "layer=1&head=2&step=1&query=3&key=1", "step=2&tokens=1-5&scale=log&marks=on",
    "step=1&first=out&all=steps,heads,layers&contrast=attribution-mean", "step=0&first=renormalised&by=weight",
    "step=1&by=induction&measure=attribution-mean&scale=linear",
)  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stories")
    paths = {name: folder / f"{name}.html" for name in CAPTURES}
    for name, path in paths.items():
        path.write_text(render_page(CAPTURES[name]), "utf-8")
    return paths


@pytest.fixture(scope="module")
def told(new_reader: Callable[..., Reader], pages: dict[str, Path]) -> Reader:
    return new_reader(permissions=["clipboard-read", "clipboard-write"]).open(pages["story"].as_uri())


def data_of(path: Path) -> PageData:
    return restore(read_parts(path.read_text("utf-8")))


@pytest.mark.parametrize("view", VIEWS)
def test_address_selects_the_same_in_both_languages(told: Reader, pages: dict[str, Path], view: str) -> None:
    data = data_of(pages["story"])
    chosen = select_view(open_view(data.capture, data.opening), data.capture, parse_address(view))
    state = told.page.evaluate("(hash) => reportgen.state.parse(hash, __studio.bounds)", view)
    names = {"layer": "layer", "head": "head", "step": "step", "queryPos": "query_pos", "keyPos": "key_pos"}
    names |= {name: name for name in ("scale", "marks", "contrast", "measure", "by")}
    assert {name: state[name] for name in names} == {name: getattr(chosen, names[name]) for name in names}
    assert (state["range"], state["all"]) == (chosen.span and [*chosen.span], [*chosen.all])
    assert told.page.evaluate(
        "(hash) => reportgen.state.firstOf(reportgen.state.parse(hash, __studio.bounds))", view
    ) == (chosen.first)


def test_page_and_prompt_file_have_the_same_keys_of_an_address(told: Reader) -> None:
    given = {
        "layer": "1", "head": "2", "step": "1", "query": "3", "key": "1", "first": "out", "words": "on", "lines": "on",
        "marks": "on", "tokens": "1-5", "pin": "2.3", "over": "max:all:0-1", "all": "steps,heads", "scale": "log",
        "by": "weight", "show": "weighted", "contrast": "attribution", "measure": "attribution", "shading": "weight",
        "layout": "patterns",
    }  # fmt: skip
    write = "(hash) => reportgen.state.format(reportgen.state.parse(hash, __studio.bounds), __studio.bounds)"
    written = told.page.evaluate(write, urlencode(given))
    assert set(given) == set(KEYS)
    assert parse_address(written) == given


def test_page_and_prompt_file_agree_on_what_a_still_shows(told: Reader) -> None:
    undrawn = told.page.evaluate("() => reportgen.story.UNDRAWN")
    assert [*undrawn] == [*FIGURES]
    assert {figure: keys for figure, keys in undrawn.items() if keys} == {
        figure: {key: [*words] for key, words in keys.items()} for figure, keys in _UNDRAWN.items()
    }


def pixels_of(href: str) -> list[list[tuple[int, ...]]]:
    """Return the colours of a picture, row by row; one without a colour is empty."""
    cells = np.asarray(Image.open(io.BytesIO(base64.b64decode(href.partition(",")[2]))).convert("RGBA")).tolist()
    return [[tuple(pixel[:3]) if pixel[3] else () for pixel in row] for row in cells]


@pytest.mark.parametrize(("name", "view"), sample([(name, view) for view in VIEWS for name in ("random", "story")], 2))
def test_stills_have_the_cells_and_labels_that_the_page_saves(
    new_reader: Callable[..., Reader], pages: dict[str, Path], name: str, view: str
) -> None:
    reader = new_reader().open(f"{pages[name].as_uri()}#{view}")
    data = data_of(pages[name])
    for figure in FIGURES:
        still = draw_figure(data, figure, parse_address(view))
        saved = reader.page.evaluate("async (figure) => (await __studio.make(figure, 'svg')).text()", figure)
        pictures = [one.attrib["href"] for one in ElementTree.fromstring(saved).iter(f"{SVG}image")]
        cells = [[*zip(*rows, strict=True)] for rows in map(pixels_of, pictures[:-1])]  # by columns
        if figure == "effect" and len(cells) == 2:  # the column of MLPs stands behind an empty one
            cells.insert(1, [((),) * still.still.rows])
        drawn = [*zip(*pixels_of(still.still.light), strict=True)]
        assert drawn == [column for part in cells for column in part], figure
        said = [text.text for text in still.texts]
        for side in ("rows", "columns"):
            assert all(any(text.startswith(label) for text in said) for label in reader.ask("labels", figure, side))
    assert reader.problems == []


def test_next_and_previous_set_the_view_and_are_addresses(told: Reader) -> None:
    told.go("#layer=0&head=0")
    assert told.page.locator("#story-at").inner_text() == "1 of 3"
    told.page.locator("#story-on").click()
    told.settle()
    assert told.page.evaluate("location.hash") == "#story=2"
    assert told.page.locator("#head-name").inner_text() == "L2 H3 ▾"
    assert told.page.locator("#scale").input_value() == "linear"
    shown = told.page.locator("#story li .drawn")
    assert [one.is_visible() for one in shown.all()] == [False, True, False]
    told.page.locator("#story-on").click()
    told.page.locator("#story-on").click(force=True)  # there is no further one
    assert told.settle().page.evaluate("location.hash") == "#story=3"
    told.page.locator("#story-back").click()
    told.settle()
    told.page.go_back()
    told.settle()
    assert told.page.evaluate("location.hash") == "#story=3"
    told.page.locator("#story figcaption a[href='#story=1']").first.click()
    told.settle()
    assert told.page.locator("#head-name").inner_text() == "L0 H1 ▾"
    told.press("l")
    assert told.address()["head"] == "2"
    assert told.problems == []


def test_address_of_a_step_opens_its_view(new_reader: Callable[..., Reader], pages: dict[str, Path]) -> None:
    reader = new_reader().open(f"{pages['story'].as_uri()}#story=3")
    assert reader.page.locator("#head-name").inner_text() == "L1 H0 ▾"
    assert reader.page.locator("#story-at").inner_text() == "3 of 3"
    beyond = new_reader().open(f"{pages['story'].as_uri()}#story=9")
    assert beyond.page.locator("#story-at").inner_text() == "3 of 3"
    assert reader.problems == beyond.problems == []


@pytest.mark.parametrize(
    ("hash_", "figure", "status"),
    [
        ("layer=2&head=1&step=1&first=out&marks=on", "head", "Copied."),
        ("layer=1&head=3&step=0&words=on&layout=patterns&tokens=1-4", "heads", "Copied. Without layout=patterns"),
        ("layer=1&head=0&step=2&measure=ablation", "effect", "Copied."),
    ],
)
def test_view_is_copied_as_a_step_that_shows_it_again(
    told: Reader, tmp_path: Path, hash_: str, figure: str, status: str
) -> None:
    """Copied, pasted into a prompt file, read, and opened again."""
    before = told.go(f"#{hash_}").address()
    told.page.locator("[popovertarget=save]").click()
    menu = told.page.locator("#save")
    menu.locator("select").select_option(figure)
    menu.locator("[data-format=step]").click()
    menu.locator("[role=status]", has_text=status).wait_for()
    copied = told.page.evaluate("() => navigator.clipboard.readText()")
    told.press("Escape")
    file = tmp_path / "p.yaml"
    story = "".join(f"    {line}\n" for line in copied.splitlines())
    file.write_text(f'- text: "The cat"\n  evidence: [ablation]\n  foils: [" dog"]\n  story:\n{story}', "utf-8")
    (prompt,) = load_prompts(file)
    (step,) = prompt.story
    assert (step.figure, step.text) == (figure, yaml.safe_load(copied)[0]["text"])
    assert step.text
    after = told.go(f"#{step.view}").address()
    left = {"words", "layout"} if "Without" in status else set()
    assert after == {key: value for key, value in before.items() if key not in left}


def test_figure_without_a_still_cannot_be_copied_as_a_step(told: Reader) -> None:
    told.go("#layer=1&head=1&step=1").page.locator("[popovertarget=save]").click()
    menu = told.page.locator("#save")
    menu.locator("select").select_option("lens")
    menu.locator("[data-format=step]").click()
    menu.locator("[role=status]", has_text="Not saved: a story shows head, heads, layers").wait_for()
    told.press("Escape")


def test_without_scripts_and_on_paper_all_is_there(new_reader: Callable[..., Reader], pages: dict[str, Path]) -> None:
    plain = new_reader(java_script_enabled=False).page
    plain.goto(pages["story"].as_uri())
    assert [one.is_visible() for one in plain.locator("#story li .drawn").all()] == [True] * 3
    assert not plain.locator("#story-on").is_visible()
    reader = new_reader().open(pages["story"].as_uri())
    reader.page.emulate_media(media="print")
    assert [one.is_visible() for one in reader.page.locator("#story li .drawn").all()] == [True] * 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_a_story(new_reader: Callable[..., Reader], pages: dict[str, Path], scheme: str) -> None:
    reader = new_reader(bypass_csp=True, color_scheme=scheme).open(f"{pages['story'].as_uri()}#story=2")
    reader.page.add_script_tag(path=AXE)
    assert reader.page.evaluate(VIOLATIONS) == []
    visible = reader.page.locator("#story li.current image:visible")
    assert [one.get_attribute("class") for one in visible.all()] == [f"of-{scheme}"] * 2


def test_png_is_the_svg_in_two_pixels_for_one(pages: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    command = [sys.executable, "-m", "reportgen", "export", str(pages["story"]), "--story", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    data = data_of(pages["story"])
    for number, step in enumerate(STORY, 1):
        still = draw_figure(data, step.figure, parse_address(step.view))
        with Image.open(folder / f"step-{number}.png") as picture:
            assert picture.size == (2 * still.width, 2 * still.height)
            x, y = (round(2 * value + 4) for value in (still.place.x, still.place.y))
            cells = Image.open(io.BytesIO(base64.b64decode(still.still.light.partition(",")[2]))).convert("RGB")
            assert picture.convert("RGB").getpixel((x + 4, y + 4)) == cells.getpixel((0, 0)) or step.figure == "effect"
    latex = (folder / "story.tex").read_text("utf-8")
    assert latex.count(r"\includegraphics[width=\linewidth,alt={") == 3
    assert "{step-3.png}" in latex
