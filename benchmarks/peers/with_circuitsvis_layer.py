"""CircuitsVis' attention heads of one layer, as TransformerLens' tutorials use it."""

from __future__ import annotations

import numpy as np
import with_circuitsvis
from weights import load

__all__ = ["load", "make"]


def make(attention: np.ndarray, tokens: list[str]) -> str:
    """Return the page of a layer in the middle."""
    layer = len(attention) // 2
    return with_circuitsvis.make(attention[layer : layer + 1], tokens)
