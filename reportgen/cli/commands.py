"""The command line: options in, errors shown, exit codes.

Exit codes: 0 all pages written, 1 something failed, 2 wrong usage. Progress and notes go to standard error, paths of
what was written to standard output.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reportgen import __version__
from reportgen.build.options import MAX_PAGE_MB
from reportgen.cli.completion import SHELLS, complete_files, complete_models, complete_slugs, make_script
from reportgen.records import DEVICE_MAPS, EXPORT_FORMATS, EXTRA_EVIDENCE, Comparison, Prompt, Shard
from reportgen.records.errors import OptionError, PictureError, PromptFileError, ReportgenError
from reportgen.records.selection import Selection, parse_selection

if TYPE_CHECKING:
    from reportgen.build.options import Cluster, Outcome

_INTERRUPTED = 130
_NO_PAGE = " before a page was finished; earlier pages are kept"
_NOT_WRITTEN = "; nothing was written"
_NAMED = 10
"""So many pages are named in a note; the others are counted."""


class _SelectionType(click.ParamType):
    """Layers or heads, such as ``0-4, -1``."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Selection:
        try:
            return parse_selection(value)
        except ValueError as error:
            self.fail(f"{error}; write numbers and ranges such as 0-4,-1, or all", param, ctx)


class _DeviceType(click.ParamType):
    """A device by its name; whether this machine has it is found out later, since that takes torch."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"auto|(cpu|cuda|mps)(:\d{1,3})?", value):
            self.fail(
                f"unknown device {value!r}; write auto, cpu, cuda or mps, or with a number, as cuda:1", param, ctx
            )
        return value


class _BatchType(click.ParamType):
    """How many at once: a number, or ``auto``, which is 0."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "auto":
            return 0
        if not str(value).isdigit() or int(value) < 1:
            self.fail(f"{value!r} is no number from 1 on; write one, or auto", param, ctx)
        return int(value)


class _ShardType(click.ParamType):
    """A part of a run, as ``2/8``."""

    name = "part"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", str(value))
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            self.fail(f"{value!r} is no part of a run; write 1/8 for the first of eight, up to 8/8", param, ctx)
        return Shard(int(found[1]), int(found[2]))


def _find_shard(context: click.Context, param: click.Parameter, given: Shard | None) -> Shard | None:
    """Return the shard that is asked for, or the one of a launcher that numbers its processes, if there are several."""
    rank, size = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    if given is not None or not rank or size in ("", "1"):
        return given
    if not (rank.isdigit() and size.isdigit() and int(rank) < int(size)):
        raise click.BadParameter(f"RANK={rank} and WORLD_SIZE={size} name no part; unset them, or give --shard 1/8")
    click.echo(f"shard {int(rank) + 1}/{size}, by RANK and WORLD_SIZE", err=True)
    return Shard(int(rank) + 1, int(size))


