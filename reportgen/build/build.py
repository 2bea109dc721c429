"""Build a site: check the prompts, run them, write their pages and the index."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reportgen.build.cache import find_up_to_date
from reportgen.build.cache_key import make_pair_key
from reportgen.build.comparisons import ComparisonInput, PendingComparisons, name_and_check
from reportgen.build.engines.jobs import RunRequest
from reportgen.build.interrupts import Stop
from reportgen.build.options import BuildOptions, NullProgress, Outcome, Progress
from reportgen.build.preflight import check_prompts
from reportgen.build.run_report import RunReport
from reportgen.pages.artifacts import Artifacts, render_comparison_artifacts
from reportgen.pages.cards import FailureCard
from reportgen.pages.data_tables import check_format
from reportgen.pages.links import check_site_url
from reportgen.prompts.prompt_file import name_pages
from reportgen.records import Comparison, Failure, Prompt
from reportgen.records.errors import ClusterError, InTheWay, SiteError, first_line, install_advice
from reportgen.site.shards import remove_parts
from reportgen.site.site import Site

if TYPE_CHECKING:
    from reportgen.build.engines.worker import PromptResult

Engine = Callable[[Sequence[Prompt], RunRequest, BuildOptions, Progress, Stop], Iterator["PromptResult"]]
"""A function that runs prompts; ``engines.local.run_prompts`` documents its arguments and results."""


def build_site(
    prompts: Iterable[Prompt],
    results: Path | str,
    options: BuildOptions = BuildOptions(),
    progress: Progress = NullProgress(),
    stop: Stop | None = None,
    comparisons: Sequence[Comparison] = (),
) -> Outcome:
    """Run prompts and write their pages and the index.

    Pages that are up to date are skipped. If a prompt or a comparison fails, the index shows it as failed, and the run
    continues. The index is written however the run ends, and shows what was done.

    Args:
        prompts: prompts to run.
        results: folder of the site.
        options: how to run.
        progress: receives every stage.
        stop: lets the caller stop the run.
        comparisons: pairs of prompts to show side by side.

    Returns:
        What was written, skipped, removed and what failed.

    Raises:
        PromptFileError: a prompt or a comparison is invalid, or a model named in the file cannot be used; nothing is
            written.
        ModelError: another model or adapter, the device or the dtype cannot be used; nothing is written.
        ReportgenError: the folder, the cluster or an option cannot be used.
    """
    check_format(options.export_data)
    site, stop = Site(results), stop or Stop()
    options = _find_site_url(options, site)
    named = name_pages(tuple(prompts))
    compared = name_and_check(comparisons, named)
    pending = PendingComparisons(_take_ours(compared, options))
    current = find_up_to_date(site, named, options, pending.comparisons)
    named = _check(named, current, options, stop)
    with site.lock(options.shard):
        missing = [entry.slug for entry in (*named, *pending.comparisons) if entry.slug not in current]
        _prepare(site, missing, options)
        report = RunReport(site, (*named, *compared), current, options.site_url, options.shard)
        report.leave(len(compared) - len(pending.comparisons))
        with report.finished_if_interrupted():
            if current:
                progress.skip(len(current))
            for result in _run(named, missing, pending, options, progress, stop):
                _write(result, site, options, progress, stop, report, pending)
                if options.fail_fast and report.failures:
                    break
        with stop.held():  # do not interrupt the writing of the index
            ended = not stop.asked and not (options.fail_fast and report.failures)
            keep_earlier = options.update or not report.has_pages or not ended
            return report.finish(keep_earlier=keep_earlier, prune=options.prune and ended)


def _find_site_url(options: BuildOptions, site: Site) -> BuildOptions:
    """Check the site's URL; an update without one uses the URL of the last run."""
    known = options.site_url or (site.read_run().site_url if options.update else "")
    return replace(options, site_url=check_site_url(known))


def _take_ours(comparisons: Sequence[Comparison], options: BuildOptions) -> list[Comparison]:
    """Return the comparisons of this shard."""
    shard = options.shard
    return [comparison for place, comparison in enumerate(comparisons) if shard is None or shard.takes(place)]


