"""The command line: options in, errors shown, exit codes.

Exit codes: 0 all pages written, 1 something failed, 2 wrong usage. Progress and notes go to standard error, paths of
what was written to standard output.
"""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from reportgen import __version__
from reportgen.errors import ReportgenError
from reportgen.records import EXTRA_EVIDENCE
from reportgen.selection import Selection, parse_selection

_INTERRUPTED = 130


class _SelectionType(click.ParamType):
    """Layers or heads, such as ``0-4, -1``."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Selection:
        try:
            return parse_selection(value)
        except ValueError as error:
            self.fail(f"{error}; write numbers and ranges such as 0-4,-1, or all", param, ctx)


def _shows_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn the library's errors into a message and exit code 1; ``-v`` lets the traceback through."""

    @wraps(command)
    def shown(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except ReportgenError as error:
            if options.get("verbose"):
                raise
            click.echo(f"error: {error}", err=True)
            raise SystemExit(1) from error
        except KeyboardInterrupt:
            click.echo("stopped; finished pages and the index are kept", err=True)
            raise SystemExit(_INTERRUPTED) from None

    return shown


_PROMPTS = click.argument("prompts", type=click.Path(path_type=Path), default=Path("prompts.yaml"))
_MODEL = click.option("-m", "--model", help="Model for every prompt, over what the file says.")
_LAYERS = click.option("--layers", type=_SelectionType(), help="Layers to keep, such as 0-4,-1. Default: all.")
_HEADS = click.option("--heads", type=_SelectionType(), help="Heads to keep. Default: all.")
_TRUST = click.option("--trust-remote-code", is_flag=True, help="Run Python code that comes with the model.")
_VERBOSE = click.option("-v", "--verbose", is_flag=True, help="A line for each stage; tracebacks of errors.")
_RESULTS = click.option(
    "-o", "--results", type=click.Path(path_type=Path, file_okay=False), default=Path("results"), show_default=True,
    help="Folder of the site.",
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="reportgen")
def main() -> None:
    """See attention: a YAML list of prompts in, a folder of self-contained pages of heatmaps out."""


@main.command()
@_PROMPTS
@_RESULTS
@_MODEL
@_LAYERS
@_HEADS
@click.option("--only", "slugs", multiple=True, metavar="SLUG", help="Build this prompt alone; may be given again.")
@click.option("--max-new-tokens", type=click.IntRange(min=0), help="Tokens to generate; 0 is the forward pass alone.")
@click.option("--device", default="auto", show_default=True, help="auto (cuda, mps, cpu in that order), cuda:1, cpu …")
@click.option(
    "--dtype", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default="auto", show_default=True,
    help="Number format of the weights; auto is float32 on the CPU.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), help="Seed of sampling, for every prompt.")
@click.option(
    "--evidence", multiple=True, type=click.Choice(EXTRA_EVIDENCE),
    help="Measure this too, for every prompt; may be given again. Takes minutes on a processor.",
)  # fmt: skip
@click.option("--shared-assets", is_flag=True, help="Keep BokehJS once beside the pages, not in each.")
@_TRUST
@click.option("--open", "open_index", is_flag=True, help="Open the index in a browser when done.")
@_VERBOSE
@click.option("-q", "--quiet", is_flag=True, help="No progress bar; failures are still shown.")
@_shows_errors
def build(
    prompts: Path, results: Path, model: str | None, layers: Selection | None, heads: Selection | None,
    slugs: tuple[str, ...], max_new_tokens: int | None, device: str, dtype: str, seed: int | None,
    evidence: tuple[str, ...], shared_assets: bool, trust_remote_code: bool, open_index: bool, verbose: bool,
    quiet: bool,
) -> None:  # fmt: skip
    """Run PROMPTS (default: prompts.yaml) and write one page for each, and an index."""
    from reportgen.progress import watch
    from reportgen.prompts.prompt_file import load_prompts, override

    chosen = override(
        load_prompts(prompts),
        model=model,
        layers=layers,
        heads=heads,
        max_new_tokens=max_new_tokens,
        seed=seed,
        evidence=evidence or None,
    )
    if slugs:
        known = [prompt.slug for prompt in chosen]
        if unknown := [slug for slug in slugs if slug not in known]:
            raise click.BadParameter(f"no prompt {unknown[0]!r}; {prompts} has {', '.join(known)}", param_hint="--only")
        chosen = tuple(prompt for prompt in chosen if prompt.slug in slugs)

    # Only now: torch takes seconds to import, and a wrong file should be told at once.
    from reportgen.run import Options, build_site

    options = Options(device, dtype, shared_assets, trust_remote_code, update=bool(slugs))
    with watch(len(chosen), quiet=quiet, verbose=verbose) as progress:
        outcome = build_site(chosen, results, options, progress)
    for path in (*outcome.pages, outcome.index):
        click.echo(path)
    if open_index:
        webbrowser.open(outcome.index.resolve().as_uri())
    if outcome.failures:
        raise SystemExit(1)


@main.command()
@_PROMPTS
@_MODEL
@_LAYERS
@_HEADS
@_TRUST
@_VERBOSE
@_shows_errors
def check(
    prompts: Path, model: str | None, layers: Selection | None, heads: Selection | None, trust_remote_code: bool,
    verbose: bool,
) -> None:  # fmt: skip
    """Check PROMPTS (default: prompts.yaml) and its models' configs; no weights are loaded."""
    from reportgen.prompts.prompt_file import load_prompts, override

    chosen = override(load_prompts(prompts), model=model, layers=layers, heads=heads)

    from reportgen.run import Options, check_prompts

    check_prompts(chosen, Options(trust_remote_code=trust_remote_code))
    click.echo(f"{prompts}: {len(chosen)} prompts, no problems")


@main.command()
def schema() -> None:
    """Print the JSON Schema of the prompt file, for editors."""
    from reportgen.prompts.prompt_file import prompt_file_schema

    click.echo(json.dumps(prompt_file_schema(), ensure_ascii=False, indent=2))


@main.command()
@click.option("--fetch", metavar="NAME", help="Put an embedded model on this machine and print its folder.")
@_VERBOSE
@_shows_errors
def models(fetch: str | None, verbose: bool) -> None:
    """List the embedded models, and what the hub's cache on this machine holds."""
    from reportgen.models.embedded import fetch_model, list_models

    if fetch is not None:
        click.echo(fetch_model(fetch))
        return
    for row in list_models():
        click.echo(row)


@main.command()
@click.argument("results", type=click.Path(path_type=Path, file_okay=False), default=Path("results"))
@_VERBOSE
@_shows_errors
def index(results: Path, verbose: bool) -> None:
    """Write the index of RESULTS (default: results) anew from the pages that are there."""
    from reportgen.site import open_site, read_cards, write_index

    cards = read_cards(results)  # first: a folder that is not there is a wrong name, not one to be made
    click.echo(write_index(open_site(results), cards))
