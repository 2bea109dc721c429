"""Files of a site: whose they are, and what a page says at its beginning and its end.

A file that reportgen did not make is never overwritten.
"""

from __future__ import annotations

import json
import os
import re
from itertools import takewhile
from pathlib import Path
from typing import Any

from reportgen.files import atomic_write, make_folder
from reportgen.pages.cards import Card, parse_card
from reportgen.records.errors import InTheWay, SiteError

_MARKS = (
    b'<meta name="generator" content="reportgen', b'"generator": "reportgen', b"<!-- reportgen", b"Software\0reportgen",
)  # fmt: skip
"""How the beginning of a page, a report, a sitemap and a preview says who made it."""
_HEAD_BYTES = 4096
_CARD_BYTES = 1 << 16
"""So much of a page is read for its card first; the whole page where the card is not in it."""
_CARD = re.compile(b'<script type="application/json" id="card">(.*?)</script>', re.DOTALL)
"""Where a page carries its card; what a prompt says cannot look like it, since its angle brackets are escaped."""
_KEY = re.compile(b'<meta name="reportgen-key" content="([0-9a-f]{64})">')
_END = b"</html>\n"
"""What a page ends with, unless somebody copied half of it."""


def write_ours(path: Path, content: str) -> Path:
    """Write a file that says who made it, unless somebody else's is in its place, and return its path.

    Raises:
        InTheWay: that is so.
        SiteError: it cannot be written.
    """
    check_ours(path)
    atomic_write(path, content)
    return path


def check_ours(path: Path) -> None:
    """Check that nothing of somebody else's stands in the place of a file.

    Raises:
        InTheWay: it does.
        SiteError: it cannot be read.
    """
    try:
        foreign = path.is_symlink() or path.is_dir() or (path.exists() and not is_ours(path))
    except OSError as error:
        raise SiteError(f"{path}: cannot be read, {error.strerror}; choose another folder with --results") from error
    if foreign:
        raise InTheWay(f"{path}: is in the way and was not made by reportgen; move it or choose another --results")


def is_ours(path: Path) -> bool:
    """Say whether a file says at its beginning that reportgen made it."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return any(mark in head for mark in _MARKS)


def is_page(path: Path) -> bool:
    """Say whether a file is a page of a prompt or a comparison.

    Raises:
        SiteError: it cannot be read.
    """
    try:
        return path.name != "index.html" and not path.is_symlink() and path.is_file() and is_ours(path)
    except OSError as error:
        raise SiteError(f"{path}: cannot be read, {error.strerror}; choose another folder with --results") from error


def read_key(path: Path) -> str:
    """Return the key of a page; empty where it has none, or there is no page."""
    try:
        with path.open("rb") as file:
            found = _KEY.search(file.read(_HEAD_BYTES))
    except OSError:
        return ""
    return found[1].decode("ascii") if found else ""


def read_card(path: Path) -> Card:
    """Return the card that a page carries.

    Raises:
        SiteError: it has none that can be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_CARD_BYTES)
            card = _CARD.search(content) or _CARD.search(content + file.read())
        if card is None:
            raise ValueError("there is none")
        return parse_card(json.loads(card[1].decode("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise SiteError(f"{path}: holds no readable card, {error}; build that page again") from error


def is_whole(path: Path) -> bool:
    """Say whether a page has its end, which one that was copied in part lacks."""
    with path.open("rb") as file:
        file.seek(-min(len(_END), path.stat().st_size), os.SEEK_END)
        return file.read() == _END


def remove_ours(path: Path) -> None:
    """Remove a file, if reportgen made it and no link leads to it."""
    if not (path.is_symlink() or path.parent.is_symlink()) and path.is_file() and is_ours(path):
        path.unlink()


def make_inside(folder: Path, inner: Path) -> None:
    """Make a folder inside a site; a link on the way there would lead out of it."""
    for part in takewhile(lambda part: part != folder, (inner, *inner.parents)):
        if part.is_symlink():
            raise SiteError(f"{part}: is a link, which is not followed; remove it or choose another --results")
    make_folder(inner)


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
