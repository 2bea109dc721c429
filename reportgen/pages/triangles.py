"""Pack codes of attention weights so that they compress well; ``templates/js/data/triangles.js`` unpacks them.

Neighbouring cells of a heatmap are similar. Each code is predicted from its left, upper and upper left neighbours with
the median edge detector of LOCO-I (Weinberger, Seroussi and Sapiro 2000). The spread of the codes depends on the
prediction; where it is 0, most are 0. So codes are grouped by their prediction, and deflate finds a separate code for
each group. With SmolLM2 and 256 tokens, this makes the result a sixth smaller. The differences from the predictions
would take 1 % less there, and 13 % more where weak weights are left out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

CONTEXTS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 24, 32, 48, 64, 96)
"""Smallest predicted code of each group; groups are narrow where most codes are."""
_CELLS = 1 << 21
"""Number of cells that are packed together, if one head has no more: many to save time, few to save memory."""


def pack_triangles(codes: NDArray[np.uint8]) -> bytes:
    """Return lower triangles of codes, packed so that they compress well.

    Args:
        codes: codes of each head, ``[head, cell]``, row by row.

    Returns:
        Number of cells in each group, as little-endian 32-bit unsigned integers, then the codes group by group, in the
        order of heads and cells.
    """
    parts: list[list[bytes]] = [[] for _ in CONTEXTS]
    at_once = max(1, _CELLS // codes.shape[1])
    for first in range(0, len(codes), at_once):
        for part, group in zip(parts, _group(codes[first : first + at_once]), strict=True):
            part.append(group.tobytes())
    groups = [b"".join(part) for part in parts]
    return np.array([len(group) for group in groups], "<u4").tobytes() + b"".join(groups)


_CONTEXT_OF = (np.searchsorted(CONTEXTS, np.arange(256), side="right") - 1).astype(np.uint8)


def _group(codes: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return the codes of each group."""
    predicted, codes = _predict(codes).ravel(), codes.ravel()
    # Most predictions of a long text are 0, and this is the fast way to take them out.
    is_other = predicted != 0
    others = np.flatnonzero(is_other)
    contexts = _CONTEXT_OF.take(predicted.take(others))
    ordered = codes.take(others.take(np.argsort(contexts, kind="stable")))
    counts = np.bincount(contexts, minlength=len(CONTEXTS))
    return [np.compress(~is_other, codes), *np.split(ordered, np.cumsum(counts[1:-1]))]


def _predict(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the prediction of each code from its neighbours, ``[head, cell]``; a missing neighbour counts as 0."""
    starts = [query_pos * (query_pos + 1) // 2 for query_pos in range(math.isqrt(2 * codes.shape[1]))]
    above = np.zeros_like(codes)
    for query_pos, start in enumerate(starts):
        above[:, start : start + query_pos] = codes[:, start - query_pos : start]
    left, corner = (np.roll(cells, 1, axis=1) for cells in (codes, above))
    left[:, starts] = corner[:, starts] = 0
    low, high = np.minimum(left, above), np.maximum(left, above)
    np.minimum(np.maximum(corner, low, out=corner), high, out=corner)
    return left + above - corner  # uint8 wraps around, and back


def unpack_triangles(packed: bytes, num_heads: int, length: int) -> NDArray[np.uint8]:
    """Return what ``pack_triangles`` packed, ``[head, cell]``.

    Each code is found where its neighbours foretell, one after the other: a second for each million.

    Args:
        packed: packed codes.
        num_heads: number of heads.
        length: number of positions.
    """
    header = 4 * len(CONTEXTS)
    counts = np.frombuffer(packed[:header], "<u4")
    at = (header + np.cumsum(counts) - counts).tolist()
    context_of = _CONTEXT_OF.tolist()
    codes = bytearray(num_heads * (length * (length + 1) // 2))
    start = 0
    for query_pos in [*range(length)] * num_heads:
        left = corner = 0
        for cell in range(start, start + query_pos + 1):
            above = codes[cell - query_pos] if cell < start + query_pos else 0
            low, high = (left, above) if left < above else (above, left)
            group = context_of[min(high, max(low, left + above - corner))]
            left = codes[cell] = packed[at[group]]
            at[group] += 1
            corner = above
        start += query_pos + 1
    return np.frombuffer(codes, np.uint8).reshape(num_heads, -1)
