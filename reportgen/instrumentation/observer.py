"""What a watched pass tells, and whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass(frozen=True)
class HeadTrace:
    """What one attention module did.

    Attributes:
        layer: its number.
        module: itself.
        shape: of its weights, ``(head, query_pos, key_pos)``.
        weights: attention at the positions asked for, ``[head, row, key_pos]``.
        values: what the weights were multiplied with, ``[head, key_pos, size]``; ``None`` where no such product was
            seen.
        projection: the last linear map that the module called; ``None`` where it has none.
        z: what that map read, ``[query_pos, head * size]``.
        attn_out: what it gave, ``[query_pos, width]``.
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
    """Some query rows of one attention module.

    Attributes:
        layer: its number.
        module: itself.
        dtype: in which it worked; the weights may be wider.
        first: the first query position.
        weights: ``[head, row, key_pos]``; keys that none of the rows may see can be left out at the end.
    """

    layer: int
    module: nn.Module
    dtype: torch.dtype
    first: int
    weights: torch.Tensor


@dataclass(frozen=True)
class Call:
    """What a part of a layer was given and gave at some positions, ``[row, …]`` each."""

    module: nn.Module
    given: torch.Tensor
    gave: torch.Tensor


@dataclass(frozen=True)
class LayerTrace:
    """What one layer did to the residual stream at the positions asked for.

    Attributes:
        layer: its number.
        resid_pre: the residual stream, ``[row, width]``.
        resid_post: the same behind the layer.
        calls: of the layer's own parts, in the order of time.
    """

    layer: int
    resid_pre: torch.Tensor
    resid_post: torch.Tensor
    calls: tuple[Call, ...]


class Observer:
    """Who wants to see a pass; what is not overridden is not looked at."""

    def see_heads(self, trace: HeadTrace) -> None:
        """An attention module has run; its rows follow."""

    def see_rows(self, trace: RowTrace) -> None:
        """Some query rows of the attention module that was seen last; the last rows come first.

        What a row depends on in the layer before stands at its own position or earlier, so that in this order results
        of a layer can take the place of those of the layer before it.
        """

    def see_layer(self, trace: LayerTrace) -> None:
        """A layer has run."""


@dataclass(frozen=True)
class TracedText:
    """A text of a pass, and who watches it.

    Attributes:
        token_ids: prompt and generated tokens.
        rows: positions whose residual stream is wanted.
        observers: told of every attention module and layer, in their order; what they raise ends the pass.
    """

    token_ids: Sequence[int]
    rows: slice = field(default_factory=lambda: slice(0, 0))
    observers: Sequence[Observer] = ()
