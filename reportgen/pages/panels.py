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
from reportgen.evidence.kinds.attribution import LogitAttribution, find_row, list_foil_rows, list_rows
from reportgen.pages.evidence_blocks import list_grids
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
from reportgen.pages.views import View, find_foil, hold
from reportgen.records import Token
from reportgen.records.address import FIRSTS
from reportgen.records.sentences import format_effect, format_percent, format_weight

MOST_ROWS = 16
"""Number of layers or heads that a panel shows at first."""
MOST_STEPS = 6
"""Number of generated tokens that the panel of what attention read shows at first."""
MOST_COLUMNS, SHOWN_COLUMNS = 60, 40
"""A panel of more tokens than the first number shows at first the second number of them, those that are read most."""

LEAST_REST = 0.01
"""What a row must have without its first token to be divided by it, as in ``templates/js/data/forms.js``."""
_NOTHING = Token(0, "", "n/a", special=False)
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
        cells: number of rows and columns of cells, which of long patterns the picture has fewer.
        border: column before which the prompt ends; ``None`` if all are on one side.
        marks: cells that are marked, ``(x, y)``.
        largest: value with the strongest colour, which is 1 for weights.
        signed: whether colours are those of effects.
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
    cells: tuple[int, int] = (0, 0)
    border: int | None = None
    marks: Sequence[tuple[int, int]] = ()
    largest: float = 1
    signed: bool = False


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


def shade_tokens(capture: Capture, view: View, precision: Precision = FULL) -> list[Shade | None]:
    """Return the colours behind the tokens that the opening position sees.

    They show what attention read for the opening token or, if that is not known, the weights of the opening head.
    """
    row = _read_row(capture, view, view.step)
    if row is None:
        return shade_weights(_read_weights(capture, view.layer, view.head, view, precision))
    return shade_effects(row, float(find_row_scales(row[None])[0]))


def _read_row(capture: Capture, view: View, step: int | None) -> NDArray[np.float32] | None:
    """Return what attention read for the token of a step, by token read; ``None`` if it is not known."""
    attribution = capture.evidence.attribution
    if step is None or attribution is None or attribution.read is None:
        return None
    foil = find_foil(capture, view.contrast, step)
    if attribution.withheld[attribution.foil_contrast(foil)][step]:
        return None
    return attribution.read[find_row(capture, step, foil)]


def make_read_panel(capture: Capture, view: View, reads: Sequence[StepRead | None]) -> Panel | None:
    """Return the panel of what attention read for each token; ``None`` with fewer than two steps, or none known.

    Args:
        capture: the capture.
        view: what is selected.
        reads: what attention read for each step, against its foil if it has one.
    """
    if len(reads) < 2 or not any(reads):
        return None
    first = max(0, min((view.step or 0) - 2, len(reads) - MOST_STEPS))
    steps = range(len(reads)) if "steps" in view.all else range(first, min(first + MOST_STEPS, len(reads)))
    width = capture.query_pos_of_step(steps[-1]) + 1
    rows = np.full((len(steps), width), np.nan, np.float32)
    for row, step in enumerate(steps):
        values = _read_row(capture, view, step)
        if values is not None:
            rows[row, : len(values)] = values
    shares = rows / find_row_scales(rows)[:, None]
    columns = choose_columns(np.abs(shares), view)
    selected = None if view.step is None or view.step not in steps else steps.index(view.step)
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
        columns=_label_columns(capture, columns, view.key_pos, _WIDE_PIXELS),
        frame=None if selected is None else (0, selected, len(columns), 1),
        notes=[_note_of_step(capture, reads[step], row == selected) for row, step in enumerate(steps)],
        is_flat=_is_flat(capture, columns, _WIDE_PIXELS),
        count=len(reads),
        alt="Effect through attention on each written token, by the token read",
        cells=(len(steps), len(columns)),
        border=_find_border(capture, columns),
        signed=True,
    )


