"""A capture with what a notebook asks of it: its page, its tables, its largest numbers and its plots."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from reportgen.captures import record
from reportgen.evidence.claims import ClaimResult, judge_claims
from reportgen.evidence.top_heads import EFFECT, TopHead, find_top_heads
from reportgen.notebook.shown import Shown
from reportgen.pages.columns import COLUMNS
from reportgen.pages.data_tables import list_table_names, make_table
from reportgen.pages.options import PageOptions
from reportgen.pages.page import draw_page
from reportgen.pages.plots import make_plot
from reportgen.records.errors import ReportgenError

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure  # noqa: N812 (it is a class)


class Capture(record.Capture, Shown):
    """The record of one run: tokens, attention, predictions and evidence; a notebook displays it as its page.

    Captures are equal if all their fields are, with arrays compared number by number. Layers and heads are numbers in
    the model, positions and steps count from 0.
    """

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.startswith("_")]

    @property
    def claims(self) -> tuple[ClaimResult, ...]:
        """What this capture says of each claim of its prompt: ``holds``, ``value``, ``rank`` and so on.

        Raises:
            PromptError: a claim is on a head that was not captured, or names a token that is not in the text.
        """
        return judge_claims(self)

    @property
    def table_names(self) -> tuple[str, ...]:
        """Names of the tables that this capture has, for ``table``."""
        return list_table_names(self)

    def table(self, name: str) -> dict[str, NDArray[Any]]:
        """Return a table of numbers, the same that ``reportgen build --export-data csv`` writes.

        Args:
            name: ``tokens``, ``steps``, ``heads``, ``attribution``, ``ablation``, ``estimate``, ``lens``, ``entropy``,
                or ``columns`` for the units and definitions of all columns; ``table_names`` lists those that this
                capture has.

        Returns:
            Columns by name: whole numbers as int64, other numbers as float64, texts as objects. A number without a
                value is NaN, so whole numbers of which some have no value are float64. A text without a value is
                ``None``.

        Raises:
            ReportgenError: there is no such table, or this capture has no rows for it.
        """
        table = make_table(self, name)
        return {column: _make_array(values, COLUMNS[name][column].unit) for column, values in table.items()}

    def to_pandas(self, name: str) -> Any:
        """Return a table as a ``pandas.DataFrame``; pandas is not installed with this package.

        Args:
            name: name of a table, as for ``table``.

        Raises:
            ReportgenError: there is no such table, or pandas is not installed.
        """
        return _import("pandas").DataFrame(self.table(name))

    def to_polars(self, name: str) -> Any:
        """Return a table as a ``polars.DataFrame``; polars is not installed with this package.

        Args:
            name: name of a table, as for ``table``.

        Raises:
            ReportgenError: there is no such table, or polars is not installed.
        """
        polars, table = _import("polars"), dict(make_table(self, name))
        types = {"text": polars.String, "index": polars.Int64, "rank": polars.Int64}
        empty = [column for column, values in table.items() if all(value is None for value in values)]
        overrides = {column: types.get(COLUMNS[name][column].unit, polars.Float64) for column in empty}
        return polars.DataFrame(table, infer_schema_length=None, schema_overrides=overrides)

    def top_heads(self, step: int = 0, by: str = EFFECT, n: int = 5) -> list[TopHead]:
        """Return the heads that come first by a number.

        Args:
            step: 0-based generation step; ignored by scores, which are of the whole text.
            by: ``effect`` against the alternatives in logits, largest first; ``ablation`` or ``mean-ablation`` in nats,
                the largest loss first; or a score such as ``induction``, largest first.
            n: maximum number of heads.

        Returns:
            Heads with this number, the first one first; heads for which it is n/a are left out.

        Raises:
            ReportgenError: heads cannot be ranked by that, or this capture does not have it.
            IndexError: there is no such step.
        """
        return find_top_heads(self, step, by, n)

    def plot(
        self,
        kind: Literal["head", "layer", "head_by_layer", "effect", "lens"],
        *,
        layer: int | None = None,
        head: int | None = None,
        step: int | None = None,
        query_pos: int | None = None,
    ) -> Figure:
        """Return a Bokeh figure, to show with ``bokeh.io.show`` or to place in a layout.

        Args:
            kind: ``head`` is the pattern of a head, ``[query_pos, key_pos]``; ``layer`` what every head of a layer
                reads, and ``head_by_layer`` what a head of every layer reads, at one position; ``effect`` the effect of
                every head on the token of a step; ``lens`` the probability of each written token after each layer.
            layer: number of the layer; ``None`` for the layer that the page opens on. Negative counts from the last.
            head: number of the head; ``None`` for the head that the page opens on.
            step: generation step whose token is predicted; ``None`` for the one that the page opens on.
            query_pos: position that reads, instead of a step.

        Raises:
            ReportgenError: there is no such figure, or this capture has no numbers for it.
            IndexError: the layer or head was not captured, or there is no such step or position.
        """
        return make_plot(self, kind, layer=layer, head=head, step=step, query_pos=query_pos)

    def _draw(self, options: PageOptions) -> str:
        return draw_page(self, options, has_index=False).html

    def _name(self) -> tuple[str, str]:
        return self.prompt.title, self.prompt.slug


def take_over(capture: record.Capture) -> Capture:
    """Return a capture that was made elsewhere in the package as one of this class; arrays are not copied."""
    return Capture(**{item.name: getattr(capture, item.name) for item in fields(capture)})


def _make_array(values: Any, unit: str) -> NDArray[Any]:
    """Return the values of a column; ``None`` is NaN among numbers."""
    if unit == "text":
        return np.array(values, dtype=object)
    if any(value is None or isinstance(value, float) for value in values):
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return np.array(values)


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ReportgenError(f"to_{name}: {name} is not installed; pip install {name}, or use table") from error
