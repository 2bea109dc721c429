"""One model in memory at a time: batches in, pages out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from reportgen.build.cache_key import make_key, make_side_key
from reportgen.build.capture import capture_in_turn
from reportgen.build.comparisons import ComparisonInput, make_comparison_input
from reportgen.build.engines.jobs import Job
from reportgen.build.options import BuildOptions, Progress
from reportgen.captures.batches import make_batches
from reportgen.captures.capture import free_memory
from reportgen.captures.record import Capture
from reportgen.models.fingerprint import fingerprint
from reportgen.models.model import LoadedModel, load_model
from reportgen.pages.artifacts import Artifacts, render_artifacts
from reportgen.pages.tables import warn_of_drift
from reportgen.records import Failure, Prompt
from reportgen.records.errors import ModelError, PromptError, ReportgenError, first_line


@dataclass(frozen=True)
class PromptResult:
    """What came of one prompt.

    Attributes:
        prompt: which.
        outcome: its page, or why there is none; ``None`` where another shard makes it.
        side: what a comparison needs of it, where one waits for it.
        seconds: by stage: of loading the model, for the first prompt that needed it; of its capture, of prompts that
            ran side by side the first has them all; of drawing its page.
        warning: what its page must be read with.
    """

    prompt: Prompt
    outcome: Artifacts | Failure | None
    side: ComparisonInput | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    warning: str = ""


class Worker:
    """Runs jobs one after another, and draws what is asked for."""

    def __init__(self, options: BuildOptions, progress: Progress) -> None:
        """Start without a model.

        Args:
            options: how to run.
            progress: told of every stage.
        """
        self._options, self._progress = options, progress
        self._named: tuple[str, str] | None = None
        self._model: LoadedModel | ModelError | None = None
        self._model_fingerprint = ""
        self._load_seconds = 0.0

    def load(self, prompt: Prompt) -> None:
        """Load the model of a prompt, unless it is in memory; one that cannot be loaded fails its prompts as they run.

        Args:
            prompt: the first one of its model, or another.
        """
        if self._named == (prompt.model, prompt.adapter):
            return
        self.unload()
        self._progress.stage(prompt, "load")
        start = time.perf_counter()
        before = fingerprint(prompt.model, prompt.adapter)
        self._model = self._options.model or _load(prompt, self._options)
        self._named = prompt.model, prompt.adapter
        self._model_fingerprint = before or fingerprint(*self._named)  # now a hub's files are in its cache
        self._load_seconds = time.perf_counter() - start

    def unload(self) -> None:
        """Forget the model, so that its memory is free for another."""
        if self._named is None:
            return
        self._named = self._model = None
        free_memory()

    def plan(self, members: Sequence[Prompt]) -> list[list[Prompt]] | None:
        """Return the batches of all prompts of the model in memory, as ``make_batches`` does; ``None`` without one."""
        if not isinstance(self._model, LoadedModel):
            return None
        return make_batches(self._model, members, self._options.batch_size)

    def run(self, job: Job) -> Iterator[PromptResult]:
        """Run a job on the model in memory, and yield what came of each prompt that is asked for, in their order."""
        captures = self._capture(job)
        for prompt in job.asked:
            start = time.perf_counter()
            # Nothing here holds a record that has been drawn: the next may need its memory.
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
            model, job.batch, lambda prompt: partial(self._progress.ablating, prompt), lambda one: one.slug in slugs
        )

    def _finish(
        self, prompt: Prompt, job: Job, captured: Capture | PromptError | ModelError, capture_seconds: float
    ) -> PromptResult:
        start = time.perf_counter()
        outcome = self._draw(prompt, captured) if prompt.slug in job.pages else None
        key = make_side_key(prompt, self._options, self._model_fingerprint) if prompt.slug in job.sides else ""
        side = make_comparison_input(captured, key) if prompt.slug in job.sides else None
        seconds = {"load": self._load_seconds, "capture": capture_seconds, "page": time.perf_counter() - start}
        warnings = [warn_of_drift(captured)] if isinstance(captured, Capture) and outcome is not None else []
        warnings += [outcome.dropped] if isinstance(outcome, Artifacts) else []
        return PromptResult(prompt, outcome, side, seconds, "; ".join(filter(None, warnings)))

    def _draw(self, prompt: Prompt, captured: Capture | PromptError | ModelError) -> Artifacts | Failure:
        if not isinstance(captured, Capture):
            return Failure.of(prompt, captured)
        self._progress.stage(prompt, "page")
        options = self._options
        key = make_key(prompt, options, self._model_fingerprint)
        try:
            return render_artifacts(
                captured, replace(options.page, key=key),
                table_format=options.export_data, keep_capture=options.keep_captures,
            )  # fmt: skip
        except (PromptError, ModelError) as error:
            return Failure.of(prompt, error)
        except ReportgenError:
            raise
        except Exception as error:  # numbers that nobody foresaw are this prompt's failure, not the run's
            where = prompt.place.of()
            failure = PromptError(f"{where}: its page cannot be made, {first_line(error)}; -v shows where")
            failure.__cause__ = error
            return Failure.of(prompt, failure)


def _load(prompt: Prompt, options: BuildOptions) -> LoadedModel | ModelError:
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
