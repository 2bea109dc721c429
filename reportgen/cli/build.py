"""reportgen build: run a file of prompts and write a folder of pages."""

from __future__ import annotations

import re
import webbrowser
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reportgen.cli.completion import complete_slugs
from reportgen.cli.errors import NO_PAGE, importing, shows_errors
from reportgen.cli.last_options import use_last_options
from reportgen.cli.notes import note_left_out, note_size, note_stale
from reportgen.cli.options import (
    EXPORT,
    HEADS,
    LAYERS,
    MAX_MB,
    MODEL,
    OPEN,
    PICKLE,
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
from reportgen.cli.types import AmountType, BatchType, DeviceType, ShardType, find_shard
from reportgen.records import DEVICE_MAPS, DTYPES, EXTRA_EVIDENCE, Comparison, Prompt, Shard
from reportgen.records.selection import Selection

if TYPE_CHECKING:
    from reportgen.build.options import BuildOptions, Cluster, Outcome
    from reportgen.prompts.prompt_file import PromptFile

_OVERRIDES = ("model", "layers", "heads", "max_new_tokens", "seed", "evidence")
"""Options that override the prompt file."""


@click.command(cls=GroupedCommand)
@PROMPTS
@group(
    "What to run",
    MODEL,
    LAYERS,
    HEADS,
    click.option(
        "--only", "slugs", multiple=True, metavar="SLUG", shell_complete=complete_slugs,
        help="Build only this prompt, and comparisons that show it; may be repeated. Options that are not given are "
        "those of the last build.",
    ),
    click.option("--max-new-tokens", type=click.IntRange(min=0), help="Tokens to generate; 0 shows the one to come."),
    click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), help="Random seed for sampling."),
    click.option(
        "--evidence", multiple=True, type=click.Choice(EXTRA_EVIDENCE),
        help="Measure this as well, for every prompt; may be repeated. Takes minutes on a CPU.",
    ),
)  # fmt: skip
@group(
    "What to write",
    RESULTS,
    EXPORT,
    click.option("--keep-captures", is_flag=True, help="Also write captures/SLUG.safetensors, for reportgen render."),
    MAX_MB,
    PRECISION,
    SHARED,
    SITE_URL,
    click.option("--force", is_flag=True, help="Build all pages again, even those that are up to date."),
    click.option("--prune", is_flag=True, help="Remove pages whose prompt is no longer in PROMPTS."),
)
@group(
    "How the model runs",
    click.option(
        "--device", type=DeviceType(), default="auto", show_default=True,
        help="Device such as cpu or cuda:1; auto takes the first available of cuda, mps and cpu.",
    ),
    click.option(
        "--device-map", type=click.Choice(DEVICE_MAPS),
        help="Spread a model that is too large for one device over all devices.",
    ),
    click.option(
        "--dtype", type=click.Choice(DTYPES), default="auto", show_default=True,
        help="Number format of the weights; auto is float32 on the CPU.",
    ),
    click.option(
        "--batch-size", type=BatchType(), default="auto", show_default=True,
        help="Maximum number of prompts of similar length in a batch; 1 turns batching off.",
    ),
    TRUST,
    PICKLE,
)  # fmt: skip
@group(
    "Where to run, and what to print",
    click.option(
        "--shard", type=ShardType(), callback=find_shard,
        help="Run only this shard, such as 2/8; reportgen index joins shards. Default: from RANK and WORLD_SIZE, if "
        "set.",
    ),
    click.option(
        "--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True,
        help="Run on this machine, or on a Ray cluster.",
    ),
    click.option("--ray-address", help="Cluster, as HOST:PORT. Default: RAY_ADDRESS, or the cluster on this machine."),
    click.option("--workers", type=click.IntRange(min=1), help="Number of workers. Default: one per GPU or node."),
    click.option("--gpus-per-worker", type=AmountType(), help="GPUs per worker. Default: 1 if available."),
    click.option("--strict", is_flag=True, help="Exit with code 1 if a claim of a prompt does not hold."),
    click.option("--fail-fast", is_flag=True, help="Stop at the first prompt that fails."),
    OPEN,
    VERBOSE,
    QUIET,
)  # fmt: skip
@shows_errors(NO_PAGE)
def build(prompts: Path, **settings: Any) -> None:
    """Run PROMPTS (default: prompts.yaml) and write one page per prompt, and an index.

    Pages that are up to date are skipped: their prompt, options and model files have not changed.
    """
    _refuse_pairs(settings)
    if settings["slugs"]:
        settings = use_last_options(settings, build)
    file = add_compared(read_checked(prompts, settings), settings["results"])
    chosen, comparisons = file.prompts, file.comparisons
    if settings["slugs"]:
        chosen, comparisons = pick(file, settings["slugs"], prompts, settings["results"])
    build_chosen(chosen, comparisons, settings, update=bool(settings["slugs"]))


