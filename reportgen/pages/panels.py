"""Heatmaps of the first window, with their labels and the numbers beside them, as a page shows them before any script.

``templates/js/figures`` draws the same heatmaps again, for whatever is selected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.quantization import dequantize_sqrt
from reportgen.captures.record import Capture
from reportgen.evidence.kinds.attribution import find_row, list_foil_rows, list_rows
from reportgen.evidence.opening import Opening
from reportgen.pages.precision import FULL, Precision, quantize
from reportgen.pages.stills import (
    Shade,
    Still,
    draw_effects,
    draw_pattern,
    draw_weights,
    shade_effects,
    shade_weights,
)
from reportgen.records import Token
from reportgen.records.sentences import format_effect, format_percent, format_weight

MOST_ROWS = 16
"""Number of layers or heads that a panel shows at first."""
MOST_STEPS = 6
"""Number of generated tokens that the panel of what attention read shows at first."""
MOST_COLUMNS, SHOWN_COLUMNS = 60, 40
"""A panel of more tokens than the first number shows at first the second number of them, those that are read most."""

_LABEL_PIXELS = 11.5
_CHARACTER_PIXELS = 6.7
_LABEL_CHARACTERS, _NOTED_CHARACTERS = 12, 7
"""Most characters of a label, and of one with a position behind it."""
_PANEL_PIXELS, _WIDE_PIXELS, _SIDE_PIXELS = 330, 820, 520
"""Usual width of the cells of a panel, of the panel across the page, and side of a pattern; scripts measure it."""


@dataclass(frozen=True)
class Label:
    """Label of a row or a column; ``at`` is its place along the axis in percent."""

    text: str
    at: float
    selected: bool = False
    note: str = ""


@dataclass(frozen=True)
class RowNote:
    """Numbers beside a row: the token read most, its weight, and the effect of the head.

    Attributes:
        token: token read.
        position: its position.
        value: weight of the row on the token, or effect through it, as text.
        effect: effect of the whole head in logits, as text; empty if unknown.
        head: head that carried most through the token; ``None`` in rows of heads.
        selected: whether the row is the selected one.
    """

    token: Token
    position: int
    value: str
    effect: str = ""
    head: tuple[int, int] | None = None
    selected: bool = False


@dataclass(frozen=True)
class Panel:
    """A heatmap with its labels.

    Attributes:
        name: name of the figure.
        still: its picture.
        rows: labels of rows, all that have room.
        columns: labels of columns, all that have room.
        frame: selected cells as ``(x, y, width, height)`` in cells; ``None`` if none are.
        notes: numbers beside the rows.
        is_flat: whether the labels of columns have room to be written horizontally.
        is_hatched: whether cells that a query cannot see are hatched.
        count: number of rows in all, including those not shown.
        alt: description for readers who do not see it.
    """

    name: str
    still: Still
    rows: Sequence[Label]
    columns: Sequence[Label]
    frame: tuple[float, float, float, float] | None
    notes: Sequence[RowNote] = ()
    is_flat: bool = False
    is_hatched: bool = False
    count: int = 0
    alt: str = ""


@dataclass(frozen=True)
class StepRead:
    """What attention read for the token of one step, in logits against its alternatives.

    Attributes:
        key_pos: token read with the largest effect through all heads; the first token of the text is left out.
        effect: that effect.
        head: captured head that carried most of it, ``(layer, head)``; ``None`` if heads cannot be split by token.
        through: effect of that head through the token.
        attention: effect of all heads.
        mlps: effect of all MLPs and layers without attention.
    """

    key_pos: int
    effect: float
    head: tuple[int, int] | None
    through: float
    attention: float
    mlps: float


def measure_reads(capture: Capture) -> list[StepRead | None]:
    """Return what attention read for each step, against the alternatives; ``None`` where it is not known."""
    return [_measure_read(capture, 0, step, cells) for step, cells in enumerate(list_rows(capture))]


def measure_foil_reads(capture: Capture) -> list[StepRead | None]:
    """Return what attention read for the step of each measured foil, against the foil; ``None`` if it is not known."""
    attribution = capture.evidence.attribution
    return [
        attribution and _measure_read(capture, attribution.foil_contrast(number), foil.step, cells)
        for number, (foil, cells) in enumerate(zip(capture.measured_foils, list_foil_rows(capture), strict=True))
    ]


def _measure_read(capture: Capture, contrast: int, step: int, cells: slice) -> StepRead | None:
    attribution = capture.evidence.attribution
    if attribution is None or attribution.read is None:
        return None
    row = attribution.read[cells]
    if attribution.withheld[contrast][step] or np.isnan(row).any():
        return None
    key_pos = int(row[1:].argmax()) + 1 if len(row) > 1 else 0
    head, through = None, 0.0
    if attribution.sources is not None:
        effects = np.nan_to_num(attribution.sources[:, :, cells.start + key_pos])
        layer, column = divmod(int(effects.argmax()), effects.shape[1])
        head, through = (capture.layers[layer], capture.heads[column]), float(effects[layer, column])
    attention = float(attribution.heads[contrast, step].sum() + attribution.other_heads[contrast, step])
    mlps = float(attribution.other_parts[contrast, step].sum())
    return StepRead(key_pos, float(row[key_pos]), head, through, attention, mlps)


def shade_tokens(capture: Capture, opening: Opening, precision: Precision = FULL) -> list[Shade | None]:
    """Return the colours behind the tokens that the opening position sees.

    They show what attention read for the opening token or, if that is not known, the weights of the opening head.
    """
    row = _read_row(capture, opening.step)
    if row is None:
        return shade_weights(_read_weights(capture, opening.layer, opening.head, opening.query_pos, precision))
    return shade_effects(row, float(find_row_scales(row[None])[0]))


def _read_row(capture: Capture, step: int | None) -> NDArray[np.float32] | None:
    """Return what attention read for the token of a step, by token read; ``None`` if it is not known.

    Against the first foil of the step if it has one.
    """
    attribution = capture.evidence.attribution
    if step is None or attribution is None or attribution.read is None:
        return None
    if attribution.withheld[attribution.foil_contrast(capture.foil_of_step(step))][step]:
        return None
    return attribution.read[find_row(capture, step, capture.foil_of_step(step))]


def make_read_panel(capture: Capture, opening: Opening, reads: Sequence[StepRead | None]) -> Panel | None:
    """Return the panel of what attention read for each token; ``None`` with fewer than two steps, or none known.

    Args:
        capture: the capture.
        opening: what the page shows first.
        reads: what attention read for each step, against its first foil if it has one.
    """
    if len(reads) < 2 or not any(reads):
        return None
    first = max(0, min((opening.step or 0) - 2, len(reads) - MOST_STEPS))
    steps = range(first, min(first + MOST_STEPS, len(reads)))
    width = capture.query_pos_of_step(steps[-1]) + 1
    rows = np.full((len(steps), width), np.nan, np.float32)
    for row, step in enumerate(steps):
        values = _read_row(capture, step)
        if values is not None:
            rows[row, : len(values)] = values
    shares = rows / find_row_scales(rows)[:, None]
    columns = choose_columns(np.abs(shares))
    selected = None if opening.step is None else steps.index(opening.step)
    return Panel(
        name="read",
        still=draw_effects(shares[:, columns], 1),
        rows=[
            Label(
                _shown(capture, capture.num_prompt_tokens + step),
                _middle(row, len(steps)),
                row == selected,
                format_percent(math.exp(capture.steps[step].raw.logprob)),
            )
            for row, step in enumerate(steps)
        ],
        columns=_label_columns(capture, columns, opening.key_pos, _WIDE_PIXELS),
        frame=None if selected is None else (0, selected, len(columns), 1),
        notes=[_note_of_step(capture, reads[step], row == selected) for row, step in enumerate(steps)],
        is_flat=_is_flat(capture, columns, _WIDE_PIXELS),
        count=len(reads),
        alt="Effect through attention on each written token, by the token read",
    )


def make_row_panels(capture: Capture, opening: Opening, precision: Precision = FULL) -> tuple[Panel, Panel]:
    """Return the panels of every head of the opening layer and of the opening head in every layer, for its query."""
    layer, column = capture.layers.index(opening.layer), capture.heads.index(opening.head)
    heads = [(layer, other) for other in range(len(capture.heads))]
    layers = [(other, column) for other in reversed(range(len(capture.layers)))]
    weights = {
        (row, head): _read_weights(capture, capture.layers[row], capture.heads[head], opening.query_pos, precision)
        for row, head in {*heads, *layers}
    }
    effects = _find_effects(capture, opening)
    shown = [_choose_rows(cells, weights, effects, (layer, column)) for cells in (heads, layers)]
    columns = choose_columns(np.stack([weights[cell] for cells in shown for cell in cells]))

    def make(name: str, cells: Sequence[tuple[int, int]], count: int, what: str) -> Panel:
        selected = cells.index((layer, column))
        shown_weights = np.stack([weights[cell][columns] for cell in cells])
        labels = [f"H{capture.heads[row[1]]}" if name == "heads" else f"L{capture.layers[row[0]]}" for row in cells]
        return Panel(
            name=name,
            still=draw_weights(shown_weights),
            rows=[Label(text, _middle(row, len(cells)), row == selected) for row, text in enumerate(labels)],
            columns=_label_columns(capture, columns, opening.key_pos, _PANEL_PIXELS),
            frame=(0, selected, len(columns), 1),
            notes=[
                _note_of_head(capture, weights[cell], effects, cell, row == selected) for row, cell in enumerate(cells)
            ],
            is_flat=_is_flat(capture, columns, _PANEL_PIXELS),
            is_hatched=bool(np.isnan(shown_weights).any()),
            count=count,
            alt=f"Attention weights of {what}, by the token read",
        )

    return (
        make("heads", shown[0], len(heads), f"every head of layer {opening.layer}"),
        make("layers", shown[1], len(layers), f"head {opening.head} in every layer"),
    )


def make_pattern_panel(capture: Capture, opening: Opening, precision: Precision = FULL) -> Panel:
    """Return the panel of the opening head's pattern."""
    n = capture.num_tokens
    texts = [token.shown for token in capture.tokens]
    rows, columns = label_axis(texts, opening.query_pos), label_axis(texts, opening.key_pos)
    pattern = round_weights(capture.attention[opening.layer, opening.head], precision)
    kind = capture.layer_type(opening.layer)
    is_hidden = np.arange(n) < np.array([kind.first_key(query_pos) for query_pos in range(n)])[:, None]
    return Panel(
        name="head",
        still=draw_pattern(np.where(is_hidden, np.nan, pattern)),
        rows=rows,
        columns=columns,
        frame=(0, opening.query_pos, opening.query_pos + 1, 1),
        is_hatched=bool(is_hidden.any()),
        count=n,
        alt=f"Attention weights of L{opening.layer} H{opening.head}: a row a token that reads, a column a token read",
    )


