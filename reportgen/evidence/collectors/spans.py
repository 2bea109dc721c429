"""Sum attention weights by the span that reads and the span read, from blocks of query rows in any order."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from reportgen.evidence.kinds.spans import find_members
from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.observer import RowTrace


class SpanCollector(KindCollector):
    """Measures the mean weight of the queries of each span on each span, for the captured heads."""

    kind = "spans"

    def __init__(self, run: TracedRun) -> None:
        """Prepare for the forward pass."""
        super().__init__(run)
        members = find_members(run.spans, len(run.token_ids))
        self._members = torch.from_numpy(members).to(run.device, torch.float32)
        self._sums: dict[int, torch.Tensor] = {}

    def see_rows(self, trace: RowTrace) -> None:
        """Add a block of query rows of a captured layer."""
        if trace.layer not in self.run.layers:
            return
        heads, weights = self.run.heads, trace.weights
        weights = (weights if len(heads) == len(weights) else weights[heads]).float()
        own = self._members.to(weights.device)
        queries = own[trace.first : trace.first + weights.shape[1], :-1]
        by_key = weights @ own[: weights.shape[2]]
        sums = (queries.T @ by_key).cpu().double()
        self._sums[trace.layer] = self._sums.get(trace.layer, 0) + sums

    def finish(self) -> NDArray[np.float32] | None:
        """Return the mean weights, float32 ``[layer, head, span, span + 1]``; ``None`` if no layer was seen."""
        if not self._sums:
            return None
        members = self._members.cpu().numpy().astype(bool)
        means = np.stack([self._sums[layer].cpu().numpy() for layer in sorted(self._sums)])
        means /= members[:, :-1].sum(0)[:, None]
        firsts = [np.flatnonzero(keys)[0] if keys.any() else len(keys) for keys in members.T]
        lasts = [span.last for span in self.run.spans]
        means[:, :, np.array(firsts)[None, :] > np.array(lasts)[:, None]] = np.nan
        return means.astype(np.float32)
