"""Pages and index to files: the folder that is published.

A file that reportgen did not make is never overwritten.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from reportgen.captures.file import save_capture
from reportgen.captures.record import Capture
from reportgen.files import atomic_write, make_folder, unwritable
from reportgen.pages.assets import BOKEH_FILE, read_bokeh
from reportgen.pages.cards import Card, FailureCard, parse_card
from reportgen.pages.data_tables import TABLE_NAMES
from reportgen.pages.index import render_index
from reportgen.pages.links import PREVIEWS_FOLDER, check_site_url, make_index_link, make_sitemap
from reportgen.pages.templates import GENERATOR
from reportgen.records import EXPORT_FORMATS
from reportgen.records.errors import InTheWay, OptionError, SiteError

INDEX_FILE = "index.html"
REPORT_FILE = "report.json"
SITEMAP_FILE = "sitemap.xml"
DATA_FOLDER = "data"
CAPTURES_FOLDER = "captures"
_MARKS = (
    b'<meta name="generator" content="reportgen', b'"generator": "reportgen', b"<!-- reportgen", b"Software\0reportgen",
)  # fmt: skip
"""How the beginning of a page, a report, a sitemap and a preview says who made it."""
_HEAD_BYTES = 4096
CARD_BYTES = 1 << 16
"""So much of a page is read for its card first; the whole page where the card is not in it."""
_CARD = re.compile(b'<script type="application/json" id="card">(.*?)</script>', re.DOTALL)
"""Where a page carries its card; what a prompt says cannot look like it, since its angle brackets are escaped."""
_KEY = re.compile(b'<meta name="reportgen-key" content="([0-9a-f]{64})">')
_END = b"</html>\n"
"""What a page ends with, unless somebody copied half of it."""


@dataclass(frozen=True)
class Run:
    """What a report says of the run that wrote it; everything else in it depends on the folder alone.

    Attributes:
        totals: of the whole run, such as how many pages were built, and in how many seconds.
        prompts: of each prompt by its slug, such as whether its page was built, and the seconds of each stage.
        site_url: where the site will be published, as ``check_site_url`` returns it; empty where that is not known.
    """

    totals: Mapping[str, Any]
    prompts: Mapping[str, Mapping[str, Any]]
    site_url: str = ""


def open_site(folder: Path, slugs: Iterable[str] = (), *, shared_assets: bool = False, site_url: str = "") -> Path:
    """Make a folder ready for pages.

    Args:
        folder: made where it is missing.
        slugs: the pages that will be written, so that a file in their place is found before any work is done.
        shared_assets: put BokehJS beside the pages.
        site_url: where the site will be published, which takes more files.

    Returns:
        The folder.

    Raises:
        SiteError: the folder cannot be made or written, or a file that reportgen did not make is in the way.
    """
    make_folder(folder)
    for name in (INDEX_FILE, REPORT_FILE, *[SITEMAP_FILE] * bool(site_url), *(f"{slug}.html" for slug in slugs)):
        _check_ours(folder / name)
    atomic_write(folder / ".nojekyll", "")
    if shared_assets:
        _make_inside(folder, (folder / BOKEH_FILE).parent)
        atomic_write(folder / BOKEH_FILE, read_bokeh())
    return folder


def write_page(folder: Path, slug: str, html: str) -> Path:
    """Write one page and return its path.

    Raises:
        InTheWay: something that reportgen did not make has come into its place meanwhile.
        SiteError: it cannot be written.
    """
    return write_ours(folder / f"{slug}.html", html)


def write_ours(path: Path, content: str) -> Path:
    """Write a file that says who made it, unless somebody else's is in its place, and return its path.

    Raises:
        InTheWay: that is so.
        SiteError: it cannot be written.
    """
    _check_ours(path)
    atomic_write(path, content)
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
    _make_inside(folder, data)
    for name, content in files.items():
        atomic_write(data / name, content)


def has_tables(folder: Path, slug: str, kind: str) -> bool:
    """Say whether tables of a format stand beside a page."""
    return any((folder / DATA_FOLDER / slug / f"{name}.{kind}").is_file() for name in TABLE_NAMES)


def has_capture(folder: Path, slug: str) -> bool:
    """Say whether the capture of a page stands beside it."""
    return (folder / CAPTURES_FOLDER / f"{slug}.safetensors").is_file()


def write_capture(folder: Path, slug: str, capture: Capture, key: str = "") -> None:
    """Write the capture of one page to ``captures/<slug>.safetensors``.

    Args:
        folder: the site.
        slug: of the page.
        capture: what the page shows.
        key: what the page says that it was made from; empty where it says nothing.

    Raises:
        SiteError: it cannot be written.
    """
    path = folder / CAPTURES_FOLDER / f"{slug}.safetensors"
    _make_inside(folder, path.parent)
    try:
        save_capture(capture, path, key)
    except OSError as error:
        raise unwritable(path, error) from error


def write_preview(folder: Path, slug: str, picture: bytes) -> None:
    """Write the picture that stands for a page in cards of links to ``previews/<slug>.png``.

    Raises:
        InTheWay: something that reportgen did not make stands there.
        SiteError: it cannot be written.
    """
    path = _preview_of(folder, slug)
    _make_inside(folder, path.parent)
    _check_ours(path)
    atomic_write(path, picture)


def has_preview(folder: Path, slug: str) -> bool:
    """Say whether the preview of a page stands beside it."""
    return _preview_of(folder, slug).is_file()


def _preview_of(folder: Path, slug: str) -> Path:
    return folder / PREVIEWS_FOLDER / f"{slug}.png"


def find_pages(folder: Path) -> list[str]:
    """Return the slugs of all pages in a folder, by name.

    Raises:
        SiteError: a file in it cannot be read.
    """
    return [path.stem for path in sorted(folder.glob("*.html")) if _is_page(path)]


def read_current(folder: Path, slug: str, keys: set[str]) -> Card | None:
    """Return the card of a page that need not be made again, or ``None``.

    Args:
        folder: the site.
        slug: of the page.
        keys: one of them must be the page's, and the page must be whole.
    """
    path = folder / f"{slug}.html"
    try:
        if path.is_symlink() or not path.is_file() or read_key(path) not in keys or not _is_whole(path):
            return None
        return _read_card(path)
    except (OSError, SiteError):  # it is made again, which says what is wrong
        return None


def read_key(path: Path) -> str:
    """Return the key of a page; empty where it has none, or there is no page."""
    try:
        with path.open("rb") as file:
            found = _KEY.search(file.read(_HEAD_BYTES))
    except OSError:
        return ""
    return found[1].decode("ascii") if found else ""


def remove_pages(folder: Path, slugs: Iterable[str]) -> list[Path]:
    """Remove pages, with the tables and captures beside them, and return their paths; what is not ours stays.

    Raises:
        SiteError: one cannot be removed.
    """
    removed = []
    for slug in slugs:
        path = folder / f"{slug}.html"
        if path.is_symlink() or not _is_page(path):
            continue
        try:
            path.unlink()
            _remove_tables(folder / DATA_FOLDER / slug)
            _remove_capture(folder / CAPTURES_FOLDER, slug)
            _remove_ours(_preview_of(folder, slug))
        except OSError as error:
            raise SiteError(f"{path}: cannot be removed, {error.strerror}; remove it by hand") from error
        removed.append(path)
    return removed


def _remove_capture(folder: Path, slug: str) -> None:
    if not folder.is_symlink():
        (folder / f"{slug}.safetensors").unlink(missing_ok=True)


def _remove_ours(path: Path) -> None:
    if not (path.is_symlink() or path.parent.is_symlink()) and path.is_file() and _is_ours(path):
        path.unlink()


def _remove_tables(folder: Path) -> None:
    if folder.is_symlink() or folder.parent.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.stem in TABLE_NAMES and path.suffix[1:] in EXPORT_FORMATS:
            path.unlink()
    with suppress(OSError):  # somebody else's files are in them
        folder.rmdir()
        folder.parent.rmdir()


def write_index(
    folder: Path, cards: Sequence[Card | FailureCard], left_out: Sequence[str] = (), run: Run | None = None
) -> Path:
    """Write ``index.html`` and ``report.json``, what became of each prompt, and return the path of the index.

    Where it is known where the site will be published, ``sitemap.xml`` lists the pages for search engines.

    Args:
        folder: the site.
        cards: pages and failures, in the order in which the index shows them.
        left_out: slugs of pages that are in the folder and not among the cards; ``read_cards`` leaves them out too.
        run: what the report says of this run; without it, what it said of the last one.

    Raises:
        SiteError: they cannot be written.
    """
    run = run or read_run(folder)
    write_report(folder, make_outcomes(folder, cards, run), left_out, run.totals, run.site_url)
    path = folder / INDEX_FILE
    pages = [card for card in cards if isinstance(card, Card)]
    pictured = next((card.slug for card in pages if run.site_url and has_preview(folder, card.slug)), "")
    atomic_write(path, render_index(cards, make_index_link(run.site_url, pictured)))
    _write_sitemap(folder / SITEMAP_FILE, run.site_url, pages)
    return path


def write_report(
    folder: Path, outcomes: Sequence[Mapping[str, Any]], left_out: Sequence[str], totals: Mapping[str, Any],
    site_url: str = "",
) -> None:  # fmt: skip
    """Write ``report.json``; the arguments are those of ``write_index``, as ``make_outcomes`` and a run tell them."""
    report = {"generator": GENERATOR, "prompts": outcomes, "left_out": list(left_out), "run": totals}
    report |= {"site_url": site_url} if site_url else {}
    atomic_write(folder / REPORT_FILE, json.dumps(report, ensure_ascii=False, indent=1) + "\n")


def make_outcomes(folder: Path, cards: Sequence[Card | FailureCard], run: Run) -> list[dict[str, Any]]:
    """Return what a report says of each prompt."""
    return [{**_report_card(folder, card), "run": run.prompts.get(card.slug)} for card in cards]


def _write_sitemap(path: Path, site_url: str, pages: Iterable[Card]) -> None:
    """List the pages; one that an earlier run wrote goes where it is no longer known where they will be."""
    if site_url:
        _check_ours(path)
        atomic_write(path, make_sitemap(site_url, (page.href for page in pages)))
        return
    try:
        _remove_ours(path)
    except OSError as error:
        raise SiteError(f"{path}: cannot be removed, {error.strerror}; remove it by hand") from error


def _report_card(folder: Path, card: Card | FailureCard) -> dict[str, Any]:
    key = read_key(folder / f"{card.slug}.html")
    same = {"slug": card.slug, "title": card.title, "model": card.model}
    if isinstance(card, Card):
        return {**same, "status": "written", "page": card.href, "key": key}
    return {**same, "status": "failed", "error": card.error, "earlier_page": card.earlier_page, "key": key}


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
    for outcome in read_report(folder / REPORT_FILE)[0]:
        slug = str(outcome.get("slug", ""))
        page = pages.pop(slug, None)
        if page and not _is_earlier(folder, outcome):
            cards.append(page)
        elif outcome.get("status") == "failed":
            texts = (str(outcome.get(key, "")) for key in ("title", "model", "error"))
            cards.append(FailureCard(slug, *texts, earlier_page=page.href if page else ""))
    return [*cards, *pages.values()]


def _is_earlier(folder: Path, outcome: Mapping[str, Any]) -> bool:
    """Say whether the page of a prompt that failed is still the one that was there before."""
    if outcome.get("status") != "failed" or not outcome.get("earlier_page"):
        return False
    return outcome.get("key", "") == read_key(folder / f"{outcome['slug']}.html")


def read_left_out(folder: Path) -> list[str]:
    """Return the slugs of the pages in a folder that the last run left out of the index.

    Raises:
        SiteError: the report of the last run cannot be read.
    """
    return [slug for slug in read_report(folder / REPORT_FILE)[1] if (folder / f"{slug}.html").is_file()]


def _is_page(path: Path) -> bool:
    try:
        return path.name != INDEX_FILE and not path.is_symlink() and path.is_file() and _is_ours(path)
    except OSError as error:
        raise SiteError(f"{path}: cannot be read, {error.strerror}; choose another folder with --results") from error


def _read_card(path: Path) -> Card:
    try:
        with path.open("rb") as file:
            content = file.read(CARD_BYTES)
            card = _CARD.search(content) or _CARD.search(content + file.read())
        if card is None:
            raise ValueError("there is none")
        return parse_card(json.loads(card[1].decode("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise SiteError(f"{path}: holds no readable card, {error}; build that page again") from error


def _is_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-min(len(_END), path.stat().st_size), os.SEEK_END)
        return file.read() == _END


def read_run(folder: Path) -> Run:
    """Return what the report in a folder says of the run that wrote it, as far as it can be read."""
    try:
        report = json.loads((folder / REPORT_FILE).read_text("utf-8"))
        prompts = {outcome["slug"]: outcome["run"] for outcome in report["prompts"]}
        return Run(report["run"], prompts, check_site_url(report.get("site_url", "")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OptionError):
        return Run({}, {})


def read_report(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what became of each prompt, and the slugs of the pages that were left out; nothing without a report.

    Raises:
        SiteError: it cannot be read.
    """
    try:
        if path.is_symlink():
            raise ValueError("it is a link")
        report = json.loads(path.read_text("utf-8"))
        return [dict(outcome) for outcome in report["prompts"]], [str(slug) for slug in report.get("left_out", ())]
    except FileNotFoundError:
        return [], []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SiteError(
            f"{path}: cannot be read, {error}; without it the index is made from the pages alone"
        ) from error


def _make_inside(folder: Path, inner: Path) -> None:
    """Make a folder inside a site; a link on the way there would lead out of it."""
    for part in takewhile(lambda part: part != folder, (inner, *inner.parents)):
        if part.is_symlink():
            raise SiteError(f"{part}: is a link, which is not followed; remove it or choose another --results")
    make_folder(inner)


def _check_ours(path: Path) -> None:
    try:
        foreign = path.is_symlink() or path.is_dir() or (path.exists() and not _is_ours(path))
    except OSError as error:
        raise SiteError(f"{path}: cannot be read, {error.strerror}; choose another folder with --results") from error
    if foreign:
        raise InTheWay(f"{path}: is in the way and was not made by reportgen; move it or choose another --results")


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return any(mark in head for mark in _MARKS)
