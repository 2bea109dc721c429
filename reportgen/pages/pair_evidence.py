"""What both sides of a comparison say of their first token behind the prompt: effects, ablation and logit lens.

Each side is measured on the token that it goes on with, so that a difference compares how both came to their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.ablation import ABLATIONS
from reportgen.evidence.kinds.attribution import Attribution
from reportgen.evidence.kinds.lens import Lens
from reportgen.records.sentences import format_percent

LISTED = 10
"""Number of heads in each table."""


@dataclass(frozen=True)
class HeadTable:
    """The heads whose numbers differ most between the sides; a row is layer, head, and A, B and A − B as text."""

    title: str
    unit: str
    rows: Sequence[tuple[int, int, str, str, str]]


@dataclass(frozen=True)
class LensRow:
    """A layer of the logit lens: the most probable token of each side, and the probability of its own next token."""

    layer: int
    best: tuple[str, str]
    probs: tuple[str, str]


@dataclass(frozen=True)
class PairEvidence:
    """Evidence of both sides at their first step.

    Attributes:
        tokens: the token that each side goes on with, for display.
        tables: a table for each kind of number that both sides have of the same heads.
        lens: rows of the lens, the last layer first; empty if a side has none, or their models have other layers.
        missing: what a side lacks, and why.
    """

    tokens: tuple[str, str]
    tables: Sequence[HeadTable]
    lens: Sequence[LensRow]
    missing: Sequence[str]


def find_pair_evidence(captures: tuple[Capture, Capture]) -> PairEvidence | None:
    """Return the evidence of both sides at their first step; ``None`` if a side has no step or they share nothing."""
    if not all(capture.steps for capture in captures):
        return None
    first, second = (_list_grids(capture) for capture in captures)
    tables = [_compare_heads(captures, name, first[name], second[name]) for name in first if name in second]
    lens = _compare_lenses(captures[0].evidence.lens, captures[1].evidence.lens)
    if not tables and not lens:
        return None
    names = "A", "B"
    missing = [
        f"{name} has no {kind}: {capture.evidence.missing[kind]}"
        for name, capture in zip(names, captures, strict=True)
        for kind in ("attribution", "lens", "ablations")
        if kind in capture.evidence.missing
    ]
    shown = [capture.tokens[capture.num_prompt_tokens].shown for capture in captures]
    return PairEvidence((shown[0], shown[1]), tables, lens, missing)


def _list_grids(capture: Capture) -> Mapping[str, NDArray[np.float32]]:
    """Return what is measured of each head at the first step, ``[layer, head]``, by its title and unit."""
    found: dict[str, NDArray[np.float32]] = {}
    attribution: Attribution | None = capture.evidence.attribution
    if attribution is not None and not attribution.withheld[0][0]:
        found["effect on its own token, logits"] = attribution.heads[0, 0]
    for method in ABLATIONS:
        if method.name in capture.evidence.ablations:
            found[f"{method.title}, nats"] = capture.evidence.ablations[method.name][0]
    return found


def _compare_heads(
    captures: tuple[Capture, Capture], name: str, first: NDArray[np.float32], second: NDArray[np.float32]
) -> HeadTable:
    places = [
        (float(first[one.layers.index(layer), one.heads.index(head)]),
         float(second[other.layers.index(layer), other.heads.index(head)]), layer, head)
        for one, other in [captures]
        for layer in one.layers if layer in other.layers
        for head in one.heads if head in other.heads
    ]  # fmt: skip
    known = [place for place in places if not math.isnan(place[0] - place[1])]
    listed = sorted(known, key=lambda place: -abs(place[0] - place[1]))[:LISTED]
    rows = [(layer, head, _sign(ours), _sign(theirs), _sign(ours - theirs)) for ours, theirs, layer, head in listed]
    title, _, unit = name.rpartition(", ")
    return HeadTable(title, unit, rows)


def _sign(value: float) -> str:
    """Return a number with its sign and two decimals; zero has no sign."""
    text = f"{value:+.2f}".replace("-", "−")
    return text if text.strip("+−0.") else "0.00"


def _compare_lenses(first: Lens | None, second: Lens | None) -> list[LensRow]:
    if first is None or second is None or first.layers != second.layers:
        return []
    return [
        LensRow(
            layer,
            (first.best[row][0].shown, second.best[row][0].shown),
            (format_percent(math.exp(first.logprobs[row, 0])), format_percent(math.exp(second.logprobs[row, 0]))),
        )
        for row, layer in reversed(list(enumerate(first.layers)))
    ]
