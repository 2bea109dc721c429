"""Run prompts on a Ray cluster: workers run batches and return rendered pages, which this process writes.

Each worker has at most one batch and returns its pages when the batch is done. So the memory of this process does not
grow with the number of prompts, and if a worker is lost, its batch is simply run again on another worker.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before the import, so that Ray sends no usage statistics

import ray
import torch
from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

from reportgen.build.cache_keys import hash_drawing_code, hash_numbers_code
from reportgen.build.comparisons import ComparisonInput
from reportgen.build.engines.jobs import Group, Job, RunRequest, group_by_model
from reportgen.build.engines.worker import Worker
from reportgen.build.interrupts import Stop
from reportgen.build.options import CaptureOptions, Cluster, NullProgress, Progress
from reportgen.build.patching import PatchRequest
from reportgen.build.resolve import find_auto_device
from reportgen.build.results import PromptResult
from reportgen.evidence.kinds.patching import Patching
from reportgen.models.model import check_settings
from reportgen.pages.artifacts import Artifacts
from reportgen.pages.options import PageOptions
from reportgen.records import Failure, Prompt
from reportgen.records.errors import ClusterError, ModelError, PromptError, first_line

_TRIES = 3
"""Maximum number of times a batch runs if its workers are lost; a batch that runs out of memory would kill them all."""
_REACH = 10.0
"""Timeout in seconds for the cluster to answer; Ray itself retries for minutes."""
_LOOK = 0.5
"""Interval in seconds between checks whether the run should stop."""
_SILENCE = 5.0
"""Seconds without a result after which the nodes are looked at; Ray waits without end for a node that has room."""
_AGAIN = "start nodes and run the same command again; finished pages are kept"


@dataclass(frozen=True)
class _Task:
    """A task of a worker: plan the batches of a model, run one of them, or patch prompts of it."""

    group: Group
    job: Job | None = None
    patch: PatchRequest | None = None
    tries: int = 1


class RayEngine:
    """An ``Engine`` that runs on a cluster; it yields results in the order in which they are finished."""

    def __init__(
        self, cluster: Cluster, capturing: CaptureOptions, drawing: PageOptions, progress: Progress, stop: Stop
    ) -> None:
        """Prepare a run; nothing is connected yet.

        Args:
            cluster: where to run.
            capturing: how models are loaded and run.
            drawing: how pages are drawn.
            progress: receives every stage.
            stop: checked between results.
        """
        self._cluster, self._capturing, self._drawing = cluster, capturing, drawing
        self._progress, self._stop = progress, stop

    def run(self, prompts: Sequence[Prompt], request: RunRequest) -> Iterator[PromptResult]:
        """Run prompts, as ``Engine.run`` does.

        Raises:
            ClusterError: the cluster cannot be reached, is too small for the workers, or has another version of
                reportgen.
            ModelError: the device or the dtype cannot be used on a worker.
        """
        with _connected(self._cluster, self._stop), self._start_pool(len(request.pages)) as pool:
            todo: deque[_Task] = deque()
            for group in group_by_model(prompts):
                if group.is_taken_by(request):
                    todo.append(_Task(group))
                else:
                    yield from (PromptResult(prompt, None) for prompt in group.find_left([], request))
            yield from self._work(pool, todo, request)

    def patch(self, requests: Sequence[PatchRequest]) -> Iterator[tuple[str, Patching | str]]:
        """Measure patches on the workers, as ``Engine.patch`` does, in the order in which they are finished."""
        with _connected(self._cluster, self._stop), self._start_pool(len(requests)) as pool:
            todo = deque(_Task(group_by_model(request.prompts)[0], patch=request) for request in requests)
            while todo or pool.is_busy:
                if self._stop.asked:
                    todo.clear()
                while todo and pool.give(todo):
                    pass
                for task, made in pool.take():
                    assert task.patch is not None
                    if made is None and task.tries < _TRIES:
                        todo.appendleft(replace(task, tries=task.tries + 1))
                    else:
                        yield task.patch.slug, made or f"{_TRIES} workers were lost while patching"

    def _start_pool(self, num_prompts: int) -> _Pool:
        room = _find_room(self._cluster, on_cpu=self._capturing.device.startswith("cpu"))
        return _Pool(room, self._capturing, self._drawing, min(room.workers, num_prompts))

    def _work(self, pool: _Pool, todo: deque[_Task], request: RunRequest) -> Iterator[PromptResult]:
        while todo or pool.is_busy:
            if self._stop.asked:
                todo.clear()
            while todo and (task := pool.give(todo, request)):
                _report_start(task, request, self._progress)
            for task, made in pool.take():
                if made is None and task.tries < _TRIES:
                    todo.appendleft(replace(task, tries=task.tries + 1))
                elif made is None:
                    yield from _fail(task, request)
                elif task.job is None:
                    yield from (PromptResult(prompt, None) for prompt in task.group.find_left(made, request))
                    todo.extendleft(_Task(task.group, job) for job in reversed(made))
                else:
                    yield from _report_pages(made, self._progress)


def _report_start(task: _Task, request: RunRequest, progress: Progress) -> None:
    if task.job is None:
        progress.stage(_first(task.group, request), "load")
    for prompt in task.job.asked if task.job else ():
        progress.stage(prompt, "capture")


def _report_pages(results: Sequence[PromptResult], progress: Progress) -> Iterator[PromptResult]:
    for result in results:
        if isinstance(result.outcome, Artifacts):
            progress.stage(result.prompt, "page")
        yield result


def _first(group: Group, request: RunRequest) -> Prompt:
    return next(prompt for prompt in group.members if request.concerns([prompt]))


def _fail(task: _Task, request: RunRequest) -> Iterator[PromptResult]:
    """Yield failures for the prompts of a task that lost its worker in every attempt."""
    (job,) = [task.job] if task.job else task.group.make_jobs(None, request)
    for prompt in job.asked:
        problem = f"{prompt.place.of()}: {_TRIES} workers were lost while running its batch"
        error = PromptError(f"{problem}; see Ray's logs, or try a smaller --batch-size")
        outcome = Failure.of(prompt, error) if prompt.slug in job.pages else None
        yield PromptResult(prompt, outcome, ComparisonInput(str(error), "") if prompt.slug in job.sides else None)


class _Remote:
    """A worker in its own process, on any node of the cluster."""

    def __init__(self, capturing: CaptureOptions, drawing: PageOptions, folder: str, num_threads: int) -> None:
        with suppress(OSError):  # relative model paths refer to the caller's folder, if this node has it
            os.chdir(folder)
        torch.set_num_threads(num_threads)
        self._capturing = capturing
        self._worker = Worker(capturing, drawing, NullProgress(), find_auto_device())

    def check(self) -> tuple[str, str, ModelError | None]:
        """Return the host name, the hash of the program, and an error if the device or dtype cannot be used."""
        try:
            check_settings(self._capturing.device, self._capturing.dtype, self._capturing.device_map)
        except ModelError as error:
            return socket.gethostname(), _hash_program(), error
        return socket.gethostname(), _hash_program(), None

    def plan(self, group: Group, request: RunRequest) -> list[Job]:
        self._worker.load(_first(group, request))
        return group.make_jobs(self._worker.plan(group.members), request)

    def run(self, job: Job) -> list[PromptResult]:
        self._worker.load(job.asked[0])
        return [*self._worker.run(job)]

    def patch(self, request: PatchRequest) -> Patching | str:
        return self._worker.patch(request)


class _Pool:
    """The workers, and the task of each."""

    def __init__(self, room: _Room, capturing: CaptureOptions, drawing: PageOptions, num_workers: int) -> None:
        actor: Any = ray.remote(_Remote)
        self._remote = actor.options(num_cpus=room.cpus, num_gpus=room.gpus)
        self._room, self._looked = room, time.monotonic()
        # The last digits of numbers depend on the number of threads, so workers use the caller's OMP_NUM_THREADS.
        num_threads = int(os.environ.get("OMP_NUM_THREADS", room.cpus))
        self._arguments = ray.put(capturing), drawing, str(Path.cwd()), num_threads
        self._starting: dict[Any, Any] = {}
        self._at_work: dict[Any, tuple[Any, _Task]] = {}
        self._idle: list[Any] = []
        self._model_of: dict[Any, int] = {}
        for _ in range(max(1, num_workers)):
            self._start()

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in (*self._idle, *self._starting.values(), *(actor for actor, _ in self._at_work.values())):
            ray.kill(actor)

    @property
    def is_busy(self) -> bool:
        """Whether any worker has a task."""
        return bool(self._at_work)

    def give(self, todo: deque[_Task], request: RunRequest | None = None) -> _Task | None:
        """Give a task to an idle worker, preferably one for the model that it has in memory.

        Returns:
            The task; ``None`` if no worker is idle.
        """
        if not self._idle:
            return None
        actor = self._idle.pop()
        model = self._model_of.get(actor)
        task = next((task for task in todo if task.group.number == model), todo[0])
        todo.remove(task)
        self._model_of[actor] = task.group.number
        if task.patch is not None:
            reference = actor.patch.remote(task.patch)
        else:
            reference = actor.plan.remote(task.group, request) if task.job is None else actor.run.remote(task.job)
        self._at_work[reference] = actor, task
        return task

    def take(self) -> Iterator[tuple[_Task, Any]]:
        """Wait briefly, and yield finished tasks with their results; the result is ``None`` if the worker was lost.

        Raises:
            ClusterError: nothing came back, and no node is left that could run a worker.
        """
        done, _ = ray.wait([*self._at_work, *self._starting], timeout=_LOOK)
        if done:
            self._looked = time.monotonic()
        elif time.monotonic() - self._looked > _SILENCE:
            _check_nodes(self._room)
            self._looked = time.monotonic()
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
                ray.kill(actor)  # the worker may still be alive if only its result was lost
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
            _check_nodes(self._room)
            raise ClusterError(
                f"the Ray cluster: no worker can be started there, {first_line(lost)}; see its logs"
            ) from lost
        if program != _hash_program():
            raise ClusterError(f"{host}: has another reportgen, or other packages; install the same on every node")
        if error is not None:
            raise error
        self._idle.append(actor)


def _check_nodes(room: _Room) -> None:
    """Check that a node is left that could run a worker.

    Raises:
        ClusterError: there is none, or the cluster does not answer.
    """
    answers: queue.Queue[Any] = queue.Queue()
    # In a thread that nothing waits for, because Ray itself waits for minutes for a cluster that is gone.
    threading.Thread(target=lambda: answers.put(_find_nodes()), daemon=True).start()
    try:
        nodes = answers.get(timeout=_REACH)
    except queue.Empty as error:
        raise ClusterError(f"the Ray cluster: does not answer; {_AGAIN}") from error
    if not any(node.get("CPU", 0) >= room.cpus and node.get("GPU", 0.0) >= room.gpus for node in nodes):
        raise ClusterError(f"the Ray cluster: no node is left with {room.cpus} CPUs and {room.gpus:g} GPUs; {_AGAIN}")


def _find_nodes() -> list[dict[str, float]]:
    """Return the resources of the nodes that are alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _hash_program() -> str:
    return hash_numbers_code() + hash_drawing_code()


