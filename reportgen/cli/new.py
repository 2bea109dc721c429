"""reportgen new: write the files of a new repository."""

from __future__ import annotations

from pathlib import Path

import click

from reportgen.cli.errors import shows_errors
from reportgen.cli.options import VERBOSE


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@VERBOSE
@shows_errors("; the last file in the folder may be incomplete")
def new(folder: Path, verbose: bool) -> None:
    """Create a new repository in DIR, with example prompts and a workflow that publishes their pages."""
    from reportgen.cli.scaffold import make_scaffold

    for path in make_scaffold(folder):
        click.echo(path)
