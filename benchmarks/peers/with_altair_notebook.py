"""Altair as notebooks use it: a heatmap of rectangles for every head, a row of them for every layer."""

from __future__ import annotations

import altair
import numpy as np
import pandas
from weights import load

__all__ = ["load", "make"]


def make(attention: np.ndarray, tokens: list[str]) -> str:
    """Return the page, which reads Vega from a server."""
    altair.data_transformers.disable_max_rows()
    layers = [altair.hconcat(*(draw(pattern, tokens) for pattern in layer)) for layer in attention]
    return altair.vconcat(*layers).to_html()


def draw(pattern: np.ndarray, tokens: list[str]) -> altair.Chart:
    """Return one head's heatmap, a row of the table for each of its cells."""
    rows = [
        {
            "row": row,
            "column": column,
            "weight": float(weight),
            "query": f"{row:03} {query}",
            "key": f"{column:03} {key}",
        }
        for row, query in enumerate(tokens)
        for column, (key, weight) in enumerate(zip(tokens, pattern[row], strict=True))
    ]
    chart = altair.Chart(pandas.DataFrame(rows)).mark_rect()
    return chart.encode(
        x=altair.X("key:O", title=""), y=altair.Y("query:O", title=""), color="weight:Q",
        tooltip=["row:Q", "column:Q", "weight:Q", "query:N", "key:N"],
    ).properties(width=300, height=300)  # fmt: skip
