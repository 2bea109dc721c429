"""Attention rollout (Abnar and Zuidema 2020), layer after layer, some query rows at a time."""

from __future__ import annotations

import torch


class Rollout:
    """Multiplies the layers up as they stream by."""

    def __init__(self) -> None:
        """Begin before the first layer."""
        self._product: torch.Tensor | None = None
        self._is_first = True

    def add(self, first: int, weights: torch.Tensor) -> None:
        """Add some query rows of one layer; its last rows come first.

        A row of the product depends on rows of the layer before up to its own, so it can take the place of that one.

        Args:
            first: their first query position; 0 completes the layer.
            weights: attention of all heads, ``[head, row, key_pos]``; keys that no row sees can be left out at the end.
        """
        last = first + weights.shape[1]
        mixed = weights[:, :, :last].mean(0, dtype=torch.float32)
        mixed.diagonal(first).add_(1)  # half of it stays in the residual stream
        mixed /= mixed.sum(-1, keepdim=True)
        if self._product is None:
            self._product = mixed.new_zeros(last, last)
        # Nothing lies above the diagonal, so rows reach as far as they have keys.
        self._product[first:last, :last] = mixed if self._is_first else mixed @ self._product[:last, :last]
        self._is_first = self._is_first and first > 0

    def result(self) -> torch.Tensor | None:
        """Return ``[query_pos, key_pos]``, rows summing to 1; ``None`` before the first layer."""
        return self._product
