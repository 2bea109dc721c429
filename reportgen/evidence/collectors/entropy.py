"""Measure attention entropy from blocks of query rows, which may arrive in any order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.observer import RowTrace


class EntropyCollector(KindCollector):
    """Measures the attention entropy of each query of the captured heads."""

    kind = "entropy"

    def __init__(self, run: TracedRun) -> None:
        """Prepare for the forward pass."""
        super().__init__(run)
        self._entropies: dict[int, NDArray[np.float32]] = {}

    def see_rows(self, trace: RowTrace) -> None:
        """Measure the entropy of a block of query rows."""
        if trace.layer not in self.run.layers:
            return
        shape = len(self.run.heads), len(self.run.token_ids)
        entropies = self._entropies.setdefault(trace.layer, np.zeros(shape, np.float32))
        rows = trace.entropies[self.run.heads]
        entropies[:, trace.first : trace.first + rows.shape[1]] = rows.cpu().numpy()

    def finish(self) -> NDArray[np.float32] | None:
        """Return the entropy in nats, float32 ``[layer, head, query_pos]``; ``None`` if no layer was seen."""
        layers = sorted(self._entropies)
        return np.stack([self._entropies[layer] for layer in layers]) if layers else None
