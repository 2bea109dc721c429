"""What commands say of a site beside the paths that they print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

_NAMED = 10
"""So many pages are named in a note; the others are counted."""


def note_left_out(pages: Sequence[Path], advice: str = "") -> None:
    """Name pages that are kept in the folder and stand outside the index."""
    if pages:
        more = f" and {len(pages) - _NAMED} more" if len(pages) > _NAMED else ""
        click.echo(f"kept, not in the index: {', '.join(map(str, pages[:_NAMED]))}{more}{advice}", err=True)


def note_size(results: Path) -> None:
    """Say on standard error where a site will not fit GitHub Pages."""
    from reportgen.site.size_warning import size_warning

    if warning := size_warning(results):
        click.echo(f"warning: {warning}", err=True)
