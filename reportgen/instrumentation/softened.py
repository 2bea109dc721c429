"""Gradients through a softmax as if it were less certain, with the same values.

Where a softmax gives all weight to one key, its derivative is 0, and a gradient says nothing of what changes the
scores. Scores that are divided by a number, so that the two largest of a row are close, have a derivative there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_APART = 2.0
"""How far apart the two largest scores of a row are at most, for the derivative alone."""
_SOFTMAXES = (functional.softmax, torch.softmax, torch.Tensor.softmax)
_FAST_ATTENTION = functional.scaled_dot_product_attention


class Softened(TorchFunctionMode):
    """Softens the derivatives of softmax and of fast attention inside a ``with`` block; their values are the same."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function, with another derivative if it is a softmax."""
        kwargs = kwargs or {}
        if func is _FAST_ATTENTION:
            return _attend(*args, **kwargs)
        if (
            func in _SOFTMAXES
            and args
            and args[0].shape[-1] > 1
            and _dim_of(*args[1:], **kwargs) in (-1, args[0].ndim - 1)
        ):
            return _soften(func, *args, **kwargs)
        return func(*args, **kwargs)


def _soften(softmax: Any, scores: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """Return a softmax over the last axis with another derivative."""
    first, second = scores.detach().topk(2).values.unbind(-1)
    divisor = ((first - second) / _APART).nan_to_num(1, posinf=1).clamp(min=1)  # a row with one key has no second
    soft = softmax(scores / divisor[..., None], *args, **kwargs)
    return softmax(scores.detach(), *args, **kwargs) + (soft - soft.detach())


def _dim_of(dim: int | None = None, *_: Any, **__: Any) -> int | None:
    return dim


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Return what ``scaled_dot_product_attention`` returns."""
    if enable_gqa:
        key, value = (part.repeat_interleave(query.shape[-3] // part.shape[-3], -3) for part in (key, value))
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return (_soften(torch.softmax, scores, -1) if scores.shape[-1] > 1 else scores.softmax(-1)) @ value