def _check(
    prompts: Sequence[Prompt], current: Collection[str], options: BuildOptions, stop: Stop
) -> tuple[Prompt, ...]:
    """Check the prompts that will run against their models and this machine; those with a page passed earlier."""
    missing = [prompt for prompt in prompts if prompt.slug not in current]
    if not missing:
        return tuple(prompts)
    with stop.importing():
        checked = check_prompts(
            missing, model=options.model and options.model.info, trust_remote_code=options.trust_remote_code
        )
        if options.model is None and options.cluster is None:  # on a cluster, each worker checks its own machine
            from reportgen.models.model import check_settings  # torch takes seconds to import

            check_settings(options.device, options.dtype, options.device_map)
    by_slug = {prompt.slug: prompt for prompt in checked}
    return tuple(by_slug.get(prompt.slug, prompt) for prompt in prompts)


def _prepare(site: Site, missing: Sequence[str], options: BuildOptions) -> None:
    """Prepare the folder for the missing pages."""
    remove_parts(site.root, options.shard)
    if options.shard is None:  # other shards may be writing their temporary files
        site.remove_leftovers()
    site.open(missing, shared_assets=options.shared_assets, site_url=options.site_url)
    if options.update:
        site.read_cards()  # report unreadable files now, not after the work


def _run(
    prompts: Sequence[Prompt], missing: Collection[str], pending: PendingComparisons, options: BuildOptions,
    progress: Progress, stop: Stop,
) -> Iterator[PromptResult]:  # fmt: skip
    """Run the prompts that have no page, grouped by model; if there are none, torch is not imported."""
    if not missing:
        return
    with stop.importing():
        run_prompts = _find_engine(options)
    request = RunRequest(frozenset(missing), pending.prompts & frozenset(missing), options.shard)
    yield from run_prompts(prompts, request, options, progress, stop)


def _find_engine(options: BuildOptions) -> Engine:
    """Return the engine: Ray if a cluster is given, otherwise local."""
    if options.cluster is None:
        from reportgen.build.engines.local import run_prompts  # torch takes seconds to import

        return run_prompts
    try:
        from reportgen.build.engines.ray import run_prompts
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        advice = f"{install_advice('ray')}, or run without --engine ray"
        raise ClusterError(f"ray: is not installed; {advice}") from error
    return run_prompts


def _write(
    result: PromptResult, site: Site, options: BuildOptions, progress: Progress, stop: Stop, report: RunReport,
    pending: PendingComparisons,
) -> None:  # fmt: skip
    """Write the result of a prompt, and the comparisons that waited for it."""
    start = time.perf_counter()
    if result.outcome is None:
        progress.skip(1)
        report.leave(1)
    else:
        if result.warning:
            progress.warn(result.prompt, result.warning)
        progress.done(result.prompt, _keep(result.prompt, result.outcome, site, stop, report))
    if result.side is not None:
        _write_comparisons(result.prompt, result.side, site, options, stop, report, pending)
    seconds = result.seconds.get("page", 0.0) + time.perf_counter() - start
    report.add_seconds(result.prompt, {**result.seconds, "page": seconds})


def _keep(prompt: Prompt, outcome: Artifacts | Failure, site: Site, stop: Stop, report: RunReport) -> Path | Failure:
    """Write the page of a prompt; return its path, or the failure."""
    try:
        if isinstance(outcome, Artifacts):
            with stop.held():
                path = site.write(prompt.slug, outcome)
                report.add_page(prompt, outcome.card, path)
            return path
    except InTheWay as error:
        outcome = Failure.of(prompt, error)
    report.add_failure(outcome)
    return outcome


def _write_comparisons(
    prompt: Prompt, side: ComparisonInput, site: Site, options: BuildOptions, stop: Stop, report: RunReport,
    pending: PendingComparisons,
) -> None:  # fmt: skip
    """Write the comparisons that this prompt completes; one that fails is recorded as failed."""
    for comparison, sides in pending.take(prompt, side):
        if isinstance(sides, FailureCard):
            report.add_lost(comparison, sides)
            continue
        key = make_pair_key(comparison, sides.keys, options)
        try:
            artifacts = render_comparison_artifacts(comparison, *sides.captures, replace(options.page, key=key))
            with stop.held():
                report.add_page(comparison, artifacts.card, site.write(comparison.slug, artifacts))
        except SiteError as error:
            if not isinstance(error, InTheWay):
                raise
            report.fail_comparison(comparison, str(error))
        except Exception as error:  # an unexpected error fails this comparison, not the run
            where = f"{comparison.place.of('compare')}: {comparison.slug}"
            report.fail_comparison(comparison, f"{where} cannot be drawn, {first_line(error)}; -v shows where")
