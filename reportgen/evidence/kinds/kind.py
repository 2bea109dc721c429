"""Base class of the kinds of evidence, and the records that describe their numbers and figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.records.evidence import EvidenceType
from reportgen.records.sentences import Sentence

Row = Mapping[str, Any]
"""A table row: values by column name."""


@dataclass(frozen=True)
class Definition:
    """Definition of a number, as shown on pages and in the documentation.

    Attributes:
        name: key of the number in Python and in JSON.
        title: title shown to the reader.
        definition: the formula in words; ``a`` is attention, ``q`` the query position, ``k`` the key position.
        source: publication that defined the number.
        caution: how the number can mislead.
    """

    name: str
    title: str
    definition: str
    source: str
    caution: str


class Kind(EvidenceType):
    """Base class of the kinds of evidence; by default, a kind has no page section and no table.

    Attributes:
        definitions: definitions of the numbers of this kind.
        needs_steps: whether the kind needs generated tokens.
        needs_spans: whether the kind needs spans; without them it is not missing.
        template: template of the page section, a file in ``templates/``, which folds; empty if there is none.
        scripts: files in ``templates/js/figures`` that draw the section, in the order of execution.
        table: name of the table of numbers; empty if there is none.
    """

    definitions: tuple[Definition, ...] = ()
    needs_steps: bool = False
    needs_spans: bool = False
    template: str = ""
    scripts: tuple[str, ...] = ()
    table: str = ""

    def has_figure(self, capture: Capture) -> bool:
        """Return whether the figure of this kind has data in a capture."""
        return self.name in capture.evidence.measured

    def list_modes(self, value: Any) -> tuple[str, ...]:
        """Return the names of the modes that this kind adds to the heatmap of a head."""
        return ()

    def list_grids(self, value: Any) -> Mapping[str, NDArray[np.float32]]:
        """Return arrays with a number for each step and head, ``[step, layer, head]``, by name."""
        return {}

    def describe(self, capture: Capture, value: Any) -> Mapping[str, Any]:
        """Return the values that the scripts of the page need, as JSON."""
        return {}

    def encode(self, capture: Capture, value: Any) -> Mapping[str, NDArray[Any]]:
        """Return the integer arrays that are embedded in the page, by name."""
        return {}

    def tabulate(self, capture: Capture, value: Any) -> Iterable[Row]:
        """Return the rows of the table of this kind."""
        return ()

    def find(self, capture: Capture, value: Any, step: int | None) -> Sentence:
        """Return the title of the section with its finding, for a step or, if ``None``, for the whole text.

        By default, the title says no more than what the numbers are called.
        """
        title = self.definitions[0].title if self.definitions else self.name
        return (title[:1].upper() + title[1:],)
