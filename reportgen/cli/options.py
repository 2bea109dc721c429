"""Options shared by several commands, and help that shows options in groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from reportgen.cli.completion import complete_models
from reportgen.cli.types import AmountType, FolderType, ModelType, SelectionType
from reportgen.pages.options import PageOptions
from reportgen.records import EXPORT_FORMATS

_F = TypeVar("_F", bound=Callable[..., Any])
_GROUP = "__option_group__"


class GroupedCommand(click.Command):
    """A command whose help shows its options in named groups, in the order of their definition."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of each group under its name, and ungrouped options last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                groups.setdefault(getattr(param, _GROUP, "Other"), []).append(record)
        for name in sorted(groups, key=lambda name: name == "Other"):
            with formatter.section(name):
                formatter.write_dl(groups[name])


def group(name: str, *options: Callable[[_F], _F]) -> Callable[[_F], _F]:
    """Return a decorator that adds options to a command and puts them in a named group of its help."""

    def decorate(command: _F) -> _F:
        for option in reversed(options):
            command = option(command)
            params: list[click.Parameter] = command.__click_params__  # pyright: ignore[reportFunctionMemberAccess]
            setattr(params[-1], _GROUP, name)
        return command

    return decorate


PROMPTS = click.argument("prompts", type=click.Path(path_type=Path), default=Path("prompts.yaml"))
FOLDER = FolderType()
RESULTS = click.option("-o", "--results", type=FOLDER, default="results", show_default=True, help="Output folder.")
MODEL = click.option(
    "-m", "--model", type=ModelType(), shell_complete=complete_models,
    help="Model for every prompt; overrides the file.",
)  # fmt: skip
LAYERS = click.option("--layers", type=SelectionType(), help="Layers to show, such as 0-4,-1. Default: all.")
HEADS = click.option("--heads", type=SelectionType(), help="Heads to show. Default: all.")
TRUST = click.option("--trust-remote-code", is_flag=True, help="Run Python code that comes with the model.")
PICKLE = click.option("--allow-pickle", is_flag=True, help="Read pickled weights if the model has no safetensors.")
VERBOSE = click.option("-v", "--verbose", is_flag=True, help="Print a line for each stage, and tracebacks of errors.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress bar; failures are still shown.")
OPEN = click.option("--open", "open_index", is_flag=True, help="Open the index in a browser when done.")
MAX_MB = click.option(
    "--max-page-mb", type=AmountType(), default=PageOptions.max_page_mb, show_default=True,
    help="Maximum size of a page in megabytes: a larger one omits its smallest weights, with a note, or fails if too "
    "little would be left. 0: no limit.",
)  # fmt: skip
PRECISION = click.option(
    "--precision", type=click.Choice([8, 16]), default=8, show_default=True, help="Bits per attention weight on a page."
)
SHARED = click.option("--shared-assets", is_flag=True, help="Store BokehJS once in the site, not in each page.")
EXPORT = click.option(
    "--export-data", type=click.Choice(EXPORT_FORMATS), help="Also write every table of numbers to data/SLUG/."
)
SITE_URL = click.option(
    "--site-url", default="", metavar="URL",
    help="URL where the folder will be published: adds canonical links, link previews and a sitemap.",
)  # fmt: skip
