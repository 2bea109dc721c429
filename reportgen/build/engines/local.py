"""Run prompts in this process, with one model in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reportgen.build.engines.jobs import Group, RunRequest, group_by_model
from reportgen.build.engines.worker import PromptResult, Worker
from reportgen.build.interrupts import Stop
from reportgen.build.options import BuildOptions, Progress
from reportgen.records import Prompt


def run_prompts(
    prompts: Sequence[Prompt], request: RunRequest, options: BuildOptions, progress: Progress, stop: Stop
) -> Iterator[PromptResult]:
    """Run prompts.

    Each model, with its adapter, is loaded once. The batches depend on all prompts, not only on the requested ones, so
    a run that continues an interrupted one gives exactly the same numbers.

    Args:
        prompts: all prompts of the run.
        request: which pages and comparison data to produce.
        options: how to run.
        progress: receives every stage.
        stop: checked between batches.

    Yields:
        The result of each requested prompt. For each model, prompts that other shards run come first.
    """
    worker = Worker(options, progress)
    for group in group_by_model(prompts):
        if stop.asked or not request.concerns(group.members):
            continue
        if not group.is_taken_by(request):
            yield from (PromptResult(prompt, None) for prompt in group.find_left([], request))
            continue
        yield from _run_group(worker, group, request, stop)
        worker.unload()


def _run_group(worker: Worker, group: Group, request: RunRequest, stop: Stop) -> Iterator[PromptResult]:
    with stop.at_once():
        worker.load(next(prompt for prompt in group.members if request.concerns([prompt])))
    jobs = group.make_jobs(worker.plan(group.members), request)
    yield from (PromptResult(prompt, None) for prompt in group.find_left(jobs, request))
    for job in jobs:
        if stop.asked:
            return
        yield from worker.run(job)
