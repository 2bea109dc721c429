"""Build a site: check the prompts, run them, write their pages and the index."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, repeat
from pathlib import Path
from typing import Protocol

from reportgen.build.cache import Cache
from reportgen.build.cache_keys import make_comparison_keys
from reportgen.build.comparisons import ComparisonInput, ComparisonInputs, PendingComparisons, name_and_check
from reportgen.build.engines.jobs import RunRequest
from reportgen.build.interrupts import Stop
from reportgen.build.options import BuildOptions, NullProgress, Outcome, Progress
from reportgen.build.patching import PatchRequest, plan_patching
from reportgen.build.preflight import check_prompts
from reportgen.build.resolve import find_auto_device
from reportgen.build.results import PromptResult, ResultMaker
from reportgen.build.run_report import RunReport
from reportgen.captures.record import Capture, load_with_key
from reportgen.evidence.kinds.patching import Patching
from reportgen.pages.artifacts import Artifacts, render_comparison_artifacts
from reportgen.pages.cards import Card, FailureCard
from reportgen.pages.data_tables import check_format
from reportgen.pages.links import check_site_url
from reportgen.prompts.slugs import count_pages, name_pages
from reportgen.records import PATCHING, Comparison, Failure, Prompt
from reportgen.records.errors import (
    CaptureFileError,
    ClusterError,
    InTheWay,
    NoEvidence,
    PromptError,
    SiteError,
    first_line,
    install_advice,
)
from reportgen.site.shards import remove_parts
from reportgen.site.site import Site


def build_site(
    prompts: Iterable[Prompt | Capture],
    results: Path | str,
    options: BuildOptions = BuildOptions(),
    progress: Progress = NullProgress(),
    stop: Stop | None = None,
    comparisons: Sequence[Comparison] = (),
) -> Outcome:
    """Run prompts and write their pages and the index.

    Pages that are up to date are skipped; those of captures are always written. If a prompt or a comparison fails, the
    index shows it as failed, and the run continues. The index is written however the run ends, and shows what was done.

    Args:
        prompts: prompts to run, and captures, which are drawn without a model. A capture whose slug is taken gets
            another one.
        results: folder of the site.
        options: how to run.
        progress: receives every stage.
        stop: lets the caller stop the run.
        comparisons: prompts or captures to show side by side, or as a series.

    Returns:
        What was written, skipped, removed and what failed.

    Raises:
        PromptFileError: a prompt or a comparison is invalid, or a model named in the file cannot be used; nothing is
            written.
        ModelError: another model or adapter, the device or the dtype cannot be used; nothing is written.
        ReportgenError: the folder, the cluster or an option cannot be used.
    """
    check_format(options.export_data)
    named, captured = _name_all(tuple(prompts))
    compared = name_and_check(comparisons, named)
    site = Site(results)
    with site.lock(options.shard):  # before looking at pages that another run may remove
        run = _Run(site, options, progress, stop or Stop(), captured)
        ours = run.take_comparisons(compared)
        current = run.find_up_to_date(named, ours)
        pending = PendingComparisons([comparison for comparison in ours if comparison.slug not in current])
        work = run.plan(named, current, pending)
        named = run.check(named, work)
        missing = [entry.slug for entry in (*named, *ours) if entry.slug not in current]
        run.prepare_folder(missing)
        report = run.start_report(named, compared, current, len(ours))
        with report.finished_if_interrupted():
            for result in run.capture_and_render(named, work):
                run.write(result, pending, report)
                if options.fail_fast and report.failures:
                    break
            else:
                run.patch(report)
        return run.write_index(report)


def _name_all(items: Sequence[Prompt | Capture]) -> tuple[tuple[Prompt, ...], dict[str, Capture]]:
    """Return all prompts with slugs and titles, and the captures by slug, with these prompts."""
    taken = {item.slug for item in items if isinstance(item, Prompt)}
    prompts: list[Prompt] = []
    for item in items:
        prompt = item if isinstance(item, Prompt) else item.prompt
        prompts.append(replace(prompt, slug="") if item is not prompt and prompt.slug in taken else prompt)
        taken.add(prompt.slug)
    named = name_pages(prompts)
    owners = chain.from_iterable(repeat(item, count_pages(prompt)) for item, prompt in zip(items, prompts, strict=True))
    pairs = zip(named, owners, strict=True)
    return named, {prompt.slug: replace(item, prompt=prompt) for prompt, item in pairs if isinstance(item, Capture)}


class Engine(Protocol):
    """Runs prompts, in this process or elsewhere."""

    def run(self, prompts: Sequence[Prompt], request: RunRequest) -> Iterator[PromptResult]:
        """Run prompts, grouped by model.

        The batches depend on all prompts, not only on the requested ones, so a run that continues an interrupted one
        gives exactly the same numbers.

        Args:
            prompts: all prompts of the run.
            request: which pages and comparison data to produce.

        Yields:
            The result of each requested prompt.
        """
        ...

    def patch(self, requests: Sequence[PatchRequest]) -> Iterator[tuple[str, Patching | str]]:
        """Measure patches between prompts that have run.

        Args:
            requests: what to patch, one for each comparison.

        Yields:
            The slug of each comparison with what was measured, or why it was not; nothing more once the run is stopped.
        """
        ...


@dataclass(frozen=True)
class _Work:
    """What a run has to do.

    Attributes:
        pages: slugs of the prompts whose pages are made.
        sides: slugs of the prompts that a comparison needs.
        captures: captures from which prompts are drawn, by slug: files, or those that were given; the other prompts
            run.
    """

    pages: frozenset[str]
    sides: frozenset[str]
    captures: Mapping[str, Path | Capture]

    @property
    def to_run(self) -> frozenset[str]:
        """Slugs of the prompts that run on their model."""
        return (self.pages | self.sides) - self.captures.keys()


class _Run:
    """The steps of a run, which share the folder, the options, the progress report and the request to stop."""

    def __init__(
        self, site: Site, options: BuildOptions, progress: Progress, stop: Stop, captured: Mapping[str, Capture]
    ) -> None:
        known = options.site_url or (site.read_run().site_url if options.update else "")
        self._options = replace(options, site_url=check_site_url(known))
        self._site, self._progress, self._stop, self._captured = site, progress, stop, captured
        self._cache = Cache(site, options.capture, self._options.page, find_auto_device())
        self._unpatched: dict[str, tuple[Comparison, ComparisonInputs, PatchRequest]] = {}

    def take_comparisons(self, comparisons: Sequence[Comparison]) -> list[Comparison]:
        """Return the comparisons of this shard."""
        shard = self._options.shard
        return [item for place, item in enumerate(comparisons) if shard is None or shard.takes(place)]

    def find_up_to_date(self, prompts: Sequence[Prompt], comparisons: Sequence[Comparison]) -> dict[str, Card]:
        """Return the cards of the pages that need not be built, by slug."""
        if self._options.force:
            return {}
        prompts = [prompt for prompt in prompts if prompt.slug not in self._captured]
        comparisons = [item for item in comparisons if self._captured.keys().isdisjoint(item.prompts)]
        return self._cache.find_pages(prompts, comparisons)

    def plan(self, prompts: Sequence[Prompt], current: Collection[str], pending: PendingComparisons) -> _Work:
        """Return what to do: draw prompts from their captures, and run the others."""
        pages = frozenset(prompt.slug for prompt in prompts if prompt.slug not in current)
        needed = [prompt for prompt in prompts if prompt.slug in (pages | pending.prompts) - self._captured.keys()]
        files = {} if self._options.force else self._cache.find_captures(needed)
        return _Work(pages, pending.prompts, {**files, **self._captured})

    def check(self, prompts: Sequence[Prompt], work: _Work) -> tuple[Prompt, ...]:
        """Check the prompts that will run against their models and this machine; the others passed earlier."""
        missing, options = [prompt for prompt in prompts if prompt.slug in work.to_run], self._options
        if not missing:
            return tuple(prompts)
        with self._stop.importing():
            checked = check_prompts(
                missing,
                model=options.model and options.model.info,
                trust_remote_code=options.trust_remote_code,
                allow_pickle=options.allow_pickle,
            )
            if options.model is None and options.cluster is None:  # on a cluster, each worker checks its own machine
                from reportgen.models.model import check_settings  # torch takes seconds to import

                check_settings(options.device, options.dtype, options.device_map)
        by_slug = {prompt.slug: prompt for prompt in checked}
        return tuple(by_slug.get(prompt.slug, prompt) for prompt in prompts)

    def prepare_folder(self, missing: Sequence[str]) -> None:
        """Prepare the folder for the missing pages."""
        self._site.open(missing, self._options.page)
        remove_parts(self._site.root, self._options.shard)
        if self._options.shard is None:  # other shards may be writing their temporary files
            self._site.remove_leftovers()
        if self._options.update:
            self._site.read_cards()  # report unreadable files now, not after the work

    def start_report(
        self,
        prompts: Sequence[Prompt],
        comparisons: Sequence[Comparison],
        current: Mapping[str, Card],
        num_ours: int,
    ) -> RunReport:
        """Return the report of this run, of whose comparisons ``num_ours`` are of this shard."""
        report = RunReport(self._site, (*prompts, *comparisons), current, self._options)
        report.leave(len(comparisons) - num_ours)
        if current:
            self._progress.skip(len(current))
        return report

    def capture_and_render(self, prompts: Sequence[Prompt], work: _Work) -> Iterator[PromptResult]:
        """Draw prompts from their captures, then run the others, grouped by model; torch is imported only for those."""
        left = set(work.to_run)
        for place, prompt in enumerate(prompts):
            if prompt.slug in work.captures and not self._stop.asked:
                result = self._redraw(place, prompt, work)
                if result is None:
                    left.add(prompt.slug)
                else:
                    yield result
        if left and not self._stop.asked:
            yield from self._engine.run(prompts, RunRequest(work.pages & left, work.sides & left, self._options.shard))

    def _redraw(self, place: int, prompt: Prompt, work: _Work) -> PromptResult | None:
        """Draw a prompt from its capture, in the shard that takes its place; ``None`` if the capture is broken."""
        shard = self._options.shard
        is_ours = shard is None or shard.takes(place)
        if not is_ours and prompt.slug not in work.sides:
            return PromptResult(prompt, None)
        source, drawing = work.captures[prompt.slug], self._options.page
        if isinstance(source, Capture):
            capture, key = source, ""
        else:
            try:
                capture, key = load_with_key(source)
            except CaptureFileError:
                return None
            if key != self._cache.find_numbers_key(prompt):  # two prompts have exchanged their slugs
                return None
            if source == self._site.capture(prompt.slug):  # it holds the title, which may be new
                drawing = replace(drawing, keep_captures=True)
        if prompt.slug in work.pages:
            self._progress.stage(prompt, "page")
        maker = ResultMaker(drawing, work.pages if is_ours else frozenset(), work.sides)
        return maker.make(prompt, replace(capture, prompt=prompt), key)

    @cached_property
    def _engine(self) -> Engine:
        """The engine, which is made when it is first needed, because that takes seconds."""
        with self._stop.importing():
            return self._make_engine()

    def _make_engine(self) -> Engine:
        """Return the engine: Ray if a cluster is given, otherwise local."""
        options = self._options
        if options.cluster is None:
            from reportgen.build.engines.local import LocalEngine  # torch takes seconds to import

            return LocalEngine(options.capture, options.page, self._progress, self._stop)
        try:
            from reportgen.build.engines.ray import RayEngine
        except ModuleNotFoundError as error:
            if error.name != "ray":
                raise
            advice = f"{install_advice('ray')}, or run without --engine ray"
            raise ClusterError(f"ray: is not installed; {advice}") from error
        return RayEngine(options.cluster, options.capture, options.page, self._progress, self._stop)

    def write(self, result: PromptResult, pending: PendingComparisons, report: RunReport) -> None:
        """Write the result of a prompt, and the comparisons that waited for it."""
        start = time.perf_counter()
        if result.outcome is None:
            if not report.is_up_to_date(result.prompt):  # another shard makes its page
                self._progress.skip(1)
                report.leave(1)
        else:
            if result.warning:
                self._progress.warn(result.prompt, result.warning)
            self._progress.done(result.prompt, self._write_page(result.prompt, result.outcome, report))
        if result.side is not None:
            self._write_comparisons(result.prompt, result.side, pending, report)
        seconds = result.seconds.get("page", 0.0) + time.perf_counter() - start
        report.add_seconds(result.prompt, {**result.seconds, "page": seconds})

    def _write_page(self, prompt: Prompt, outcome: Artifacts | Failure, report: RunReport) -> Path | Failure:
        """Write the page of a prompt; return its path, or the failure."""
        try:
            if isinstance(outcome, Artifacts):
                with self._stop.held():
                    path = self._site.write(prompt.slug, outcome)
                    report.add_page(prompt, outcome.card, path)
                return path
        except InTheWay as error:
            outcome = Failure.of(prompt, error)
        report.add_failure(outcome)
        return outcome

    def _write_comparisons(
        self, prompt: Prompt, side: ComparisonInput, pending: PendingComparisons, report: RunReport
    ) -> None:
        """Write the comparisons that this prompt completes; one that fails is recorded as failed."""
        for comparison, sides in pending.take(prompt, side):
            if isinstance(sides, FailureCard):
                report.add_lost(comparison, sides)
            elif PATCHING not in comparison.evidence:
                self._write_comparison(comparison, sides, report)
            else:
                try:
                    request = plan_patching(comparison, sides.captures, sides.prompts)
                except NoEvidence as reason:
                    self._write_comparison(comparison, sides, report, str(reason))
                else:
                    self._unpatched[comparison.slug] = comparison, sides, request

    def patch(self, report: RunReport) -> None:
        """Measure the patches that comparisons ask for, and write these comparisons."""
        if not self._unpatched or self._stop.asked:
            return
        for slug, found in self._engine.patch([request for _, _, request in self._unpatched.values()]):
            comparison, sides, _ = self._unpatched.pop(slug)
            self._write_comparison(comparison, sides, report, found)

    def _write_comparison(
        self, comparison: Comparison, sides: ComparisonInputs, report: RunReport, patching: Patching | str = ""
    ) -> None:
        """Write the page of a comparison; if that fails, record it as failed."""
        options = self._options.page
        try:
            prompts = [capture.prompt for capture in sides.captures]
            keys = make_comparison_keys(comparison, [*zip(prompts, sides.keys, strict=True)], options)
            artifacts = render_comparison_artifacts(comparison, sides.captures, options, keys, patching)
            with self._stop.held():
                report.add_page(comparison, artifacts.card, self._site.write(comparison.slug, artifacts))
        except SiteError as error:
            if not isinstance(error, InTheWay):
                raise
            report.fail_comparison(comparison, str(error))
        except PromptError as error:
            report.fail_comparison(comparison, str(error))
        except Exception as error:  # an unexpected error fails this comparison, not the run
            where = f"{comparison.place.of('compare')}: {comparison.slug}"
            report.fail_comparison(comparison, f"{where} cannot be drawn, {first_line(error)}; -v shows where")

    def write_index(self, report: RunReport) -> Outcome:
        """Write the index, remove pages that are no longer wanted, and return the outcome of the run."""
        options = self._options
        with self._stop.held():  # do not interrupt the writing of the index
            ended = not self._stop.asked and not (options.fail_fast and report.failures)
            keep_earlier = options.update or not report.has_pages or not ended
            return report.finish(keep_earlier=keep_earlier, prune=options.prune and ended)
