"""Heatmaps of a comparison's first window: one head in both captures, their difference, and the map of all heads.

``templates/js/figures/sides.js`` draws the same heatmaps again, for whatever is selected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.default_head import find_default_head
from reportgen.pages.alignment import Alignment, Variation, read_aligned
from reportgen.pages.pair_answer import PairRead
from reportgen.pages.panels import Panel, label_axis, label_map, round_weights
from reportgen.pages.precision import FULL, Precision
from reportgen.pages.stills import Still, draw_differences, draw_shares, draw_weights, pool

BEFORE = "(before)"
"""Label of the column of all tokens before the aligned ones."""
_PIXELS = 280
"""Usual width of the cells of one of three patterns in a row."""


@dataclass(frozen=True)
class PairOpening:
    """What a comparison shows first.

    Attributes:
        layer: number of the layer.
        head: number of the head.
        heads: layer and head that each side shows; the nearest ones where a side lacks them.
        queries: position that reads, in A and in B.
    """

    layer: int
    head: int
    heads: tuple[tuple[int, int], tuple[int, int]]
    queries: tuple[int, int]


@dataclass(frozen=True)
class PairPanels:
    """One head in both captures.

    Attributes:
        panels: panels by name: ``a`` and ``b``, and ``difference`` if the captures are aligned.
        largest: largest absolute difference of weights, which has the strongest colour; 0 if they are not aligned.
    """

    panels: Mapping[str, Panel]
    largest: float = 0


@dataclass(frozen=True)
class Axis:
    """Positions of one side that its heatmaps show.

    Attributes:
        start: first position.
        length: number of positions.
        has_before: whether a column stands for all earlier tokens.
    """

    start: int
    length: int
    has_before: bool


def find_pair_opening(captures: tuple[Capture, Capture], reads: Sequence[PairRead]) -> PairOpening:
    """Return the head that differs most, where it differs most; without any, the default head of A."""
    if reads:
        layer, head = reads[0].layer, reads[0].head
        return PairOpening(layer, head, ((layer, head), (layer, head)), reads[0].queries)
    layer, head = find_default_head(captures[0])
    first, second = ((_find_nearest(side.layers, layer), _find_nearest(side.heads, head)) for side in captures)
    last = captures[0].num_prompt_tokens - 1, captures[1].num_prompt_tokens - 1
    return PairOpening(layer, head, (first, second), last)


def list_axes(captures: tuple[Capture, Capture], alignment: Alignment | None) -> tuple[Axis, Axis]:
    """Return the positions that the heatmaps of each side show: the aligned ones, or all."""
    if alignment is None:
        return Axis(0, captures[0].num_tokens, False), Axis(0, captures[1].num_tokens, False)
    first, second = (Axis(start, alignment.length, any(alignment.starts)) for start in alignment.starts)
    return first, second


def make_pair_panels(
    captures: tuple[Capture, Capture],
    alignment: Alignment | None,
    opening: PairOpening,
    precision: Precision = FULL,
) -> PairPanels:
    """Return the panels of the opening head."""
    axes = list_axes(captures, alignment)
    rows = [
        _read_rows(capture, *shown, axis, precision)
        for capture, shown, axis in zip(captures, opening.heads, axes, strict=True)
    ]
    texts = [
        [token.shown for token in capture.tokens[axis.start : axis.start + axis.length]]
        for capture, axis in zip(captures, axes, strict=True)
    ]
    queries = [query - axis.start for query, axis in zip(opening.queries, axes, strict=True)]
    panels: dict[str, Panel] = {}
    for i, name in enumerate("ab"):
        layer, head = opening.heads[i]
        still = draw_weights(pool(rows[i]))
        alt = f"Weights of L{layer} H{head} in {name.upper()}: a row is a token that reads, a column a token read"
        panels[name] = _make_panel(name, still, texts[i], queries[i], axes[i], alt)
    if alignment is None:
        return PairPanels(panels)
    both = [a if a == b else f"{a} | {b}" for a, b in zip(*texts, strict=True)]
    values = rows[0] - rows[1]
    largest = float(np.nanmax(np.abs(values)))
    still = draw_differences(pool(values), largest)
    alt = "Weights of A minus weights of B"
    return PairPanels(
        panels | {"difference": _make_panel("difference", still, both, queries[0], axes[0], alt)}, largest
    )


def make_variation_map(
    captures: tuple[Capture, Capture], variations: Sequence[Variation], opening: PairOpening
) -> Panel | None:
    """Return the map of how differently heads read, of all that both sides have; ``None`` if there are none."""
    if not variations:
        return None
    layers, heads = list_numbers(captures)
    values = tabulate_variations(layers, heads, variations)
    rows, columns = label_map(layers, heads, opening.layer)
    largest = max(float(np.nanmax(values)), 1e-9)
    return Panel(
        name="map", still=draw_shares(values[::-1] / largest), rows=rows, columns=columns,
        frame=(heads.index(opening.head), len(layers) - 1 - layers.index(opening.layer), 1, 1), count=len(layers),
        alt="How differently every head reads, layers from the last at the top, heads from left to right",
    )  # fmt: skip


def list_numbers(captures: tuple[Capture, Capture]) -> tuple[list[int], list[int]]:
    """Return the numbers of the layers and heads that at least one side has."""
    first, second = captures
    return sorted({*first.layers, *second.layers}), sorted({*first.heads, *second.heads})


def tabulate_variations(
    layers: Sequence[int], heads: Sequence[int], variations: Sequence[Variation]
) -> NDArray[np.float64]:
    """Return total variations, ``[layer, head]``; NaN for heads that only one side has."""
    values = np.full((len(layers), len(heads)), np.nan)
    for one in variations:
        values[layers.index(one.layer), heads.index(one.head)] = one.total_variation
    return values


def _read_rows(capture: Capture, layer: int, head: int, axis: Axis, precision: Precision) -> NDArray[np.float64]:
    """Return the weights that a panel shows, ``[row, column]``; NaN where a token lies ahead."""
    rows = read_aligned(round_weights(capture.attention[layer, head], precision), axis.start, axis.length)
    rows[:, 1:][~np.tri(axis.length, dtype=bool)] = np.nan
    return rows[:, 0 if axis.has_before else 1 :]


def _make_panel(name: str, still: Still, texts: Sequence[str], query: int, axis: Axis, alt: str) -> Panel:
    is_shown = 0 <= query < axis.length
    return Panel(
        name=name,
        still=still,
        rows=label_axis(texts, query, _PIXELS),
        columns=label_axis([*[BEFORE] * axis.has_before, *texts], None, _PIXELS),
        frame=(0, query, query + 1 + axis.has_before, 1) if is_shown else None,
        count=axis.length,
        alt=alt,
    )


def _find_nearest(numbers: Sequence[int], wanted: int) -> int:
    """Return the number closest to the wanted one, which a side may lack; of two equally close, the lower."""
    return min(numbers, key=lambda number: (abs(number - wanted), number))
