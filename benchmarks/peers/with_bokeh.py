"""Bokeh without further thought: a figure for every head, all of them in a grid."""

from __future__ import annotations

import numpy as np
from bokeh.embed import file_html
from bokeh.layouts import gridplot
from bokeh.plotting import figure
from bokeh.resources import INLINE
from weights import load

__all__ = ["load", "make"]


def make(attention: np.ndarray, tokens: list[str]) -> str:
    """Return the page, BokehJS within."""
    figures = [
        [draw(pattern, tokens, f"L{layer} H{head}") for head, pattern in enumerate(heads)]
        for layer, heads in enumerate(attention)
    ]
    return file_html(gridplot(figures, width=160, height=160), INLINE, "attention")


def draw(pattern: np.ndarray, tokens: list[str], title: str) -> figure:
    """Return one head's heatmap, an image; a rectangle for each cell takes eight times the bytes."""
    size = len(tokens)
    plot = figure(title=title, x_range=(0, size), y_range=(size, 0), tooltips="@image", toolbar_location=None)
    plot.image([pattern], x=0, y=0, dw=size, dh=size, palette="Viridis256")
    labels = dict(enumerate(tokens))
    plot.xaxis.major_label_overrides = plot.yaxis.major_label_overrides = labels
    return plot
