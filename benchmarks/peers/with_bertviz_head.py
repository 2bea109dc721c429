"""BertViz's head view: all heads of the layer that is chosen from a list, as lines of a colour each."""

from __future__ import annotations

import numpy as np
import torch
from bertviz import head_view
from weights import load, shorten, wrap

__all__ = ["load", "make"]


def make(attention: np.ndarray, tokens: list[str]) -> str:
    """Return the page."""
    layers = [torch.from_numpy(layer)[None] for layer in shorten(attention)]
    return wrap(head_view(layers, tokens, html_action="return").data)
