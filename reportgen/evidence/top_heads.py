"""Rank heads by an effect, an ablation or a score."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds import list_measured
from reportgen.evidence.kinds.ablation import ABLATIONS
from reportgen.evidence.kinds.screening import ESTIMATES
from reportgen.records.errors import ReportgenError

EFFECT = "effect"
"""The effect against the alternatives, which is the grid ``attribution``."""
_LOWEST_FIRST = {kind.name for kind in (*ABLATIONS, *ESTIMATES)}
"""Changes of a log-probability: the lowest is of the head without which the token loses most."""


class TopHead(NamedTuple):
    """A head with the number that it was ranked by; layer and head are numbers in the model."""

    layer: int
    head: int
    value: float

    def __repr__(self) -> str:
        return f"L{self.layer} H{self.head} {self.value:+.3f}"


def find_top_heads(capture: Capture, step: int, by: str, n: int) -> list[TopHead]:
    """Return the heads that come first by a number; ``Capture.top_heads`` documents arguments and errors."""
    numbers = list_numbers(capture)
    if by not in numbers:
        close = difflib.get_close_matches(str(by), numbers, 1)
        advice = f"did you mean {close[0]!r}?" if close else f"this capture has {', '.join(numbers) or 'none'}"
        raise ReportgenError(f"top_heads: heads cannot be ranked by {by!r}; {advice}")
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ReportgenError(f"top_heads: n must be a whole number from 1, got {n!r}")
    values = numbers[by]
    if values.ndim == 3:
        capture.query_pos_of_step(step)  # raise if there is no such step
        values = values[step]
    order = np.argsort(values if by in _LOWEST_FIRST else -values, axis=None, kind="stable")
    places = [divmod(int(place), values.shape[1]) for place in order]
    known = [(row, column) for row, column in places if not np.isnan(values[row, column])]
    return [TopHead(capture.layers[row], capture.heads[col], float(values[row, col])) for row, col in known[:n]]


def list_numbers(capture: Capture) -> Mapping[str, NDArray[np.float32]]:
    """Return the numbers of each head by name: ``[step, layer, head]``, and scores ``[layer, head]``."""
    grids = {name: grid for kind, value in list_measured(capture) for name, grid in kind.list_grids(value).items()}
    effect = {EFFECT: grids.pop("attribution")} if "attribution" in grids else {}
    return {**effect, **grids, **capture.evidence.scores}
