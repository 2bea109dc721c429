"""Notes about a site that commands print to standard error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

_NAMED = 10
"""Maximum number of pages that a note names; it counts the rest."""


def note_left_out(pages: Sequence[Path], advice: str = "") -> None:
    """Print which pages are in the folder but not in the index.

    Args:
        pages: paths of these pages.
        advice: text to append to the note.
    """
    if pages:
        more = f" and {len(pages) - _NAMED} more" if len(pages) > _NAMED else ""
        click.echo(f"kept, not in the index: {', '.join(map(str, pages[:_NAMED]))}{more}{advice}", err=True)


def note_stale(pages: Sequence[tuple[Path, Sequence[str]]]) -> None:
    """Print which comparisons show an earlier run of a prompt.

    Args:
        pages: path of each of these comparisons, with the slugs of the prompts.
    """
    for path, slugs in pages:
        named = " and ".join(map(repr, slugs))
        click.echo(f"warning: {path}: shows an earlier run of {named}; build or compare it again", err=True)


def note_size(results: Path) -> None:
    """Print a warning if a site is nearly too large for GitHub Pages."""
    from reportgen.site.size_warning import size_warning

    if warning := size_warning(results):
        click.echo(f"warning: {warning}", err=True)
