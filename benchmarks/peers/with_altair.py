"""Altair at its best: one heatmap with two lists to choose layer and head from, cells that can hold a weight alone."""

from __future__ import annotations

import altair
import numpy as np
import pandas
from weights import load, shorten

__all__ = ["load", "make"]


def make(attention: np.ndarray, tokens: list[str]) -> str:
    """Return the page, Vega within."""
    altair.data_transformers.disable_max_rows()
    num_layers, num_heads, *_ = attention.shape
    chosen = {"layer": choose("layer", num_layers), "head": choose("head", num_heads)}
    layer, head, query_pos, key_pos = np.nonzero(np.broadcast_to(np.tri(len(tokens)), attention.shape))
    weights = shorten(attention)[layer, head, query_pos, key_pos]
    cells = pandas.DataFrame({"l": layer, "h": head, "q": query_pos, "k": key_pos, "w": weights})
    texts = pandas.DataFrame(
        {"position": range(len(tokens)), "text": [f"{at} {text}" for at, text in enumerate(tokens)]}
    )
    chart = altair.Chart(cells).add_params(*chosen.values()).transform_filter(
        (altair.datum.l == chosen["layer"]) & (altair.datum.h == chosen["head"])
    )  # fmt: skip
    for letter, name in (("q", "query"), ("k", "key")):
        chart = chart.transform_lookup(letter, altair.LookupData(texts, "position", ["text"]), as_=[name])
    return chart.mark_rect().encode(
        x=altair.X("key:O", sort=altair.SortField("k"), title="key"),
        y=altair.Y("query:O", sort=altair.SortField("q"), title="query"),
        color=altair.Color("w:Q", scale=altair.Scale(domain=[0, 1])), tooltip=["query:N", "key:N", "w:Q"],
    ).properties(width=600, height=600).to_html(inline=True, embed_options={"renderer": "canvas"})  # fmt: skip


def choose(name: str, count: int) -> altair.Parameter:
    """Return a list that numbers are chosen from."""
    return altair.param(name=name, value=0, bind=altair.binding_select(options=list(range(count)), name=f"{name} "))
