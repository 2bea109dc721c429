"""Attention rollout (Abnar and Zuidema 2020), layer after layer."""

from __future__ import annotations

import torch


class Rollout:
    """Multiplies the layers up as they stream by."""

    def __init__(self) -> None:
        """Begin before the first layer."""
        self._product: torch.Tensor | None = None

    def add(self, weights: torch.Tensor) -> None:
        """Add one layer.

        Args:
            weights: attention of all its heads, ``[head, query_pos, key_pos]``.
        """
        mean = weights.float().mean(0)
        mixed = mean + torch.eye(len(mean), device=mean.device)  # half of it stays in the residual stream
        mixed /= mixed.sum(-1, keepdim=True)
        self._product = mixed if self._product is None else mixed @ self._product

    def result(self) -> torch.Tensor | None:
        """Return ``[query_pos, key_pos]``, rows summing to 1; ``None`` before the first layer."""
        return self._product