class _ModelType(click.ParamType):
    """The name of a model."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value.strip():
            self.fail("is empty; write a model, such as smollm2-135m, or leave the option out", param, ctx)
        return value


def _shows_errors(stopped: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn the library's errors into a message and an exit code; ``-v`` lets the traceback through.

    Args:
        stopped: what is true when Ctrl-C ends the command, unless the interrupt itself says more.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def shown(*args: Any, **options: Any) -> None:
            try:
                command(*args, **options)
            except OptionError as error:
                context = click.get_current_context()
                raise click.BadParameter(error.message, ctx=context, param_hint=f"'{error.option}'") from error
            except ReportgenError as error:
                if options.get("verbose"):
                    raise
                # What is wrong with a file begins with its place, so that editors and scripts find it.
                click.echo(error if isinstance(error, PromptFileError) else f"error: {error}", err=True)
                raise SystemExit(1) from error
            except KeyboardInterrupt as interrupt:
                click.echo(f"stopped{next(iter(interrupt.args), stopped)}", err=True)
                raise SystemExit(_INTERRUPTED) from None

        return shown

    return decorate


@contextmanager
def _importing(stopped: str) -> Iterator[None]:
    """Let Ctrl-C end the program at once while torch is imported, before anything is written.

    Inside that import an interrupt gets lost, or turns into an error of another kind.

    Args:
        stopped: what is true then.
    """

    def stop(*_: object) -> None:
        sys.stderr.write(f"stopped{stopped}\n")
        sys.stderr.flush()
        os._exit(_INTERRUPTED)

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_PROMPTS = click.argument("prompts", type=click.Path(path_type=Path), default=Path("prompts.yaml"))
_MODEL = click.option(
    "-m", "--model", type=_ModelType(), shell_complete=complete_models,
    help="Model for every prompt, over what the file says.",
)  # fmt: skip
_LAYERS = click.option("--layers", type=_SelectionType(), help="Layers to keep, such as 0-4,-1. Default: all.")
_HEADS = click.option("--heads", type=_SelectionType(), help="Heads to keep. Default: all.")
_TRUST = click.option("--trust-remote-code", is_flag=True, help="Run Python code that comes with the model.")
_PICKLE = click.option("--allow-pickle", is_flag=True, help="Read pickled weights where there are no safetensors.")
_VERBOSE = click.option("-v", "--verbose", is_flag=True, help="A line for each stage; tracebacks of errors.")
_MAX_MB = click.option(
    "--max-page-mb", type=click.FloatRange(min=0), default=MAX_PAGE_MB, show_default=True,
    help="Megabytes of a page at most: a longer one leaves out its weakest weights, and says so. 0: no limit.",
)  # fmt: skip
_PRECISION = click.option(
    "--precision", type=click.Choice(["8", "16"]), default="8", show_default=True, help="Bits of a weight on a page."
)
_SHARED = click.option("--shared-assets", is_flag=True, help="Keep BokehJS once beside the pages, not in each.")
_EXPORT = click.option(
    "--export-data", type=click.Choice(EXPORT_FORMATS), help="Write every table of numbers to data/SLUG/ too."
)
_SITE_URL = click.option(
    "--site-url", default="", metavar="URL",
    help="Where the folder will be published: pages get canonical links and previews for cards of links, the site a "
    "sitemap.",
)  # fmt: skip
_FOLDER = click.Path(file_okay=False, path_type=Path)
_RESULTS = click.option(
    "-o", "--results", type=_FOLDER, default="results", show_default=True, help="Folder of the site."
)


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
@click.option(
    "--only", "slugs", multiple=True, metavar="SLUG", shell_complete=complete_slugs,
    help="Build this prompt alone; may be given again.",
)  # fmt: skip
@click.option("--max-new-tokens", type=click.IntRange(min=0), help="Tokens to generate; 0 is the forward pass alone.")
@click.option(
    "--device", type=_DeviceType(), default="auto", show_default=True,
    help="auto (cuda, mps, cpu in that order), cuda:1, cpu …",
)  # fmt: skip
@click.option(
    "--device-map",
    type=click.Choice(DEVICE_MAPS),
    help="Spread a model that is larger than one device over all of them.",
)
@click.option(
    "--dtype", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default="auto", show_default=True,
    help="Number format of the weights; auto is float32 on the CPU.",
)  # fmt: skip
@click.option(
    "--batch-size", type=_BatchType(), default="auto", show_default=True,
    help="Prompts of similar length that run side by side at most; 1 for none.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), help="Seed of sampling, for every prompt.")
@click.option(
    "--evidence", multiple=True, type=click.Choice(EXTRA_EVIDENCE),
    help="Measure this too, for every prompt; may be given again. Takes minutes on a processor.",
)  # fmt: skip
@_EXPORT
@click.option("--keep-captures", is_flag=True, help="Write captures/SLUG.safetensors too, for reportgen render.")
@click.option("--force", is_flag=True, help="Build pages anew that are up to date.")
@click.option("--prune", is_flag=True, help="Remove the pages of prompts that PROMPTS no longer has.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first prompt that fails.")
@click.option(
    "--shard", type=_ShardType(), callback=_find_shard,
    help="Run this part alone, as 2/8; reportgen index joins them. Default: by RANK and WORLD_SIZE, where set.",
)  # fmt: skip
@click.option(
    "--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True,
    help="Where to run: here, or on a Ray cluster.",
)  # fmt: skip
@click.option("--ray-address", help="The cluster, as HOST:PORT. Default: RAY_ADDRESS, or the one on this machine.")
@click.option("--workers", type=click.IntRange(min=1), help="Models in memory at once. Default: one a GPU, or a node.")
@click.option("--gpus-per-worker", type=click.FloatRange(min=0), help="GPUs of each. Default: 1 where there are any.")
@_MAX_MB
@_PRECISION
@_SHARED
@_SITE_URL
@_TRUST
@_PICKLE
@click.option("--open", "open_index", is_flag=True, help="Open the index in a browser when done.")
@_VERBOSE
@click.option("-q", "--quiet", is_flag=True, help="No progress bar; failures are still shown.")
@_shows_errors(_NO_PAGE)
def build(
    prompts: Path, results: Path, model: str | None, layers: Selection | None, heads: Selection | None,
    slugs: tuple[str, ...], max_new_tokens: int | None, device: str, device_map: str | None, dtype: str,
    batch_size: int, seed: int | None, evidence: tuple[str, ...], export_data: str | None, keep_captures: bool,
    force: bool, prune: bool, fail_fast: bool, shard: Shard | None, engine: str, ray_address: str | None,
    workers: int | None, gpus_per_worker: float | None, max_page_mb: float, precision: str, shared_assets: bool,
    site_url: str, trust_remote_code: bool, allow_pickle: bool, open_index: bool, verbose: bool, quiet: bool,
    comparing: tuple[str, str, str] | None = None,
) -> None:  # fmt: skip
    """Run PROMPTS (default: prompts.yaml) and write one page for each, and an index.

    Pages that are up to date are left as they are: what made them, from the prompt to the model's files, is the same.
    """
    from reportgen.build.preflight import check_prompts
    from reportgen.cli.progress import watch
    from reportgen.prompts.prompt_file import override, read_prompt_file

    _refuse_both(f"--device {device}", f"--device-map {device_map}", device != "auto" and device_map, "keep one")
    _refuse_both("--only", "--prune", slugs and prune, "prune when all prompts are built")
    _refuse_both("--shard", "--prune", shard and prune, "join the shards first")
    _refuse_both("--shard", "--open", shard and open_index, "join the shards first")

    cluster = _make_cluster(engine, ray_address, workers, gpus_per_worker)
    file = read_prompt_file(prompts)
    problems = file.problems
    chosen = override(
        file.prompts,
        model=model,
        layers=layers,
        heads=heads,
        max_new_tokens=max_new_tokens,
        seed=seed,
        evidence=evidence or None,
    )
    if problems:
        with _importing(_NO_PAGE):
            check_prompts(chosen, trust_remote_code=trust_remote_code, problems=problems)
    comparisons = file.comparisons
    if comparing:
        chosen, comparisons = _put_side_by_side(chosen, comparing, prompts)
    elif slugs:
        chosen, comparisons = _pick(chosen, comparisons, slugs, prompts)

    with _importing(_NO_PAGE):
        from reportgen.build.build import Options, build_site
        from reportgen.build.interrupts import Stop, listen

    options = Options(
        device,
        dtype,
        shared_assets,
        trust_remote_code,
        update=bool(slugs or comparing),
        export_data=export_data or "",
        batch_size=batch_size,
        device_map=device_map or "",
        allow_pickle=allow_pickle,
        force=force,
        prune=prune,
        fail_fast=fail_fast,
        shard=shard,
        cluster=cluster,
        keep_captures=keep_captures,
        max_page_mb=max_page_mb,
        precision=int(precision),
        site_url=site_url,
    )
    stop = Stop()
    with watch(len(chosen), quiet=quiet, verbose=verbose) as progress, listen(stop):
        try:
            outcome = build_site(chosen, results, options, progress, stop, comparisons)
        except KeyboardInterrupt as interrupt:
            raise _interrupted(progress.num_pages) from interrupt
    _note_size(results)
    _tell(outcome, quiet=quiet, pruning=not slugs, shard=shard)
    if stop.asked and outcome.not_run:
        raise _interrupted(progress.num_pages)
    if open_index:
        webbrowser.open(outcome.index.resolve().as_uri())
    if outcome.failures:
        raise SystemExit(1)


def _make_cluster(
    engine: str, address: str | None, workers: int | None, gpus_per_worker: float | None
) -> Cluster | None:
    """Return where to run; ``None`` for here."""
    from reportgen.build.options import Cluster

    given = {"--ray-address": address, "--workers": workers, "--gpus-per-worker": gpus_per_worker}
    if engine == "ray":
        return Cluster(address or "", workers or 0, gpus_per_worker)
    for option, value in given.items():
        if value is not None:
            raise click.UsageError(f"{option}: is for a cluster; add --engine ray")
    return None


def _refuse_both(first: str, second: str, both: object, advice: str) -> None:
    if both:
        raise click.UsageError(f"{first} and {second} exclude each other; {advice}")


def _tell(outcome: Outcome, *, quiet: bool, pruning: bool, shard: Shard | None) -> None:
    """Say what a run left behind."""
    for path in outcome.pruned:
        click.echo(f"removed: {path}", err=True)
    _note_left_out(outcome.left_out, "; --prune removes what no prompt of the file has" if pruning else "")
    counts = {
        "up to date": len(outcome.up_to_date),
        "built": len(outcome.pages),
        "failed": len(outcome.failures),
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


def _put_side_by_side(
    prompts: Sequence[Prompt], comparing: tuple[str, str, str], file: Path
) -> tuple[tuple[Prompt, ...], tuple[Comparison, ...]]:
    """Return two prompts by their slugs, the second on another model where one is named, and their comparison."""
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
        raise click.UsageError(f"{first} is to stand beside itself; name another prompt, or give --second-model")
    return tuple(sides), (Comparison((sides[0].slug, sides[1].slug)),)


def _note_left_out(pages: Sequence[Path], advice: str = "") -> None:
    if pages:
        more = f" and {len(pages) - _NAMED} more" if len(pages) > _NAMED else ""
        click.echo(f"kept, not in the index: {', '.join(map(str, pages[:_NAMED]))}{more}{advice}", err=True)


def _note_size(results: Path) -> None:
    """Say on standard error where a site will not fit GitHub Pages."""
    from reportgen.site.size_warning import size_warning

    if warning := size_warning(results):
        click.echo(f"warning: {warning}", err=True)


@main.command()
@click.argument("first", shell_complete=complete_slugs)
@click.argument("second", required=False, shell_complete=complete_slugs)
@click.option(
    "--prompts", type=click.Path(path_type=Path), default=Path("prompts.yaml"), show_default=True,
    help="The file that the two stand in.",
)  # fmt: skip
@_RESULTS
@click.option(
    "--second-model", type=_ModelType(), shell_complete=complete_models,
    help="Model of the second; without SECOND, FIRST runs on it too.",
)  # fmt: skip
@click.option("--device", type=_DeviceType(), default="auto", show_default=True, help="As build takes it.")
@click.option("--shared-assets", is_flag=True, help="Keep BokehJS once beside the pages, not in each.")
@_SITE_URL
@_TRUST
@click.option("--open", "open_index", is_flag=True, help="Open the index in a browser when done.")
@_VERBOSE
@click.option("-q", "--quiet", is_flag=True, help="No progress bar; failures are still shown.")
@click.pass_context
def compare(
    context: click.Context, first: str, second: str | None, prompts: Path, second_model: str | None, **options: Any
) -> None:
    """Put two prompts side by side on a page: FIRST and SECOND are slugs in the prompt file.

    Both run, and have pages of their own beside it.
    """
    if second is None and second_model is None:
        raise click.UsageError("name a SECOND prompt, or a --second-model to run the first one on")
    comparing = (first, second or first, second_model or "")
    context.invoke(build, prompts=prompts, comparing=comparing, **options)


@main.command()
@_PROMPTS
@_MODEL
@_LAYERS
@_HEADS
@_TRUST
@_VERBOSE
@_shows_errors(_NOT_WRITTEN)
def check(
    prompts: Path, model: str | None, layers: Selection | None, heads: Selection | None, trust_remote_code: bool,
    verbose: bool,
) -> None:  # fmt: skip
    """Check PROMPTS (default: prompts.yaml) and its models' configs; no weights are loaded."""
    from reportgen.build.preflight import check_prompts
    from reportgen.prompts.prompt_file import override, read_prompts

    chosen, problems = read_prompts(prompts)
    chosen = override(chosen, model=model, layers=layers, heads=heads)
    with _importing(_NOT_WRITTEN):
        check_prompts(chosen, trust_remote_code=trust_remote_code, problems=problems)
    click.echo(f"{prompts}: {len(chosen)} prompt{'s' if len(chosen) > 1 else ''}, no problems")


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@_VERBOSE
@_shows_errors("; the files that are there are whole but for the last")
def new(folder: Path, verbose: bool) -> None:
    """Make DIR the start of a repository of your own: prompts, and a workflow that publishes their pages."""
    from reportgen.cli.scaffold import make_scaffold

    for path in make_scaffold(folder):
        click.echo(path)