def label_axis(texts: Sequence[str], selected: int | None, pixels: float = _SIDE_PIXELS) -> list[Label]:
    """Return the labels of an axis that have room on so many pixels, each cut to the usual length."""
    return [Label(_cut(texts[i]), _middle(i, len(texts)), i == selected) for i in _thin(len(texts), pixels)]


def label_map(layers: Sequence[int], heads: Sequence[int], layer: int) -> tuple[list[Label], list[Label]]:
    """Return the labels of rows and columns of a map of all heads, the last layer at the top; ``layer`` is selected."""
    stride = 5 if len(layers) > 12 else 1
    rows = [
        Label(str(other), _middle(len(layers) - 1 - i, len(layers)), other == layer)
        for i, other in enumerate(layers)
        if i % stride == 0
    ]
    return rows, [Label(str(heads[i]), _middle(i, len(heads))) for i in _thin(len(heads), 140, 15)]


def make_map_panel(capture: Capture, opening: Opening, precision: Precision = FULL) -> Panel:
    """Return the map of all heads: their effects, or without them the largest weight off the first token."""
    values, signed = measure_map(capture, opening, precision)
    if signed:
        still = draw_effects(values[::-1], max(float(np.nanmax(np.abs(values), initial=0)), 1e-9))
        alt = "Effect of every head, layers from the last at the top, heads from left to right"
    else:
        still = draw_weights(values[::-1])
        alt = "Largest weight of every head off the first token"
    row, column = len(capture.layers) - 1 - capture.layers.index(opening.layer), capture.heads.index(opening.head)
    rows, columns = label_map(capture.layers, capture.heads, opening.layer)
    return Panel(
        name="map",
        still=still,
        rows=rows,
        columns=columns,
        frame=(column, row, 1, 1),
        count=len(capture.layers),
        alt=alt,
    )


