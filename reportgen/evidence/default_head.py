"""Choose the head that a page shows first."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.quantization import dequantize_sqrt
from reportgen.captures.record import Capture

_CELLS = 1 << 14
"""Number of cells processed at a time, but at least those of one head; a compromise between time and memory."""


MIN_TOKENS = 5
"""With fewer tokens, no key is a candidate of two queries."""


def find_default_head(capture: Capture) -> tuple[int, int]:
    """Return the head that a page shows first: the one that singles out a token to which most heads give no weight.

    Most heads put most of their weight on the first token, on the query itself or on the token before it. The other
    keys of a query are its candidates. The surplus of a candidate is its weight minus the mean weight that the same key
    gets from all queries of which it is a candidate. The returned head has the largest surplus: the maximum over the
    candidates of a query, averaged over the queries that have candidates. The surplus is small for a head that spreads
    its weight, and for a head that always attends to the same token.

    Returns:
        ``(layer, head)``; the first captured one if no key is a candidate of two queries.
    """
    if capture.num_tokens < MIN_TOKENS:
        return capture.layers[0], capture.heads[0]
    surplus = np.concatenate(list(_measure_surplus(capture)))
    layer, head = divmod(int(surplus.argmax()), len(capture.heads))
    return capture.layers[layer], capture.heads[head]


def _measure_surplus(capture: Capture) -> Iterator[NDArray[np.floating]]:
    """Yield the surplus of each head, ``[head]``, for one block of heads after the other."""
    query_pos, key_pos = np.tril_indices(capture.num_tokens)
    elsewhere = np.flatnonzero((key_pos >= 1) & (key_pos <= query_pos - 2))
    query_pos, key = query_pos[elsewhere], key_pos[elsewhere] - 1
    rows, by_key = np.flatnonzero(np.diff(query_pos, prepend=0)), np.argsort(key, kind="stable")
    counts = np.bincount(key)
    columns = np.cumsum(counts) - counts
    block_size = max(1, _CELLS // len(elsewhere))
    for layer, start in product(range(len(capture.layers)), range(0, len(capture.heads), block_size)):
        weights = dequantize_sqrt(capture.triangles[layer, start : start + block_size][:, elsewhere]).astype(np.float32)
        means = np.add.reduceat(weights[:, by_key], columns, axis=1) / counts
        yield np.maximum.reduceat(weights - means[:, key], rows, axis=1).mean(axis=1)
