"""Measure the norms for weight × value (Kobayashi et al. 2020): how much each head takes from each key."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.observer import HeadTrace


class ValueNormsCollector(KindCollector):
    """Measures ``‖v_k W_O‖`` of the captured heads."""

    kind = "value_norms"

    def __init__(self, run: TracedRun) -> None:
        """Prepare for the forward pass."""
        super().__init__(run)
        self._norms: dict[int, NDArray[np.float32]] = {}

    def see_heads(self, trace: HeadTrace) -> None:
        """Measure the norms of a captured layer."""
        if trace.layer in self.run.layers:
            self._norms[trace.layer] = self.run.measure_norms(trace)[self.run.heads].cpu().numpy()

    def finish(self) -> NDArray[np.float32] | None:
        """Return the norms, float32 ``[layer, head, key_pos]``; ``None`` if no layer was seen."""
        return np.stack([self._norms[layer] for layer in sorted(self._norms)]) if self._norms else None


def weighted_sink(weights: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
    """Return the share of weight × value on the first token.

    Args:
        weights: attention weights, float32 ``[head, row, key_pos]``; trailing keys that none of the rows can attend to
            may be left out.
        norms: norms ``‖v_k W_O‖``, ``[head, key_pos]``.

    Returns:
        ``[head, row]``; NaN for a row in which nothing is added.
    """
    written = weights @ norms[:, : weights.shape[-1], None]
    return weights[:, :, 0] * norms[:, None, 0] / written[:, :, 0]
