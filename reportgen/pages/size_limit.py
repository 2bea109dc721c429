"""Pages no heavier than they may be: which weights are so weak that they are left out."""

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
"""So many heads of a capture stand for all while a threshold is looked for."""
_MARGIN = 0.96
"""Of what is free for weights, since the heads that are not looked at may deflate less."""
_THRESHOLDS = range(256)
_REST, _REST_OF_TOKEN = 1_200_000, 5_000
"""No page of a model of this size was seen to have more bytes beside its weights, and more for each of its tokens."""


def render_within(
    captures: Sequence[Capture],
    options: PageOptions,
    draw: Callable[..., str],
) -> tuple[str, Precision]:
    """Return a page that is no heavier than it may be, and how finely it holds weights.

    Args:
        captures: all that the page shows.
        options: its limit, and how many bits weights have.
        draw: makes the page at a precision; without the weights of its layers with ``with_layers=False``.
    """
    bits, most = options.precision, 1e6 * options.max_page_mb
    precision = Precision(bits)
    if most and not _is_light(captures, bits, most):
        fixed_bytes = len(draw(Precision(bits, threshold=1), with_layers=False).encode())
        precision = _choose_precision(captures, bits, most - fixed_bytes)
    page = draw(precision)
    while most and precision.threshold < _THRESHOLDS[-1] and len(page.encode()) > most:
        precision = replace(precision, threshold=precision.threshold + 1)
        page = draw(precision)
    return page, precision


def _choose_precision(captures: Sequence[Capture], bits: int, free: float) -> Precision:
    """Return the lowest threshold with which weights are expected to fit; where none is low enough, the highest."""
    threshold = bisect_left(
        _THRESHOLDS, True, key=lambda threshold: _estimate_bytes(captures, Precision(bits, threshold)) <= _MARGIN * free
    )  # fmt: skip
    return Precision(bits, min(threshold, _THRESHOLDS[-1]))


def _is_light(captures: Sequence[Capture], bits: int, free: float) -> bool:
    """Say whether a page is within its limit whatever its numbers are; most are, and need no closer look."""
    codes = sum(capture.attention.size for capture in captures) * bits / 6  # base64 of bytes that did not deflate
    rest = sum(_REST + _REST_OF_TOKEN * capture.num_tokens for capture in captures)
    return codes + rest <= free


def _estimate_bytes(captures: Sequence[Capture], precision: Precision) -> float:
    """Return about how many bytes the blocks of all layers take, from some heads of each capture."""
    total = 0.0
    for capture in captures:
        sample = _sample(capture)
        total += measure_triangles(sample, precision) / len(sample) * len(capture.layers) * len(capture.heads)
    return total


def _sample(capture: Capture) -> list[NDArray[Any]]:
    """Return triangles of some heads, ``[cell]`` each, evenly over layers and heads."""
    num_layers, num_heads = capture.attention.shape[:2]
    places = np.linspace(0, num_layers * num_heads - 1, min(_SAMPLED, num_layers * num_heads)).round().astype(int)
    return [capture.attention[divmod(int(place), num_heads)] for place in places]
