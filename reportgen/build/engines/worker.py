"""Run batches of prompts and render their pages, with one model in memory at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial

from reportgen.build.cache_keys import make_numbers_key
from reportgen.build.capture import capture_in_turn
from reportgen.build.engines.jobs import Job
from reportgen.build.options import CaptureOptions, Progress
from reportgen.build.patching import PatchRequest, measure_patching
from reportgen.build.resolve import ResolvedModel, resolve_model
from reportgen.build.results import PromptResult, ResultMaker
from reportgen.captures.batches import make_batches
from reportgen.captures.capture import free_memory
from reportgen.captures.record import Capture
from reportgen.evidence.kinds.patching import Patching
from reportgen.models.model import LoadedModel, load_model
from reportgen.pages.options import PageOptions
from reportgen.pages.page import warm_up
from reportgen.records import EncodedPrompt, Prompt
from reportgen.records.errors import ModelError, PromptError


class Worker:
    """Runs jobs one after another, and renders the requested pages."""

    def __init__(self, capturing: CaptureOptions, drawing: PageOptions, progress: Progress, auto_device: str) -> None:
        """Start without a model, and make what all pages share in a thread.

        Args:
            capturing: how models are loaded and run.
            drawing: how pages are drawn.
            progress: receives every stage.
            auto_device: kind of device that ``auto`` stands for in keys.
        """
        self._capturing, self._drawing, self._progress = capturing, drawing, progress
        self._auto_device = auto_device
        self._named: tuple[str, str] | None = None
        self._model: LoadedModel | ModelError | None = None
        self._resolved: ResolvedModel | None = None
        self._load_seconds = 0.0
        # A second processor can do this while the model is loaded and runs the first prompt.
        threading.Thread(target=warm_up, args=(drawing,), daemon=True).start()

    def load(self, prompt: Prompt) -> None:
        """Load the model of a prompt, unless it is in memory.

        If the model cannot be loaded, no exception is raised here; its prompts fail when they are run.

        Args:
            prompt: any prompt of the model.
        """
        if self._named == (prompt.model, prompt.adapter):
            return
        self.unload()
        self._progress.stage(prompt, "load")
        start = time.perf_counter()
        before = self._resolve(prompt)
        self._model = self._capturing.model or _load(prompt, self._capturing)
        self._named = prompt.model, prompt.adapter
        self._resolved = before or self._resolve(prompt)  # a model of the hub is in the cache now
        self._load_seconds = time.perf_counter() - start

    def _resolve(self, prompt: Prompt) -> ResolvedModel | None:
        return resolve_model(prompt.model, prompt.adapter, self._capturing, self._auto_device)

    def unload(self) -> None:
        """Drop the model and free its memory."""
        if self._named is None:
            return
        self._named = self._model = None
        free_memory()

    def plan(self, members: Sequence[Prompt]) -> list[list[EncodedPrompt]] | None:
        """Return batches for all prompts of the loaded model, as ``make_batches`` does; ``None`` without a model."""
        if not isinstance(self._model, LoadedModel):
            return None
        return make_batches(self._model, members, self._capturing.batch_size)

    def run(self, job: Job) -> Iterator[PromptResult]:
        """Run a job on the loaded model, and yield the result of each requested prompt in order."""
        captures = self._capture(job)
        for prompt in job.asked:
            start = time.perf_counter()
            # Keep no reference to a capture after its page is rendered: the next prompt may need the memory.
            yield self._finish(prompt, job, next(captures), time.perf_counter() - start)
            self._load_seconds = 0.0

    def patch(self, request: PatchRequest) -> Patching | str:
        """Measure the patches between two prompts, and return them or why they could not be measured."""

        def load(prompt: Prompt) -> LoadedModel:
            self.load(prompt)
            if not isinstance(self._model, LoadedModel):
                raise self._model or ModelError(f"{prompt.place.of('model')}: there is no model")
            return self._model

        return measure_patching(request, load, lambda prompt: partial(self._progress.patching, prompt))

    def _capture(self, job: Job) -> Iterator[Capture | PromptError | ModelError]:
        model = self._model
        if not isinstance(model, LoadedModel):
            assert model is not None, "load comes before run"
            return iter([model] * len(job.asked))
        for prompt in job.asked:
            self._progress.stage(prompt, "capture")
        slugs = job.pages | job.sides
        return capture_in_turn(
            model,
            job.batch,
            lambda prompt: partial(self._progress.ablating, prompt),
            lambda member: member.slug in slugs,
        )

    def _finish(
        self, prompt: Prompt, job: Job, captured: Capture | PromptError | ModelError, capture_seconds: float
    ) -> PromptResult:
        if prompt.slug in job.pages and isinstance(captured, Capture):
            self._progress.stage(prompt, "page")
        key = make_numbers_key(prompt, self._capturing, self._resolved)
        seconds = {"load": self._load_seconds, "capture": capture_seconds}
        notes = next((member.warnings for member in job.batch if member.prompt.slug == prompt.slug), ())
        return ResultMaker(self._drawing, job.pages, job.sides).make(prompt, captured, key, seconds, notes)


def _load(prompt: Prompt, options: CaptureOptions) -> LoadedModel | ModelError:
    try:
        return load_model(
            prompt.model,
            adapter=prompt.adapter,
            device=options.device,
            device_map=options.device_map,
            dtype=options.dtype,
            trust_remote_code=options.trust_remote_code,
            allow_pickle=options.allow_pickle,
        )
    except ModelError as error:
        return error
