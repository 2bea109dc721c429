"""All evidence of one run, measured during its pass; for what cannot be measured there is a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from reportgen.captures.collector import Collector, CollectorInput, Watch
from reportgen.evidence.collectors import COLLECTORS
from reportgen.evidence.kinds import KINDS
from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.logits import Logits
from reportgen.instrumentation.observer import HeadTrace, LayerTrace, RowTrace
from reportgen.records import Token
from reportgen.records.errors import NoEvidence
from reportgen.records.evidence import Evidence

_NO_STEPS = "no tokens were generated"
_T = TypeVar("_T")


class EvidenceCollector(Collector):
    """Measures every kind of evidence in the pass that attention is taken from."""

    def __init__(self, given: CollectorInput) -> None:
        """Get ready for the pass."""
        self._run = TracedRun(given)
        self.token_ids, self.rows = given.token_ids, self._run.rows
        self.missing: dict[str, str] = {}
        self._collectors: dict[str, KindCollector] = {}
        for kind in KINDS:
            if kind.needs_steps and not len(given.runners_up):
                self.missing[kind.name] = _NO_STEPS
                continue
            collector = self._try(kind.name, lambda kind=kind: COLLECTORS[kind.name](self._run))
            if collector is not None:
                self._collectors[kind.name] = collector

    def _try(self, name: str, action: Callable[[], _T]) -> _T | None:
        """Do something for one kind; if it fails, keep the reason and end that kind."""
        try:
            with torch.inference_mode():
                return action()
        except NoEvidence as error:
            reason = str(error)
        except Exception as error:  # evidence may be missing; a capture must not be lost for it
            reason = f"it could not be computed, {type(error).__name__}: {str(error)[:200]}"
        self.missing[name] = f"not available for {type(self._run.network).__name__}: {reason}"
        self._collectors.pop(name, None)
        return None

    def _for_each(self, action: Callable[[KindCollector], None]) -> None:
        for name, collector in list(self._collectors.items()):
            self._try(name, lambda collector=collector: action(collector))

    def see_heads(self, trace: HeadTrace) -> None:
        """Hand a layer's heads on."""
        self._for_each(lambda collector: collector.see_heads(trace))
        self._run.forget_heads()

    def see_rows(self, trace: RowTrace) -> None:
        """Hand some query rows of a layer on."""
        self._for_each(lambda collector: collector.see_rows(trace))

    def see_layer(self, trace: LayerTrace) -> None:
        """Hand what a layer did to the residual stream on."""
        self._for_each(lambda collector: collector.see_layer(trace))

    def end(self, logits: Logits) -> None:
        """Take the logits of the pass, which is over."""
        self._run.end(logits)

    def ablate(self, methods: Sequence[str], watch: Watch) -> None:
        """Measure the extra evidence that was asked for."""
        if methods:
            self._for_each(lambda collector: collector.run_again(methods, watch))

    def finish(self, make_token: Callable[[int], Token]) -> Evidence:
        """Return the evidence of a pass that is over.

        Args:
            make_token: a token of the tokenizer by its id.
        """
        self._run.make_token = make_token
        values = {name: self._try(name, collector.finish) for name, collector in list(self._collectors.items())}
        return Evidence(missing=self.missing, **values)
