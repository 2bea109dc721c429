"""reportgen check: validate a prompt file against its models, without their weights."""

from __future__ import annotations

from pathlib import Path

import click

from reportgen.cli.errors import NOT_WRITTEN, importing, shows_errors
from reportgen.cli.options import HEADS, LAYERS, MODEL, PICKLE, PROMPTS, TRUST, VERBOSE
from reportgen.records.selection import Selection


@click.command()
@PROMPTS
@MODEL
@LAYERS
@HEADS
@TRUST
@PICKLE
@VERBOSE
@shows_errors(NOT_WRITTEN)
def check(
    prompts: Path, model: str | None, layers: Selection | None, heads: Selection | None, trust_remote_code: bool,
    allow_pickle: bool, verbose: bool,
) -> None:  # fmt: skip
    """Check PROMPTS (default: prompts.yaml) with the configs and tokenizers of its models, without loading weights."""
    from reportgen.build.preflight import check_prompts, check_tokens
    from reportgen.prompts.prompt_file import override, read_prompts

    chosen, problems = read_prompts(prompts)
    chosen = override(chosen, model=model, layers=layers, heads=heads)
    with importing(NOT_WRITTEN):
        chosen = check_prompts(
            chosen, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle, problems=problems
        )
        for warning in check_tokens(chosen, trust_remote_code=trust_remote_code):
            click.echo(f"warning: {warning}", err=True)
    click.echo(f"{prompts}: {len(chosen)} prompt{'s' if len(chosen) > 1 else ''}, no problems")