@main.command()
def schema() -> None:
    """Print the JSON Schema of the prompt file, for editors."""
    from reportgen.prompts.prompt_file import prompt_file_schema

    click.echo(json.dumps(prompt_file_schema(), ensure_ascii=False, indent=2))


@main.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes SHELL complete this command with Tab, slugs and models too.

    In ~/.bashrc: eval "$(reportgen completion bash)". In ~/.zshrc: the same with zsh. For fish, once: reportgen
    completion fish > ~/.config/fish/completions/reportgen.fish.
    """
    click.echo(make_script(shell, main, "reportgen"))


@main.command()
@click.option(
    "--fetch", metavar="NAME", shell_complete=complete_models,
    help="Put an embedded model on this machine and print its folder.",
)  # fmt: skip
@_VERBOSE
@_shows_errors("; nothing of the model is kept")
def models(fetch: str | None, verbose: bool) -> None:
    """List the embedded models, and what the hub's cache on this machine holds."""
    from reportgen.models.bundled import fetch_model, list_models

    if fetch is not None:
        click.echo(fetch_model(fetch))
        return
    for row in list_models():
        click.echo(row)


@main.command()
@click.argument("captures", nargs=-1, required=True, type=click.Path(path_type=Path))
@_RESULTS
@_EXPORT
@_MAX_MB
@_PRECISION
@_SHARED
@_SITE_URL
@_VERBOSE
@_shows_errors(_NO_PAGE)
def render(
    captures: tuple[Path, ...], results: Path, export_data: str | None, max_page_mb: float, precision: str,
    shared_assets: bool, site_url: str, verbose: bool,
) -> None:  # fmt: skip
    """Make the pages of CAPTURES anew: files of --keep-captures or folders of them. No model is needed."""
    with _importing(_NO_PAGE):
        from reportgen.build.rerender import render_site

    written = render_site(
        captures, results, shared_assets=shared_assets, export_data=export_data or "", max_page_mb=max_page_mb,
        precision=int(precision), site_url=site_url, done=click.echo,
        warn=lambda warning: click.echo(warning, err=True),
    )  # fmt: skip
    click.echo(written)


