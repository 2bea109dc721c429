"""The Bokeh figure of every heatmap, without its data, as a JSON item with stable ids.

A page draws all heatmaps with copies of one figure: an image that fills the whole frame. Labels, frames and numbers
stand around it and above it as HTML, where they can be selected and read aloud, and where a picture without scripts
has the same. The page's script fills in the arrays and colours, so a figure takes a few kilobytes whatever the length
of the prompt. It finds the Bokeh models by name: ``figure``, ``figure.image``, ``figure.mapper`` and so on.

Rows are counted from the top: the y range is reversed, and an image starts at its top left corner. A cell is one unit.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from markupsafe import Markup

from reportgen.pages.encoding import encode_json
from reportgen.pages.palettes import PALETTES

NAME = "figure"


@cache
def make_figure_block() -> Markup:
    """Return the block of the figure."""
    return encode_json(make_figure())


def make_figure() -> Any:
    """Return the figure as a JSON item for ``Bokeh.embed.embed_item``."""
    # Imported here, because importing Bokeh's models takes most of the time of a run with all pages up to date.
    from bokeh.embed import json_item
    from bokeh.models import BoxSelectTool, ColumnDataSource, LinearColorMapper, Range1d
    from bokeh.plotting import figure

    plot = figure(
        name=NAME,
        x_range=Range1d(start=0, end=1, name=f"{NAME}.x_range"),
        y_range=Range1d(start=1, end=0, name=f"{NAME}.y_range"),
        x_axis_location=None, y_axis_location=None,
        tools="", toolbar_location=None, output_backend="canvas", lod_threshold=None,
        min_border=0, frame_width=100, frame_height=100,
        background_fill_color=None, border_fill_color=None, outline_line_color=None,
    )  # fmt: skip
    plot.grid.visible = False
    # Dragging selects a range of tokens, which then holds for every figure.
    drag = BoxSelectTool(renderers=[], persistent=False)
    plot.add_tools(drag)
    plot.toolbar.active_drag = drag
    source = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []}, name=f"{NAME}.image")
    mapper = LinearColorMapper(
        palette=list(PALETTES["blues"][::255]), low=0, high=1, nan_color="rgba(0, 0, 0, 0)", name=f"{NAME}.mapper"
    )
    place = {"x": "x", "y": "y", "dw": "dw", "dh": "dh"}
    plot.image("image", source=source, color_mapper=mapper, **place)  # pyright: ignore[reportCallIssue]
    return rename_ids(json_item(plot), prefix=NAME)  # pyright: ignore[reportArgumentType]


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