def make_row_panels(capture: Capture, view: View, precision: Precision = FULL) -> tuple[Panel, Panel]:
    """Return the panels of every head of the selected layer and of the selected head in every layer, for its query."""
    layer, column = capture.layers.index(view.layer), capture.heads.index(view.head)
    heads = [(layer, other) for other in range(len(capture.heads))]
    layers = [(other, column) for other in reversed(range(len(capture.layers)))]
    weights = {
        (row, head): _read_weights(capture, capture.layers[row], capture.heads[head], view, precision)
        for row, head in {*heads, *layers}
    }
    effects = _find_effects(capture, view) if view.is_for_step(capture) else None
    shown = [
        cells if name in view.all else _choose_rows(cells, weights, effects, (layer, column))
        for name, cells in (("heads", heads), ("layers", layers))
    ]
    columns = choose_columns(np.stack([weights[cell] for cells in shown for cell in cells]), view)

    def make(name: str, cells: Sequence[tuple[int, int]], count: int, what: str) -> Panel:
        selected = cells.index((layer, column))
        shown_weights = np.stack([weights[cell][columns] for cell in cells])
        labels = [f"H{capture.heads[row[1]]}" if name == "heads" else f"L{capture.layers[row[0]]}" for row in cells]
        return Panel(
            name=name,
            still=draw_weights(shown_weights, view.scale),
            rows=[Label(text, _middle(row, len(cells)), row == selected) for row, text in enumerate(labels)],
            columns=_label_columns(capture, columns, view.key_pos, _PANEL_PIXELS),
            frame=(0, selected, len(columns), 1),
            notes=[
                _note_of_head(capture, weights[cell], effects, cell, row == selected) for row, cell in enumerate(cells)
            ],
            is_flat=_is_flat(capture, columns, _PANEL_PIXELS),
            is_hatched=bool(np.isnan(shown_weights).any()),
            count=count,
            alt=f"Attention weights of {what}, by the token read",
            cells=shown_weights.shape,
            border=_find_border(capture, columns),
            marks=_mark_strongest(shown_weights) if view.marks else (),
        )

    return (
        make("heads", shown[0], len(heads), f"every head of layer {view.layer}"),
        make("layers", shown[1], len(layers), f"head {view.head} in every layer"),
    )


def make_pattern_panel(capture: Capture, view: View, precision: Precision = FULL) -> Panel:
    """Return the panel of the selected head's pattern."""
    first, last = view.span or (0, capture.num_tokens - 1)
    n, part = last + 1 - first, slice(first, last + 1)
    texts = [token.shown for token in capture.tokens[part]]
    pattern = round_weights(capture.attention[view.layer, view.head], precision)
    kind = capture.layer_type(view.layer)
    positions = np.arange(capture.num_tokens)
    is_hidden = positions < np.array([kind.first_key(query_pos) for query_pos in range(capture.num_tokens)])[:, None]
    pattern[is_hidden] = np.nan
    if view.first != FIRSTS[0]:
        pattern = _leave_out_first(pattern, view.first)
    shown = np.where(np.tri(len(pattern), dtype=bool), pattern, np.nan)[part, part]
    still, query = draw_pattern(pattern[part, part], view.scale), view.query_pos - first
    border = _find_border(capture, positions[part])
    return Panel(
        name="head",
        still=still,
        rows=label_axis(texts, query),
        columns=label_axis(texts, None if view.key_pos is None else view.key_pos - first),
        frame=_scale_frame((0, query, query + 1, 1), still.rows / n) if 0 <= query < n else None,
        is_hatched=bool(is_hidden.any()),
        count=n,
        alt=f"Attention weights of L{view.layer} H{view.head}: a row a token that reads, a column a token read",
        cells=(n, n),
        border=border,
        marks=_mark_strongest(shown) if view.marks else (),
    )


def _scale_frame(frame: tuple[float, float, float, float], by: float) -> tuple[float, float, float, float]:
    """Return a frame in cells of a picture that has fewer than there are positions."""
    return frame if by == 1 else (frame[0] * by, frame[1] * by, frame[2] * by, frame[3] * by)


