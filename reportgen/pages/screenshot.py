"""Export a figure of a page as a picture.

Figures that ``pages.figure_stills`` draws need a local Chromium only as PNG or PDF. The page's own script draws the
others there, so they are the pictures that the page itself saves. Playwright controls the browser. It is installed with
the extra ``export`` and imported on first use.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import url2pathname

from reportgen.pages.figure_stills import FigureStill, draw_figure
from reportgen.pages.page_data import PageData, read_parts, restore
from reportgen.pages.story import draw_step
from reportgen.records.address import format_address, parse_address
from reportgen.records.errors import PictureError, install_advice
from reportgen.records.story import FIGURES, explain_undrawn

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FORMATS = ("png", "svg", "pdf")
_NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)  # fmt: skip
_OF_A_PROMPT = "script#block-opening-head"
"""What the page of a prompt has, and a comparison has not."""
_OF_A_PIN = ("pinned", "difference")
"""Figures that exist only if a head is compared with another one."""
_CANONICAL = re.compile(r'<link rel="canonical" href="([^"]*)">')
_NO_PROMPT = "not the page of a prompt; name one that reportgen build wrote, such as results/cat.html"
_IS_COMPARISON = "is a comparison, which cannot be exported; name the page of one of its prompts"
_IS_OLD = "written by another version of reportgen; build it again"
_FLAGS = ("--disable-gpu", "--disable-background-networking", "--no-first-run")
_OTHER = {"query": "step", "step": "query"}
_OPEN_MILLISECONDS = 60_000
_MARK = b'<meta name="generator" content="reportgen '
"""Marker in the first ``_HEAD_BYTES`` bytes of a page that reportgen wrote."""
_HEAD_BYTES = 4096
_DRAW = """async ([view, format]) => {
  const picture = await globalThis.__studio.make(view, format);
  return new Promise((done) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => done(reader.result));
    reader.readAsDataURL(picture);
  });
}"""
_KNOWN = """() => {
  const { views, bounds } = globalThis.__studio;
  const { layers, heads, numTokens, numPromptTokens } = bounds;
  const steps = numTokens - numPromptTokens;
  return { views, layer: layers.map(String), head: heads.map(String), query: numTokens, key: numTokens, step: steps };
}"""


@dataclass(frozen=True)
class View:
    """A view of a page to draw.

    Attributes:
        name: name of the figure, such as ``head`` or ``heads``.
        selection: values that override those in the fragment of the page's URL, by key: ``layer``, ``head``, ``query``,
            ``step``, ``key``, or any other key of that fragment.
        theme: ``light`` or ``dark``.
    """

    name: str = "head"
    selection: Mapping[str, str] = field(default_factory=dict)
    theme: str = "light"


def read_data(path: Path) -> PageData:
    """Return what the figures of a page show.

    Args:
        path: file of the page, as ``find_page`` returns it.

    Raises:
        PictureError: it is not the page of a prompt, or was written by another version.
    """
    html = path.read_text("utf-8")
    if 'id="card"' not in html:
        raise PictureError(f"{path}: {_NO_PROMPT}")
    if 'id="block-opening-head"' not in html:
        raise PictureError(f"{path}: {_IS_COMPARISON}")
    try:
        return restore(read_parts(html))
    except (KeyError, ValueError, TypeError, zlib.error) as error:
        raise PictureError(f"{path}: {_IS_OLD}") from error


def draw_still(data: PageData, path: Path, view: View) -> FigureStill | None:
    """Return a view of a page as a still; ``None`` if only the page's script draws it.

    Args:
        data: what the figures of the page show.
        path: file of the page, for error messages.
        view: view to draw.

    Raises:
        PictureError: the page does not have what the view selects.
    """
    try:
        if view.name not in FIGURES or explain_undrawn(view.name, view.selection):
            return None
        return draw_figure(data, view.name, parse_address(format_address(view.selection)))
    except ValueError as error:
        raise PictureError(f"{path}: {error}") from error


def follow_story(data: PageData, path: Path, fragment: str) -> tuple[str, str]:
    """Return the address of the view that a fragment selects, and the figure that it names.

    ``story=2`` selects the view and the figure of a step of the story; any other fragment is an address itself, and
    names no figure.

    Raises:
        PictureError: the story has no such step.
    """
    key, _, number = fragment.partition("=")
    if key != "story":
        return fragment, ""
    if not number.isdecimal() or not 1 <= int(number) <= len(data.story):
        there = f"it has 1 to {len(data.story)}" if data.story else "the page has no story"
        raise PictureError(f"{path}: no step {number} of the story; {there}")
    step = data.story[int(number) - 1]
    return step.view.removeprefix("#"), step.figure


def draw_story(data: PageData, path: Path) -> list[FigureStill]:
    """Return the still of each step of a story.

    Raises:
        PictureError: the page has no story.
    """
    if not data.story:
        raise PictureError(f"{path}: has no story; write one under 'story' in the prompt file and build it again")
    return [draw_step(data, step) for step in data.story]


def find_address(path: Path) -> str:
    """Return the address at which a page is published; empty if it does not say one."""
    match = _CANONICAL.search(path.read_text("utf-8").partition("</head>")[0])
    return unescape(match[1]) if match else ""


def paint(svgs: Sequence[bytes], picture_format: str, browser: str = "") -> list[bytes]:
    """Return SVGs as ``png`` or ``pdf``, as a local browser paints them.

    Raises:
        PictureError: no browser or no Playwright is installed.
    """
    with _open_browser(browser) as chromium:
        return [_print(chromium, svg) if picture_format == "pdf" else _paint(chromium, svg) for svg in svgs]


def draw_picture(page: str, view: View, picture_format: str, browser: str = "") -> bytes:
    """Return a view of a page as the picture that the page itself saves.

    Args:
        page: path or ``file:`` URL of the page.
        view: view to draw.
        picture_format: one of ``FORMATS``.
        browser: path or name of a Chromium-based browser; empty to search for one.

    Returns:
        The content of the picture file.

    Raises:
        PictureError: the page, view or selection does not exist, or no browser or no Playwright is installed.
    """
    path, selection = find_page(page), view.selection
    with _open_browser(browser) as chromium:
        tab = chromium.new_page(color_scheme=view.theme, viewport={"width": 1280, "height": 900})  # pyright: ignore[reportArgumentType]
        _open_page(tab, path, selection)
        _check(tab.evaluate(_KNOWN), path, view.name, selection)
        data_url = tab.evaluate(_DRAW, [view.name, "png" if picture_format == "png" else "svg"])
        picture = base64.b64decode(data_url.partition(",")[2])
        return _print(chromium, picture) if picture_format == "pdf" else picture


def select(fragment: str, chosen: Mapping[str, str]) -> dict[str, str]:
    """Return what an address and the options of a command select; options override the address.

    A step replaces a query in the address and vice versa, because both select a row.
    """
    return {**{key: value for key, value in parse_qsl(fragment) if _OTHER.get(key) not in chosen}, **chosen}


def find_browser(asked: str = "") -> str:
    """Return the path of a Chromium-based browser.

    Args:
        asked: path or name of the browser; if empty, the environment variable ``CHROMIUM`` is used, and if that is
            empty too, the usual names are tried.

    Returns:
        The path of the program.

    Raises:
        PictureError: the named browser does not exist, or none was found.
    """
    named = asked or os.environ.get("CHROMIUM", "")
    for name in (named,) if named else _NAMES:
        if program := shutil.which(name):
            return program
    if named:
        where = "--browser" if asked else "CHROMIUM"
        raise PictureError(f"{where}: there is no program {named!r}; name a Chromium, Chrome or Edge")
    raise PictureError(
        f"no browser: none of {', '.join(_NAMES[:5])} is on this machine; install Chromium, or name one with --browser "
        "or in CHROMIUM"
    )


def find_page(page: str) -> Path:
    """Return the file of a page that reportgen wrote, from its path or its ``file:`` URL.

    Raises:
        PictureError: there is no such file, or another program wrote it.
    """
    address = urlsplit(page)
    path = Path(url2pathname(address.path) if address.scheme == "file" else page.partition("?")[0])
    advice = "name a page that reportgen build wrote, such as results/cat.html"
    try:
        if not path.is_file():
            raise PictureError(f"{page}: no such file; {advice}")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise PictureError(f"{page}: cannot be read, {error.strerror}; {advice}") from error
    if _MARK not in head:  # its scripts could do anything
        raise PictureError(f"{page}: was not written by reportgen, so it is not opened; {advice}")
    return path


@contextmanager
def _open_browser(asked: str) -> Iterator[Browser]:
    try:
        from playwright.sync_api import Error, sync_playwright
    except ModuleNotFoundError as error:
        raise PictureError(f"pictures need Playwright, which is not installed; {install_advice('export')}") from error
    program = find_browser(asked)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=program, args=list(_FLAGS), chromium_sandbox=not why_no_sandbox()
            )
        except Error as error:
            reason = error.message.strip().splitlines()[0]
            raise PictureError(f"{program}: cannot be started as Chromium ({reason}); name another browser") from error
        try:
            yield browser
        finally:
            browser.close()


def why_no_sandbox() -> str:
    """Return why the browser runs without its sandbox; empty if it runs with it."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return "Chromium has no sandbox for root, the user of most containers" if is_root else ""


