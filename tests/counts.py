"""How often tests repeat one property: a sample in ``make test``, all of it under ``REPORTGEN_TESTS=full``.

A sample is drawn by the same seed as the whole, so that it is a part of it; CONTRIBUTING.md shows this table.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

FULL = os.environ.get("REPORTGEN_TESTS") == "full"

COUNTS = {
    "parsed pages": (50, 1_000),
    "parsed pages in Chromium": (20, 150),
    "kills": (8, 50),
    "token texts": (100, 1_000),
    "other examples": (50, 100),
    "GGUF headers": (100, 300),
    "claims": (120, 1_000),
    "prompt files": (100, 300),
    "capture files": (50, 200),
    "recipes": (75, 4_000),
    "pairs of commands": (8, 81),
    "kinds of pages in every width": (3, 10),
    "model families": (87, 196),
    "benchmarks": (1, 11),
    "pages of the documentation": (3, 33),
    "places of a kill in a conversion": (1, 3),
    "pages of hostile strings": (3, 9),
    "palettes under a text": (2, 6),
}
"""By property: how often ``make test`` looks at it, and how often all of it is."""


def sample(values: Sequence[Any], every: int) -> list[Any]:
    """Return parameters of a test, one of so many for each run and the others for the full run."""
    marked = pytest.mark.full
    return [
        value if number % every == 0 else pytest.param(*value if isinstance(value, tuple) else (value,), marks=marked)
        for number, value in enumerate(values)
    ]


def count(of: str) -> int:
    """Return how often a property is looked at in this run."""
    return COUNTS[of][FULL]
