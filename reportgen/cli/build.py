"""reportgen build: prompts in, a folder of pages out."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reportgen.cli.completion import complete_slugs
from reportgen.cli.errors import NO_PAGE, importing, shows_errors
from reportgen.cli.notes import note_left_out, note_size
from reportgen.cli.options import (
    EXPORT,
    HEADS,
    LAYERS,
    MAX_MB,
    MODEL,
    OPEN,
    PRECISION,
    PROMPTS,
    QUIET,
    RESULTS,
    SHARED,
    SITE_URL,
    TRUST,
    VERBOSE,
    GroupedCommand,
    group,
)  # fmt: skip
from reportgen.cli.types import BatchType, DeviceType, ShardType, find_shard
from reportgen.records import DEVICE_MAPS, DTYPES, EXTRA_EVIDENCE, Comparison, Prompt, Shard

if TYPE_CHECKING:
    from reportgen.build.options import BuildOptions, Cluster, Outcome
    from reportgen.prompts.prompt_file import PromptFile

_OVER_THE_FILE = ("model", "layers", "heads", "max_new_tokens", "seed", "evidence")
"""Options that stand over what the file says."""


@click.command(cls=GroupedCommand)
@PROMPTS
@group(
    "What is run",
    MODEL,
    LAYERS,
    HEADS,
    click.option(
        "--only", "slugs", multiple=True, metavar="SLUG", shell_complete=complete_slugs,
        help="Build this prompt alone; may be given again.",
    ),
    click.option("--max-new-tokens", type=click.IntRange(min=0), help="Tokens to generate; 0: the prompt alone."),
    click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), help="Seed of sampling, for every prompt."),
    click.option(
        "--evidence", multiple=True, type=click.Choice(EXTRA_EVIDENCE),
        help="Measure this too, for every prompt; may be given again. Takes minutes on a processor.",
    ),
)  # fmt: skip
@group(
    "What is written",
    RESULTS,
    EXPORT,
    click.option("--keep-captures", is_flag=True, help="Write captures/SLUG.safetensors too, for reportgen render."),
    MAX_MB,
    PRECISION,
    SHARED,
    SITE_URL,
    click.option("--force", is_flag=True, help="Build pages anew that are up to date."),
    click.option("--prune", is_flag=True, help="Remove the pages of prompts that PROMPTS no longer has."),
)
@group(
    "How the model runs",
    click.option(
        "--device", type=DeviceType(), default="auto", show_default=True,
        help="auto (cuda, mps, cpu in that order), cuda:1, cpu …",
    ),
    click.option(
        "--device-map", type=click.Choice(DEVICE_MAPS),
        help="Spread a model that is larger than one device over all of them.",
    ),
    click.option(
        "--dtype", type=click.Choice(DTYPES), default="auto", show_default=True,
        help="Number format of the weights; auto is float32 on the CPU.",
    ),
    click.option(
        "--batch-size", type=BatchType(), default="auto", show_default=True,
        help="Prompts of similar length that run side by side at most; 1 for none.",
    ),
    TRUST,
    click.option("--allow-pickle", is_flag=True, help="Read pickled weights where there are no safetensors."),
)  # fmt: skip
@group(
    "Where it runs, and what it says",
    click.option(
        "--shard", type=ShardType(), callback=find_shard,
        help="Run this part alone, as 2/8; reportgen index joins them. Default: by RANK and WORLD_SIZE, where set.",
    ),
    click.option(
        "--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True,
        help="Where to run: here, or on a Ray cluster.",
    ),
    click.option("--ray-address", help="The cluster, as HOST:PORT. Default: RAY_ADDRESS, or the one on this machine."),
    click.option("--workers", type=click.IntRange(min=1), help="Models in memory at once. Default: one a GPU or node."),
    click.option("--gpus-per-worker", type=click.FloatRange(min=0), help="GPUs of each. Default: 1 where there are."),
    click.option("--fail-fast", is_flag=True, help="Stop at the first prompt that fails."),
    OPEN,
    VERBOSE,
    QUIET,
)  # fmt: skip
@shows_errors(NO_PAGE)
def build(prompts: Path, **given: Any) -> None:
    """Run PROMPTS (default: prompts.yaml) and write one page for each, and an index.

    Pages that are up to date are left as they are: what made them, from the prompt to the model's files, is the same.
    """
    _refuse_pairs(given)
    file = read_checked(prompts, given)
    chosen, comparisons = file.prompts, file.comparisons
    if given["slugs"]:
        chosen, comparisons = _pick(chosen, comparisons, given["slugs"], prompts)
    build_chosen(chosen, comparisons, given, update=bool(given["slugs"]))


def build_chosen(
    prompts: Sequence[Prompt], comparisons: Sequence[Comparison], given: dict[str, Any], *, update: bool
) -> None:
    """Build pages and say what became of them.

    Args:
        prompts: checked.
        comparisons: of them.
        given: options of the command, by name; those that it lacks have their defaults.
        update: whether pages of earlier runs stay in the index.

    Raises:
        SystemExit: something failed.
        KeyboardInterrupt: the run was stopped.
    """
    from reportgen.cli.progress import watch

    with importing(NO_PAGE):
        from reportgen.build.build import build_site
        from reportgen.build.interrupts import Stop, listen

    stop, results = Stop(), given["results"]
    options = make_options(given, update=update)
    with watch(len(prompts), quiet=given["quiet"], verbose=given["verbose"]) as progress, listen(stop):
        try:
            outcome = build_site(prompts, results, options, progress, stop, comparisons)
        except KeyboardInterrupt as interrupt:
            raise _interrupted(progress.num_pages) from interrupt
    note_size(results)
    _tell(outcome, quiet=given["quiet"], pruning=not update, shard=options.shard)
    if stop.asked and outcome.not_run:
        raise _interrupted(progress.num_pages)
    if given["open_index"]:
        webbrowser.open(outcome.index.resolve().as_uri())
    for error in outcome.broken:
        click.echo(f"failed: {error}", err=True)
    if outcome.failures or outcome.broken:
        raise SystemExit(1)


def make_options(given: dict[str, Any], *, update: bool) -> BuildOptions:
    """Return the options of a build: those fields that the command has an option for, by their names."""
    from reportgen.build.options import BuildOptions

    names = {item.name for item in fields(BuildOptions)} - {"model"}  # which is a model in memory, not a name
    chosen = {name: value for name, value in given.items() if name in names and value is not None}
    return BuildOptions(**chosen, update=update, cluster=_make_cluster(given))


def read_checked(prompts: Path, given: dict[str, Any]) -> PromptFile:
    """Read a prompt file with the options over it; what is wrong with it is said with what its models lack."""
    from reportgen.build.preflight import check_prompts
    from reportgen.prompts.prompt_file import override, read_prompt_file

    file = read_prompt_file(prompts)
    over = {name: given[name] for name in _OVER_THE_FILE if given.get(name) not in (None, ())}
    chosen = override(file.prompts, **over)
    if file.problems:
        with importing(NO_PAGE):
            check_prompts(chosen, trust_remote_code=given["trust_remote_code"], problems=file.problems)
    return replace(file, prompts=chosen)


def _refuse_pairs(given: dict[str, Any]) -> None:
    """Refuse options that exclude each other."""
    device, device_map, shard = given["device"], given["device_map"], given["shard"]
    for first, second, both, advice in (
        (f"--device {device}", f"--device-map {device_map}", device != "auto" and device_map, "keep one"),
        ("--only", "--prune", given["slugs"] and given["prune"], "prune when all prompts are built"),
        ("--shard", "--prune", shard and given["prune"], "join the shards first"),
        ("--shard", "--open", shard and given["open_index"], "join the shards first"),
    ):
        if both:
            raise click.UsageError(f"{first} and {second} exclude each other; {advice}")


def _make_cluster(given: dict[str, Any]) -> Cluster | None:
    """Return where to run; ``None`` for here."""
    from reportgen.build.options import Cluster

    asked = {name: given.get(name) for name in ("ray_address", "workers", "gpus_per_worker")}
    if given.get("engine") == "ray":
        return Cluster(asked["ray_address"] or "", asked["workers"] or 0, asked["gpus_per_worker"])
    for name, value in asked.items():
        if value is not None:
            raise click.UsageError(f"--{name.replace('_', '-')}: is for a cluster; add --engine ray")
    return None


def _tell(outcome: Outcome, *, quiet: bool, pruning: bool, shard: Shard | None) -> None:
    """Say what a run left behind."""
    for path in outcome.pruned:
        click.echo(f"removed: {path}", err=True)
    note_left_out(outcome.left_out, "; --prune removes what no prompt of the file has" if pruning else "")
    counts = {
        "up to date": len(outcome.up_to_date),
        "built": len(outcome.pages),
        "failed": len(outcome.failures) + len(outcome.broken),
        "not run": outcome.not_run,
    }
    if not quiet:
        told = [f"{count} {what}" for what, count in counts.items() if count or what == "built"]
        click.echo(", ".join(told), err=True)
        if shard:
            click.echo(f"shard {shard}: reportgen index joins it with the others", err=True)
    for path in (*outcome.pages, outcome.index):
        click.echo(path)


def _interrupted(num_pages: int) -> KeyboardInterrupt:
    return KeyboardInterrupt(*(("; finished pages and the index are kept",) if num_pages else ()))


def _pick(
    prompts: Sequence[Prompt], comparisons: Sequence[Comparison], slugs: Sequence[str], file: Path
) -> tuple[tuple[Prompt, ...], tuple[Comparison, ...]]:
    """Return the prompts of some slugs, those that a comparison of such a slug names, and what compares these."""
    known = [entry.slug for entry in (*prompts, *comparisons)]
    if unknown := [slug for slug in slugs if slug not in known]:
        raise click.BadParameter(f"no prompt {unknown[0]!r}; {file} has {', '.join(known)}", param_hint="--only")
    asked = {*slugs, *(slug for one in comparisons if one.slug in slugs for slug in one.prompts)}
    return (
        tuple(prompt for prompt in prompts if prompt.slug in asked),
        tuple(one for one in comparisons if asked.issuperset(one.prompts)),
    )
