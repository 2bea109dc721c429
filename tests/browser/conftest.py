"""One browser, and a folder of pages that hand-made captures gave."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser.captures import CAPTURES, FAILURE
from browser.reader import Reader
from playwright.sync_api import Browser, sync_playwright

from reportgen.pages.cards import make_card
from reportgen.pages.options import PageOptions
from reportgen.pages.page import render_page
from reportgen.pages.screenshot import find_browser
from reportgen.site.site import Site

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=find_browser(), args=ARGS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of all sample captures, and one in ``shared`` whose pages share BokehJS."""
    root = tmp_path_factory.mktemp("site")
    Site(root).open()
    for slug, capture in CAPTURES.items():
        Site(root).write_page(slug, render_page(capture))
    # A page that is not ours, to put frames into: the policy of our own lets none in.
    (root / "around.html").write_text("<!doctype html><title>Around</title>", "utf-8")
    Site(root).write_index([*map(make_card, CAPTURES.values()), FAILURE])
    shared = Site(root / "shared").open(options=PageOptions(shared_assets=True)).root
    Site(shared).write_page("cat", render_page(CAPTURES["cat"], PageOptions(shared_assets=True)))
    return root


@pytest.fixture(scope="session")
def addresses(folder: Path) -> Iterator[dict[str, str]]:
    """Where the folder begins, by scheme: ``file`` and ``http``."""
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"file": folder.as_uri(), "http": f"http://127.0.0.1:{server.server_address[1]}"}
        server.shutdown()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def new_reader(browser: Browser) -> Iterator[Callable[..., Reader]]:
    """Makes readers, each with a browser profile of its own; options are those of Playwright's contexts."""
    contexts = []

    def make(**options: object) -> Reader:
        given = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", **options}
        contexts.append(browser.new_context(**given))  # pyright: ignore[reportArgumentType]
        return Reader(contexts[-1])

    yield make
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def cat(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> Reader:
    """The page of five tokens and three generated ones, opened once for a module's tests."""
    return new_reader().open(f"{addresses['file']}/cat.html")
