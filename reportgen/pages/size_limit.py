"""Limit the size of a page by leaving out its smallest attention weights."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.quantization import dequantize_sqrt, list_values, look_up, quantize_sqrt
from reportgen.captures.record import Capture
from reportgen.pages.encoding import measure_triangles
from reportgen.pages.options import PageOptions
from reportgen.pages.precision import Precision
from reportgen.records.errors import PromptError

LEAST_KEPT = 0.5
"""Share of the attention of a row, its first token aside, that at least half of all rows of a page must keep."""

_SAMPLED = 16
"""Number of heads per capture from which the size of a page is estimated."""
_JUDGED, _JUDGED_ROWS = 64, 256
"""Number of heads per capture, and of rows of each, from which the highest threshold is found."""
_STRONGEST_COMPRESSION = 3
"""Largest factor by which the weights of a page were seen to be compressed with none left out."""
_MARGIN = 0.96
"""Fraction of the available size to use, because the heads outside the sample may compress less."""
_NUM_CODES = 256
_ENCODED_AT_ONCE = 1 << 20
_REST, _REST_OF_TOKEN = 1_200_000, 5_000
"""Upper bounds, observed on pages, of the bytes besides the weights: per page, and in addition per token."""


def render_within(
    captures: Sequence[Capture],
    options: PageOptions,
    draw: Callable[..., str],
    where: str,
) -> tuple[str, Precision]:
    """Return a page within the maximum page size, and the precision of its weights.

    Args:
        captures: captures that the page shows.
        options: options with the maximum size of the page and the number of bits of its weights.
        draw: function that renders the page at a precision; with ``with_layers=False``, without the weights of its
            layers.
        where: place in the prompt file that an error message begins with.

    Raises:
        PromptError: at the highest threshold that ``find_highest_threshold`` allows, the page is still larger.
    """
    precision, max_bytes = Precision(options.precision), 1e6 * options.max_page_mb
    if not max_bytes or _is_light(captures, precision, max_bytes):
        page = draw(precision)
        if not max_bytes or _count_bytes(page) <= max_bytes:
            return page, precision
    highest = min(map(find_highest_threshold, captures))
    fixed_bytes = _count_bytes(draw(replace(precision, threshold=1), with_layers=False))
    threshold = _estimate_threshold(captures, precision, highest, max_bytes - fixed_bytes)
    return _try_from(precision, range(threshold, highest + 1), options, draw, where)


def find_highest_threshold(capture: Capture) -> int:
    """Return the highest threshold at which a page of a capture is still of use.

    With it, at least half of the rows keep ``LEAST_KEPT`` of their attention to tokens after the first. Rows that
    attend to the first token alone do not count. With many heads or tokens, the rows are a sample.
    """
    values = list_values(capture.triangles.dtype)
    codes, weights = quantize_sqrt(values).astype(np.intp), dequantize_sqrt(values).astype(np.float64)
    layers, heads = _sample(capture, _JUDGED)
    starts = np.arange(len(layers))[:, None] * _NUM_CODES
    limits = []
    for query_pos in np.unique(np.linspace(0, capture.num_tokens - 1, _JUDGED_ROWS).round().astype(int)):
        rows = capture.triangles[layers, heads, capture.row(query_pos)][:, 1:]
        cells = (starts + look_up(codes, rows)).ravel()
        masses = np.bincount(cells, look_up(weights, rows).ravel(), starts.size * _NUM_CODES)
        kept = masses.reshape(-1, _NUM_CODES)[:, ::-1].cumsum(1)[:, ::-1]  # by threshold
        # A threshold of 0 keeps everything, and the kept mass falls with the threshold.
        limits.append(((kept >= LEAST_KEPT * kept[:, :1]).sum(1) - 1)[kept[:, 0] > 0])
    ordered = np.sort(np.concatenate(limits))[::-1]
    return int(ordered[(len(ordered) - 1) // 2]) if len(ordered) else _NUM_CODES - 1


def _estimate_threshold(captures: Sequence[Capture], precision: Precision, highest: int, free: float) -> int:
    """Return the lowest threshold at which the weights are expected to fit, or else the highest."""

    def fits(threshold: int) -> bool:
        return _estimate_bytes(captures, replace(precision, threshold=threshold)) <= _MARGIN * free

    return bisect_left(range(highest), True, key=fits)


def _estimate_bytes(captures: Sequence[Capture], precision: Precision) -> float:
    """Return the size of the weights of a page, estimated from a sample of heads."""
    total = 0.0
    for capture in captures:
        sample = capture.triangles[_sample(capture, _SAMPLED)]
        num_layers, num_heads = capture.triangles.shape[:2]
        total += measure_triangles(sample, precision) * num_layers * num_heads / len(sample)
    return total


def _try_from(
    precision: Precision, thresholds: range, options: PageOptions, draw: Callable[..., str], where: str
) -> tuple[str, Precision]:
    """Return the page with the lowest threshold at which it fits, found in a few trials, and its precision."""
    max_bytes = 1e6 * options.max_page_mb
    low, high = thresholds[0], thresholds[-1]
    found = replace(precision, threshold=low)
    page = draw(found)
    if _count_bytes(page) <= max_bytes:
        return page, found
    if high > low:
        found = replace(precision, threshold=high)
        page = draw(found)
    if _count_bytes(page) > max_bytes:
        raise PromptError(f"{where}: {_describe_excess(_count_bytes(page), options)}")
    low, stride = low + 1, 0
    while low < high:
        # The estimate is nearly right, so the next thresholds are tried first.
        middle = min(low + stride, (low + high) // 2)
        trial = draw(replace(precision, threshold=middle))
        if _count_bytes(trial) <= max_bytes:
            page, found, high = trial, replace(precision, threshold=middle), middle
        else:
            low, stride = middle + 1, 2 * stride + 1
    return page, found


def _count_bytes(page: str) -> int:
    """Return the number of bytes of a page in UTF-8; while Python encodes a text, it takes three times its length."""
    return sum(len(page[start : start + _ENCODED_AT_ONCE].encode()) for start in range(0, len(page), _ENCODED_AT_ONCE))


def _describe_excess(least_bytes: int, options: PageOptions) -> str:
    needed = math.ceil(least_bytes / 1e4) / 100
    shared = "" if options.shared_assets else "--shared-assets or "
    return (
        f"the page does not fit into --max-page-mb {options.max_page_mb:g} with a useful part of its weights, it needs "
        f"{needed:g}; show fewer layers or heads, a shorter text, or use {shared}--max-page-mb {needed:g}"
    )


def _is_light(captures: Sequence[Capture], precision: Precision, free: float) -> bool:
    """Return whether a page probably fits with all its weights; most pages certainly do, and need no estimate."""
    free -= sum(_REST + _REST_OF_TOKEN * capture.num_tokens for capture in captures)
    codes = sum(capture.triangles.size for capture in captures) * precision.bits / 6  # in base64, not compressed
    if not free < codes <= _STRONGEST_COMPRESSION * free:
        return codes <= free
    return _estimate_bytes(captures, precision) <= _MARGIN * free


def _sample(capture: Capture, count: int) -> tuple[NDArray[np.intp], ...]:
    """Return the rows and columns of a sample of heads in ``Capture.triangles``, evenly spaced over both."""
    num_layers, num_heads = capture.triangles.shape[:2]
    indices = np.linspace(0, num_layers * num_heads - 1, min(count, num_layers * num_heads)).round().astype(int)
    return np.unravel_index(indices, (num_layers, num_heads))
