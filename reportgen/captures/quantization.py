"""Quantize attention weights to one byte, for pages and for captures that are too large for two bytes per weight.

A code is 255 times the square root of the weight, rounded. The square root is used because most weights are small: with
a linear scale, more than half of them would become 0. The error of a weight ``w`` is at most
``sqrt(w) / 255 + 1 / 510**2``, below 0.004 everywhere; weights below ``1 / 510**2``, about 4e-6, become 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def quantize_sqrt(weights: NDArray[Any]) -> NDArray[np.uint8]:
    """Quantize attention weights to one byte.

    Args:
        weights: weights from 0 to 1, of any shape; uint8 codes are returned unchanged.

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
    """Convert codes of ``quantize_sqrt`` back to weights.

    Args:
        codes: uint8 codes of any shape; float weights are returned unchanged.

    Returns:
        float32 of the same shape, ``(code / 255) ** 2``.
    """
    if codes.dtype != np.uint8:
        return codes
    return np.square(codes.astype(np.float32) / np.float32(255))
