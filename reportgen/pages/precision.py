"""Precision of the attention weights on a page, and the weights that it leaves out to limit its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.quantization import dequantize_sqrt, list_values, look_up, quantize_sqrt
from reportgen.captures.record import Capture
from reportgen.evidence.kinds.scaling import find_largest, scale_by

ERRORS: Mapping[int, tuple[float, float]] = {8: (0.004, 0.01), 16: (0.0003, 0.001)}
"""Largest errors of a weight and of weight × value on a page, by number of bits.

Those of weights, sums and differences follow from the scale. Those of shares are the largest that were measured. With
16 bits they include the rounding of the capture to float16.
"""


@dataclass(frozen=True)
class Precision:
    """Precision of the weights on a page.

    Attributes:
        bits: number of bits of a code, 8 or 16; a code is the square root of the weight, scaled to the range from 0 to
            the largest code.
        threshold: smallest 8-bit code that is kept; weights with a smaller code are 0 on the page.
    """

    bits: int = 8
    threshold: int = 0

    @property
    def min_weight(self) -> float:
        """Smallest weight that is kept."""
        return max(0.0, (self.threshold - 0.5) / 255) ** 2 if self.threshold else 0.0


FULL = Precision()
"""Default precision: 8 bits, and no weights left out."""


def quantize(weights: NDArray[Any], precision: Precision) -> NDArray[Any]:
    """Return the codes of weights.

    Args:
        weights: weights from 0 to 1, or 8-bit codes; any shape.
        precision: number of bits, and smallest code to keep.

    Returns:
        Codes of the same shape, uint8 or uint16.
    """
    if weights.dtype in (np.float16, np.uint8):
        return look_up(_list_codes(precision, weights.dtype), weights)
    return _quantize(weights, precision)


@lru_cache(maxsize=8)
def _list_codes(precision: Precision, dtype: np.dtype[Any]) -> NDArray[Any]:
    return _quantize(list_values(dtype), precision)


def _quantize(weights: NDArray[Any], precision: Precision) -> NDArray[Any]:
    codes = quantize_sqrt(weights)
    kept = codes >= precision.threshold
    if precision.bits == 16:
        fine = np.sqrt(np.clip(dequantize_sqrt(weights).astype(np.float32), 0, 1))
        codes = np.rint(65535 * fine).astype(np.uint16)
    return np.where(kept, codes, codes.dtype.type(0))


def measure_dropped_mass(capture: Capture, precision: Precision) -> NDArray[np.float32] | None:
    """Return the attention mass of each row that a page leaves out.

    Returns:
        ``[layer, head, query_pos]``, the sum of the weights that are 0 on the page because they are below the
        threshold; ``None`` if the page leaves out nothing.
    """
    if not precision.threshold:
        return None
    values = list_values(capture.triangles.dtype)
    weak = np.where(quantize_sqrt(values) < precision.threshold, _widen(values), 0)
    dropped = np.empty((*capture.triangles.shape[:2], capture.num_tokens), np.float32)
    for query_pos in range(capture.num_tokens):
        rows = look_up(weak, capture.triangles[:, :, capture.row(query_pos)])
        dropped[:, :, query_pos] = rows.sum(-1)
    return dropped


def measure_row_sums(capture: Capture) -> dict[str, NDArray[np.float32]]:
    """Return the sums of whole rows that a page divides by, since it cannot add up what it leaves out.

    Returns:
        By name, each ``[layer, head, query_pos]``: ``rest``, the weights without the first key; and, if value norms
        were measured, ``written`` and ``written-rest``, the weights times the norms of the keys as shares of the head's
        largest norm, over all keys and without the first.
    """
    shape = *capture.triangles.shape[:2], capture.num_tokens
    norms: NDArray[np.float32] | None = capture.evidence.value_norms
    names = ("rest",) if norms is None else ("rest", "written", "written-rest")
    sums = {name: np.empty(shape, np.float32) for name in names}
    shares = None if norms is None else np.nan_to_num(scale_by(norms, find_largest(norms, (2,))[..., None]))
    weights = _widen(list_values(capture.triangles.dtype))
    for query_pos in range(capture.num_tokens):
        rows = look_up(weights, capture.triangles[:, :, capture.row(query_pos)])
        sums["rest"][..., query_pos] = rows[..., 1:].sum(-1)
        if shares is not None:
            rest = np.einsum("lhk,lhk->lh", rows[..., 1:], shares[..., 1 : query_pos + 1])
            sums["written-rest"][..., query_pos] = rest
            sums["written"][..., query_pos] = rest + rows[..., 0] * shares[..., 0]
    return sums


def _widen(weights: NDArray[Any]) -> NDArray[np.float32]:
    return dequantize_sqrt(weights).astype(np.float32, copy=False)


def describe_precision(precision: Precision, *captures: Capture) -> str:
    """Return a description of the rounding errors of a page's figures, whose largest are ``ERRORS``."""
    fine = precision.bits == 16 and all(capture.triangles.dtype != np.uint8 for capture in captures)
    error, weighted = ERRORS[16 if fine else 8]
    if precision.bits == 8:
        kept = "8 bits on a square-root scale; below 4·10⁻⁶ they are 0"
    else:
        kept = f"{16 if fine else 8} bits on a square-root scale, as the capture has them"
    return (
        f"{kept}. Largest errors: {error:g} of a weight, {2 * error:g} of a difference, {error:g}·√m of a sum over the "
        f"m tokens of a word, {weighted:g} of weight × value, and {error:g}/√r where weights are divided by r, what "
        "the row has without its first token"
    )


def describe_dropped_mass(dropped: NDArray[np.float32] | None, precision: Precision) -> str:
    """Return a description of the result of ``measure_dropped_mass``; empty if the page leaves out no weights."""
    if dropped is None:
        return ""
    return (
        f"weights under {precision.min_weight:.2g} are left out, so that the page is not too heavy: half of all "
        f"rows lose less than {np.median(dropped):.2g} of their attention, none more than {dropped.max():.2g}"
    )
