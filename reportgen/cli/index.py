"""reportgen index: rebuild the index from the pages in the folder."""

from __future__ import annotations

from pathlib import Path

import click

from reportgen.cli.errors import NOT_WRITTEN, importing, shows_errors
from reportgen.cli.notes import note_left_out, note_size
from reportgen.cli.options import FOLDER, SITE_URL, VERBOSE


@click.command()
@click.argument("results", type=FOLDER, default="results")
@SITE_URL
@VERBOSE
@shows_errors(NOT_WRITTEN)
def index(results: Path, site_url: str, verbose: bool) -> None:
    """Rebuild the index of RESULTS (default: results) from the pages in it, and join the shards of a run.

    Pages that the last build left out of the index stay out. Without report.json in RESULTS, every page is included.
    The site's URL is that of the last build unless --site-url is given; pages keep the URL they were built with.
    """
    with importing(NOT_WRITTEN):
        from reportgen.pages.links import check_site_url
        from reportgen.pages.options import PageOptions
        from reportgen.site.shards import join_parts
        from reportgen.site.site import Site

    site, address = Site(results), check_site_url(site_url)
    site.read_cards()  # first, because a missing folder is a mistyped name and must not be created
    with site.lock():
        missing = join_parts(site)
        left_out, run = site.read_left_out(), site.read_run()
        run = run.at(address)
        written = site.open((), PageOptions(site_url=run.site_url)).write_index(site.read_cards(), left_out, run)
    for line in missing or ():
        click.echo(f"not joined: {line}; run it, then this again", err=True)
    note_left_out([site.page(slug) for slug in left_out])
    note_size(results)
    click.echo(written)
