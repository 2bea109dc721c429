"""Attention weights in one byte: what pages carry, and what captures keep where two bytes would not fit.

A code is 255 times the square root of the weight, rounded. Square root, since most weights are small: with a linear
byte more than half of them would become 0. The error of a weight ``w`` is at most ``sqrt(w) / 255 + 1 / 510**2``, below
0.004 everywhere; weights below ``1 / 510**2``, about 4e-6, become 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def quantize_sqrt(weights: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the codes of attention weights.

    Args:
        weights: 0..1, any shape; codes are returned as they are.

    Returns:
        uint8 of the same shape, ``round(255 * sqrt(weight))``.
    """
    if weights.dtype == np.uint8:
        return weights
    codes = weights.astype(np.float32)
    np.sqrt(np.clip(codes, 0, 1, out=codes), out=codes)
    codes *= 255
    return np.rint(codes, out=codes).astype(np.uint8)


def dequantize_sqrt(codes: NDArray[Any]) -> NDArray[Any]:
    """Return the weights that codes stand for, float32 ``(code / 255) ** 2``; weights are returned as they are."""
    if codes.dtype != np.uint8:
        return codes
    return np.square(codes.astype(np.float32) / np.float32(255))