def _open_page(tab: Page, path: Path, selection: Mapping[str, str]) -> None:
    from playwright.sync_api import TimeoutError as TooLate

    tab.goto(f"{path.resolve().as_uri()}#{urlencode(selection)}")
    if not tab.locator("script#card").count():
        raise PictureError(f"{path}: {_NO_PROMPT}")
    try:
        tab.wait_for_selector("html[data-ready], .wait.error", state="attached", timeout=_OPEN_MILLISECONDS)
    except TooLate as error:
        raise PictureError(f"{path}: was not drawn within a minute; open it in a browser to see why") from error
    if errors := tab.locator(".wait.error").all_inner_texts():
        raise PictureError(f"{path}: {errors[0]}")
    if not tab.locator(_OF_A_PROMPT).count():
        raise PictureError(f"{path}: {_IS_COMPARISON}")
    if not tab.evaluate("() => '__studio' in globalThis"):
        raise PictureError(f"{path}: {_IS_OLD}")


def _check(known: Mapping[str, Any], path: Path, view: str, selection: Mapping[str, str]) -> None:
    """Raise if the view or the selection does not exist, because the page would ignore it silently."""
    if view not in known["views"]:
        raise PictureError(f"{path}: no view {view!r}; it has {', '.join(known['views'])}")
    if view in _OF_A_PIN and "pin" not in selection:
        raise PictureError(f"{path}: no head is pinned; name one after the page, as in {path.name}#pin=3.7")
    for key in ("layer", "head"):
        if key in selection and selection[key] not in known[key]:
            raise PictureError(f"{path}: no {key} {selection[key]}; it has {', '.join(known[key])}")
    for key in ("query", "step", "key"):
        if key in selection and not (selection[key].isdecimal() and int(selection[key]) < known[key]):
            advice = f"it has 0 to {known[key] - 1}" if known[key] else "nothing was generated"
            raise PictureError(f"{path}: no {key} {selection[key]}; {advice}")


def _paint(chromium: Browser, picture: bytes) -> bytes:
    """Return an SVG as a PNG of two pixels for one."""
    tab = chromium.new_page(device_scale_factor=2)
    svg = picture.decode("utf-8").partition("?>")[2]
    tab.set_content(f"<!doctype html><style>*{{margin:0}}svg{{display:block}}</style>{svg}")
    return tab.locator("body > svg").screenshot()


def _print(chromium: Browser, picture: bytes) -> bytes:
    """Return an SVG as a PDF with one page of the same size."""
    tab = chromium.new_page()
    svg = picture.decode("utf-8").partition("?>")[2]
    tab.set_content(f"<!doctype html><style>*{{margin:0}}svg{{display:block}}</style>{svg}")
    width, height = tab.evaluate(
        "() => ['width', 'height'].map((name) => document.querySelector('svg')[name].baseVal.value)"
    )
    # One pixel more than the height, because rounding could otherwise add a second page.
    return tab.pdf(width=f"{width}px", height=f"{height + 1}px", print_background=True)
