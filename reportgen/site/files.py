"""Files of a site: check whether reportgen wrote a file, and read the key and the card of a page.

A file that reportgen did not write is never overwritten.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, BinaryIO

from reportgen.captures.file import KEY
from reportgen.evidence.head_summary import HeadSummary
from reportgen.files import atomic_write, make_folder
from reportgen.pages.cards import Card, parse_card
from reportgen.pages.links import HEADS_FILE
from reportgen.pages.page_keys import PageKeys
from reportgen.pages.summaries import decode_summary
from reportgen.records.errors import InTheWay, SiteError

_MARKS = (
    b'<meta name="generator" content="reportgen', b'"generator": "reportgen', b"<!-- reportgen", b"Software\0reportgen",
    f'{{"__metadata__":{{"{KEY}":'.encode("ascii"),
)  # fmt: skip
"""Markers at the beginning of a page, a report, a sitemap, a preview and a capture that reportgen wrote."""
_HEAD_BYTES = 4096
_CARD_BYTES = 1 << 16
"""Number of bytes of a page that are searched for its card first; the whole page is read if the card is not in them."""
_CARD = re.compile(b'<script type="application/json" id="card">(.*?)</script>', re.DOTALL)
"""The card in a page. Text of a prompt cannot match, because its angle brackets are escaped."""
_SUMMARY = re.compile(rb'<script type="text/plain" id="block-heads">([A-Za-z0-9+/=]*)</script>\s*</body>\s*</html>\n\Z')
"""The summary of heads, which is the last element of a page."""
_SUMMARY_BYTES = 1 << 15
"""Number of bytes at the end of a page that are searched for its summary first."""
_NO_PAGES = ("index.html", HEADS_FILE)
_KEYS = re.compile(b'<meta name="reportgen-(key|numbers|tables)" content="([A-Za-z0-9_= -]*)">')
"""A key in the head of a page. Text of a prompt cannot match, because its angle brackets are escaped."""
_BOKEH_START = b"/* BEGIN bokeh.min.js */"
_END = b"</html>\n"
"""The end of a complete page; a page that was copied only in part lacks it."""


def write_ours(path: Path, content: str) -> Path:
    """Write a file and return its path, unless a file that reportgen did not write is in its place.

    Args:
        path: where to write.
        content: text of the file, which contains the generator marker.

    Raises:
        InTheWay: a file that reportgen did not write is in its place.
        SiteError: the file cannot be written.
    """
    check_ours(path)
    atomic_write(path, content)
    return path


def check_ours(path: Path, is_ours: Callable[[Path], bool] | None = None) -> None:
    """Check that a path is free, or holds a file that reportgen wrote.

    Args:
        path: path to check.
        is_ours: returns whether reportgen wrote a regular file; ``None`` looks for the marker of most files.

    Raises:
        InTheWay: the path holds something else, such as a link, a folder, a pipe or another program's file.
        SiteError: the file cannot be read.
    """
    try:
        foreign = path.is_symlink() or (path.exists() and not (path.is_file() and (is_ours or has_mark)(path)))
    except OSError as error:
        raise SiteError(f"{path}: cannot be read, {error.strerror}; choose another folder with --results") from error
    if foreign:
        raise in_the_way(path)


def check_folder(path: Path) -> None:
    """Check that a path is free, or holds a folder and no link.

    Raises:
        InTheWay: the path holds something else.
    """
    if path.is_symlink():
        raise InTheWay(f"{path}: is a link, which is not followed; remove it or choose another --results")
    if path.exists() and not path.is_dir():
        raise in_the_way(path)


def in_the_way(path: Path) -> InTheWay:
    """Return the error for something that reportgen did not write and that has the name of one of its files."""
    return InTheWay(f"{path}: exists and was not written by reportgen; move it or choose another --results")


def has_mark(path: Path) -> bool:
    """Return whether a regular file begins with the marker of a file that reportgen wrote."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return any(mark in head for mark in _MARKS)


def is_bokeh(path: Path) -> bool:
    """Return whether a file is BokehJS, of any version."""
    with path.open("rb") as file:
        return file.read(len(_BOKEH_START)) == _BOKEH_START


@dataclass(frozen=True)
class PageFile:
    """What a site reads of one page.

    Attributes:
        path: the file.
        keys: what it was made from, as stored in its head.
        is_whole: whether it ends with ``</html>``.
        card: its card, or why the card cannot be read.
    """

    path: Path
    keys: PageKeys
    is_whole: bool
    card: Card | str

    def get_card(self) -> Card:
        """Return the card.

        Raises:
            SiteError: the page has no card, or its card cannot be read.
        """
        if isinstance(self.card, str):
            raise SiteError(f"{self.path}: holds no readable card, {self.card}; build that page again")
        return self.card


