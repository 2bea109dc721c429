"""Numbers that say what a head does."""

from __future__ import annotations

import numpy as np

from reportgen.records import Capture


def find_opening_head(capture: Capture) -> tuple[int, int]:
    """Return the head that a page opens on: the one that reads most from tokens with content to tell.

    Most heads put most of their weight on the first token, on the query itself or on the token before it. The page
    opens on the head with the largest mean weight on all others, over the queries that have others.

    Returns:
        ``(layer, head)``; the first captured one where no query has other tokens to read.
    """
    first = capture.layers[0], capture.heads[0]
    if capture.num_tokens < 4:  # the fourth token is the first with a key that is none of the three
        return first
    pairs = [(layer, head) for layer in capture.layers for head in capture.heads]
    return max(pairs, key=lambda pair: _mass_elsewhere(capture.pattern(*pair)))


def _mass_elsewhere(pattern: np.ndarray) -> float:
    """Mean over queries from 3 on of the weight on keys from 1 up to two before the query."""
    return float(np.tril(pattern, -2)[3:, 1:].sum(axis=1).mean())
