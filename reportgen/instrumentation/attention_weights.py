"""Attention weights of one module on one text, by query rows.

Eager attention makes all weights of a layer at once and they are held whole. The fast attention never makes them: there
they are worked out from its own queries, keys and mask, some rows at a time, so that no layer is ever whole in memory.
``reportgen.instrumentation.strategy`` sees to it that the two agree before the second is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch


class Weighing(Protocol):
    """What the heads of one attention module weigh, ``[head, query_pos, key_pos]``, and what they mix with it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all weights together."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """In which the module worked."""
        ...

    @property
    def values(self) -> torch.Tensor | None:
        """What the weights are multiplied with, ``[head, key_pos, size]``; ``None`` where that was not seen."""
        ...

    def rows(self, first: int, last: int) -> torch.Tensor:
        """Return the weights of the queries from one up to another, ``[head, row, key_pos]``.

        Keys that none of these queries may see can be left out at the end.
        """
        ...


@dataclass(frozen=True)
class EagerWeights:
    """Weights that the module itself gave.

    Attributes:
        weights: ``[head, query_pos, key_pos]``.
        values: as in ``Weighing``.
    """

    weights: torch.Tensor
    values: torch.Tensor | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all weights together."""
        return tuple(self.weights.shape)

    @property
    def dtype(self) -> torch.dtype:
        """In which the module worked."""
        return self.weights.dtype

    def rows(self, first: int, last: int) -> torch.Tensor:
        """Return the weights of some queries over all keys."""
        return self.weights[:, first:last]


@dataclass(frozen=True)
class SdpaWeights:
    """Weights of a call of ``scaled_dot_product_attention``: softmax(scale · q kᵀ + mask), as torch defines it.

    Attributes:
        query: ``[head, query_pos, size]``.
        key: ``[key/value head, key_pos, size]``; each serves as many heads in turn as there are heads for each.
        value: ``[key/value head, key_pos, size]``.
        mask: ``[1 or head, query_pos, key_pos]``, true where a query may look, or a number to add; ``None`` for none.
        is_causal: whether later keys are left out.
        scale: of the products.
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    is_causal: bool
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all weights together."""
        return *self.query.shape[:2], self.key.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """In which the module worked."""
        return self.query.dtype

    @property
    def values(self) -> torch.Tensor:
        """What the weights are multiplied with, ``[head, key_pos, size]``."""
        return self.value.repeat_interleave(len(self.query) // len(self.value), 0)

    def rows(self, first: int, last: int) -> torch.Tensor:
        """Return the weights of some queries, float32, over the keys that one of them may see."""
        mask = None if self.mask is None else self.mask[:, first:last]
        seen = last if self.is_causal or _is_causal(mask, last) else self.key.shape[1]
        query = self.query[:, first:last].float() * self.scale
        # Heads of one key stand together as the rows of one matrix.
        grouped = query.reshape(len(self.key), -1, query.shape[-1])
        scores = (grouped @ self.key[:, :seen].float().transpose(1, 2)).view(len(query), last - first, seen)
        if self.is_causal:
            scores[:, :, first:].masked_fill_(_later(last - first, scores.device), -torch.inf)
        elif mask is not None and mask.dtype == torch.bool:
            scores.masked_fill_(~mask[..., :seen], -torch.inf)
        elif mask is not None:
            scores += mask[..., :seen]
        return scores.softmax(-1)

    @classmethod
    def of_call(cls, given: dict[str, Any], text: int, length: int) -> SdpaWeights:
        """Take one text out of a call.

        Args:
            given: the call's arguments by name.
            text: its place in the batch.
            length: positions that are its own; what follows them is padding.
        """
        query, key, value = (given[name][text, :, :length] for name in ("query", "key", "value"))
        mask = given.get("attn_mask")
        if mask is not None:
            mask = mask.reshape(*(1,) * (4 - mask.ndim), *mask.shape)
            mask = mask[text if len(mask) > 1 else 0, :, :length, :length]
        scale = given.get("scale")
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        return cls(query, key, value, mask, bool(given.get("is_causal")), float(scale))


def _later(rows: int, device: torch.device) -> torch.Tensor:
    return torch.ones(rows, rows, dtype=torch.bool, device=device).triu(1)


def _is_causal(mask: torch.Tensor | None, last: int) -> bool:
    """Say whether a mask lets none of its rows see a key from ``last`` on."""
    if mask is None:
        return False
    later = mask[..., last:]
    return not bool(later.any() if mask.dtype == torch.bool else (later > torch.finfo(mask.dtype).min / 2).any())
