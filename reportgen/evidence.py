"""Numbers that say what a head does."""

from __future__ import annotations

import numpy as np

from reportgen.records import Capture


def find_opening_head(capture: Capture) -> tuple[int, int]:
    """Return the head that a page opens on: the one that singles out a token where most heads do not look.

    Most heads put most of their weight on the first token, on the query itself or on the token before it. Among the
    other keys each query has one that it reads most beyond what that key gets from all queries; the page opens on the
    head where this surplus is the largest, as the mean over the queries that have such keys. Neither a head that
    spreads its weight nor one that always reads the same token is one to open on.

    Returns:
        ``(layer, head)``; the first captured one where no two queries have such keys.
    """
    first = capture.layers[0], capture.heads[0]
    if capture.num_tokens < 5:  # up to the fourth token no key is read by two queries and is none of the three
        return first
    pairs = [(layer, head) for layer in capture.layers for head in capture.heads]
    return max(pairs, key=lambda pair: _surplus(capture.pattern(*pair)))


def _surplus(pattern: np.ndarray) -> float:
    """Mean over queries from 3 on of the largest weight beyond its key's mean, keys from 1 to two before the query."""
    query_pos, key_pos = np.indices(pattern.shape)
    elsewhere = (key_pos >= 1) & (key_pos <= query_pos - 2)
    weights = np.where(elsewhere, pattern, 0)
    key_means = weights.sum(axis=0) / np.maximum(elsewhere.sum(axis=0), 1)
    return float(np.where(elsewhere, weights - key_means, -1)[3:].max(axis=1).mean())
