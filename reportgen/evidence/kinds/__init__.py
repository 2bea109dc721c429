"""Every kind of evidence, one file each, and the registry of them.

A new kind is a class in a file here with an entry below, and a file in ``evidence.collectors`` that measures it;
docs/numbers.md has its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.ablation import Ablations
from reportgen.evidence.kinds.attribution import LogitAttribution
from reportgen.evidence.kinds.entropy import AttentionEntropy
from reportgen.evidence.kinds.kind import Definition, Kind
from reportgen.evidence.kinds.lens import LogitLens
from reportgen.evidence.kinds.rollout import Rollout
from reportgen.evidence.kinds.scores import HeadScores
from reportgen.evidence.kinds.weighted import ValueNorms
from reportgen.records.evidence import EVIDENCE_TYPES

__all__ = ["DEFINITIONS", "KINDS", "Capture", "Definition", "Kind", "list_measured"]

KINDS: tuple[Kind, ...] = (
    HeadScores(), ValueNorms(), LogitAttribution(), Ablations(), LogitLens(), Rollout(), AttentionEntropy(),
)  # fmt: skip
"""In the order in which they are measured, and stand on a page."""

DEFINITIONS: dict[str, Definition] = {definition.name: definition for kind in KINDS for definition in kind.definitions}

EVIDENCE_TYPES.update({kind.name: kind for kind in KINDS})


def list_measured(capture: Capture) -> Iterator[tuple[Kind, Any]]:
    """Yield the kinds that a capture has, with their values."""
    for kind in KINDS:
        if kind.name in capture.evidence.measured:
            yield kind, capture.evidence.measured[kind.name]
