"""Export a figure of a page as a picture.

The page's own script draws the picture in a local Chromium, so it is the picture that the page itself saves. Playwright
controls the browser. It is installed with the extra ``export`` and imported on first use.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import url2pathname

from reportgen.records.errors import PictureError, install_advice

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


def draw_picture(page: str, view: View, picture_format: str, browser: str = "") -> bytes:
    """Return a view of a page as a picture.

    Args:
        page: path or ``file:`` URL of the page; a fragment after ``#`` selects as in the browser.
        view: view to draw.
        picture_format: one of ``FORMATS``.
        browser: path or name of a Chromium-based browser; empty to search for one.

    Returns:
        The content of the picture file.

    Raises:
        PictureError: the page, view or selection does not exist, or no browser or no Playwright is installed.
    """
    file, _, fragment = page.partition("#")
    path = _path_of(file)
    # A step in the view replaces a query in the URL and vice versa, because both select a row.
    kept = {key: value for key, value in parse_qsl(fragment) if _OTHER.get(key) not in view.selection}
    selection = {**kept, **view.selection}
    with _open_browser(browser) as chromium:
        tab = chromium.new_page(color_scheme=view.theme, viewport={"width": 1280, "height": 900})  # pyright: ignore[reportArgumentType]
        _open_page(tab, path, selection)
        _check(tab.evaluate(_KNOWN), path, view.name, selection)
        data_url = tab.evaluate(_DRAW, [view.name, "png" if picture_format == "png" else "svg"])
        picture = base64.b64decode(data_url.partition(",")[2])
        return _print(chromium, picture) if picture_format == "pdf" else picture


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


def _path_of(page: str) -> Path:
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
        raise PictureError(
            f"{path}: not the page of a prompt; name one that reportgen build wrote, such as results/cat.html"
        )
    try:
        tab.wait_for_selector("html[data-ready], .wait.error", state="attached", timeout=_OPEN_MILLISECONDS)
    except TooLate as error:
        raise PictureError(f"{path}: was not drawn within a minute; open it in a browser to see why") from error
    if errors := tab.locator(".wait.error").all_inner_texts():
        raise PictureError(f"{path}: {errors[0]}")
    if not tab.locator(_OF_A_PROMPT).count():
        raise PictureError(f"{path}: is a comparison, which cannot be exported; name the page of one of its prompts")
    if not tab.evaluate("() => '__studio' in globalThis"):
        raise PictureError(f"{path}: written by an earlier reportgen that could not draw pictures; build it again")


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
