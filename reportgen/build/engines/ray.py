"""Prompts are run on a Ray cluster: workers run whole batches and hand over drawn pages, which are written here.

One batch at most is at each worker, and its pages come back at once when it is done: so the memory here does not grow
with the number of prompts, and a batch whose worker is lost is run again elsewhere as if nothing had been.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before the import: Ray would tell its makers of the run

import ray
import torch
from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

from reportgen.build.cache_key import hash_program
from reportgen.build.comparisons import make_comparison_input
from reportgen.build.engines.jobs import Group, Job, RunRequest, group_by_model
from reportgen.build.engines.worker import PromptResult, Worker
from reportgen.build.interrupts import Stop
from reportgen.build.options import BuildOptions, Cluster, NullProgress, Progress
from reportgen.models.model import check_settings
from reportgen.pages.artifacts import Artifacts
from reportgen.records import Failure, Prompt
from reportgen.records.errors import ClusterError, ModelError, PromptError

_TRIES = 3
"""So often a batch is run whose worker is lost: one that needs more memory than there is would take all workers."""
_REACH = 10.0
"""Seconds for the cluster to answer; Ray itself goes on asking for minutes."""
_LOOK = 0.5
"""Seconds from look to look whether the run shall stop."""


def run_prompts(
    prompts: Sequence[Prompt], asked: RunRequest, options: BuildOptions, progress: Progress, stop: Stop
) -> Iterator[PromptResult]:
    """Run prompts as ``engines.local`` does, in another order: what is done first comes first.

    Raises:
        ClusterError: the cluster cannot be reached, has no room for so many workers, or another reportgen on it.
        ModelError: the device or the dtype cannot be used there.
    """
    assert options.cluster is not None
    with _connected(options.cluster, stop), _Pool(options, options.cluster, len(asked.pages)) as pool:
        todo: deque[_Task] = deque()
        for group in group_by_model(prompts):
            if group.is_taken_by(asked):
                todo.append(_Task(group))
            else:
                yield from (PromptResult(prompt, None) for prompt in group.find_left([], asked))
        yield from _work(pool, todo, asked, progress, stop)


@dataclass(frozen=True)
class _Task:
    """What a worker does at a time: plan the batches of a model, or run one of them."""

    group: Group
    job: Job | None = None
    tries: int = 1


def _work(pool: _Pool, todo: deque[_Task], asked: RunRequest, progress: Progress, stop: Stop) -> Iterator[PromptResult]:
    while todo or pool.is_busy:
        if stop.asked:
            todo.clear()
        while todo and (task := pool.give(todo, asked)):
            _tell(task, asked, progress)
        for task, made in pool.take():
            if made is None and task.tries < _TRIES:
                todo.appendleft(replace(task, tries=task.tries + 1))
            elif made is None:
                yield from _fail(task, asked)
            elif task.job is None:
                yield from (PromptResult(prompt, None) for prompt in task.group.find_left(made, asked))
                todo.extendleft(_Task(task.group, job) for job in reversed(made))
            else:
                yield from _tell_pages(made, progress)


def _tell(task: _Task, asked: RunRequest, progress: Progress) -> None:
    if task.job is None:
        progress.stage(_first(task.group, asked), "load")
    for prompt in task.job.asked if task.job else ():
        progress.stage(prompt, "capture")


def _tell_pages(made: Sequence[PromptResult], progress: Progress) -> Iterator[PromptResult]:
    for ran in made:
        if isinstance(ran.outcome, Artifacts):
            progress.stage(ran.prompt, "page")
        yield ran


def _first(group: Group, asked: RunRequest) -> Prompt:
    return next(prompt for prompt in group.members if asked.concerns([prompt]))


def _fail(task: _Task, asked: RunRequest) -> Iterator[PromptResult]:
    """Yield what came of prompts that no worker survives."""
    (job,) = [task.job] if task.job else task.group.make_jobs(None, asked)
    for prompt in job.asked:
        what = f"{prompt.place.of()}: {_TRIES} workers were lost over its batch; see why in Ray's logs"
        error = PromptError(f"{what}, or try a smaller --batch-size")
        outcome = Failure.of(prompt, error) if prompt.slug in job.pages else None
        yield PromptResult(prompt, outcome, make_comparison_input(error, "") if prompt.slug in job.sides else None)


class _Remote:
    """A worker in a process of its own, somewhere in the cluster."""

    def __init__(self, options: BuildOptions, folder: str, num_threads: int) -> None:
        with suppress(OSError):  # a folder of the caller's machine: models in it are named from there
            os.chdir(folder)
        torch.set_num_threads(num_threads)
        self._options = options
        self._worker = Worker(options, NullProgress())

    def check(self) -> tuple[str, str, ModelError | None]:
        """Return the name of the machine, what program is on it, and why it cannot do what is asked for."""
        try:
            check_settings(self._options.device, self._options.dtype, self._options.device_map)
        except ModelError as error:
            return socket.gethostname(), hash_program(), error
        return socket.gethostname(), hash_program(), None

    def plan(self, group: Group, asked: RunRequest) -> list[Job]:
        self._worker.load(_first(group, asked))
        return group.make_jobs(self._worker.plan(group.members), asked)

    def run(self, job: Job) -> list[PromptResult]:
        self._worker.load(job.asked[0])
        return [*self._worker.run(job)]


class _Pool:
    """The workers, and what each is at."""

    def __init__(self, options: BuildOptions, cluster: Cluster, num_prompts: int) -> None:
        room = _find_room(options, cluster)
        actor: Any = ray.remote(_Remote)
        self._remote = actor.options(num_cpus=room.cpus, num_gpus=room.gpus)
        # Numbers change with the number of threads in their last digits: who sets it here means it there.
        num_threads = int(os.environ.get("OMP_NUM_THREADS", room.cpus))
        self._arguments = ray.put(replace(options, cluster=None)), str(Path.cwd()), num_threads
        self._starting: dict[Any, Any] = {}
        self._at_work: dict[Any, tuple[Any, _Task]] = {}
        self._idle: list[Any] = []
        self._model_of: dict[Any, int] = {}
        for _ in range(max(1, min(room.workers, num_prompts))):
            self._start()

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in (*self._idle, *self._starting.values(), *(actor for actor, _ in self._at_work.values())):
            ray.kill(actor)

    @property
    def is_busy(self) -> bool:
        """Whether a worker is at a task."""
        return bool(self._at_work)

    def give(self, todo: deque[_Task], asked: RunRequest) -> _Task | None:
        """Give an idle worker a task, if there is one: of the model that it has in memory, if there is such a task."""
        if not self._idle:
            return None
        actor = self._idle.pop()
        model = self._model_of.get(actor)
        task = next((task for task in todo if task.group.number == model), todo[0])
        todo.remove(task)
        self._model_of[actor] = task.group.number
        reference = actor.plan.remote(task.group, asked) if task.job is None else actor.run.remote(task.job)
        self._at_work[reference] = actor, task
        return task

    def take(self) -> Iterator[tuple[_Task, Any]]:
        """Wait a little, and yield what came of tasks; ``None`` of one whose worker was lost."""
        done, _ = ray.wait([*self._at_work, *self._starting], timeout=_LOOK)
        for reference in done:
            if reference in self._starting:
                self._welcome(self._starting.pop(reference), reference)
                continue
            actor, task = self._at_work.pop(reference)
            try:
                made = _get(reference)
                self._idle.append(actor)
            except (RayActorError, ObjectLostError):
                made = None
                ray.kill(actor)  # where it is the result that was lost, it may still live
                self._start()
            yield task, made

    def _start(self) -> None:
        actor = self._remote.remote(*self._arguments)
        self._starting[actor.check.remote()] = actor

    def _welcome(self, actor: Any, reference: Any) -> None:
        try:
            host, program, error = _get(reference)
        except RayActorError as lost:
            if self._idle or self._at_work or self._starting:
                return
            raise ClusterError(f"the Ray cluster: no worker can be started there, {lost}; see its logs") from lost
        if program != hash_program():
            raise ClusterError(f"{host}: has another reportgen, or other packages; install the same on every node")
        if error is not None:
            raise error
        self._idle.append(actor)


def _get(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from error


@dataclass(frozen=True)
class _Room:
    """How many workers there are, and what each has for itself."""

    workers: int
    cpus: int
    gpus: float


def _find_room(options: BuildOptions, cluster: Cluster) -> _Room:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    num_cpus = sum(int(node["CPU"]) for node in nodes)
    num_gpus = sum(node.get("GPU", 0.0) for node in nodes)
    gpus = cluster.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if num_gpus and not options.device.startswith("cpu") else 0.0
    nodes = [node for node in nodes if node.get("GPU", 0.0) >= gpus]
    workers = cluster.workers or (int(num_gpus / gpus) if gpus else len(nodes))
    if not nodes or workers > num_cpus or workers * gpus > num_gpus:
        has = f"{num_cpus} CPUs and {num_gpus:g} GPUs"
        raise ClusterError(
            f"the Ray cluster: has no room for {workers} workers of {gpus:g} GPUs, but {has}; ask for less with "
            "--workers and --gpus-per-worker"
        )
    least = min(int(node["CPU"]) for node in nodes)
    return _Room(workers, max(1, least // ceil(workers / len(nodes))), gpus)


@contextmanager
def _connected(cluster: Cluster, stop: Stop) -> Iterator[None]:
    """Connect to the cluster, or to the one that the caller is connected to already."""
    if ray.is_initialized():
        yield
        return
    if cluster.address not in ("", "auto"):
        _reach(cluster.address)
    try:
        with stop.at_once():
            ray.init(address=cluster.address or "auto", log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        where = cluster.address or "of this machine"
        advice = "give its --ray-address, or start one with ray start --head"
        raise ClusterError(f"the Ray cluster {where}: cannot be used, {error}; {advice}") from error
    with redirect_stdout(sys.stderr):  # where Ray says what becomes of workers; paths alone go to standard output
        try:
            yield
        finally:
            ray.shutdown()


def _reach(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), _REACH).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ClusterError(
            f"--ray-address {address}: cannot be reached, {error}; write HOST:PORT as ray start says it"
        ) from error