def read_page(path: Path) -> PageFile | None:
    """Read what a site needs of one page; ``None`` if the file is not the page of a prompt or a comparison.

    Raises:
        SiteError: the file cannot be read.
    """
    try:
        if path.name in _NO_PAGES or path.is_symlink() or not path.is_file():
            return None
        with path.open("rb") as file:
            content = file.read(_CARD_BYTES)
            head = content[:_HEAD_BYTES]
            if not any(mark in head for mark in _MARKS):
                return None
            card = _CARD.search(content) or _CARD.search(content + file.read())
            is_whole = _ends_well(file)
    except OSError as error:
        raise SiteError(f"{path}: cannot be read, {error.strerror}; choose another folder with --results") from error
    keys = {match[1].decode("ascii"): match[2].decode("ascii") for match in _KEYS.finditer(head)}
    made_from = PageKeys(keys.get("key", ""), keys.get("numbers", ""), keys.get("tables", ""))
    return PageFile(path, made_from, is_whole, _parse_card(card, path.stem))


def _ends_well(file: BinaryIO) -> bool:
    """Return whether a file ends as a complete page does."""
    file.seek(-min(len(_END), file.seek(0, os.SEEK_END)), os.SEEK_END)
    return file.read() == _END


def read_key(path: Path) -> str:
    """Return the key in the head of a complete page of any kind; empty if there is none."""
    try:
        with path.open("rb") as file:
            keys = {match[1]: match[2] for match in _KEYS.finditer(file.read(_HEAD_BYTES))}
            return keys.get(b"key", b"").decode("ascii") if _ends_well(file) else ""
    except OSError:
        return ""


def read_summary(path: Path) -> HeadSummary | None:
    """Read the summary of the heads of a page; ``None`` if the page has none, as a comparison.

    Raises:
        SiteError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(-min(_SUMMARY_BYTES, size), os.SEEK_END)
            found = _SUMMARY.search(file.read())
            if found is None:
                file.seek(0)
                found = _SUMMARY.search(file.read())
    except OSError as error:
        raise SiteError(f"{path}: cannot be read, {error.strerror}; choose another folder with --results") from error
    with suppress(ValueError):
        return decode_summary(found[1]) if found else None
    return None


def _parse_card(match: re.Match[bytes] | None, slug: str) -> Card | str:
    if match is None:
        return "there is none"
    try:  # the slug is the file's name, because the page may have been copied
        return replace(parse_card(json.loads(match[1].decode("utf-8"))), slug=slug)
    except (ValueError, TypeError) as error:
        return str(error)


def remove_ours(path: Path, is_ours: Callable[[Path], bool] = has_mark) -> None:
    """Remove a file if reportgen wrote it and neither the file nor its folder is a symbolic link.

    Args:
        path: file to remove.
        is_ours: returns whether reportgen wrote it.
    """
    if not (path.is_symlink() or path.parent.is_symlink()) and path.is_file() and is_ours(path):
        path.unlink()


def make_inside(folder: Path, inner: Path) -> None:
    """Create a folder inside a site.

    Symbolic links on the path are not followed, because they could lead outside the site.

    Raises:
        InTheWay: a part of the path is a link or a file.
        SiteError: the folder cannot be created.
    """
    check_inside(folder, inner)
    make_folder(inner)


def check_inside(folder: Path, inner: Path) -> None:
    """Check that a folder inside a site exists or can be created.

    Raises:
        InTheWay: a part of the path is a link or a file.
    """
    for part in takewhile(lambda part: part != folder, (inner, *inner.parents)):
        check_folder(part)


@dataclass(frozen=True)
class SiteReport:
    """The contents of ``report.json``.

    Attributes:
        outcomes: the outcome of each prompt.
        left_out: slugs of the pages left out of the index.
        totals: totals of the run that wrote it.
        options: options of the last build by name, without those that have their defaults.
        compared: the prompts that ``reportgen compare`` has shown side by side: the slugs of both, and the model of
            the second one if it is not its own.
    """

    outcomes: Sequence[Mapping[str, Any]] = ()
    left_out: Sequence[str] = ()
    totals: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    compared: Sequence[tuple[str, str, str]] = ()


def read_report(path: Path) -> SiteReport:
    """Read ``report.json``; an empty report if there is none.

    Raises:
        SiteError: the report cannot be read.
    """
    try:
        if path.is_symlink():
            raise ValueError("it is a link")
        if path.exists() and not path.is_file():
            raise ValueError("it is not a file")
        report = json.loads(path.read_text("utf-8"))
        outcomes = [dict(outcome) for outcome in report["prompts"]]
        left_out = [str(slug) for slug in report.get("left_out", ())]
        compared = [(str(first), str(second), str(model)) for first, second, model in report.get("compared", ())]
        totals, options = dict(report.get("run") or {}), dict(report.get("options") or {})
        return SiteReport(outcomes, left_out, totals, options, compared)
    except FileNotFoundError:
        return SiteReport()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SiteError(
            f"{path}: cannot be read, {error}; without it the index is made from the pages alone"
        ) from error
