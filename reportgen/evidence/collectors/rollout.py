"""Compute attention rollout (Abnar and Zuidema 2020) from blocks of query rows of one layer after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.observer import RowTrace
from reportgen.records.errors import NoEvidence

_SMALL = 256
"""Side of a matrix that is multiplied as a whole."""


class RolloutCollector(KindCollector):
    """Stores the mean over the heads of a layer, and multiplies it with those before when the next layer begins."""

    kind = "rollout"

    def __init__(self, run: TracedRun) -> None:
        """Prepare for the forward pass."""
        super().__init__(run)
        self._means: dict[int, torch.Tensor] = {}
        self._product: torch.Tensor | None = None
        self._multiplied = -1  # number of the last layer in the product

    @classmethod
    def count_bytes(cls, token_ids: Sequence[int], length: int, num_layers: int) -> int:
        """Return the memory of a mean and of two products, float32 ``[query_pos, key_pos]``."""
        return 4 * 3 * length**2

    def see_rows(self, trace: RowTrace) -> None:
        """Add a block of query rows of a layer."""
        self.add(trace.layer, trace.first, trace.weights)

    def add(self, layer: int, first: int, weights: torch.Tensor) -> None:
        """Add a block of query rows of a layer.

        Args:
            layer: number of the layer.
            first: first query position of the block.
            weights: attention of all heads, ``[head, row, key_pos]``; trailing keys that none of the rows can attend to
                may be left out.
        """
        last = first + weights.shape[1]
        mixed = weights[:, :, :last].mean(0, dtype=torch.float32)
        mixed.diagonal(first).add_(1)  # the residual connection, with the same weight as attention
        if layer not in self._means:
            self.multiply()
            if layer < self._multiplied:
                raise NoEvidence(f"its layer {layer} runs after layer {self._multiplied}")
            length = len(self.run.token_ids)
            self._means[layer] = mixed.new_zeros(length, length)
        self._means[layer][first:last, : mixed.shape[1]] = mixed / mixed.sum(-1, keepdim=True)

    def multiply(self) -> torch.Tensor | None:
        """Multiply the stored layer with those before, and release it.

        Returns:
            The product of all layers so far, ``[query_pos, key_pos]``, whose rows sum to 1; ``None`` without a layer.
        """
        for layer in sorted(self._means):
            mean = self._means.pop(layer)
            self._product = mean if self._product is None else _multiply(mean, self._product)
            self._multiplied = layer
        return self._product

    def finish(self) -> NDArray[np.float32] | None:
        """Return the lower triangle of the rollout, float32 ``[cell]``; ``None`` if no layer was seen."""
        product = self.multiply()
        return None if product is None else product.cpu().numpy()[np.tri(len(product), dtype=bool)]


def _multiply(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the product of two lower triangular matrices, from the parts of them that are not zero."""
    half = len(left) // 2
    if half < _SMALL:
        return left @ right
    product = torch.zeros_like(left)
    product[:half, :half] = _multiply(left[:half, :half], right[:half, :half])
    product[half:, half:] = _multiply(left[half:, half:], right[half:, half:])
    torch.addmm(
        left[half:, :half] @ right[:half, :half], left[half:, half:], right[half:, :half], out=product[half:, :half]
    )
    return product
