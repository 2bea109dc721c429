"""Observers of a traced forward pass, and the records they receive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import nn


@dataclass(frozen=True)
class HeadTrace:
    """Activations of one attention module.

    Attributes:
        layer: number of the layer.
        module: the attention module.
        shape: shape of its weights, ``(head, query_pos, key_pos)``.
        weights: attention weights at the requested positions, ``[head, row, key_pos]``.
        values: values that the weights were multiplied with, ``[head, key_pos, size]``; ``None`` if no such product was
            found.
        projection: the last linear map that the module called; ``None`` if it has none.
        z: input of that map at the requested positions, ``[row, head * size]``.
        attn_out: output of that map at the requested positions, ``[row, width]``.
    """

    layer: int
    module: nn.Module
    shape: tuple[int, ...]
    weights: torch.Tensor
    values: torch.Tensor | None
    projection: nn.Module | None
    z: torch.Tensor
    attn_out: torch.Tensor


@dataclass(frozen=True)
class RowTrace:
    """A block of query rows of the weights of one attention module.

    Attributes:
        layer: number of the layer.
        module: the attention module.
        dtype: dtype in which the module computed; the weights may have higher precision.
        first: first query position of the block.
        weights: attention weights, ``[head, row, key_pos]``; trailing keys that none of the rows can attend to may be
            left out.
    """

    layer: int
    module: nn.Module
    dtype: torch.dtype
    first: int
    weights: torch.Tensor

    @cached_property
    def entropies(self) -> torch.Tensor:
        """Entropies of the rows in nats, float32 ``[head, row]``; computed once for all observers."""
        weights = self.weights.float()
        # Faster than torch.special.entr; a weight of 0 adds 0, since the logarithm of the clamp is finite.
        logs = weights.clamp(min=torch.finfo(torch.float32).tiny).log_()
        return 0 - logs.mul_(weights).sum(-1)


@dataclass(frozen=True)
class Call:
    """A call of a submodule of a layer, at the requested positions.

    Attributes:
        module: the submodule.
        given: input of the submodule, ``[row, …]``.
        gave: output of the submodule, ``[row, …]``.
    """

    module: nn.Module
    given: torch.Tensor
    gave: torch.Tensor


@dataclass(frozen=True)
class LayerTrace:
    """The residual stream before and after one layer at the requested positions.

    Attributes:
        layer: number of the layer.
        resid_pre: the residual stream before the layer, ``[row, width]``.
        resid_post: the residual stream after the layer, ``[row, width]``.
        calls: calls of the layer's direct submodules, in the order of execution.
    """

    layer: int
    resid_pre: torch.Tensor
    resid_post: torch.Tensor
    calls: tuple[Call, ...]


class Observer:
    """Base class of observers; a method that is not overridden does nothing."""

    def see_heads(self, trace: HeadTrace) -> None:
        """Receive the activations of an attention module; ``see_rows`` is called next for its rows."""

    def see_rows(self, trace: RowTrace) -> None:
        """Receive a block of query rows of the last attention module; blocks arrive from the last to the first.

        A row depends only on the same and earlier positions of the layer before. In this order, the results of a layer
        can therefore overwrite those of the layer before.
        """

    def see_layer(self, trace: LayerTrace) -> None:
        """Receive the residual stream before and after a layer."""


@dataclass(frozen=True)
class TracedText:
    """A text of a traced forward pass, and its observers.

    Attributes:
        token_ids: ids of prompt and generated tokens.
        rows: positions whose residual stream is recorded.
        observers: observers, called in this order for every attention module and layer; an exception ends the pass.
    """

    token_ids: Sequence[int]
    rows: slice = field(default_factory=lambda: slice(0, 0))
    observers: Sequence[Observer] = ()
