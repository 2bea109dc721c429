"""The head that a page opens on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.quantization import dequantize_sqrt
from reportgen.captures.record import Capture

_CELLS = 1 << 14
"""Cells that are looked at together, or those of one head if these are more: a compromise of time and memory."""


def find_default_head(capture: Capture) -> tuple[int, int]:
    """Return the head that a page opens on: the one that singles out a token where most heads do not look.

    Most heads put most of their weight on the first token, on the query itself or on the token before it. Among the
    other keys each query has one that it reads most beyond what that key gets from all queries; the page opens on the
    head where this surplus is the largest, as the mean over the queries that have such keys. Neither a head that
    spreads its weight nor one that always reads the same token is one to open on.

    Returns:
        ``(layer, head)``; the first captured one where no two queries have such keys.
    """
    if capture.num_tokens < 5:  # up to the fourth token no key is read by two queries and is none of the three
        return capture.layers[0], capture.heads[0]
    surplus = np.concatenate(list(_measure_surplus(capture)))
    layer, head = divmod(int(surplus.argmax()), len(capture.heads))
    return capture.layers[layer], capture.heads[head]


def _measure_surplus(capture: Capture) -> Iterator[NDArray[np.floating]]:
    """Yield, of some heads after the other, the mean over queries of the largest weight beyond its key's mean."""
    query_pos, key_pos = np.tril_indices(capture.num_tokens)
    elsewhere = np.flatnonzero((key_pos >= 1) & (key_pos <= query_pos - 2))
    query_pos, key = query_pos[elsewhere], key_pos[elsewhere] - 1
    rows, by_key = np.flatnonzero(np.diff(query_pos, prepend=0)), np.argsort(key, kind="stable")
    counts = np.bincount(key)
    columns = np.cumsum(counts) - counts
    some = max(1, _CELLS // len(elsewhere))
    for layer, start in product(range(len(capture.layers)), range(0, len(capture.heads), some)):
        weights = dequantize_sqrt(capture.attention[layer, start : start + some][:, elsewhere]).astype(np.float32)
        means = np.add.reduceat(weights[:, by_key], columns, axis=1) / counts
        yield np.maximum.reduceat(weights - means[:, key], rows, axis=1).mean(axis=1)