@main.command()
@click.argument("results", type=_FOLDER, default="results")
@_SITE_URL
@_VERBOSE
@_shows_errors(_NOT_WRITTEN)
def index(results: Path, site_url: str, verbose: bool) -> None:
    """Write the index of RESULTS (default: results) anew from the pages that are there, and join shards of a run.

    Pages that the last build left out stay out; without report.json in RESULTS every page comes in. So it is with the
    address of the last build; pages keep the one that they were built with.
    """
    with _importing(_NOT_WRITTEN):
        from reportgen.pages.links import check_site_url
        from reportgen.site.lock import lock_site
        from reportgen.site.shards import join_parts
        from reportgen.site.site import open_site, read_cards, read_left_out, read_run, write_index

    address = check_site_url(site_url)
    read_cards(results)  # first: a folder that is not there is a wrong name, not one to be made
    with lock_site(results):
        missing = join_parts(results)
        left_out, run = read_left_out(results), read_run(results)
        run = replace(run, site_url=address or run.site_url)
        written = write_index(open_site(results, site_url=run.site_url), read_cards(results), left_out, run)
    for line in missing or ():
        click.echo(f"not joined: {line}; run it, then this again", err=True)
    _note_left_out([results / f"{slug}.html" for slug in left_out])
    _note_size(results)
    click.echo(written)


