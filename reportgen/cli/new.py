"""reportgen new: the files that a repository of one's own begins with."""

from __future__ import annotations

from pathlib import Path

import click

from reportgen.cli.errors import shows_errors
from reportgen.cli.options import VERBOSE


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@VERBOSE
@shows_errors("; the files that are there are whole but for the last")
def new(folder: Path, verbose: bool) -> None:
    """Make DIR the start of a repository of your own: prompts, and a workflow that publishes their pages."""
    from reportgen.cli.scaffold import make_scaffold

    for path in make_scaffold(folder):
        click.echo(path)
