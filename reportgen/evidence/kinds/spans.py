"""Who reads whom: attention and effects by the named parts of a text, or by the messages of a chat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.attribution import Attribution, list_rows
from reportgen.evidence.kinds.kind import Definition, Kind, Row
from reportgen.records import Span
from reportgen.records.evidence import Shape, Sizes
from reportgen.records.sentences import HeadPart, Sentence, format_weight, make_sentence
from reportgen.records.span import REST

SPANS = Definition(
    "spans", "reads by span",
    "Mean over the queries q of a span of Σ a[q,k] over the keys k of another; n/a where no query sees a key. “rest”: "
    "all tokens in no span. Effects: the direct effects on the written token through the tokens of a span, summed.",
    "Ours: plain sums.",
    "A mean over a long span hides the few queries that read. The tokens that a chat template writes belong to no "
    "message, and much weight may rest on them. Spans may overlap: then a row sums to more than 1.",
)  # fmt: skip


def find_members(spans: Sequence[Span], length: int) -> NDArray[np.bool_]:
    """Return which tokens each span holds, ``[position, span + 1]``; the last column is the tokens in no span."""
    positions = np.arange(length)[:, None]
    firsts, lasts = (np.array([getattr(span, end) for span in spans], int) for end in ("first", "last"))
    members = (positions >= firsts) & (positions <= lasts)
    return np.concatenate([members, ~members.any(1, keepdims=True)], 1)


def sum_effects(capture: Capture) -> NDArray[np.float32] | None:
    """Return the effects of each captured head by span, against the alternatives.

    Returns:
        Float32 ``[step, layer, head, span + 1]``, NaN for a span that a step does not see; ``None`` if effects are not
        split by the token read.
    """
    attribution: Attribution | None = capture.evidence.attribution
    return None if attribution is None or attribution.sources is None else _sum_cells(capture, attribution.sources)


def sum_read(capture: Capture) -> NDArray[np.float32] | None:
    """Return the effects of all heads of the model together by span, like ``sum_effects``: ``[step, span + 1]``."""
    attribution: Attribution | None = capture.evidence.attribution
    return None if attribution is None or attribution.read is None else _sum_cells(capture, attribution.read)


def _sum_cells(capture: Capture, cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum the rows of all steps over the keys of each span, ``[step, …, span + 1]``."""
    members = find_members(capture.spans, capture.num_tokens)
    sums = []
    for row in list_rows(capture):
        keys = members[: row.stop - row.start]
        summed = cells[..., row].astype(np.float64) @ keys.astype(np.float64)
        sums.append(np.where(keys.any(0), summed, np.nan))
    return np.array(sums, np.float32)


class SpanReads(Kind):
    """Mean weights by span, float32 ``[layer, head, query span, key span + 1]``; the last key is the rest.

    The axes of spans are those of ``Capture.spans``. NaN where no query of a span sees a key of another.
    """

    name = "spans"
    annotation = NDArray[np.float32]
    definitions = (SPANS,)
    needs_spans = True
    template = "sections/spans.html.jinja2"
    scripts = ("spans.js",)
    table = "spans"

    def describe(self, capture: Capture, value: Any) -> Mapping[str, Any]:
        """Return the names of the spans, and whether there are effects."""
        has_effects = sum_effects(capture) is not None and sum_read(capture) is not None
        return {"spans": {"names": [span.name for span in capture.spans], "has_effects": has_effects}}

    def encode(self, capture: Capture, value: Any) -> Mapping[str, NDArray[Any]]:
        """Return little-endian float32: the weights, and the effects of each head and of all heads by span."""
        arrays = {"span-weights": value, "span-effects": sum_effects(capture), "span-read": sum_read(capture)}
        return {name: array.astype("<f4") for name, array in arrays.items() if array is not None}

    def tabulate(self, capture: Capture, value: Any) -> Iterable[Row]:
        """Return the weights of each head, then the effects of each step and head."""
        names = [*(span.name for span in capture.spans), REST]
        columns = ("layer", "head", "step", "query_span", "key_span", "weight", "effect")
        for row, column, query, key in np.ndindex(value.shape):
            yield {
                **dict.fromkeys(columns), "layer": capture.layers[row], "head": capture.heads[column],
                "query_span": names[query], "key_span": names[key], "weight": value[row, column, query, key],
            }  # fmt: skip
        effects = sum_effects(capture)
        for step, row, column, key in np.ndindex(() if effects is None else effects.shape):
            assert effects is not None
            yield {
                **dict.fromkeys(columns), "layer": capture.layers[row], "head": capture.heads[column], "step": step,
                "key_span": names[key], "effect": effects[step, row, column, key],
            }  # fmt: skip

    def find(self, capture: Capture, value: Any, step: int | None) -> Sentence:
        """Return the head with the largest weight of one span on another."""
        title = "Who reads whom by span"
        between = np.where(np.eye(value.shape[2], value.shape[3], dtype=bool), np.nan, value)[..., :-1]
        if np.isnan(between).all():
            return (title,)
        row, column, query, key = np.unravel_index(np.nanargmax(between), between.shape)
        reader, read = capture.spans[query].name, capture.spans[key].name
        head = HeadPart(capture.layers[row], capture.heads[column])
        weight = format_weight(between[row, column, query, key])
        return make_sentence(f"{title}: “{reader}” reads “{read}” most in ", head, f", {weight}")

    def shapes(self, value: Any, sizes: Sizes) -> Iterable[Shape]:
        """Return the required shape of the value's array."""
        return [Shape("", value, (sizes.num_layers, sizes.num_heads, sizes.num_spans, sizes.num_spans + 1))]
