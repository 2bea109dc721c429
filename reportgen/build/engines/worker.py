"""Run batches of prompts and render their pages, with one model in memory at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from reportgen.build.cache_key import make_key, make_side_key
from reportgen.build.capture import capture_in_turn
from reportgen.build.comparisons import ComparisonInput, make_comparison_input
from reportgen.build.engines.jobs import Job
from reportgen.build.options import CaptureOptions, Progress
from reportgen.captures.batches import make_batches
from reportgen.captures.capture import free_memory
from reportgen.captures.record import Capture
from reportgen.models.fingerprint import fingerprint
from reportgen.models.model import LoadedModel, load_model
from reportgen.pages.artifacts import Artifacts, render_artifacts
from reportgen.pages.options import PageOptions
from reportgen.pages.tables import warn_of_drift
from reportgen.records import EncodedPrompt, Failure, Prompt
from reportgen.records.errors import ModelError, PromptError, ReportgenError, first_line


@dataclass(frozen=True)
class PromptResult:
    """The result of one prompt.

    Attributes:
        prompt: prompt that was run.
        outcome: page of the prompt with its files, or its failure; ``None`` if the page is not requested here, for
            example because another shard builds it.
        side: data for a comparison, if one needs this prompt.
        seconds: seconds by stage. ``load`` is counted for the first prompt of a model, and ``capture`` for the first
            prompt of a batch, on behalf of the whole batch; ``page`` is the time to render the page.
        warning: warning about the page; empty if there is none.
    """

    prompt: Prompt
    outcome: Artifacts | Failure | None
    side: ComparisonInput | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    warning: str = ""


class Worker:
    """Runs jobs one after another, and renders the requested pages."""

    def __init__(self, capturing: CaptureOptions, drawing: PageOptions, progress: Progress) -> None:
        """Start without a model.

        Args:
            capturing: how models are loaded and run.
            drawing: how pages are drawn.
            progress: receives every stage.
        """
        self._capturing, self._drawing, self._progress = capturing, drawing, progress
        self._named: tuple[str, str] | None = None
        self._model: LoadedModel | ModelError | None = None
        self._model_fingerprint = ""
        self._load_seconds = 0.0

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
        before = fingerprint(prompt.model, prompt.adapter)
        self._model = self._capturing.model or _load(prompt, self._capturing)
        self._named = prompt.model, prompt.adapter
        self._model_fingerprint = before or fingerprint(*self._named)  # a model of the hub is in the cache now
        self._load_seconds = time.perf_counter() - start

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
        start = time.perf_counter()
        outcome = self._draw(prompt, captured) if prompt.slug in job.pages else None
        side = None
        if prompt.slug in job.sides:
            key = make_side_key(prompt, self._capturing, self._drawing, self._model_fingerprint)
            side = make_comparison_input(captured, key, self._drawing.precision)
        seconds = {"load": self._load_seconds, "capture": capture_seconds, "page": time.perf_counter() - start}
        warnings = [warn_of_drift(captured)] if isinstance(captured, Capture) and outcome is not None else []
        if isinstance(outcome, Artifacts):
            encoded = (member.warnings for member in job.batch if member.prompt.slug == prompt.slug)
            warnings = [*next(encoded, ()), *warnings, outcome.dropped]
        return PromptResult(prompt, outcome, side, seconds, "; ".join(filter(None, warnings)))

    def _draw(self, prompt: Prompt, captured: Capture | PromptError | ModelError) -> Artifacts | Failure:
        if not isinstance(captured, Capture):
            return Failure.of(prompt, captured)
        self._progress.stage(prompt, "page")
        key = make_key(prompt, self._capturing, self._drawing, self._model_fingerprint)
        try:
            return render_artifacts(captured, self._drawing, key)
        except (PromptError, ModelError) as error:
            return Failure.of(prompt, error)
        except ReportgenError:
            raise
        except Exception as error:  # an unexpected error fails this prompt, not the run
            where = prompt.place.of()
            failure = PromptError(f"{where}: its page cannot be made, {first_line(error)}; -v shows where")
            failure.__cause__ = error
            return Failure.of(prompt, failure)


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
