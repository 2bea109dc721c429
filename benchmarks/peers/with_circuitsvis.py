"""CircuitsVis' attention heads: every head as a small heatmap, one of them large when pointed at."""

from __future__ import annotations

import numpy as np
from circuitsvis.attention import attention_heads
from weights import load, shorten, wrap

__all__ = ["load", "make"]


def make(attention: np.ndarray, tokens: list[str]) -> str:
    """Return the page, its script within."""
    num_layers, num_heads, *_ = attention.shape
    names = [f"L{layer} H{head}" for layer in range(num_layers) for head in range(num_heads)]
    heads = shorten(attention).reshape(num_layers * num_heads, len(tokens), len(tokens))
    return wrap(attention_heads(heads, tokens, names, mask_upper_tri=True).local_src)
