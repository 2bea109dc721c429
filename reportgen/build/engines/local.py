"""Run prompts in this process, with one model in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reportgen.build.engines.jobs import Group, RunRequest, group_by_model
from reportgen.build.engines.worker import Worker
from reportgen.build.interrupts import Stop
from reportgen.build.options import CaptureOptions, Progress
from reportgen.build.patching import PatchRequest
from reportgen.build.resolve import find_auto_device
from reportgen.build.results import PromptResult
from reportgen.evidence.kinds.patching import Patching
from reportgen.pages.options import PageOptions
from reportgen.records import Prompt


class LocalEngine:
    """An ``Engine`` that loads each model, with its adapter, once."""

    def __init__(self, capturing: CaptureOptions, drawing: PageOptions, progress: Progress, stop: Stop) -> None:
        """Start without a model.

        Args:
            capturing: how models are loaded and run.
            drawing: how pages are drawn.
            progress: receives every stage.
            stop: checked between batches.
        """
        self._worker, self._stop = Worker(capturing, drawing, progress, find_auto_device()), stop

    def run(self, prompts: Sequence[Prompt], request: RunRequest) -> Iterator[PromptResult]:
        """Run prompts, as ``Engine.run`` does; for each model, prompts that other shards run come first."""
        for group in group_by_model(prompts):
            if self._stop.asked or not request.concerns(group.members):
                continue
            if not group.is_taken_by(request):
                yield from (PromptResult(prompt, None) for prompt in group.find_left([], request))
                continue
            yield from self._run_group(group, request)

    def patch(self, requests: Sequence[PatchRequest]) -> Iterator[tuple[str, Patching | str]]:
        """Measure patches, as ``Engine.patch`` does; the model of the last prompts is still in memory."""
        for request in requests:
            if self._stop.asked:
                return
            yield request.slug, self._worker.patch(request)

    def _run_group(self, group: Group, request: RunRequest) -> Iterator[PromptResult]:
        with self._stop.at_once():
            self._worker.load(next(prompt for prompt in group.members if request.concerns([prompt])))
        jobs = group.make_jobs(self._worker.plan(group.members), request)
        yield from (PromptResult(prompt, None) for prompt in group.find_left(jobs, request))
        for job in jobs:
            if self._stop.asked:
                return
            yield from self._worker.run(job)
