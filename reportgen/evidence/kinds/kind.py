"""A kind of evidence: all that the program knows of it, in one class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.records.evidence import EvidenceType

Row = Mapping[str, Any]
"""A row of a table, values by column."""


@dataclass(frozen=True)
class Definition:
    """A number, as pages and documents name it.

    Attributes:
        name: key of the number in Python and in JSON.
        title: what a reader sees.
        definition: the formula in words; ``a`` is attention, ``q`` the query's position, ``k`` the key's.
        source: who defined it.
        caution: how it misleads.
    """

    name: str
    title: str
    definition: str
    source: str
    caution: str


@dataclass(frozen=True)
class Heatmap:
    """A figure of a kind, as ``pages.figures`` draws it.

    Attributes:
        name: of the figure and of the script's function that fills it.
        x_label: title of its columns; empty for a pattern of query and key positions.
        y_label: title of its rows.
        x_side: where the labels of columns are, ``above`` or ``below``.
    """

    name: str
    x_label: str = ""
    y_label: str = "layer"
    x_side: str = "above"


class Kind(EvidenceType):
    """A kind of evidence. The base class measures nothing and shows nothing.

    Attributes:
        definitions: of its numbers.
        needs_steps: it says something of generated tokens only.
        heatmap: its own figure; ``None`` where it has none.
        template: section of the page, a file of ``templates/``; empty where it has none.
        scripts: files of ``templates/js`` that draw it, in the order in which they run.
        table: name of its table of numbers; empty where it has none.
    """

    definitions: tuple[Definition, ...] = ()
    needs_steps: bool = False
    heatmap: Heatmap | None = None
    template: str = ""
    scripts: tuple[str, ...] = ()
    table: str = ""

    def has_heatmap(self, capture: Capture) -> bool:
        """Return whether its figure has something to show."""
        return self.heatmap is not None and self.name in capture.evidence.measured

    def list_modes(self, value: Any) -> tuple[str, ...]:
        """Return what it adds to the modes of a head's heatmap."""
        return ()

    def list_grids(self, value: Any) -> Mapping[str, NDArray[np.float32]]:
        """Return its numbers for every head and step, ``[step, layer, head]``, by name."""
        return {}

    def describe(self, capture: Capture, value: Any) -> Mapping[str, Any]:
        """Return what the page's script looks up, as JSON."""
        return {}

    def encode(self, capture: Capture, value: Any) -> Mapping[str, NDArray[Any]]:
        """Return arrays of whole numbers that the page carries, by the name of the block."""
        return {}

    def tabulate(self, capture: Capture, value: Any) -> Iterable[Row]:
        """Return the rows of its table."""
        return ()