def measure_map(capture: Capture, opening: Opening, precision: Precision = FULL) -> tuple[NDArray[np.floating], bool]:
    """Return what the map of all heads shows, ``[layer, head]``, and whether these are effects.

    Effects on the opening step's token are in logits. Without them, the map shows the largest weight of each head at
    the opening position, the first token aside.
    """
    effects = _find_effects(capture, opening)
    if effects is not None:
        return effects, True
    weights = round_weights(dequantize_sqrt(capture.triangles[:, :, capture.row(opening.query_pos)]), precision)
    return weights[:, :, 1:].max(2, initial=0), False


def find_row_scales(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the largest absolute value of each row, its first token left out if it has another one."""
    others = np.nan_to_num(np.abs(rows[:, 1:])).max(1, initial=0)
    return np.where(others > 0, others, np.maximum(np.nan_to_num(np.abs(rows[:, 0])), 1e-9))


def choose_columns(rows: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the positions that the columns of a panel show: all, or the ones with the largest sums over the rows."""
    if rows.shape[1] <= MOST_COLUMNS:
        return np.arange(rows.shape[1])
    order = np.argsort(-np.nan_to_num(rows).sum(0, dtype=np.float64), kind="stable")
    return np.sort(order[:SHOWN_COLUMNS])


def _find_effects(capture: Capture, opening: Opening) -> NDArray[np.float32] | None:
    """Return the effect of every head on the opening step's token, ``[layer, head]``; ``None`` if it is not known."""
    attribution = capture.evidence.attribution
    if attribution is None or opening.step is None:
        return None
    contrast = attribution.foil_contrast(capture.foil_of_step(opening.step))
    return None if attribution.withheld[contrast][opening.step] else attribution.heads[contrast, opening.step]


def _read_weights(
    capture: Capture, layer: int, head: int, query_pos: int, precision: Precision
) -> NDArray[np.floating]:
    """Return the weights of one query, as the page's scripts know them, ``[key_pos]``; NaN where it cannot see."""
    triangle = capture.triangles[capture.layers.index(layer), capture.heads.index(head)]
    weights = round_weights(dequantize_sqrt(triangle[capture.row(query_pos)]), precision)
    weights[: capture.layer_type(layer).first_key(query_pos)] = np.nan
    return weights


def round_weights(weights: NDArray[np.floating], precision: Precision) -> NDArray[np.floating]:
    """Return weights as a page keeps them, so that its first view has the numbers of every later one."""
    codes = quantize(weights, precision)
    return np.square(codes.astype(np.float64) / np.iinfo(codes.dtype).max)


def _choose_rows(
    cells: Sequence[tuple[int, int]],
    weights: dict[tuple[int, int], NDArray[np.floating]],
    effects: NDArray[np.float32] | None,
    selected: tuple[int, int],
) -> list[tuple[int, int]]:
    """Return the rows that a panel shows, in their order: those with the largest effects, and the selected one."""
    if len(cells) <= MOST_ROWS:
        return list(cells)
    sizes = [
        float(np.nan_to_num(weights[cell][1:]).max(initial=0) if effects is None else np.nan_to_num(abs(effects[cell])))
        for cell in cells
    ]
    order = sorted(range(len(cells)), key=lambda i: (cells[i] != selected, -sizes[i], i))
    return [cells[i] for i in sorted(order[:MOST_ROWS])]


def _note_of_head(
    capture: Capture,
    weights: NDArray[np.floating],
    effects: NDArray[np.float32] | None,
    cell: tuple[int, int],
    selected: bool,
) -> RowNote:
    key_pos = int(np.nanargmax(weights))
    effect = "" if effects is None or np.isnan(effects[cell]) else format_effect(float(effects[cell]))
    return RowNote(capture.tokens[key_pos], key_pos, format_weight(float(weights[key_pos])), effect, selected=selected)


def _note_of_step(capture: Capture, read: StepRead | None, selected: bool) -> RowNote:
    if read is None:
        return RowNote(Token(0, "", "n/a", special=False), -1, "", selected=selected)
    through = format_effect(read.through) if read.head else ""
    return RowNote(capture.tokens[read.key_pos], read.key_pos, format_effect(read.effect), through, read.head, selected)


def _label_columns(capture: Capture, columns: NDArray[np.int64], key_pos: int | None, pixels: int) -> list[Label]:
    every = len(columns) == columns[-1] + 1
    return [
        Label(
            _shown(capture, int(columns[i]), _LABEL_CHARACTERS if every else _NOTED_CHARACTERS),
            _middle(i, len(columns)),
            int(columns[i]) == key_pos,
            "" if every else str(columns[i]),
        )
        for i in _thin(len(columns), pixels)
    ]


def _is_flat(capture: Capture, columns: NDArray[np.int64], pixels: int) -> bool:
    longest = max(len(_shown(capture, int(position))) for position in columns)
    return longest * _CHARACTER_PIXELS < pixels / len(columns) - 2


def _shown(capture: Capture, position: int, most: int = _LABEL_CHARACTERS) -> str:
    return _cut(capture.tokens[position].shown, most)


def _cut(shown: str, most: int = _LABEL_CHARACTERS) -> str:
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def _middle(i: int, count: int) -> float:
    return round(100 * (i + 0.5) / count, 3)


def _thin(count: int, pixels: float, least: float = _LABEL_PIXELS) -> range:
    """Return the positions whose labels have room, at a stride of 1, 2, 5, 10, 20 and so on."""
    needed = math.ceil(count / max(1, int(pixels / least)))
    stride = next(step * 10**power for power in range(7) for step in (1, 2, 5) if step * 10**power >= needed)
    return range(0, count, stride)
