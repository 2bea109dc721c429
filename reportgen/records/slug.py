"""Slugs: file names of pages, without ``.html``."""

from __future__ import annotations

import re

SLUG_PATTERN = "[A-Za-z0-9_][A-Za-z0-9_-]{0,79}"
_SLUG = re.compile(SLUG_PATTERN)
# The site's own pages, and the device names of Windows, which are reserved with any suffix.
RESERVED_SLUGS = frozenset(
    [
        "index",
        "heads",
        "con",
        "prn",
        "aux",
        "nul",
        *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)),
    ]
)


def check_slug(slug: str) -> None:
    """Check that a slug is a valid file name on every operating system.

    Args:
        slug: name of a page's file, without ``.html``.

    Raises:
        ValueError: it has characters other than letters, digits, ``-`` and ``_``, is longer than 80 characters, begins
            with ``-`` like a command-line option, or is reserved.
    """
    if not _SLUG.fullmatch(slug):
        raise ValueError(
            "must be 1 to 80 of the letters A to Z, digits, '-' and '_', and not begin with '-', since it names the "
            "page's file"
        )
    if slug.lower() in RESERVED_SLUGS:
        raise ValueError(f"is {slug!r}, a reserved name; choose another")
