"""The whole program on one screen: prompts, captures, pages, site."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reportgen.files import remove_leftovers
from reportgen.build.preflight import check_prompts
from reportgen.build.artifacts import Artifacts
from reportgen.build.engines.jobs import RunRequest
from reportgen.records.errors import ClusterError, InTheWay, SiteError, install_advice
from reportgen.pages.data_tables import check_format
from reportgen.build.interrupts import Stop
from reportgen.site.lock import lock_site
from reportgen.build.options import Options, Outcome, Progress, NullProgress
from reportgen.build.cache_key import add_address, make_pair_key
from reportgen.pages.cards import FailureCard
from reportgen.pages.compare import draw_comparison, make_compare_card
from reportgen.pages.links import PREVIEWS_FOLDER, check_site_url
from reportgen.pages.preview import draw_preview
from reportgen.build.comparisons import PendingComparisons, ComparisonInput, name_and_check
from reportgen.prompts.prompt_file import name_pages
from reportgen.records import Comparison, Failure, Prompt
from reportgen.build.cache import find_up_to_date
from reportgen.site.shards import remove_parts
from reportgen.site.site import (
    CAPTURES_FOLDER,
    DATA_FOLDER,
    open_site,
    read_cards,
    read_run,
    write_capture,
    write_page,
    write_preview,
    write_tables,
)
from reportgen.build.run_report import RunReport

if TYPE_CHECKING:
    from reportgen.build.engines.worker import PromptResult

Engine = Callable[[Sequence[Prompt], RunRequest, Options, Progress, Stop], Iterator["PromptResult"]]
"""Runs prompts; ``engines.local`` says what it takes and yields."""

__all__ = ["Options", "Outcome", "Progress", "NullProgress", "build_site"]


def build_site(
    prompts: Iterable[Prompt],
    results: Path | str,
    options: Options = Options(),
    progress: Progress = NullProgress(),
    stop: Stop | None = None,
    comparisons: Sequence[Comparison] = (),
) -> Outcome:
    """Run prompts and write their pages and index.

    Pages that are as this run would make them are left as they are. A prompt that fails becomes a shown failure and the
    run goes on; so do all prompts of a model that cannot be loaded. However the run ends, the index shows what was
    done. Earlier pages stay in it where the run ended early or made no page; otherwise they are kept, and left out of
    it. A shard leaves a report of its part instead of an index: ``shards.join_parts`` joins them.

    Args:
        prompts: what to run.
        results: folder of the site.
        options: how to run.
        progress: told of every stage.
        stop: may ask the run to end after the prompts that it is at.
        comparisons: which of the prompts to put side by side, each on a page of its own.

    Returns:
        What was written and what failed.

    Raises:
        PromptFileError: prompts select layers or heads that their model lacks, their file names a model or adapter
            that cannot be used, or a comparison names a prompt that is not there; nothing is written.
        ModelError: another model or adapter, the device or the dtype cannot be used; nothing is written.
        SiteError: the folder cannot be written, or another run writes into it.
        ClusterError: the cluster cannot be used.
        OptionError: ``site_url`` is no web address; nothing is written.
        ReportgenError: what ``export_data`` needs is not installed; nothing is written.
    """
    check_format(options.export_data)
    stop, folder, named = stop or Stop(), Path(results), name_pages(tuple(prompts))
    options = _find_address(options, folder)
    compared = name_and_check(comparisons, named)
    pairs = PendingComparisons([one for place, one in enumerate(compared) if options.shard is None or options.shard.takes(place)])
    current = find_up_to_date(folder, named, options, pairs.comparisons)
    named = _check(named, current, options, stop)
    with lock_site(folder, options.shard):
        remove_parts(folder, options.shard)
        if options.shard is None:  # other shards are at work on theirs
            inner = (CAPTURES_FOLDER, PREVIEWS_FOLDER)
            remove_leftovers([folder, *(folder / name for name in inner), *folder.glob(f"{DATA_FOLDER}/*")])
        missing = [entry.slug for entry in (*named, *pairs.comparisons) if entry.slug not in current]
        open_site(folder, missing, shared_assets=options.shared_assets, site_url=options.site_url)
        if options.update:
            read_cards(folder)  # what cannot be read is told now rather than after the work
        tally = RunReport(folder, (*named, *compared), current, options.site_url, options.shard)
        tally.leave(len(compared) - len(pairs.comparisons))
        try:
            if current:
                progress.skip(len(current))
            if missing:
                _run_missing(named, missing, folder, options, progress, stop, tally, pairs)
        except BaseException:
            with suppress(SiteError):  # what ended the run says more
                tally.finish(keep_earlier=True)
            raise
        ended = not stop.asked and not (options.fail_fast and tally.failures)
        keep_earlier = options.update or not tally.has_pages or not ended
        with stop.held():  # an index that was begun is finished
            return tally.finish(keep_earlier=keep_earlier, prune=options.prune and ended)


def _find_address(options: Options, folder: Path) -> Options:
    """Check where the site will be published; pages that come beside others take their address where none is given."""
    known = options.site_url or (read_run(folder).site_url if options.update else "")
    return replace(options, site_url=check_site_url(known))


def _check(prompts: Sequence[Prompt], current: Collection[str], options: Options, stop: Stop) -> tuple[Prompt, ...]:
    """Check what is to be run against models and machine; what has its page has passed before."""
    missing = [prompt for prompt in prompts if prompt.slug not in current]
    if not missing:
        return tuple(prompts)
    with stop.importing():
        checked = check_prompts(
            missing, model=options.model and options.model.info, trust_remote_code=options.trust_remote_code
        )
        if options.model is None and options.cluster is None:  # a worker looks at the machine that it is on
            from reportgen.models.model import check_settings

            check_settings(options.device, options.dtype, options.device_map)
    by_slug = {prompt.slug: prompt for prompt in checked}
    return tuple(by_slug.get(prompt.slug, prompt) for prompt in prompts)


def _run_missing(
    prompts: Sequence[Prompt], missing: Collection[str], folder: Path, options: Options, progress: Progress,
    stop: Stop, tally: RunReport, pairs: PendingComparisons,
) -> None:  # fmt: skip
    """Run prompts that have no page, and write it."""
    with stop.importing():  # only now: torch takes seconds to import, and pages that are there need none
        run_prompts = _find_engine(options)
    asked = RunRequest(frozenset(missing), pairs.prompts & frozenset(missing), options.shard)
    for ran in run_prompts(prompts, asked, options, progress, stop):
        start = time.perf_counter()
        if ran.outcome is None:
            progress.skip(1)
            tally.leave(1)
        else:
            if ran.warning:
                progress.warn(ran.prompt, ran.warning)
            progress.done(ran.prompt, _keep(ran.prompt, ran.outcome, folder, stop, tally))
        if ran.side is not None:
            _write_pairs(ran.prompt, ran.side, folder, options, stop, tally, pairs)
        seconds = ran.seconds.get("page", 0.0) + time.perf_counter() - start
        tally.add_seconds(ran.prompt, {**ran.seconds, "page": seconds})
        if options.fail_fast and tally.failures:
            return


def _find_engine(options: Options) -> Engine:
    """Return what runs prompts."""
    if options.cluster is None:
        from reportgen.build.engines.local import run_prompts

        return run_prompts
    try:
        from reportgen.build.engines.ray import run_prompts
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        advice = f"{install_advice('ray')}, or run without --engine ray"
        raise ClusterError(f"ray: is not installed; {advice}") from error
    return run_prompts


def _keep(prompt: Prompt, outcome: Artifacts | Failure, folder: Path, stop: Stop, tally: RunReport) -> Path | Failure:
    """Write what was drawn; return the path of the page, or why there is none."""
    try:
        if isinstance(outcome, Artifacts):
            with stop.held():
                path = _write(prompt, outcome, folder)
                tally.add_page(prompt, outcome.card, path)
            return path
    except InTheWay as error:
        outcome = Failure.of(prompt, error)
    tally.add_failure(outcome)
    return outcome


def _write_pairs(
    prompt: Prompt, side: ComparisonInput, folder: Path, options: Options, stop: Stop, tally: RunReport, pairs: PendingComparisons
) -> None:
    """Write the comparisons that waited for this prompt alone."""
    for one, sides in pairs.take(prompt, side):
        if isinstance(sides, FailureCard):
            tally.add_lost(one, sides)
            continue
        key = add_address(make_pair_key(one, sides.keys, options), options.site_url)
        html, _ = draw_comparison(
            one, *sides.captures, shared_assets=options.shared_assets, key=key, site_url=options.site_url,
            max_mb=options.max_page_mb, precision=options.precision,
        )  # fmt: skip
        card = make_compare_card(one, *sides.captures)
        with stop.held():
            if options.site_url:
                write_preview(folder, one.slug, draw_preview(card))
            tally.add_page(one, card, write_page(folder, one.slug, html))


def _write(prompt: Prompt, drawn: Artifacts, folder: Path) -> Path:
    """Write tables, capture and preview before their page: one that is there has all that belongs to it."""
    if drawn.tables:
        write_tables(folder, prompt.slug, drawn.tables)
    if drawn.kept is not None:
        write_capture(folder, prompt.slug, drawn.kept, drawn.key)
    if drawn.preview:
        write_preview(folder, prompt.slug, drawn.preview)
    return write_page(folder, prompt.slug, drawn.html)
