"""Draw the page of a prompt that has run, and collect what a comparison needs of it; torch is not imported."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reportgen.build.cache_keys import make_page_keys
from reportgen.build.comparisons import ComparisonInput, make_comparison_input
from reportgen.captures.record import Capture
from reportgen.pages.artifacts import Artifacts, render_artifacts
from reportgen.pages.options import PageOptions
from reportgen.pages.tables import warn_of_drift
from reportgen.records import Failure, Prompt
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


@dataclass(frozen=True)
class ResultMaker:
    """Makes results from captures.

    Attributes:
        drawing: how pages are drawn.
        pages: slugs of the prompts whose pages are requested.
        sides: slugs of the prompts that a comparison needs.
    """

    drawing: PageOptions
    pages: frozenset[str]
    sides: frozenset[str]

    def make(
        self,
        prompt: Prompt,
        captured: Capture | PromptError | ModelError,
        numbers_key: str,
        seconds: Mapping[str, float] = {},
        notes: Sequence[str] = (),
    ) -> PromptResult:
        """Return the result of a prompt.

        Args:
            prompt: prompt that was run.
            captured: its capture, or the error that it raised.
            numbers_key: key of its numbers; empty if it is unknown.
            seconds: seconds by stage, without that of the page.
            notes: warnings about the prompt, from its tokenization.
        """
        start = time.perf_counter()
        outcome = self._draw(prompt, captured, numbers_key) if prompt.slug in self.pages else None
        bits = self.drawing.precision
        side = make_comparison_input(captured, numbers_key, bits) if prompt.slug in self.sides else None
        warnings = [warn_of_drift(captured)] if isinstance(captured, Capture) and outcome is not None else []
        if isinstance(outcome, Artifacts):
            warnings = [*notes, *warnings, outcome.dropped]
        times = {**seconds, "page": time.perf_counter() - start}
        return PromptResult(prompt, outcome, side, times, "; ".join(filter(None, warnings)))

    def _draw(
        self, prompt: Prompt, captured: Capture | PromptError | ModelError, numbers_key: str
    ) -> Artifacts | Failure:
        if not isinstance(captured, Capture):
            return Failure.of(prompt, captured)
        try:
            return render_artifacts(captured, self.drawing, make_page_keys(prompt, numbers_key, self.drawing))
        except (PromptError, ModelError) as error:
            return Failure.of(prompt, error)
        except ReportgenError:
            raise
        except Exception as error:  # an unexpected error fails this prompt, not the run
            where = prompt.place.of()
            failure = PromptError(f"{where}: its page cannot be made, {first_line(error)}; -v shows where")
            failure.__cause__ = error
            return Failure.of(prompt, failure)
