"""What heads wrote from each token towards the tokens of the steps, gathered layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from reportgen.instrumentation.heads import SplitHeads


class TokenAttribution:
    """One array for all layers: kept in a tensor for each, they would leave memory full of holes."""

    def __init__(self, layers: Sequence[int], heads: Sequence[int]) -> None:
        """Begin before the first layer, to keep some layers and heads."""
        self._layers, self._heads = layers, list(heads)
        self._count = 0
        self._lengths = torch.zeros(0, dtype=torch.long)
        self._cells = np.empty((0, 0, 0), np.float32)

    def add(self, layer: int, heads: SplitHeads, weights: torch.Tensor, along: torch.Tensor) -> None:
        """Add a layer, if it is one of those that are kept; layers come in order.

        Args:
            layer: its number.
            heads: taken apart.
            weights: ``[head, step, key_pos]``.
            along: the direction asked for, as each head's values have it, ``[head, step, size]``.
        """
        if layer not in self._layers:
            return
        if self._count == 0:
            num_steps, length = weights.shape[1:]
            self._lengths = torch.arange(length - num_steps, length)  # the last position predicts nothing
            shape = (len(self._layers), len(self._heads), int(self._lengths.sum()))
            self._cells = np.empty(shape, np.float32)
        written = weights[self._heads] * (along[self._heads] @ heads.values[self._heads].transpose(1, 2))
        seen = torch.arange(weights.shape[2]) < self._lengths[:, None]
        self._cells[self._count] = written[:, seen.to(written.device)].float().cpu().numpy()
        self._count += 1

    def scale(self, factors: torch.Tensor) -> NDArray[np.float32]:
        """Return ``[layer, head, cell]``, multiplied with a factor for each step."""
        cells = self._cells[: self._count]
        cells *= factors.float().cpu().numpy().repeat(self._lengths.numpy())
        return cells
