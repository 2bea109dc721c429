"""Bokeh figures without their data: axes, images, marks and tools, as JSON items with stable ids.

The page's script fills in the arrays, sizes and colours, so a figure takes a few kilobytes whatever the length of the
prompt. The script finds the Bokeh models by name: ``<figure>``, ``<figure>.image``, ``<figure>.frame`` and so on.

Rows of a heatmap are counted from the top: the y range is reversed, and an image starts at its top left corner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bokeh.embed import json_item
from bokeh.models import (
    BasicTicker,
    BoxZoomTool,
    ColorBar,
    ColumnDataSource,
    FixedTicker,
    LinearColorMapper,
    PanTool,
    Plot,
    Range1d,
    ResetTool,
    WheelZoomTool,
)
from bokeh.plotting import figure

from reportgen.evidence.kinds.kind import Heatmap
from reportgen.pages.palettes import PALETTES

_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def draw_pattern(name: str, *, tools: bool = False, shaded: bool = False) -> Plot:
    """Return a heatmap with query positions as rows and key positions as columns."""
    plot = _heatmap(name, "key: the token attended to", "query: the token that attends", tools=tools)
    _shade(plot, shaded)
    # At the level glyph, the plot frame clips them after zooming; the image was added first and stays below them.
    _lines(plot, "divider", "glyph")
    _frames(plot, "frame", "glyph")
    _marks(plot)
    _bar(plot)
    return plot


def draw_overview(name: str = "overview", *, with_gaps: bool = False) -> Plot:
    """Return the overview: the patterns of all heads in one image, with layers as rows and heads as columns.

    Args:
        name: name of the figure.
        with_gaps: whether there are labelled rows for layers without attention.
    """
    plot = _heatmap(name, "head", "layer", side="above")
    if with_gaps:
        gaps = ColumnDataSource({"x": [], "y": [], "text": []}, name=f"{name}.gaps")
        plot.text(
            x="x", y="y", text="text", source=gaps, name=f"{name}.text", text_font_size="11px",
            text_baseline="middle", x_offset=4,
        )  # fmt: skip
    _frames(plot, "frame")
    return plot


def draw_tiles(name: str, *, shaded: bool = False) -> Plot:
    """Return one figure with several patterns in a row, each with a label above it."""
    plot = _heatmap(name, None, None)
    _shade(plot, shaded)
    plot.xaxis.visible = plot.yaxis.visible = False
    plot.outline_line_color = None
    _frames(plot, "frame")
    labels = ColumnDataSource({"x": [], "y": [], "text": []}, name=f"{name}.labels")
    plot.text(
        x="x", y="y", text="text", source=labels, name=f"{name}.text", text_font_size="12px", text_baseline="bottom",
        level="overlay",
    )  # fmt: skip
    return plot


def draw_rows(name: str, row_label: str, *, shaded: bool = False) -> Plot:
    """Return a heatmap of the attention of one query position: one row per layer or head, one column per key."""
    plot = _heatmap(name, "context", row_label)
    _shade(plot, shaded)
    _lines(plot, "divider")
    _frames(plot, "frame")
    return plot


def draw_heatmap(heatmap: Heatmap) -> Plot:
    """Return the figure of a kind of evidence."""
    if not heatmap.x_label:
        return draw_pattern(heatmap.name)
    plot = _heatmap(heatmap.name, heatmap.x_label, heatmap.y_label, side=heatmap.x_side)
    _frames(plot, "frame")
    _bar(plot)
    return plot


def draw_logprobs() -> Plot:
    """Return the chart of the log-probability of the chosen token at each generation step."""
    plot = _figure("logprobs", "step and its token", "log-probability (nats)")
    bars = ColumnDataSource({"step": [], "logprob": [], "color": []}, name="logprobs.bars")
    plot.vbar(x="step", top="logprob", width=0.72, fill_color="color", line_color=None, source=bars)
    marks = ColumnDataSource({"step": [], "logprob": []}, name="logprobs.marks")
    plot.scatter(
        x="step", y="logprob", marker="dash", size=14, line_width=2, source=marks, name="logprobs.filtered"
    )  # fmt: skip
    plot.yaxis[0].ticker = BasicTicker(desired_num_ticks=4)
    return plot


def make_figures(
    *, with_steps: bool, evidence: Sequence[Heatmap] = (), marks: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return every figure of a page as a JSON item, with ids renamed in order of appearance.

    Args:
        with_steps: whether tokens were generated; otherwise the figures of generation steps are left out.
        evidence: heatmaps of the measured evidence.
        marks: marks that only some models need: ``shade`` for cells outside a window, ``gaps`` for layers without
            attention.

    Returns:
        Items for ``Bokeh.embed.embed_item``, by name of the figure.
    """
    shaded = "shade" in marks
    drawings: dict[str, Callable[[], Plot]] = {
        "head": lambda: draw_pattern("head", tools=True, shaded=shaded),
        "overview": lambda: draw_overview(with_gaps="gaps" in marks),
        "layer_tiles": lambda: draw_tiles("layer_tiles", shaded=shaded),
        "head_tiles": lambda: draw_tiles("head_tiles", shaded=shaded),
        **{name: lambda name=name: draw_pattern(name, shaded=shaded) for name in _TOGETHER},
    }
    if with_steps:
        drawings["step_heads"] = lambda: draw_rows("step_heads", "head", shaded=shaded)
        drawings["step_layers"] = lambda: draw_rows("step_layers", "layer", shaded=shaded)
        drawings["logprobs"] = draw_logprobs
    drawings |= {heatmap.name: lambda heatmap=heatmap: draw_heatmap(heatmap) for heatmap in evidence}
    return {name: rename_ids(json_item(draw()), prefix=name) for name, draw in drawings.items()}  # pyright: ignore


