"""Two captures beside one another: which of their positions mean the same, and how far their heads are apart."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.quantization import quantize_sqrt
from reportgen.captures.record import Capture
from reportgen.records.evidence import Evidence

LEAST_COMMON = 2
"""Fewer positions than this are no text in common."""


@dataclass(frozen=True)
class Alignment:
    """A run of positions of both captures that stand for one another.

    Attributes:
        starts: where the run starts, in the first and in the second capture.
        length: how many positions it has.
        is_whole: whether both prompts are equally long, so that each position stands for the same position; otherwise
            the run is what both texts have in common around the end of their prompts.
    """

    starts: tuple[int, int]
    length: int
    is_whole: bool


@dataclass(frozen=True)
class Variation:
    """How far the patterns of two heads of the same number are apart, 0 to 1."""

    layer: int
    head: int
    total_variation: float


def align(first: Capture, second: Capture) -> Alignment | None:
    """Return which positions of two captures stand for one another.

    Prompts of equal length stand for one another position by position, whatever they say. Of others the last tokens of
    both prompts do, as long as they are the same. Generated tokens go on from there, as long as they are the same.

    Returns:
        The positions; ``None`` where there are fewer than ``LEAST_COMMON``.
    """
    ends = first.num_prompt_tokens, second.num_prompt_tokens
    is_whole = ends[0] == ends[1]
    # Not their numbers, which mean something else in another vocabulary.
    shown = [[token.shown for token in capture.tokens] for capture in (first, second)]
    before = ends[0] if is_whole else _count_equal(shown[0][: ends[0]][::-1], shown[1][: ends[1]][::-1])
    after = _count_equal(shown[0][ends[0] :], shown[1][ends[1] :])
    if before == 0 or before + after < LEAST_COMMON:
        return None
    return Alignment((ends[0] - before, ends[1] - before), before + after, is_whole)


def slim(capture: Capture) -> Capture:
    """Return what a comparison needs of a capture: weights in 8 bits and head scores, a fraction of the whole."""
    return replace(
        capture, attention=quantize_sqrt(capture.attention), evidence=Evidence(scores=capture.evidence.scores)
    )


def measure_variations(first: Capture, second: Capture, alignment: Alignment) -> list[Variation]:
    """Return how far each head that both captures have is from that of the same number, farthest first.

    The total variation of two rows of attention is half the sum of the absolute differences of their weights: the share
    of weight that lies elsewhere, 0 where they are the same and 1 where they read no key in common. Keys outside the
    aligned positions count as one. That of two heads is the mean over the aligned queries.
    """
    found = []
    for layer in (layer for layer in first.layers if layer in second.layers):
        for head in (head for head in first.heads if head in second.heads):
            rows = [
                _rows_of(capture, layer, head, start, alignment.length)
                for capture, start in zip((first, second), alignment.starts, strict=True)
            ]
            found.append(Variation(layer, head, float(np.abs(rows[0] - rows[1]).sum(1).mean()) / 2))
    return sorted(found, key=lambda one: -one.total_variation)


def _rows_of(capture: Capture, layer: int, head: int, start: int, length: int) -> NDArray[np.float32]:
    """Return the aligned rows of a head: what lies before the aligned keys as one column, then those keys."""
    rows = capture.pattern(layer, head)[start : start + length]
    before = rows[:, :start].sum(1, keepdims=True)
    return np.concatenate([before, rows[:, start : start + length]], axis=1)


def _count_equal(first: list[str], second: list[str]) -> int:
    """Return how many items at the beginning of two lists are the same."""
    pairs = zip(first, second, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