def add_compared(file: PromptFile, results: Path, more: Sequence[tuple[str, str, str]] = ()) -> PromptFile:
    """Add the comparisons that ``reportgen compare`` made of the prompts of a file and whose pages exist.

    Args:
        file: a prompt file without problems.
        results: folder of the site.
        more: comparisons to add whether their pages exist or not: the slugs of both prompts, and the model of the
            second one, or an empty text for its own.

    Returns:
        The file with these comparisons, and with the prompts on other models.
    """
    from reportgen.prompts.slugs import name_comparisons
    from reportgen.site.site import Site

    site = Site(results)
    for pair in dict.fromkeys((*(site.last_report.compared if results.is_dir() else ()), *more)):
        sides = find_sides(file.prompts, pair)
        if not sides:
            continue
        added = [prompt for prompt in sides if prompt.slug not in {known.slug for known in file.prompts}]
        prompts, pages = (*file.prompts, *added), Comparison((sides[0].slug, sides[1].slug))
        comparisons, _ = name_comparisons((*file.comparisons, pages), prompts)
        if pair in more or site.page(comparisons[-1].slug).is_file():
            file = replace(file, prompts=prompts, comparisons=comparisons)
    return file


def find_sides(prompts: Sequence[Prompt], pair: tuple[str, str, str]) -> tuple[Prompt, Prompt] | None:
    """Return the two prompts of a comparison, the second on another model if one is named; ``None`` without them.

    Args:
        prompts: prompts of the file.
        pair: slugs of both prompts, and the model of the second one, or an empty text for its own.
    """
    (first, second, model), by_slug = pair, {prompt.slug: prompt for prompt in prompts}
    if first not in by_slug or second not in by_slug:
        return None
    if not model:
        return by_slug[first], by_slug[second]
    other = by_slug[second]
    named = re.sub(r"[^A-Za-z0-9]+", "-", model).strip("-").lower()
    slug, title = f"{second}-on-{named}"[:80], f"{other.title} (on {model})"
    place = replace(other.place, options={**other.place.options, "model": "--second-model"})
    return by_slug[first], replace(other, model=model, slug=slug, title=title, place=place)


def build_chosen(
    prompts: Sequence[Prompt], comparisons: Sequence[Comparison], settings: dict[str, Any], *, update: bool
) -> None:
    """Build pages and print a summary.

    Args:
        prompts: prompts that have been checked.
        comparisons: comparisons of these prompts.
        settings: options of the command, by name; missing ones have their defaults.
        update: whether pages of earlier runs stay in the index.

    Raises:
        SystemExit: a prompt or a comparison failed, or with ``--strict`` a claim does not hold.
        KeyboardInterrupt: the run was interrupted.
    """
    from reportgen.cli.progress import watch

    with importing(NO_PAGE):
        from reportgen.build.build import build_site
        from reportgen.build.interrupts import Stop, listen

    stop, results = Stop(), settings["results"]
    options = make_options(settings, update=update)
    with watch(len(prompts), quiet=settings["quiet"], verbose=settings["verbose"]) as progress, listen(stop):
        try:
            outcome = build_site(prompts, results, options, progress, stop, comparisons)
        except KeyboardInterrupt as interrupt:
            raise _interrupted(progress.num_pages) from interrupt
    note_size(results)
    note_stale(outcome.stale)
    _print_summary(outcome, quiet=settings["quiet"], pruning=not update, shard=options.shard)
    if stop.asked and outcome.not_run:
        raise _interrupted(progress.num_pages)
    if settings["open_index"]:
        webbrowser.open(outcome.index.resolve().as_uri())
    for error in outcome.broken:
        click.echo(f"failed: {error}", err=True)
    strict = settings.get("strict", False)
    if strict or not settings["quiet"]:
        for claim in outcome.failing_claims:
            click.echo(claim, err=True)
    if outcome.failures or outcome.broken or (strict and outcome.failing_claims):
        raise SystemExit(1)