_TOGETHER = ("aggregate", "pinned", "difference")
"""Patterns that combine several heads."""


def make_compare_figures(marks: Sequence[frozenset[str]], *, with_difference: bool) -> dict[str, Any]:
    """Return every figure of a comparison as a JSON item.

    Args:
        marks: marks of each side, as in ``make_figures``.
        with_difference: whether the captures can be aligned, so that there is a difference to show.

    Returns:
        The items ``head_a``, ``head_b``, ``overview_a``, ``overview_b`` and, with a difference, ``difference``.
    """
    drawings: dict[str, Plot] = {}
    for side, side_marks in zip("ab", marks, strict=True):
        drawings[f"head_{side}"] = draw_pattern(f"head_{side}", tools=True, shaded="shade" in side_marks)
        drawings[f"overview_{side}"] = draw_overview(f"overview_{side}", with_gaps="gaps" in side_marks)
    if with_difference:
        drawings["difference"] = draw_pattern("difference", tools=True)
    return {name: rename_ids(json_item(plot), prefix=name) for name, plot in drawings.items()}  # pyright: ignore


def rename_ids(item: Any, prefix: str) -> Any:
    """Return a JSON item with its ids replaced by ``<prefix>-0``, ``<prefix>-1`` … in order of appearance.

    Bokeh numbers its models throughout a process, but a page must not depend on the pages that were drawn before it.
    """
    names: dict[str, str] = {}

    def rename(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {key: rename(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [rename(item, key if key == "root_ids" else "") for item in value]
        if isinstance(value, str) and key in {"id", "root_id", "root_ids"}:
            return names.setdefault(value, f"{prefix}-{len(names)}")
        return value

    return rename(item)


def _figure(name: str, x_label: str | None, y_label: str | None, *, side: str = "below") -> Plot:
    plot = figure(
        name=name,
        x_range=Range1d(start=0, end=1, name=f"{name}.x_range"),
        y_range=Range1d(start=1, end=0, name=f"{name}.y_range"),
        x_axis_location=side,  # pyright: ignore[reportArgumentType]
        x_axis_label=x_label, y_axis_label=y_label,
        tools="", toolbar_location=None, output_backend="canvas",
        min_border=4, lod_threshold=None, frame_width=300, frame_height=300,
    )  # fmt: skip
    for axis, letter in ((plot.xaxis[0], "x"), (plot.yaxis[0], "y")):
        axis.update(
            name=f"{name}.{letter}_axis",
            ticker=FixedTicker(ticks=[]),
            major_tick_line_color=None, minor_tick_line_color=None, axis_line_color=None,
            major_label_text_font=_FONT, major_label_text_font_size="11px", major_label_standoff=4,
            axis_label_text_font_size="12px", axis_label_text_font_style="normal", axis_label_standoff=6,
        )  # fmt: skip
    plot.grid.visible = False
    plot.toolbar.logo = None
    return plot


def _heatmap(name: str, x_label: str | None, y_label: str | None, *, side: str = "below", tools: bool = False) -> Plot:
    plot = _figure(name, x_label, y_label, side=side)
    source = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []}, name=f"{name}.image")
    mapper = LinearColorMapper(palette=list(PALETTES["blues"][::255]), low=0, high=1, name=f"{name}.mapper")
    plot.image(image="image", x="x", y="y", dw="dw", dh="dh", source=source, color_mapper=mapper)
    if tools:
        drag, wheel = BoxZoomTool(match_aspect=True), WheelZoomTool(modifiers={"ctrl": True})
        plot.add_tools(drag, PanTool(), wheel, ResetTool())
        plot.toolbar.active_drag = drag
        plot.toolbar.active_scroll = wheel
        plot.toolbar_location = "above"
        # By default Bokeh reserves too little width for its buttons and moves the last one into a menu.
        plot.toolbar.styles = {"min-width": "160px", "margin-left": "-25px"}
        # The theme's colours, and no toolbar in print. Bokeh's own rule has the same specificity, hence !important.
        plot.toolbar.stylesheets = [
            ":host > .bk-divider { background-color: var(--line) !important; }",
            "@media print { :host { visibility: hidden; } }",
        ]
    return plot


def _bar(plot: Any) -> None:
    """Add the colour bar."""
    bar = ColorBar(
        name=f"{plot.name}.bar",
        color_mapper=plot.select_one({"name": f"{plot.name}.mapper"}),
        ticker=FixedTicker(name=f"{plot.name}.bar_ticker", ticks=[0, 1]),
        width=12, padding=6, label_standoff=6, bar_line_color=None, background_fill_color=None,
        major_tick_line_color=None, title_text_font_size="12px", title_text_font_style="normal", title_standoff=6,
    )  # fmt: skip
    plot.add_layout(bar, "right")


def _shade(plot: Any, there: bool) -> None:
    """Add hatching over the cells of earlier keys that a query cannot see."""
    if not there:
        return
    source = ColumnDataSource({"xs": [], "ys": []}, name=f"{plot.name}.shade")
    plot.patches(
        xs="xs", ys="ys", source=source, fill_color=None, line_color=None, hatch_pattern="/", hatch_scale=8,
        hatch_weight=1, name=f"{plot.name}.shade_glyph",
    )  # fmt: skip


def _frames(plot: Any, suffix: str, level: str = "overlay") -> None:
    """Add rectangles that outline the selected cells, given by their edges."""
    source = ColumnDataSource({"left": [], "right": [], "top": [], "bottom": []}, name=f"{plot.name}.{suffix}")
    plot.quad(
        left="left", right="right", top="top", bottom="bottom", source=source, fill_alpha=0, line_width=2,
        level=level, name=f"{plot.name}.{suffix}_glyph",
    )  # fmt: skip


def _marks(plot: Any) -> None:
    """Add a ring that marks one key of each row."""
    source = ColumnDataSource({"x": [], "y": []}, name=f"{plot.name}.marks")
    plot.scatter(x="x", y="y", source=source, line_width=1.25, name=f"{plot.name}.marks_glyph")


def _lines(plot: Any, suffix: str, level: str = "overlay") -> None:
    """Add dashed lines that separate the prompt from the generated tokens."""
    source = ColumnDataSource({"xs": [], "ys": []}, name=f"{plot.name}.{suffix}")
    plot.multi_line(
        xs="xs", ys="ys", source=source, line_width=1.25, line_dash=[3, 3], level=level,
        name=f"{plot.name}.{suffix}_glyph",
    )  # fmt: skip
