"""reportgen compare: show two prompts, or one prompt on two models, side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from reportgen.cli.build import build_chosen, read_checked
from reportgen.cli.completion import complete_models, complete_slugs
from reportgen.cli.errors import NO_PAGE, shows_errors
from reportgen.cli.options import OPEN, QUIET, RESULTS, SHARED, SITE_URL, TRUST, VERBOSE
from reportgen.cli.types import DeviceType, ModelType
from reportgen.records import Comparison, Prompt


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

    Both prompts are run, and their own pages are written as well.
    """
    if second is None and second_model is None:
        raise click.UsageError("name a SECOND prompt, or a --second-model to run the first one on")
    chosen = read_checked(prompts, settings).prompts
    sides, comparisons = _put_side_by_side(chosen, (first, second or first, second_model or ""), prompts)
    build_chosen(sides, comparisons, settings, update=True)


def _put_side_by_side(
    prompts: Sequence[Prompt], comparing: tuple[str, str, str], file: Path
) -> tuple[tuple[Prompt, ...], tuple[Comparison, ...]]:
    """Return the two prompts and their comparison; the second prompt gets another model if one is named."""
    first, second, model = comparing
    by_slug = {prompt.slug: prompt for prompt in prompts}
    for slug, name in ((first, "FIRST"), (second, "SECOND")):
        if slug not in by_slug:
            raise click.BadParameter(f"no prompt {slug!r}; {file} has {', '.join(by_slug)}", param_hint=name)
    sides = [by_slug[first], by_slug[second]]
    if model:
        named = re.sub(r"[^A-Za-z0-9]+", "-", model).strip("-").lower()
        slug, title = f"{second}-on-{named}"[:80], f"{sides[1].title} (on {model})"
        place = replace(sides[1].place, options={**sides[1].place.options, "model": "--second-model"})
        sides[1] = replace(sides[1], model=model, slug=slug, title=title, place=place)
    elif first == second:
        raise click.UsageError(f"{first} cannot be compared with itself; name another prompt, or give --second-model")
    return tuple(sides), (Comparison((sides[0].slug, sides[1].slug)),)
