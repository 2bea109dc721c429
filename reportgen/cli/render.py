"""reportgen render: make pages again from saved captures, without the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reportgen.cli.errors import NO_PAGE, importing, shows_errors
from reportgen.cli.options import EXPORT, MAX_MB, PRECISION, RESULTS, SHARED, SITE_URL, VERBOSE


@click.command()
@click.argument("captures", nargs=-1, required=True, type=click.Path(path_type=Path))
@RESULTS
@EXPORT
@MAX_MB
@PRECISION
@SHARED
@SITE_URL
@VERBOSE
@shows_errors(NO_PAGE)
def render(captures: tuple[Path, ...], results: Path, verbose: bool, **settings: Any) -> None:
    """Make pages again from CAPTURES, which are files of --keep-captures or folders of them. No model is needed."""
    with importing(NO_PAGE):
        from reportgen.build.rerender import render_site
        from reportgen.pages.options import PageOptions

    options = PageOptions(**{name: value for name, value in settings.items() if value is not None})
    written = render_site(
        captures, results, options, done=click.echo, warn=lambda warning: click.echo(warning, err=True)
    )
    click.echo(written)
