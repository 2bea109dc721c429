"""Pages and index to files: the folder that is published.

Every file is written beside its place and renamed into it, so that a reader never meets half a page. A file that
reportgen did not make is never overwritten.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reportgen.errors import SiteError
from reportgen.pages.assets import BOKEH_FILE, read_bokeh
from reportgen.pages.cards import Card, FailureCard, parse_card
from reportgen.pages.index import render_index
from reportgen.pages.templates import GENERATOR

INDEX_FILE = "index.html"
REPORT_FILE = "report.json"
DATA_FOLDER = "data"
_MARKS = (b'<meta name="generator" content="reportgen', b'"generator": "reportgen')
"""How the beginning of a page, and of a report, says who made it."""
_HEAD_BYTES = 4096
_CARD_BYTES = 16384
"""So much of a page holds its card; where it does not, all of the page is read."""
_CARD = re.compile(b'<script type="application/json" id="card">(.*?)</script>', re.DOTALL)
"""Where a page carries its card; what a prompt says cannot look like it, since its angle brackets are escaped."""


def open_site(folder: Path, slugs: Iterable[str] = (), *, shared_assets: bool = False) -> Path:
    """Make a folder ready for pages.

    Args:
        folder: made where it is missing.
        slugs: the pages that will be written, so that a file in their place is found before any work is done.
        shared_assets: put BokehJS beside the pages.

    Returns:
        The folder.

    Raises:
        SiteError: the folder cannot be made or written, or a file that reportgen did not make is in the way.
    """
    _make_folder(folder)
    for name in (INDEX_FILE, REPORT_FILE, *(f"{slug}.html" for slug in slugs)):
        _check_ours(folder / name)
    _write(folder / ".nojekyll", "")
    if shared_assets:
        _make_folder((folder / BOKEH_FILE).parent)
        _write(folder / BOKEH_FILE, read_bokeh())
    return folder


def write_page(folder: Path, slug: str, html: str) -> Path:
    """Write one page and return its path.

    Raises:
        SiteError: it cannot be written.
    """
    path = folder / f"{slug}.html"
    _write(path, html)
    return path


def write_tables(folder: Path, slug: str, files: Mapping[str, bytes]) -> None:
    """Write the tables of one page to ``data/<slug>/``.

    Args:
        folder: the site.
        slug: of the page.
        files: content by name.

    Raises:
        SiteError: they cannot be written.
    """
    data = folder / DATA_FOLDER / slug
    _make_folder(data)
    for name, content in files.items():
        _write(data / name, content)


def find_pages(folder: Path) -> list[str]:
    """Return the slugs of all pages in a folder, by name.

    Raises:
        SiteError: a file in it cannot be read.
    """
    return [path.stem for path in sorted(folder.glob("*.html")) if _is_page(path)]


def write_index(folder: Path, cards: Sequence[Card | FailureCard], left_out: Sequence[str] = ()) -> Path:
    """Write ``index.html`` and ``report.json``, what became of each prompt, and return the path of the index.

    Args:
        folder: the site.
        cards: pages and failures, in the order in which the index shows them.
        left_out: slugs of pages that are in the folder and not among the cards; ``read_cards`` leaves them out too.

    Raises:
        SiteError: they cannot be written.
    """
    outcomes = [
        {"slug": card.slug, "status": "failed", **asdict(card)}
        if isinstance(card, FailureCard)
        else {"slug": card.slug, "status": "written", "title": card.title, "model": card.model, "page": card.href}
        for card in cards
    ]
    _write(
        folder / REPORT_FILE,
        json.dumps(
            {"generator": GENERATOR, "prompts": outcomes, "left_out": list(left_out)}, ensure_ascii=False, indent=1
        )
        + "\n",
    )
    path = folder / INDEX_FILE
    _write(path, render_index(cards))
    return path


def read_cards(folder: Path) -> list[Card | FailureCard]:
    """Return the cards of the pages in a folder, those of the last run first and in its order, then by name.

    Pages that the last run left out of the index stay out. Failures of the last run are kept where no page has their
    slug.

    Raises:
        SiteError: there is no such folder, or a page or the report of the last run in it cannot be read.
    """
    if not folder.is_dir():
        raise SiteError(f"{folder}: is not a folder; name the folder that reportgen build wrote")
    left_out = read_left_out(folder)
    paths = [folder / f"{slug}.html" for slug in find_pages(folder) if slug not in left_out]
    pages = {card.slug: card for card in map(_read_card, paths)}
    cards: list[Card | FailureCard] = []
    for outcome in _read_report(folder / REPORT_FILE)[0]:
        slug = str(outcome.get("slug", ""))
        if slug in pages:
            cards.append(pages.pop(slug))
        elif outcome.get("status") == "failed":
            cards.append(FailureCard(slug, *(str(outcome.get(key, "")) for key in ("title", "model", "error"))))
    return [*cards, *pages.values()]


def read_left_out(folder: Path) -> list[str]:
    """Return the slugs of the pages in a folder that the last run left out of the index.

    Raises:
        SiteError: the report of the last run cannot be read.
    """
    return [slug for slug in _read_report(folder / REPORT_FILE)[1] if (folder / f"{slug}.html").is_file()]


def _is_page(path: Path) -> bool:
    try:
        return path.name != INDEX_FILE and path.is_file() and _is_ours(path)
    except OSError as error:
        raise SiteError(f"{path}: cannot be read, {error.strerror}; choose another folder with --results") from error


def _read_card(path: Path) -> Card:
    try:
        with path.open("rb") as file:
            head = file.read(_CARD_BYTES)
            card = _CARD.search(head) or _CARD.search(head + file.read())
        if card is None:
            raise ValueError("there is none")
        return parse_card(json.loads(card[1]))
    except (OSError, ValueError, TypeError) as error:
        raise SiteError(f"{path}: holds no readable card, {error}; build that page again") from error


def _read_report(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what became of each prompt, and the slugs of the pages that were left out."""
    try:
        report = json.loads(path.read_text("utf-8"))
        return [dict(outcome) for outcome in report["prompts"]], [str(slug) for slug in report.get("left_out", ())]
    except FileNotFoundError:
        return [], []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SiteError(
            f"{path}: cannot be read, {error}; without it the index is made from the pages alone"
        ) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SiteError(f"{folder}: cannot be made, {error.strerror}; choose another folder with --results") from error


def _check_ours(path: Path) -> None:
    try:
        foreign = path.is_symlink() or path.is_dir() or (path.exists() and not _is_ours(path))
    except OSError as error:
        raise SiteError(f"{path}: cannot be read, {error.strerror}; choose another folder with --results") from error
    if foreign:
        raise SiteError(f"{path}: is in the way and was not made by reportgen; move it or choose another --results")


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return any(mark in head for mark in _MARKS)


def _write(path: Path, content: str | bytes) -> None:
    """Write beside the place, then rename: there is either the old file or the new one, whole."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content if isinstance(content, bytes) else content.encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SiteError(
            f"{path}: cannot be written, {error.strerror}; make room or choose another --results"
        ) from error
