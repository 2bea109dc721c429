"""reportgen render: make pages again from saved captures, without the model."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from reportgen.cli.build import build
from reportgen.cli.errors import NO_PAGE, importing, shows_errors
from reportgen.cli.last_options import use_last_options
from reportgen.cli.notes import note_stale
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
    """Make pages again from CAPTURES, which are files of --keep-captures or folders of them. No model is needed.

    Options that are not given are those of the last build of the results folder.
    """
    with importing(NO_PAGE):
        from reportgen.build.rerender import render_site
        from reportgen.pages.options import PageOptions
        from reportgen.site.site import Site

    names = {item.name for item in fields(PageOptions)}
    settings = use_last_options({**settings, "results": results}, build, names)
    options = PageOptions(**{name: value for name, value in settings.items() if name in names and value is not None})
    written = render_site(
        captures, results, options, done=click.echo, warn=lambda warning: click.echo(warning, err=True)
    )
    site = Site(results)
    note_stale([(site.page(slug), sides) for slug, sides in site.find_stale()])
    click.echo(written)
