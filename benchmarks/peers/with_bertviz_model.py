"""BertViz's model view: every head of every layer as a small picture of lines, one of them large when clicked."""

from __future__ import annotations

import numpy as np
import torch
from bertviz import model_view
from weights import load, shorten, wrap

__all__ = ["load", "make"]


def make(attention: np.ndarray, tokens: list[str]) -> str:
    """Return the page."""
    layers = [torch.from_numpy(layer)[None] for layer in shorten(attention)]
    return wrap(model_view(layers, tokens, display_mode="light", html_action="return").data)
