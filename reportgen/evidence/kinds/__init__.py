"""The kinds of evidence, one per file, and their registry.

To add a kind, write a class in a new file here and add it to ``KINDS``, write a collector that measures it in
``evidence.collectors``, and add a row to docs/numbers.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.ablation import Ablations, FoilAblations
from reportgen.evidence.kinds.attribution import LogitAttribution
from reportgen.evidence.kinds.entropy import AttentionEntropy
from reportgen.evidence.kinds.kind import Definition, Kind
from reportgen.evidence.kinds.lens import LogitLens
from reportgen.evidence.kinds.rollout import Rollout
from reportgen.evidence.kinds.scores import HeadScores
from reportgen.evidence.kinds.screening import Screening
from reportgen.evidence.kinds.spans import SpanReads
from reportgen.evidence.kinds.weighted import ValueNorms
from reportgen.records.evidence import EVIDENCE_TYPES

__all__ = ["DEFINITIONS", "KINDS", "Capture", "Definition", "Kind", "list_measured"]

KINDS: tuple[Kind, ...] = (
    HeadScores(), ValueNorms(), LogitAttribution(), SpanReads(), Ablations(), FoilAblations(), Screening(), LogitLens(),
    Rollout(), AttentionEntropy(),
)  # fmt: skip
"""All kinds, in the order of measurement and of the sections of a page."""

DEFINITIONS: dict[str, Definition] = {definition.name: definition for kind in KINDS for definition in kind.definitions}

EVIDENCE_TYPES.update({kind.name: kind for kind in KINDS})


def list_measured(capture: Capture) -> Iterator[tuple[Kind, Any]]:
    """Yield each kind of evidence that a capture has, with its value."""
    for kind in KINDS:
        if kind.name in capture.evidence.measured:
            yield kind, capture.evidence.measured[kind.name]