@main.command()
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
@_VERBOSE
@_shows_errors(_NOT_WRITTEN)
def export(
    page: str, view: str, layer: int | None, head: int | None, query: int | None, step: int | None,
    picture_format: str | None, output: Path | None, theme: str, browser: str, verbose: bool,
) -> None:  # fmt: skip
    """Draw a view of PAGE, a file that build wrote, as a picture: the one that the page itself saves.

    What follows # in PAGE selects, as in the browser: 'results/cat.html#layer=3&head=7&first=out'. Options go before.
    Needs a Chromium and pip install 'attention-reportgen[export]'.
    """
    from reportgen.pages.screenshot import FORMATS, View, draw_picture

    if query is not None and step is not None:
        raise click.UsageError("--query and --step exclude each other; keep one")
    by_name = output.suffix[1:].lower() if output else ""
    chosen = picture_format or (by_name if by_name in FORMATS else "png")
    asked = {"layer": layer, "head": head, "query": query, "step": step}
    selection = {key: str(value) for key, value in asked.items() if value is not None}
    picture = draw_picture(page, View(view, selection, theme), chosen, browser)
    path = output or Path(f"{Path(page.partition('#')[0]).stem}-{view}.{chosen}")
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise PictureError(f"{path}: cannot be written: {error.strerror}; name another file with --output") from error
    click.echo(path)
