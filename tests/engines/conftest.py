"""Two browsers, started when a test first asks for one, and a folder of pages."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser.captures import CAPTURES, FAILURE
from engines.driver import Driver
from engines.firefox import Firefox
from engines.page import RECORDER, Page
from engines.webkit import WebKit

from reportgen.pages.alignment import slim
from reportgen.pages.cards import make_card
from reportgen.pages.compare import render_comparison
from reportgen.pages.page import render_page
from reportgen.records import Comparison
from reportgen.site.site import Site

ENGINES = {engine.name: engine for engine in (Firefox, WebKit)}
SLUGS = ("cat", "hostile", "long")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of some sample captures and a comparison, whose pages write down what goes wrong in them."""
    site = Site(tmp_path_factory.mktemp("engines-site")).open()
    for slug in SLUGS:
        site.write_page(slug, render_page(CAPTURES[slug]))
    a, b = (slim(CAPTURES[slug], 8) for slug in ("cat", "pieces"))
    site.write_page("beside", render_comparison(Comparison(("a", "b"), "Side by side", "beside"), a, b))
    site.write_index([*map(make_card, CAPTURES.values()), FAILURE])
    for path in site.root.glob("*.html"):
        text = path.read_text("utf-8")
        assert text.count("<head>") == 1
        path.write_text(text.replace("<head>", f"<head>{RECORDER}"), "utf-8")
    return site.root


@pytest.fixture(scope="session")
def served(folder: Path) -> Iterator[str]:
    """The same folder's address on a web server, where pages may look into their frames."""
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def browser_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Driver]]:
    """Gives the browser of an engine, a new one where the last was killed."""
    started: dict[str, Driver] = {}

    def give(name: str) -> Driver:
        if name not in started or not started[name].running:
            started[name] = ENGINES[name](tmp_path_factory.mktemp(name))
            started[name].resize(1280, 900)
        return started[name]

    yield give
    for driver in started.values():
        driver.quit()


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine's name; all tests of one run before those of the next."""
    return request.param


@pytest.fixture
def driver(engine: str, browser_of: Callable[[str], Driver]) -> Driver:
    return browser_of(engine)


@pytest.fixture
def page(driver: Driver) -> Page:
    return Page(driver)
