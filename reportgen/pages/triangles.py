"""Codes of attention weights in an order in which they deflate well; ``templates/js/triangles.js`` puts them back.

Neighbours in a heatmap are alike. Each code is foretold from those on its left, above it and above to the left, by the
median edge detector of LOCO-I (Weinberger, Seroussi and Sapiro 2000), and what is kept is the difference, modulo 256.
How much differences spread depends on what was foretold: next to nothing beside zeros. So those that were foretold
alike stand together, and deflate finds a code of its own for them. On SmolLM2 that takes a seventh off 256 tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

CONTEXTS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 24, 32, 48, 64, 96)
"""The smallest foretold code of each group; fine where most codes are."""
_CELLS = 1 << 16
"""So many cells of other heads are packed along with one head."""


def pack_triangles(codes: Iterable[NDArray[np.uint8]]) -> bytes:
    """Return lower triangles in the order in which they deflate well.

    Args:
        codes: of each head, ``[cell]``, row by row.

    Returns:
        How many cells each group has, little-endian 32-bit numbers, then the differences group by group, in the order
        of heads and cells in each.
    """
    counts = np.zeros(len(CONTEXTS), np.int64)
    parts: list[list[bytes]] = [[] for _ in CONTEXTS]
    waiting = iter(codes)
    while some := _take(waiting):
        triangles = np.stack(some)
        predicted = _predict(triangles)
        groups = _CONTEXT_OF[predicted].ravel()
        together = (triangles - predicted).ravel()[np.argsort(groups, kind="stable")]  # wraps around
        own = np.bincount(groups, minlength=len(CONTEXTS))
        for part, differences in zip(parts, np.split(together, np.cumsum(own)[:-1]), strict=True):
            part.append(differences.tobytes())
        counts += own
    return counts.astype("<u4").tobytes() + b"".join(b"".join(part) for part in parts)


_CONTEXT_OF = (np.searchsorted(CONTEXTS, np.arange(256), side="right") - 1).astype(np.uint8)


def _take(triangles: Iterator[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Return the next triangles: many small ones, for the sake of time, or one large one, for that of memory."""
    taken = list(islice(triangles, 1))
    return taken + list(islice(triangles, _CELLS // taken[0].size)) if taken else taken


def _predict(triangles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what each code is foretold to be from those before it, ``[head, cell]``; one that is not there is 0."""
    length = int(np.sqrt(2 * triangles.shape[1]))
    below = np.tri(length, dtype=bool)
    square = np.zeros((len(triangles), length + 1, length + 1), np.int16)
    square[:, 1:, 1:][:, below] = triangles
    left, above, corner = (square[:, 1:, :-1][:, below], square[:, :-1, 1:][:, below], square[:, :-1, :-1][:, below])
    return np.clip(left + above - corner, np.minimum(left, above), np.maximum(left, above)).astype(np.uint8)
