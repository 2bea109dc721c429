"""Figures of a capture as Bokeh objects, to place in one's own layout.

They show the numbers of the figures of a page, in the same colours. A page itself draws with copies of one empty
figure, ``pages.figures``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.opening import Opening, find_opening
from reportgen.pages.palettes import DIVERGING, PALETTES
from reportgen.pages.panels import label_axis
from reportgen.records.errors import ReportgenError
from reportgen.records.selection import format_ranges

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure  # noqa: N812 (it is a class)

_CELL, _LEAST, _MOST = 18, 200, 720
"""Side of a cell, and smallest and largest side of a figure, in CSS pixels."""


@dataclass(frozen=True)
class _Heatmap:
    """Numbers of a figure, with their labels.

    Attributes:
        values: ``[row, column]``; NaN where there is no value.
        rows: labels of the rows, from the top.
        columns: labels of the columns.
        axes: titles of the axes of rows and of columns.
        title: title of the figure.
        name: what the numbers are.
        signed: whether they are effects; otherwise they are shares from 0 to 1.
    """

    values: NDArray[np.floating]
    rows: Sequence[str]
    columns: Sequence[str]
    axes: tuple[str, str]
    title: str
    name: str
    signed: bool = False


def make_plot(
    capture: Capture,
    kind: str,
    *,
    layer: int | None = None,
    head: int | None = None,
    step: int | None = None,
    query_pos: int | None = None,
) -> Figure:
    """Return a figure; ``Capture.plot`` documents arguments and errors."""
    if kind not in _KINDS:
        close = difflib.get_close_matches(str(kind), _KINDS, 1)
        advice = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(_KINDS)}"
        raise ReportgenError(f"plot: there is no figure {kind!r}; {advice}")
    opening = find_opening(capture)
    layer = opening.layer if layer is None else _find("layer", layer, capture.layers, capture.model.num_layers)
    head = opening.head if head is None else _find("head", head, capture.heads, capture.model.num_heads)
    if step is not None and query_pos is not None:
        raise ReportgenError("plot: both 'step' and 'query_pos' are given; keep one")
    if step is not None:
        query_pos = capture.query_pos_of_step(step)
    elif query_pos is None:
        step, query_pos = opening.step, opening.query_pos
    else:
        predicted = query_pos - (capture.num_prompt_tokens - 1)
        step = predicted if 0 <= predicted < len(capture.steps) else None
    if not 0 <= query_pos < capture.num_tokens:
        raise IndexError(f"there is no query position {query_pos}: the text has {capture.num_tokens}, counted from 0")
    return _draw(_KINDS[kind](capture, replace(opening, layer=layer, head=head, step=step, query_pos=query_pos)))


def _find(name: str, number: int, captured: Sequence[int], count: int) -> int:
    """Return the number of a captured layer or head; a negative one counts from the model's last."""
    found = number + count if -count <= number < 0 else number
    if found not in captured:
        raise IndexError(f"{name} {number} was not captured; the captured ones are {format_ranges(captured)}")
    return found


def _show_head(capture: Capture, place: Opening) -> _Heatmap:
    pattern = capture.attention[place.layer, place.head]
    positions, kind = np.arange(capture.num_tokens), capture.layer_type(place.layer)
    first = np.array([kind.first_key(query_pos) for query_pos in range(capture.num_tokens)])[:, None]
    pattern[(positions > positions[:, None]) | (positions < first)] = np.nan
    axes = "token that reads", "token read"
    return _Heatmap(pattern, capture.labels, capture.labels, axes, f"L{place.layer} H{place.head}", "weight")


def _show_layer(capture: Capture, place: Opening) -> _Heatmap:
    rows = _read(capture, [(place.layer, head) for head in capture.heads], place.query_pos)
    labels = [f"H{head}" for head in capture.heads]
    title = f"layer {place.layer}, {_say_query(capture, place)}"
    return _Heatmap(rows, labels, capture.labels[: rows.shape[1]], ("head", "token read"), title, "weight")


def _show_head_by_layer(capture: Capture, place: Opening) -> _Heatmap:
    layers = capture.layers[::-1]
    rows = _read(capture, [(layer, place.head) for layer in layers], place.query_pos)
    labels = [f"L{layer}" for layer in layers]
    title = f"head {place.head} by layer, {_say_query(capture, place)}"
    return _Heatmap(rows, labels, capture.labels[: rows.shape[1]], ("layer", "token read"), title, "weight")


