"""Limit the size of a page by leaving out its smallest attention weights."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.pages.encoding import measure_triangles
from reportgen.pages.options import PageOptions
from reportgen.pages.precision import Precision

_SAMPLED = 16
"""Number of heads per capture from which the size of a page is estimated."""
_MARGIN = 0.96
"""Fraction of the available size to use, because the heads outside the sample may compress less."""
_THRESHOLDS = range(256)
_REST, _REST_OF_TOKEN = 1_200_000, 5_000
"""Upper bounds, observed on pages, of the bytes besides the weights: per page, and in addition per token."""


def render_within(
    captures: Sequence[Capture],
    options: PageOptions,
    draw: Callable[..., str],
) -> tuple[str, Precision]:
    """Return a page within the maximum page size, and the precision of its weights.

    If no threshold is high enough, the page with the highest threshold is returned.

    Args:
        captures: captures that the page shows.
        options: options with the maximum size of the page and the number of bits of its weights.
        draw: function that renders the page at a precision; with ``with_layers=False``, without the weights of its
            layers.
    """
    bits, max_bytes = options.precision, 1e6 * options.max_page_mb
    precision = Precision(bits)
    if max_bytes and not _is_light(captures, bits, max_bytes):
        fixed_bytes = len(draw(Precision(bits, threshold=1), with_layers=False).encode())
        precision = _choose_precision(captures, bits, max_bytes - fixed_bytes)
    page = draw(precision)
    while max_bytes and precision.threshold < _THRESHOLDS[-1] and len(page.encode()) > max_bytes:
        precision = replace(precision, threshold=precision.threshold + 1)
        page = draw(precision)
    return page, precision


def _choose_precision(captures: Sequence[Capture], bits: int, free: float) -> Precision:
    """Return the precision with the lowest threshold at which the weights are expected to fit, or else the highest."""
    threshold = bisect_left(
        _THRESHOLDS, True, key=lambda threshold: _estimate_bytes(captures, Precision(bits, threshold)) <= _MARGIN * free
    )  # fmt: skip
    return Precision(bits, min(threshold, _THRESHOLDS[-1]))


def _is_light(captures: Sequence[Capture], bits: int, free: float) -> bool:
    """Return whether a page fits whatever its weights are; most pages do, and need no estimate."""
    codes = sum(capture.attention.size for capture in captures) * bits / 6  # size in base64 without any compression
    rest = sum(_REST + _REST_OF_TOKEN * capture.num_tokens for capture in captures)
    return codes + rest <= free


def _estimate_bytes(captures: Sequence[Capture], precision: Precision) -> float:
    """Return the estimated size in bytes of the blocks of all layers, from a sample of heads of each capture."""
    total = 0.0
    for capture in captures:
        sample = _sample(capture)
        total += measure_triangles(sample, precision) / len(sample) * len(capture.layers) * len(capture.heads)
    return total


def _sample(capture: Capture) -> list[NDArray[Any]]:
    """Return the triangles of a sample of heads, each ``[cell]``, evenly spaced over layers and heads."""
    num_layers, num_heads = capture.attention.shape[:2]
    indices = np.linspace(0, num_layers * num_heads - 1, min(_SAMPLED, num_layers * num_heads)).round().astype(int)
    return [capture.attention[divmod(int(index), num_heads)] for index in indices]
