"""Attention rollout (Abnar and Zuidema 2020), layer after layer, some query rows at a time."""

from __future__ import annotations

import torch


class Rollout:
    """Multiplies the layers up as they stream by."""

    def __init__(self) -> None:
        """Begin before the first layer."""
        self._product: torch.Tensor | None = None
        self._next: torch.Tensor | None = None  # the layer at work; what it replaces is reused for the one after it

    def add(self, first: int, weights: torch.Tensor, length: int) -> None:
        """Add some query rows of one layer; a layer's rows come in order, and after the last the layer is complete.

        Args:
            first: their first query position.
            weights: attention of all heads, ``[head, row, key_pos]``; keys that no row sees can be left out at the end.
            length: number of positions.
        """
        last = first + weights.shape[1]
        mixed = weights[:, :, :last].mean(0, dtype=torch.float32)
        mixed.diagonal(first).add_(1)  # half of it stays in the residual stream
        mixed /= mixed.sum(-1, keepdim=True)
        if self._next is None:
            self._next = mixed.new_zeros(length, length)
        # Nothing lies above the diagonal, so rows reach as far as they have keys.
        self._next[first:last, :last] = mixed if self._product is None else mixed @ self._product[:last, :last]
        if last == length:
            self._product, self._next = self._next, self._product

    def result(self) -> torch.Tensor | None:
        """Return ``[query_pos, key_pos]``, rows summing to 1; ``None`` before the first layer."""
        return self._product