def _show_effect(capture: Capture, place: Opening) -> _Heatmap:
    attribution = capture.evidence.attribution
    if attribution is None:
        raise ReportgenError(f"plot: this capture has no effects; {_say_why(capture, 'attribution')}")
    step = place.step
    if step is None:
        raise ReportgenError(f"plot: position {place.query_pos} predicts no generated token; give a step")
    if reason := attribution.withheld[0][step]:
        raise ReportgenError(f"plot: the effects of step {step} are n/a; {reason}")
    token = capture.labels[capture.query_pos_of_step(step) + 1]
    labels = [f"L{layer}" for layer in capture.layers[::-1]], [f"H{head}" for head in capture.heads]
    title = f"effects on {token}, in logits"
    return _Heatmap(attribution.heads[0, step, ::-1], *labels, ("layer", "head"), title, "effect", signed=True)


def _show_lens(capture: Capture, place: Opening) -> _Heatmap:
    lens = capture.evidence.lens
    if lens is None:
        raise ReportgenError(f"plot: this capture has no logit lens; {_say_why(capture, 'lens')}")
    rows, columns = [f"L{layer}" for layer in lens.layers[::-1]], capture.labels[capture.num_prompt_tokens :]
    title = "logit lens, written tokens"
    return _Heatmap(np.exp(lens.logprobs[::-1]), rows, columns, ("layer", "written token"), title, "probability")


_KINDS: dict[str, Callable[[Capture, Opening], _Heatmap]] = {
    "head": _show_head,
    "layer": _show_layer,
    "head_by_layer": _show_head_by_layer,
    "effect": _show_effect,
    "lens": _show_lens,
}


def _read(capture: Capture, heads: Sequence[tuple[int, int]], query_pos: int) -> NDArray[np.float32]:
    """Return the weights of one query, ``[head, key_pos]``, NaN where a head cannot see the key."""
    rows = np.stack([capture.attention[layer, head, query_pos, : query_pos + 1] for layer, head in heads])
    for row, (layer, _) in zip(rows, heads, strict=True):
        row[: capture.layer_type(layer).first_key(query_pos)] = np.nan
    return rows


def _say_query(capture: Capture, place: Opening) -> str:
    return f"read at {capture.labels[place.query_pos]}"


def _say_why(capture: Capture, kind: str) -> str:
    return capture.evidence.missing.get(kind, "no token was generated")


def _draw(heatmap: _Heatmap) -> Figure:
    # Imported here, because Bokeh's models take most of the time of importing this package otherwise.
    from bokeh.models import ColorBar, FixedTicker, LinearColorMapper, PlainText, Range1d, Title
    from bokeh.plotting import figure

    num_rows, num_columns = heatmap.values.shape
    height, width = (min(max(_CELL * count, _LEAST), _MOST) for count in heatmap.values.shape)
    plot = figure(
        title=Title(text=PlainText(text=heatmap.title)),
        x_range=Range1d(start=-0.5, end=num_columns - 0.5), y_range=Range1d(start=num_rows - 0.5, end=-0.5),
        x_axis_label=heatmap.axes[1], y_axis_label=heatmap.axes[0],
        frame_width=width, frame_height=height, tools="hover,save",
        tooltips=[
            (heatmap.axes[0], "$y{0}"), (heatmap.axes[1], "$x{0}"), (heatmap.name, "@image{0.0000}")
        ],
    )  # fmt: skip
    plot.grid.visible = False
    if heatmap.signed:
        limit = max(float(np.nanmax(np.abs(heatmap.values), initial=0)), 1e-9)
        palette, low, high = DIVERGING["light"], -limit, limit
    else:
        blues = PALETTES["blues"]
        # The colour of a share is that of its square root, as on a page; the numbers of the bar are the shares.
        palette, low, high = [blues[round(255 * (code / 255) ** 0.5)] for code in range(256)], 0.0, 1.0
    mapper = LinearColorMapper(palette=list(palette), low=low, high=high, nan_color="rgba(0, 0, 0, 0)")
    place = {"x": -0.5, "y": -0.5, "dw": num_columns, "dh": num_rows}
    plot.image([heatmap.values], color_mapper=mapper, **place)  # pyright: ignore[reportCallIssue, reportArgumentType]
    for axis, labels, pixels in ((plot.xaxis, heatmap.columns, width), (plot.yaxis, heatmap.rows, height)):
        shown = {int(label.at * len(labels) / 100): label.text for label in label_axis(labels, None, pixels)}
        axis.ticker = FixedTicker(ticks=[*shown])
        axis.major_label_overrides = {number: PlainText(text=text) for number, text in shown.items()}
    plot.xaxis.major_label_orientation = "vertical" if max(map(len, heatmap.columns)) > 3 else "horizontal"
    plot.add_layout(ColorBar(color_mapper=mapper, title=heatmap.name), "right")
    return plot