def _get(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from error


@dataclass(frozen=True)
class _Room:
    """The number of workers, and the CPUs and GPUs of each."""

    workers: int
    cpus: int
    gpus: float


def _find_room(cluster: Cluster, *, on_cpu: bool) -> _Room:
    nodes = [node for node in _find_nodes() if node.get("CPU", 0) >= 1]
    num_cpus = sum(int(node["CPU"]) for node in nodes)
    num_gpus = sum(node.get("GPU", 0.0) for node in nodes)
    gpus = cluster.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if num_gpus and not on_cpu else 0.0
    nodes = [node for node in nodes if node.get("GPU", 0.0) >= gpus]
    workers = cluster.workers or (int(num_gpus / gpus) if gpus else len(nodes))
    if not nodes or workers > num_cpus or workers * gpus > num_gpus:
        has = f"{num_cpus} CPUs and {num_gpus:g} GPUs"
        raise ClusterError(
            f"the Ray cluster: has no room for {workers} workers of {gpus:g} GPUs, it has {has}; request fewer with "
            "--workers and --gpus-per-worker"
        )
    least = min(int(node["CPU"]) for node in nodes)
    return _Room(workers, max(1, least // ceil(workers / len(nodes))), gpus)


@contextmanager
def _connected(cluster: Cluster, stop: Stop) -> Iterator[None]:
    """Connect to the cluster for the duration of the block; an existing connection of the caller is used as it is."""
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
    with redirect_stdout(sys.stderr):  # Ray prints about workers; standard output is only for paths
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
            f"--ray-address {address}: cannot be reached, {error}; write HOST:PORT as printed by ray start"
        ) from error
