"""Weighted attention: the length of what a head writes from each key (Kobayashi et al. 2020)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.observer import HeadTrace


class ValueNormsCollector(KindCollector):
    """Keeps the norms of the captured heads."""

    kind = "value_norms"

    def __init__(self, run: TracedRun) -> None:
        """Begin before the first layer."""
        super().__init__(run)
        self._norms: dict[int, NDArray[np.float32]] = {}

    def see_heads(self, trace: HeadTrace) -> None:
        """Measure the heads of a layer."""
        if trace.layer in self.run.layers:
            self._norms[trace.layer] = self.run.measure_norms(trace)[self.run.heads].cpu().numpy()

    def finish(self) -> NDArray[np.float32] | None:
        """Return ``[layer, head, key_pos]``."""
        return np.stack([self._norms[layer] for layer in sorted(self._norms)]) if self._norms else None


def weighted_sink(weights: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
    """Return the share of weighted attention on the first token.

    Args:
        weights: float32 ``[head, row, key_pos]``; keys that no row sees can be left out at the end.
        norms: ``[head, key_pos]``.

    Returns:
        ``[head, row]``; NaN for a row in which nothing is written.
    """
    written = weights @ norms[:, : weights.shape[-1], None]
    return weights[:, :, 0] * norms[:, None, 0] / written[:, :, 0]
