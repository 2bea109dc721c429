"""Attention weights of one module on one text, accessed by query rows.

Eager attention returns all weights of a layer in one tensor. Fast attention (SDPA) does not return weights; they are
computed from its queries, keys and mask, a few rows at a time, so that the weights of a layer are never in memory as a
whole. ``reportgen.instrumentation.strategy`` checks that both methods agree before fast attention is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch


class Weighing(Protocol):
    """Attention weights ``[head, query_pos, key_pos]`` of one module, and the values they are multiplied with."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all weights, ``(head, query_pos, key_pos)``."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Dtype in which the module computed."""
        ...

    @property
    def values(self) -> torch.Tensor | None:
        """Values that the weights are multiplied with, ``[head, key_pos, size]``; ``None`` if they are unknown."""
        ...

    def rows(self, first: int, last: int) -> torch.Tensor:
        """Return the weights of the query positions ``first .. last - 1``, ``[head, row, key_pos]``.

        Trailing keys that none of these queries can attend to may be left out.
        """
        ...


@dataclass(frozen=True)
class EagerWeights:
    """Attention weights returned by the module.

    Attributes:
        weights: attention weights, ``[head, query_pos, key_pos]``.
        values: values, as in ``Weighing``.
    """

    weights: torch.Tensor
    values: torch.Tensor | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all weights, ``(head, query_pos, key_pos)``."""
        return tuple(self.weights.shape)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype in which the module computed."""
        return self.weights.dtype

    def rows(self, first: int, last: int) -> torch.Tensor:
        """Return the weights of the query positions ``first .. last - 1`` over all keys."""
        return self.weights[:, first:last]


@dataclass(frozen=True)
class SdpaWeights:
    """Attention weights of a call of ``torch.nn.functional.scaled_dot_product_attention``.

    The weights are softmax(scale · q kᵀ + mask), as in the documentation of torch.

    Attributes:
        query: queries, ``[head, query_pos, size]``.
        key: keys, ``[key/value head, key_pos, size]``; consecutive query heads share a key/value head.
        value: values, ``[key/value head, key_pos, size]``.
        mask: attention mask, ``[1 or head, query_pos, key_pos]``; a boolean mask is true if a query may attend to a
            key, a float mask is added to the scores; ``None`` if there is no mask.
        is_causal: whether later keys are masked.
        scale: factor of the dot products.
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    is_causal: bool
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all weights, ``(head, query_pos, key_pos)``."""
        return *self.query.shape[:2], self.key.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """Dtype in which the module computed."""
        return self.query.dtype

    @property
    def values(self) -> torch.Tensor:
        """Values that the weights are multiplied with, ``[head, key_pos, size]``, repeated for shared heads."""
        return self.value.repeat_interleave(len(self.query) // len(self.value), 0)

    def rows(self, first: int, last: int) -> torch.Tensor:
        """Return the float32 weights of the query positions ``first .. last - 1`` over the keys they can attend to."""
        mask = None if self.mask is None else self.mask[:, first:last]
        seen = last if self.is_causal or _is_causal(mask, last) else self.key.shape[1]
        query = self.query[:, first:last].float() * self.scale
        # Query heads that share a key head are the rows of one matrix.
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
    def of_call(cls, arguments: dict[str, Any], text: int, length: int) -> SdpaWeights:
        """Return the weights of one text of a call.

        Args:
            arguments: arguments of the call by name.
            text: index of the text in the batch.
            length: number of positions of the text; the positions after it are padding.
        """
        query, key, value = (arguments[name][text, :, :length] for name in ("query", "key", "value"))
        mask = mask_of(arguments)
        if mask is not None:
            mask = mask[text if len(mask) > 1 else 0, :, :length, :length]
        return cls(query, key, value, mask, bool(arguments.get("is_causal")), scale_of(arguments))


def mask_of(arguments: dict[str, Any]) -> torch.Tensor | None:
    """Return the mask of a call of fast attention, ``[1 or batch, 1 or head, query_pos, key_pos]``."""
    mask = arguments.get("attn_mask")
    return None if mask is None else mask.reshape(*(1,) * (4 - mask.ndim), *mask.shape)


def scale_of(arguments: dict[str, Any]) -> float:
    """Return the factor of the dot products of a call of fast attention."""
    scale = arguments.get("scale")
    return float(arguments["query"].shape[-1] ** -0.5 if scale is None else scale)


def _later(rows: int, device: torch.device) -> torch.Tensor:
    return torch.ones(rows, rows, dtype=torch.bool, device=device).triu(1)


def _is_causal(mask: torch.Tensor | None, last: int) -> bool:
    """Return whether a mask hides all keys from position ``last`` on in all of its rows."""
    if mask is None:
        return False
    later = mask[..., last:]
    return not bool(later.any() if mask.dtype == torch.bool else (later > torch.finfo(mask.dtype).min / 2).any())