def _leave_out_first(weights: NDArray[np.floating], first: str) -> NDArray[np.floating]:
    """Return rows of weights, ``[…, key_pos]``, without the first key; ``renormalised``, divided by what is left."""
    weights = weights.copy()
    weights[..., 0] = np.nan
    if first == FIRSTS[-1]:
        rest = np.nansum(weights, -1, keepdims=True)
        weights = np.where(rest < LEAST_REST, np.nan, weights / np.maximum(rest, LEAST_REST))
        weights = round_weights(np.nan_to_num(weights), FULL) + 0 * weights  # as the page keeps what it divides
    return weights


def _mark_strongest(rows: NDArray[np.floating]) -> list[tuple[int, int]]:
    """Return the strongest cell of each row, ``(x, y)``; none of a row without a number."""
    return [(int(np.nanargmax(row)), y) for y, row in enumerate(rows) if not np.isnan(row).all()]


def _find_border(capture: Capture, columns: NDArray[np.int64]) -> int | None:
    """Return the first column of a token behind the prompt; ``None`` if all columns are on one side."""
    behind = np.flatnonzero(columns >= capture.num_prompt_tokens)
    return int(behind[0]) if len(behind) and behind[0] else None


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


def make_map_panel(capture: Capture, view: View, precision: Precision = FULL) -> Panel:
    """Return the map of all heads: their effects, else the largest weight off the first token, or a score."""
    values, signed = measure_map(capture, view, precision)
    if signed:
        largest = _find_largest(values)
        still = draw_effects(values[::-1], largest)
        alt = "Effect of every head, layers from the last at the top, heads from left to right"
    elif view.by in capture.evidence.scores:
        largest = _find_largest(values)
        still, alt = draw_weights(values[::-1], view.scale, largest), f"Score “{view.by}” of every head"
    else:
        largest, still = 1, draw_weights(values[::-1], view.scale)
        alt = "Largest weight of every head off the first token"
    row, column = len(capture.layers) - 1 - capture.layers.index(view.layer), capture.heads.index(view.head)
    rows, columns = label_map(capture.layers, capture.heads, view.layer)
    return Panel(
        name="map",
        still=still,
        rows=rows,
        columns=columns,
        frame=(column, row, 1, 1),
        count=len(capture.layers),
        alt=alt,
        cells=values.shape,
        largest=largest,
        signed=signed,
    )


def make_effect_panel(capture: Capture, view: View) -> Panel | None:
    """Return the panel of all heads and MLPs, by their effect on the step's token; ``None`` if it is not known.

    MLPs have a column of their own behind an empty one. With a measure that is an ablation there are none.
    """
    values = None if view.step is None else _find_effects(capture, view, view.measure)
    if values is None or view.step is None:
        return None
    attribution, measure = capture.evidence.attribution, hold(capture, view.measure, view.step)
    names = LogitAttribution.name_contrasts(attribution) if attribution else []
    columns = [str(head) for head in capture.heads]
    if attribution and measure in names:
        mlps = attribution.other_parts[names.index(measure), view.step, list(capture.layers)]
        values = np.column_stack([values, np.full(len(mlps), np.nan), mlps])
        columns += ["", "MLP"]
    largest = _find_largest(values)
    row, column = len(capture.layers) - 1 - capture.layers.index(view.layer), capture.heads.index(view.head)
    what = "Effect of every head and MLP" if "MLP" in columns else "Change without each head"
    return Panel(
        name="effect",
        still=draw_effects(values[::-1], largest),
        rows=[
            Label(str(layer), _middle(i, len(capture.layers)), layer == view.layer)
            for i, layer in enumerate(reversed(capture.layers))
        ],
        columns=[Label(text, _middle(i, len(columns)), i == column) for i, text in enumerate(columns) if text],
        frame=(column, row, 1, 1),
        is_flat=True,
        count=len(capture.layers),
        alt=f"{what} on the written token, layers from the last at the top, heads from left to right",
        cells=values.shape,
        largest=largest,
        signed=True,
    )


