"""Measure all evidence of one run during its forward pass, or record why a kind of evidence is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from reportgen.captures.collector import Collector, CollectorInput, Watch
from reportgen.evidence.collectors import COLLECTORS
from reportgen.evidence.kinds import KINDS
from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.logits import Logits
from reportgen.instrumentation.observer import HeadTrace, LayerTrace, Observer, RowTrace
from reportgen.records import EXTRA_EVIDENCE, LEFT_OUT, Token
from reportgen.records.errors import NoEvidence
from reportgen.records.evidence import Evidence

_T = TypeVar("_T")


class EvidenceCollector(Collector):
    """Measures every kind of evidence during the forward pass that captures attention.

    Attributes:
        token_ids: ids of prompt and generated tokens.
        rows: positions whose residual stream is needed.
        missing: reason why a kind of evidence is missing, by the name of the kind.
    """

    def __init__(self, given: CollectorInput) -> None:
        """Create the collector of each kind that the run can have."""
        self._run = TracedRun(given)
        self.token_ids, self.rows = given.token_ids, self._run.rows
        self.missing: dict[str, str] = {}
        self._collectors: dict[str, KindCollector] = {}
        for name in given.without:
            if name not in EXTRA_EVIDENCE:
                self.missing[name] = LEFT_OUT
        for kind in KINDS:
            if kind.name in self.missing or (kind.needs_spans and not given.spans):
                continue
            if kind.needs_steps and not len(given.runners_up):
                self.missing[kind.name] = f"no tokens were generated: {given.no_steps}"
                continue
            collector = self._try(kind.name, lambda kind=kind: COLLECTORS[kind.name](self._run))
            if collector is not None:
                self._collectors[kind.name] = collector

    @classmethod
    def count_bytes(cls, token_ids: Sequence[int], length: int, num_layers: int, without: Sequence[str] = ()) -> int:
        """Return the memory that all kinds take together, as ``Collector.count_bytes`` does."""
        kept = (collector for name, collector in COLLECTORS.items() if name not in without)
        return sum(collector.count_bytes(token_ids, length, num_layers) for collector in kept)

    @classmethod
    def follows_stream(cls, without: Sequence[str]) -> bool:
        """Return whether a kind that is measured looks at the residual stream around layers."""
        kept = (collector for name, collector in COLLECTORS.items() if name not in without)
        return any(collector.see_layer is not Observer.see_layer for collector in kept)

    def _try(self, name: str, action: Callable[[], _T]) -> _T | None:
        """Run an action of one kind; if it fails, record the reason and stop measuring this kind."""
        try:
            with torch.inference_mode():
                return action()
        except NoEvidence as error:
            reason = str(error)
        except Exception as error:  # missing evidence must not prevent the capture
            reason = f"it could not be computed, {type(error).__name__}: {str(error)[:200]}"
        self.missing[name] = f"not available for {type(self._run.network).__name__}: {reason}"
        self._collectors.pop(name, None)
        return None

    def _for_each(self, action: Callable[[KindCollector], None]) -> None:
        for name, collector in list(self._collectors.items()):
            self._try(name, lambda collector=collector: action(collector))

    def see_heads(self, trace: HeadTrace) -> None:
        """Pass the heads of a layer to the collectors."""
        self._for_each(lambda collector: collector.see_heads(trace))
        self._run.forget_heads()

    def see_rows(self, trace: RowTrace) -> None:
        """Pass a block of query rows of a layer to the collectors."""
        self._for_each(lambda collector: collector.see_rows(trace))

    def see_layer(self, trace: LayerTrace) -> None:
        """Pass the residual stream before and after a layer to the collectors."""
        self._for_each(lambda collector: collector.see_layer(trace))

    def end(self, logits: Logits) -> None:
        """Receive the logits at the end of the pass."""
        self._run.end(logits)

    def ablate(self, methods: Sequence[str], watch: Watch) -> None:
        """Ablate each captured head by each method; does nothing without methods."""
        if methods:
            self._for_each(lambda collector: collector.run_again(methods, watch))

    def finish(self, make_token: Callable[[int], Token]) -> Evidence:
        """Return the evidence after the pass.

        Args:
            make_token: returns the token for a token id.
        """
        self._run.make_token = make_token
        values = {name: self._try(name, collector.finish) for name, collector in list(self._collectors.items())}
        return Evidence(missing=self.missing, **values)
