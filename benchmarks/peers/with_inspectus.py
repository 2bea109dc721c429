"""Inspectus' attention chart: one heatmap, averaged over what is chosen of layers, heads and tokens."""

from __future__ import annotations

import inspectus
import inspectus.attention_viz
import numpy as np
import torch  # noqa: F401  inspectus does it when first called, which is not the page's time
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from weights import load, wrap

__all__ = ["load", "make"]


def make(attention: np.ndarray, tokens: list[str]) -> str:
    """Return the page, which is all that the chart displays in a notebook."""
    InteractiveShell.instance()
    with capture_output() as shown:
        inspectus.attention(attention, tokens)
    return wrap("\n".join(output.data["text/html"] for output in shown.outputs))
