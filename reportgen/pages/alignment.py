"""Align the positions of two captures, and measure how much their heads differ."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.quantization import quantize_sqrt
from reportgen.captures.record import Capture
from reportgen.records.evidence import Evidence

LEAST_COMMON = 2
"""Minimum number of aligned positions; with fewer, two captures are not aligned."""


@dataclass(frozen=True)
class Alignment:
    """A range of positions in one capture and the corresponding range in another.

    Attributes:
        starts: first position of the range, in the first and in the second capture.
        length: number of positions in the range.
        is_whole: whether both prompts have the same length, so that each position corresponds to the same position;
            otherwise the range is the text that both captures have in common around the end of their prompts.
    """

    starts: tuple[int, int]
    length: int
    is_whole: bool


@dataclass(frozen=True)
class Variation:
    """Difference between the patterns of the same head in two captures.

    Attributes:
        layer: number of the layer.
        head: number of the head.
        total_variation: mean total variation of the aligned rows, 0 to 1.
        place: row with the largest total variation, counted from the first aligned one.
    """

    layer: int
    head: int
    total_variation: float
    place: int


def align(first: Capture, second: Capture) -> Alignment | None:
    """Return the positions of two captures that correspond to each other.

    Prompts of equal length are aligned position by position, whatever their text. Otherwise the longest common suffix
    of both prompts is aligned. The range continues with the generated tokens, up to the first that differs. The token
    of a forecast is compared with the first one that the other side generated or would write next.

    Returns:
        The positions; ``None`` if there are fewer than ``LEAST_COMMON``.
    """
    prompts = align_prompts(first, second)
    shown = [_list_shown(capture)[capture.num_prompt_tokens :] for capture in (first, second)]
    after = _count_equal(*shown)
    if prompts is None or prompts.length + after < LEAST_COMMON:
        return None
    return replace(prompts, length=prompts.length + after)


def align_prompts(first: Capture, second: Capture) -> Alignment | None:
    """Return the positions of the prompts of two captures that correspond to each other, as ``align`` does.

    Returns:
        The positions, the last of which are those of the last prompt tokens; ``None`` if there are none.
    """
    ends = first.num_prompt_tokens, second.num_prompt_tokens
    is_whole = ends[0] == ends[1]
    reversed_prompts = [_list_shown(one)[:end][::-1] for one, end in zip((first, second), ends, strict=True)]
    length = ends[0] if is_whole else _count_equal(*reversed_prompts)
    return Alignment((ends[0] - length, ends[1] - length), length, is_whole) if length else None


def slim(capture: Capture, bits: int) -> Capture:
    """Return a copy of a capture with only what a comparison needs.

    That is attention weights, head scores, and what is small of the evidence on steps: effects of whole heads, ablation
    and the lens.

    Args:
        capture: capture of one side.
        bits: bits per weight on the page; with 8, the weights are reduced to 8 bits.
    """
    triangles = quantize_sqrt(capture.triangles) if bits == 8 else capture.triangles
    usual = capture.evidence
    kept = {name: usual.measured[name] for name in ("scores", "ablations", "lens") if name in usual.measured}
    if usual.attribution is not None:
        kept["attribution"] = replace(usual.attribution, sources=None, read=None)
    return replace(capture, triangles=triangles, evidence=Evidence(missing=usual.missing, **kept))


def measure_variations(first: Capture, second: Capture, alignment: Alignment) -> list[Variation]:
    """Return how much each head that both captures have differs between them, largest difference first.

    The total variation of two rows of attention is half the sum of the absolute differences of their weights: 0 if the
    rows are equal, 1 if they have no attended key in common. All keys before the aligned positions count as one key,
    and a learned sink as another.
    The total variation of two heads is the mean over the aligned queries.
    """
    variations = []
    for layer in (layer for layer in first.layers if layer in second.layers):
        for head in (head for head in first.heads if head in second.heads):
            rows = [
                np.column_stack(
                    [
                        read_aligned(capture.attention[layer, head], start, alignment.length),
                        _read_sink(capture, layer, head, slice(start, start + alignment.length)),
                    ]
                )
                for capture, start in zip((first, second), alignment.starts, strict=True)
            ]
            by_row = np.abs(rows[0] - rows[1]).sum(1) / 2
            variations.append(Variation(layer, head, float(by_row.mean()), int(by_row.argmax())))
    return sorted(variations, key=lambda variation: -variation.total_variation)


def read_aligned(pattern: NDArray[np.floating], start: int, length: int) -> NDArray[np.float64]:
    """Return the aligned rows of a pattern, ``[row, 1 + length]``: the sum over all earlier keys, then aligned keys.

    Args:
        pattern: weights of a head, ``[query_pos, key_pos]``.
        start: first aligned position.
        length: number of aligned positions.
    """
    queries = slice(start, start + length)
    rows = pattern[queries].astype(np.float64)
    return np.column_stack([rows[:, :start].sum(1), rows[:, queries]])


def _read_sink(capture: Capture, layer: int, head: int, queries: slice) -> NDArray[np.float64]:
    """Return what the learned sink of a head takes of each row; zeros if it has none."""
    sink = np.zeros(queries.stop - queries.start)
    if capture.sink_mass is not None:
        sink += np.nan_to_num(capture.sink_mass[capture.layers.index(layer), capture.heads.index(head), queries])
    return sink


def _list_shown(capture: Capture) -> list[str]:
    # Token ids cannot be compared, because the models may have different vocabularies.
    return [token.shown for token in capture.tokens]


def _count_equal(first: list[str], second: list[str]) -> int:
    """Return the length of the common prefix of two lists."""
    pairs = zip(first, second, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
