"""Attention entropy of each query, which measures over how many tokens a head spreads its weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.kind import Definition, Kind, Row
from reportgen.evidence.kinds.scaling import scale_by
from reportgen.records.evidence import Shape, Sizes
from reportgen.records.json_values import shorten
from reportgen.records.sentences import HeadPart, Sentence, format_weight, make_sentence

ENTROPY = Definition(
    "entropy", "attention entropy",
    "−Σ a[q,k] ln a[q,k] over the keys k, in nats: 0 where one token has all the weight, ln(q + 1) where all have the "
    "same.",
    "Clark et al. 2019.",
    "It says how many tokens a head reads, not which; later queries can spread over more. What a learned sink takes is "
    "left out.",
)  # fmt: skip


class AttentionEntropy(Kind):
    """Entropy of each row of attention in nats, float32 ``[layer, head, query_pos]``."""

    name = "entropy"
    annotation = NDArray[np.float32]
    definitions = (ENTROPY,)
    template = "sections/rows.html.jinja2"
    table = "entropy"

    def describe(self, capture: Capture, value: Any) -> Mapping[str, Any]:
        """Return the largest entropy, which scales the encoded values, and the unit."""
        return {"entropy": {"largest": shorten(_find_scale(value), 9), "unit": "nats"}}

    def encode(self, capture: Capture, value: Any) -> Mapping[str, NDArray[Any]]:
        """Return ``entropy``: little-endian uint16 codes, ``value / largest * 65535``."""
        share = scale_by(np.nan_to_num(value), np.array(_find_scale(value), np.float32))
        return {"entropy": np.rint(65535 * share).astype("<u2")}

    def tabulate(self, capture: Capture, value: Any) -> Iterable[Row]:
        """Return a table row for each head and query position."""
        for row, column, query_pos in np.ndindex(value.shape):
            yield {
                "layer": capture.layers[row],
                "head": capture.heads[column],
                "query_pos": query_pos,
                "entropy": value[row, column, query_pos],
            }

    def find(self, capture: Capture, value: Any, step: int | None) -> Sentence:
        """Return the mean over all heads and queries, and the head with the largest mean."""
        means = np.nan_to_num(value).mean(axis=2)
        row, column = np.unravel_index(means.argmax(), means.shape)
        head = HeadPart(capture.layers[row], capture.heads[column])
        widest = f" spreads most, {format_weight(means[row, column])}"
        return make_sentence(f"Attention entropy: {format_weight(means.mean())} nats on average; ", head, widest)

    def shapes(self, value: Any, sizes: Sizes) -> Iterable[Shape]:
        """Return the required shape of the value's array."""
        return [Shape("", value, (sizes.num_layers, sizes.num_heads, sizes.num_tokens))]


def _find_scale(value: NDArray[np.float32]) -> float:
    return float(np.nan_to_num(value).max(initial=0))
