"""Prompts are run in this process, one model in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reportgen.build.engines.jobs import Group, RunRequest, group_by_model
from reportgen.build.engines.worker import PromptResult, Worker
from reportgen.build.interrupts import Stop
from reportgen.build.options import BuildOptions, Progress
from reportgen.records import Prompt


def run_prompts(
    prompts: Sequence[Prompt], asked: RunRequest, options: BuildOptions, progress: Progress, stop: Stop
) -> Iterator[PromptResult]:
    """Run prompts.

    Each model, with its adapter, is loaded once. Which prompts run side by side depends on all of them, not on those
    that are asked for: so a run that ends what another began gives the same numbers to the last digit.

    Args:
        prompts: all of the run.
        asked: what is asked for of them.
        options: how to run.
        progress: told of every stage.
        stop: looked at between batches.

    Yields:
        What came of each prompt that is asked for, those first whose pages other shards make.
    """
    worker = Worker(options, progress)
    for group in group_by_model(prompts):
        if stop.asked or not asked.concerns(group.members):
            continue
        if not group.is_taken_by(asked):
            yield from (PromptResult(prompt, None) for prompt in group.find_left([], asked))
            continue
        yield from _run_group(worker, group, asked, stop)
        worker.unload()


def _run_group(worker: Worker, group: Group, asked: RunRequest, stop: Stop) -> Iterator[PromptResult]:
    with stop.at_once():
        worker.load(next(prompt for prompt in group.members if asked.concerns([prompt])))
    jobs = group.make_jobs(worker.plan(group.members), asked)
    yield from (PromptResult(prompt, None) for prompt in group.find_left(jobs, asked))
    for job in jobs:
        if stop.asked:
            return
        yield from worker.run(job)