def make_options(settings: dict[str, Any], *, update: bool) -> BuildOptions:
    """Return the build options, taking each field from the command option of the same name, if it was given."""
    from reportgen.build.options import BuildOptions

    names = {item.name for item in fields(BuildOptions)} - {"model"}  # there, it is a loaded model, not a name
    chosen = {name: value for name, value in settings.items() if name in names and value is not None}
    overrides = {name: settings[name] for name in _OVERRIDES if settings.get(name) not in (None, ())}
    recorded = {name: str(value) if isinstance(value, Selection) else value for name, value in overrides.items()}
    return BuildOptions(**chosen, update=update, cluster=_make_cluster(settings), overrides=recorded)


def read_checked(prompts: Path, settings: dict[str, Any]) -> PromptFile:
    """Read a prompt file and apply the options that override it.

    If the file has errors, its models are checked too, so that all errors are reported together.

    Raises:
        PromptFileError: the file is invalid.
    """
    from reportgen.build.preflight import check_prompts
    from reportgen.prompts.prompt_file import override, read_prompt_file

    file = read_prompt_file(prompts)
    overrides = {name: settings[name] for name in _OVERRIDES if settings.get(name) not in (None, ())}
    chosen = override(file.prompts, **overrides)
    if file.problems:
        with importing(NO_PAGE):
            allowed = {name: settings[name] for name in ("trust_remote_code", "allow_pickle")}
            check_prompts(chosen, **allowed, problems=file.problems)
    return replace(file, prompts=chosen)


def _refuse_pairs(settings: dict[str, Any]) -> None:
    """Reject options that exclude each other."""
    device, device_map, shard = settings["device"], settings["device_map"], settings["shard"]
    for first, second, both, advice in (
        (f"--device {device}", f"--device-map {device_map}", device != "auto" and device_map, "keep one"),
        ("--only", "--prune", settings["slugs"] and settings["prune"], "prune when all prompts are built"),
        ("--shard", "--prune", shard and settings["prune"], "join the shards first"),
        ("--shard", "--open", shard and settings["open_index"], "join the shards first"),
    ):
        if both:
            raise click.UsageError(f"{first} and {second} exclude each other; {advice}")


def _make_cluster(settings: dict[str, Any]) -> Cluster | None:
    """Return the cluster to run on; ``None`` to run in this process."""
    from reportgen.build.options import Cluster

    values = {name: settings.get(name) for name in ("ray_address", "workers", "gpus_per_worker")}
    if settings.get("engine") == "ray":
        return Cluster(values["ray_address"] or "", values["workers"] or 0, values["gpus_per_worker"])
    for name, value in values.items():
        if value is not None:
            raise click.UsageError(f"--{name.replace('_', '-')}: is for a cluster; add --engine ray")
    return None


def _print_summary(outcome: Outcome, *, quiet: bool, pruning: bool, shard: Shard | None) -> None:
    """Print counts and notes to standard error, and the paths of the pages and the index to standard output."""
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
        parts = [f"{count} {status}" for status, count in counts.items() if count or status == "built"]
        click.echo(", ".join(parts), err=True)
        if shard:
            click.echo(f"shard {shard}: reportgen index joins it with the others", err=True)
    for path in (*outcome.pages, outcome.index):
        click.echo(path)


def _interrupted(num_pages: int) -> KeyboardInterrupt:
    return KeyboardInterrupt(*(("; finished pages and the index are kept",) if num_pages else ()))


def pick(
    file: PromptFile, slugs: Sequence[str], path: Path, results: Path
) -> tuple[tuple[Prompt, ...], tuple[Comparison, ...]]:
    """Return the prompts and comparisons with these slugs, and what must be built with them.

    A comparison needs both of its prompts. If the page of a comparison exists, it is built with each of its prompts, so
    that it never shows an earlier run.

    Args:
        file: the prompt file, with its comparisons.
        slugs: slugs of prompts and comparisons.
        path: name of the file, for the error message.
        results: folder of the site.

    Raises:
        BadParameter: a slug is not in the file.
    """
    from reportgen.site.site import Site

    known = [entry.slug for entry in (*file.prompts, *file.comparisons)]
    if unknown := [slug for slug in slugs if slug not in known]:
        raise click.BadParameter(f"no prompt {unknown[0]!r}; {path} has {', '.join(known)}", param_hint="--only")
    site, named = Site(results), set(slugs)
    comparisons = tuple(
        item
        for item in file.comparisons
        if item.slug in named
        or (named & {*item.prompts} and site.page(item.slug).is_file())
        or named.issuperset(item.prompts)
    )
    chosen = {*named, *(slug for comparison in comparisons for slug in comparison.prompts)}
    return tuple(prompt for prompt in file.prompts if prompt.slug in chosen), comparisons
