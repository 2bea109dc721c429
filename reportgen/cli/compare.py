"""reportgen compare: show two prompts, or one prompt on two models, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reportgen.cli.build import add_compared, build, build_chosen, find_sides, pick, read_checked
from reportgen.cli.completion import complete_models, complete_slugs
from reportgen.cli.errors import NO_PAGE, shows_errors
from reportgen.cli.last_options import use_last_options
from reportgen.cli.options import OPEN, QUIET, RESULTS, SHARED, SITE_URL, TRUST, VERBOSE
from reportgen.cli.types import DeviceType, ModelType


@click.command()
@click.argument("first", shell_complete=complete_slugs)
@click.argument("second", required=False, shell_complete=complete_slugs)
@click.option(
    "--prompts", type=click.Path(path_type=Path), default=Path("prompts.yaml"), show_default=True,
    help="Prompt file that contains both prompts.",
)  # fmt: skip
@RESULTS
@click.option(
    "--second-model", type=ModelType(), shell_complete=complete_models,
    help="Model for the second prompt; without SECOND, FIRST runs on this model as well.",
)  # fmt: skip
@click.option("--device", type=DeviceType(), default="auto", show_default=True, help="As for build.")
@SHARED
@SITE_URL
@TRUST
@OPEN
@VERBOSE
@QUIET
@shows_errors(NO_PAGE)
def compare(first: str, second: str | None, prompts: Path, second_model: str | None, **settings: Any) -> None:
    """Compare two prompts side by side on one page: FIRST and SECOND are slugs in the prompt file.

    Both prompts are run, and their own pages are written as well. Options that are not given are those of the last
    build, and later builds keep the comparison up to date while its page exists.
    """
    if second is None and second_model is None:
        raise click.UsageError("name a SECOND prompt, or a --second-model to run the first one on")
    settings = {**use_last_options(settings, build), "compared": ((first, second or first, second_model or ""),)}
    file = read_checked(prompts, settings)
    by_slug = {prompt.slug: prompt for prompt in file.prompts}
    for slug, name in ((first, "FIRST"), (second or first, "SECOND")):
        if slug not in by_slug:
            raise click.BadParameter(f"no prompt {slug!r}; {prompts} has {', '.join(by_slug)}", param_hint=name)
    if first == second and not second_model:
        raise click.UsageError(f"{first} cannot be compared with itself; name another prompt, or give --second-model")
    file = add_compared(file, settings["results"], settings["compared"])
    slugs = [prompt.slug for prompt in find_sides(file.prompts, settings["compared"][0]) or ()]
    sides, comparisons = pick(file, slugs, prompts, settings["results"])
    build_chosen(sides, comparisons, settings, update=True)
