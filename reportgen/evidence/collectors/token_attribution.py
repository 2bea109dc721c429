"""Collect, layer by layer, the logit attribution of heads by the token that they read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from reportgen.instrumentation.heads import SplitHeads


class TokenAttribution:
    """Logit attribution of heads by source token, in one array for all layers.

    One tensor per layer would fragment the memory.
    """

    def __init__(self, layers: Sequence[int], heads: Sequence[int]) -> None:
        """Prepare to store the given layers and heads."""
        self._layers, self._heads = layers, list(heads)
        self._count = 0
        self._lengths = torch.zeros(0, dtype=torch.long)
        self._cells = np.empty((0, 0, 0), np.float32)

    def add(self, layer: int, heads: SplitHeads, weights: torch.Tensor, along: torch.Tensor) -> None:
        """Add a layer if it is one of the stored layers; layers must be added in ascending order.

        Args:
            layer: number of the layer.
            heads: split heads of the layer.
            weights: attention weights, ``[head, step, key_pos]``.
            along: logit direction, mapped back to the space of each head's values, ``[head, step, size]``.
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
        """Multiply the stored values in place by a factor for each step, and return them.

        Args:
            factors: factor of each step, ``[step]``.

        Returns:
            float32 ``[layer, head, cell]``.
        """
        cells = self._cells[: self._count]
        cells *= factors.float().cpu().numpy().repeat(self._lengths.numpy())
        return cells
