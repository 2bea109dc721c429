"""reportgen export: save a figure of a page as a picture."""

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
@click.option(
    "--view",
    default="head",
    show_default=True,
    help="Figure to draw: text, read, heads, layers, head, map, grid, lens …",
)
@click.option("--layer", type=click.IntRange(min=0), help="Layer. Default: the page's own choice.")
@click.option("--head", type=click.IntRange(min=0), help="Head. Default: the page's own choice.")
@click.option("--query", type=click.IntRange(min=0), help="Position that reads.")
@click.option("--step", type=click.IntRange(min=0), help="Generation step; excludes --query.")
@click.option(
    "--format",
    "picture_format",
    type=click.Choice(["png", "svg", "pdf"]),
    help="Format of the picture. Default: from the name of the output file, or png.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write. Default: PAGE-VIEW.FORMAT in the current folder.",
)
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True, help="Color theme.")
@click.option("--browser", default="", help="Path of Chromium. Default: CHROMIUM, or the first one found.")
@VERBOSE
@shows_errors(NOT_WRITTEN)
def export(page: str, view: str, query: int | None, step: int | None, output: Path | None, **settings: Any) -> None:
    """Save a figure of PAGE, a file written by build, as a picture; it is the picture that the page itself saves.

    The part of PAGE after # selects what is shown, as in the browser: 'results/cat.html#layer=3&head=7&first=out'.
    Options override it. Requires Chromium and pip install 'attention-reportgen[export]'.
    """
    from reportgen.pages.screenshot import FORMATS, View, draw_picture, why_no_sandbox

    if query is not None and step is not None:
        raise click.UsageError("--query and --step exclude each other; keep one")
    suffix = output.suffix[1:].lower() if output else ""
    picture_format = settings["picture_format"] or (suffix if suffix in FORMATS else "png")
    choices = {"layer": settings["layer"], "head": settings["head"], "query": query, "step": step}
    selection = {key: str(value) for key, value in choices.items() if value is not None}
    picture = draw_picture(page, View(view, selection, settings["theme"]), picture_format, settings["browser"])
    if reason := why_no_sandbox():
        click.echo(f"note: the browser ran without its sandbox: {reason}", err=True)
    path = output or Path(f"{Path(page.partition('#')[0]).stem}-{view}.{picture_format}")
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise PictureError(f"{path}: cannot be written: {error.strerror}; name another file with --output") from error
    click.echo(path)
