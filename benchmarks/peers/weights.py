"""The weights and tokens that every peer is given, and the document that a fragment of HTML is put into."""

from __future__ import annotations

from pathlib import Path

import numpy as np

DECIMALS = 4
"""Where weights go into a page as decimal text, this many digits make it three times smaller than float32's own."""


def load(tensors: Path) -> tuple[np.ndarray, list[str]]:
    """Return attention ``[layer, head, query_pos, key_pos]`` as float32, and the tokens' texts."""
    with np.load(tensors) as arrays:
        return arrays["attention"], [str(token) for token in arrays["tokens"]]


def shorten(attention: np.ndarray) -> np.ndarray:
    """Return weights as float64 that print with few digits."""
    return np.round(attention.astype(np.float64), DECIMALS)


def wrap(fragment: str) -> str:
    """Return a document of a fragment, as a notebook's cell would show it."""
    head = '<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>attention</title><body>'
    return f"{head}\n{fragment}\n</body></html>\n"