def measure_map(capture: Capture, view: View, precision: Precision = FULL) -> tuple[NDArray[np.floating], bool]:
    """Return what the map of all heads shows, ``[layer, head]``, and whether these are effects.

    Effects on the step's token are in logits. Without them, the map shows the largest weight of each head at the
    position that reads, the first token aside.
    """
    if view.by in capture.evidence.scores:
        return capture.evidence.scores[view.by], False
    effects = _find_effects(capture, view) if view.by == "effect" else None
    if effects is not None:
        return effects, True
    weights = round_weights(dequantize_sqrt(capture.triangles[:, :, capture.row(view.query_pos)]), precision)
    return weights[:, :, 1:].max(2, initial=0), False


def _find_largest(values: NDArray[np.floating]) -> float:
    """Return the largest absolute value, which has the strongest colour; not 0."""
    return max(float(np.nanmax(np.abs(values), initial=0)), 1e-9)


def find_row_scales(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the largest absolute value of each row, its first token left out if it has another one."""
    others = np.nan_to_num(np.abs(rows[:, 1:])).max(1, initial=0)
    return np.where(others > 0, others, np.maximum(np.nan_to_num(np.abs(rows[:, 0])), 1e-9))


def choose_columns(rows: NDArray[np.floating], view: View | None = None) -> NDArray[np.int64]:
    """Return the positions that the columns of a panel show: all, or the ones with the largest sums over the rows.

    Args:
        rows: values by position, ``[row, position]``.
        view: what is selected, of which the range of tokens and whether all columns are shown count; ``None`` for all
            tokens.
    """
    first, last = (view.span if view else None) or (0, rows.shape[1] - 1)
    there = np.arange(rows.shape[1])[first : last + 1]
    if len(there) <= MOST_COLUMNS or (view and "columns" in view.all):
        return there
    order = np.argsort(-np.nan_to_num(rows[:, there]).sum(0, dtype=np.float64), kind="stable")
    return np.sort(there[order[:SHOWN_COLUMNS]])


def _find_effects(capture: Capture, view: View, measure: str = "") -> NDArray[np.float32] | None:
    """Return a number for each head at the selected step, ``[layer, head]``; ``None`` if it is not known.

    Args:
        capture: the capture.
        view: what is selected.
        measure: name of the numbers; empty for effects against what the view compares with.
    """
    grids = list_grids(capture)
    if view.step is None or not (measure or view.contrast):
        return None
    name = hold(capture, measure or view.contrast, view.step)
    attribution = capture.evidence.attribution
    names = LogitAttribution.name_contrasts(attribution) if attribution else []
    if attribution and name in names and attribution.withheld[names.index(name)][view.step]:
        return None
    return grids[name][view.step] if name in grids else None


def _read_weights(capture: Capture, layer: int, head: int, view: View, precision: Precision) -> NDArray[np.floating]:
    """Return the weights of one query, as the page's scripts know them, ``[key_pos]``; NaN where it cannot see."""
    triangle = capture.triangles[capture.layers.index(layer), capture.heads.index(head)]
    weights = round_weights(dequantize_sqrt(triangle[capture.row(view.query_pos)]), precision)
    weights[: capture.layer_type(layer).first_key(view.query_pos)] = np.nan
    if view.first == FIRSTS[0]:
        return weights
    rest = np.nansum(weights[1:])
    weights[0] = np.nan
    if view.first == FIRSTS[-1]:
        weights = weights / rest if rest >= LEAST_REST else np.full_like(weights, np.nan)
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
    if np.isnan(weights).all():
        return RowNote(_NOTHING, -1, "", selected=selected)
    key_pos = int(np.nanargmax(weights))
    effect = "" if effects is None or np.isnan(effects[cell]) else format_effect(float(effects[cell]))
    return RowNote(capture.tokens[key_pos], key_pos, format_weight(float(weights[key_pos])), effect, selected=selected)


def _note_of_step(capture: Capture, read: StepRead | None, selected: bool) -> RowNote:
    if read is None:
        return RowNote(_NOTHING, -1, "", selected=selected)
    through = format_effect(read.through) if read.head else ""
    return RowNote(capture.tokens[read.key_pos], read.key_pos, format_effect(read.effect), through, read.head, selected)


def _label_columns(capture: Capture, columns: NDArray[np.int64], key_pos: int | None, pixels: int) -> list[Label]:
    every = len(columns) and len(columns) == columns[-1] + 1
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
