"""reportgen export: save a figure of a page as a picture, its story as files, or all heads as a table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from reportgen.cli.completion import complete_files
from reportgen.cli.errors import NOT_WRITTEN, shows_errors
from reportgen.cli.options import VERBOSE
from reportgen.records import EXPORT_FORMATS
from reportgen.records.errors import PictureError


@click.command()
@click.argument("page", shell_complete=complete_files)
@click.option(
    "--view",
    help="Figure to draw: text, read, heads, layers, head, map, effect, lens …  Default: head, or that of the step of "
    "PAGE#story=2.",
)
@click.option("--layer", type=click.IntRange(min=0), help="Layer. Default: the page's own choice.")
@click.option("--head", type=click.IntRange(min=0), help="Head. Default: the page's own choice.")
@click.option("--query", type=click.IntRange(min=0), help="Position that reads.")
@click.option("--step", type=click.IntRange(min=0), help="Generation step; excludes --query.")
@click.option(
    "--story",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the story of PAGE into this folder, as Markdown and LaTeX with a picture for each step.",
)
@click.option(
    "--format",
    "picture_format",
    type=click.Choice(["png", "svg", "pdf", *EXPORT_FORMATS]),
    help="Format of the picture or, of heads, of the table. Default: from the name of the output file, or png and csv. "
    "A story always has SVG too.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write. Default: PAGE-VIEW.FORMAT in the current folder, of heads heads.FORMAT.",
)
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True, help="Color theme.")
@click.option("--browser", default="", help="Path of Chromium. Default: CHROMIUM, or the first one found.")
@VERBOSE
@shows_errors(NOT_WRITTEN)
def export(page: str, query: int | None, step: int | None, story: Path | None, **settings: Any) -> None:
    """Save a figure of PAGE, a file written by build, as a picture, or its story as files for an article.

    The part of PAGE after # selects what is shown, as in the browser: 'results/cat.html#layer=3&head=7&first=out'.
    Options override it. SVGs of read, heads, layers, head, map and effect need no browser; everything else requires
    Chromium and pip install 'attention-reportgen[export]'.

    With heads, or the heads.html of a results folder, as PAGE, save the numbers of every head on every prompt as CSV or
    Parquet instead. Requires no browser.
    """
    from reportgen.pages.links import HEADS_FILE

    if Path(page).name in ("heads", HEADS_FILE):
        _export_heads(page, settings["output"], settings["picture_format"])
        return
    if query is not None and step is not None:
        raise click.UsageError("--query and --step exclude each other; keep one")
    if settings["picture_format"] in EXPORT_FORMATS:
        raise click.UsageError(
            f"--format {settings['picture_format']} is for heads; the tables of a page come from build --export-data"
        )
    choices = {"layer": settings["layer"], "head": settings["head"], "query": query, "step": step}
    chosen = {key: str(value) for key, value in choices.items() if value is not None}
    if story is None:
        _export_figure(page, chosen, **settings)
    elif chosen or settings["view"] or settings["output"]:
        raise click.UsageError("--story writes all steps into its folder; leave out --view, --output and what selects")
    else:
        _export_story(page, story, **settings)


def _export_figure(page: str, chosen: dict[str, str], view: str | None, output: Path | None, **settings: Any) -> None:
    from reportgen.pages import screenshot
    from reportgen.pages.figure_stills import write_svg

    suffix = output.suffix[1:].lower() if output else ""
    picture_format = settings["picture_format"] or (suffix if suffix in screenshot.FORMATS else "png")
    file, _, fragment = page.partition("#")
    path = screenshot.find_page(file)
    data = screenshot.read_data(path)
    fragment, figure = screenshot.follow_story(data, path, fragment)
    asked = screenshot.View(view or figure or "head", screenshot.select(fragment, chosen), settings["theme"])
    still = screenshot.draw_still(data, path, asked)
    if still is None:
        picture = screenshot.draw_picture(file, asked, picture_format, settings["browser"])
    else:
        picture = write_svg(still, asked.theme)
        if picture_format != "svg":
            (picture,) = screenshot.paint([picture], picture_format, settings["browser"])
    if still is None or picture_format != "svg":
        _note_sandbox()
    path = output or Path(f"{Path(file).stem}-{asked.name}.{picture_format}")
    _write(path, picture, "name another file with --output")
    click.echo(path)


def _export_story(page: str, folder: Path, **settings: Any) -> None:
    from reportgen.pages import screenshot
    from reportgen.pages.figure_stills import write_svg
    from reportgen.pages.story_files import make_texts, name_picture

    path = screenshot.find_page(page.partition("#")[0])
    data = screenshot.read_data(path)
    stills = screenshot.draw_story(data, path)
    svgs = [write_svg(still, settings["theme"]) for still in stills]
    picture_format = settings["picture_format"] or "png"
    pictures = {name_picture(number, "svg"): svg for number, svg in enumerate(svgs, 1)}
    if picture_format != "svg":
        try:
            painted = screenshot.paint(svgs, picture_format, settings["browser"])
        except PictureError as error:
            raise PictureError(f"{error}; or add --format svg, which needs no browser") from error
        _note_sandbox()
        pictures |= {name_picture(number, picture_format): picture for number, picture in enumerate(painted, 1)}
    address = screenshot.find_address(path) or Path(os.path.relpath(path, folder)).as_posix()
    texts = make_texts(data, stills, address, picture_format)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PictureError(f"{folder}: cannot be made: {error.strerror}; name another folder") from error
    for name, content in {**{name: text.encode() for name, text in texts.items()}, **pictures}.items():
        _write(folder / name, content, "name another folder with --story")
        click.echo(folder / name)


def _write(path: Path, content: bytes, advice: str) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise PictureError(f"{path}: cannot be written: {error.strerror}; {advice}") from error


def _note_sandbox() -> None:
    from reportgen.pages.screenshot import why_no_sandbox

    if reason := why_no_sandbox():
        click.echo(f"note: the browser ran without its sandbox: {reason}", err=True)


def _export_heads(page: str, output: Path | None, table_format: str | None) -> None:
    """Save the table of the heads of a results folder: ``results``, or the one that holds the given page."""
    from reportgen.pages.head_tables import write_heads
    from reportgen.site.site import Site

    suffix = output.suffix[1:].lower() if output else ""
    kind = table_format or suffix or EXPORT_FORMATS[0]
    if kind not in EXPORT_FORMATS:
        raise click.UsageError(
            f"heads are a table, which {kind} cannot hold; write --format {' or '.join(EXPORT_FORMATS)}"
        )
    site = Site("results" if page == "heads" else Path(page).parent)
    summaries = [*site.read_summaries(site.read_cards())]
    path = output or Path(f"heads.{kind}")
    write_heads(summaries, path, kind)
    click.echo(path)
