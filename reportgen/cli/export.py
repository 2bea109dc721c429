"""reportgen export: a view of a page as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reportgen.cli.completion import complete_files
from reportgen.cli.errors import NOT_WRITTEN, shows_errors
from reportgen.cli.options import VERBOSE
from reportgen.records.errors import PictureError


@click.command()
@click.argument("page", shell_complete=complete_files)
@click.option("--view", default="head", show_default=True, help="Which view: text, overview, head, layer_tiles, grid …")
@click.option("--layer", type=click.IntRange(min=0), help="Its layer; the page's first choice by default.")
@click.option("--head", type=click.IntRange(min=0), help="Its head.")
@click.option("--query", type=click.IntRange(min=0), help="Position of the query.")
@click.option("--step", type=click.IntRange(min=0), help="Generation step, instead of a query.")
@click.option(
    "--format",
    "picture_format",
    type=click.Choice(["png", "svg", "pdf"]),
    help="Default: by the name of the file, or png.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write. Default: PAGE-VIEW.FORMAT here.",
)
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True, help="Colours.")
@click.option("--browser", default="", help="Program of a Chromium. Default: CHROMIUM, or the first that is found.")
@VERBOSE
@shows_errors(NOT_WRITTEN)
def export(page: str, view: str, query: int | None, step: int | None, output: Path | None, **given: Any) -> None:
    """Draw a view of PAGE, a file that build wrote, as a picture: the one that the page itself saves.

    What follows # in PAGE selects, as in the browser: 'results/cat.html#layer=3&head=7&first=out'. Options go before.
    Needs a Chromium and pip install 'attention-reportgen[export]'.
    """
    from reportgen.pages.screenshot import FORMATS, View, draw_picture

    if query is not None and step is not None:
        raise click.UsageError("--query and --step exclude each other; keep one")
    by_name = output.suffix[1:].lower() if output else ""
    chosen = given["picture_format"] or (by_name if by_name in FORMATS else "png")
    asked = {"layer": given["layer"], "head": given["head"], "query": query, "step": step}
    selection = {key: str(value) for key, value in asked.items() if value is not None}
    picture = draw_picture(page, View(view, selection, given["theme"]), chosen, given["browser"])
    path = output or Path(f"{Path(page.partition('#')[0]).stem}-{view}.{chosen}")
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise PictureError(f"{path}: cannot be written: {error.strerror}; name another file with --output") from error
    click.echo(path)
