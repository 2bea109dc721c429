"""Attention rollout (Abnar and Zuidema 2020), from blocks of query rows in any order."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.observer import RowTrace


class RolloutCollector(KindCollector):
    """Keeps the mean over heads of each layer, and multiplies the layers when all rows were seen."""

    kind = "rollout"

    def __init__(self, run: TracedRun) -> None:
        """Begin before the first row."""
        super().__init__(run)
        self._means: dict[int, torch.Tensor] = {}

    def see_rows(self, trace: RowTrace) -> None:
        """Add some query rows of a layer."""
        self.add(trace.layer, trace.first, trace.weights)

    def add(self, layer: int, first: int, weights: torch.Tensor) -> None:
        """Add some query rows of a layer.

        Args:
            layer: its number.
            first: the first query position.
            weights: attention of all heads, ``[head, row, key_pos]``; keys that no row sees can be left out at the end.
        """
        last = first + weights.shape[1]
        mixed = weights[:, :, :last].mean(0, dtype=torch.float32)
        mixed.diagonal(first).add_(1)  # half of it stays in the residual stream
        if layer not in self._means:
            length = len(self.run.token_ids)
            self._means[layer] = mixed.new_zeros(length, length)
        self._means[layer][first:last, : mixed.shape[1]] = mixed / mixed.sum(-1, keepdim=True)

    def multiply(self) -> torch.Tensor | None:
        """Return the product of all layers, ``[query_pos, key_pos]``, rows summing to 1; ``None`` without layers."""
        product = None
        for layer in sorted(self._means):
            mean = self._means.pop(layer)
            product = mean if product is None else mean @ product
        return product

    def finish(self) -> NDArray[np.float32] | None:
        """Return the lower triangle, ``[cell]``."""
        product = self.multiply()
        return None if product is None else product.cpu().numpy()[np.tri(len(product), dtype=bool)]
