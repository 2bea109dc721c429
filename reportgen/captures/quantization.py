"""Quantize attention weights to one byte, for pages and for captures that are too large for two bytes per weight.

A code is 255 times the square root of the weight, rounded. The square root is used because most weights are small: with
a linear scale, more than half of them would become 0. The error of a weight ``w`` is at most
``sqrt(w) / 255 + 1 / 510**2``, below 0.004 everywhere; weights below ``1 / 510**2``, about 4e-6, become 0.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LOOKED_UP_AT_ONCE = 1 << 16
"""Number of cells whose places in a table, eight bytes each, fit into a processor's cache."""


def quantize_sqrt(weights: NDArray[Any]) -> NDArray[np.uint8]:
    """Quantize attention weights to one byte.

    Args:
        weights: weights from 0 to 1, of any shape; uint8 codes are returned unchanged.

    Returns:
        uint8 of the same shape, ``round(255 * sqrt(weight))``.
    """
    if weights.dtype == np.uint8:
        return weights
    return look_up(_list_codes(), weights) if weights.dtype == np.float16 else _quantize(weights)


def dequantize_sqrt(codes: NDArray[Any]) -> NDArray[Any]:
    """Convert codes of ``quantize_sqrt`` back to weights.

    Args:
        codes: uint8 codes of any shape; float weights are returned unchanged.

    Returns:
        float32 of the same shape, ``(code / 255) ** 2``.
    """
    if codes.dtype != np.uint8:
        return codes
    return np.square(codes.astype(np.float32) / np.float32(255))


@cache
def list_values(dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the value of each bit pattern of float16 or uint8, 0 for NaN.

    A function of these values is a table for ``look_up``.
    """
    bits = np.arange(1 << 8 * dtype.itemsize).astype(f"u{dtype.itemsize}")
    values = np.nan_to_num(bits.view(dtype))
    values.setflags(write=False)
    return values


def look_up(table: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """Return what a table has for each weight.

    That takes a fifth of the time in which numpy converts float16 to float32.

    Args:
        table: an entry for each of ``list_values(weights.dtype)``.
        weights: float16 weights or uint8 codes of any shape.

    Returns:
        Entries of the table, of the shape of the weights.
    """
    found = np.empty(weights.shape, table.dtype)
    entries, bits = found.reshape(-1), weights.view(f"u{weights.itemsize}").reshape(-1)
    for start in range(0, bits.size, _LOOKED_UP_AT_ONCE):
        part = slice(start, start + _LOOKED_UP_AT_ONCE)
        # No bit pattern is outside the table, and with mode "raise" numpy would copy what it found once more.
        table.take(bits[part], out=entries[part], mode="clip")
    return found


@cache
def _list_codes() -> NDArray[np.uint8]:
    return _quantize(list_values(np.dtype(np.float16)))


def _quantize(weights: NDArray[Any]) -> NDArray[np.uint8]:
    codes = weights.astype(np.float32)
    np.sqrt(np.clip(codes, 0, 1, out=codes), out=codes)
    codes *= 255
    return np.rint(codes, out=codes).astype(np.uint8)
