"""Scale arrays by their largest value, so that they can be stored in a few bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def find_largest(values: NDArray[np.float32], axes: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the largest absolute value over the given axes; non-finite values count as 0."""
    return np.abs(np.nan_to_num(values, nan=0, posinf=0, neginf=0)).max(axis=axes, initial=0)


def scale_by(values: NDArray[np.float32], scales: NDArray[Any]) -> NDArray[np.float32]:
    """Return values divided by scales as float32; 0 divided by a scale of 0 is 0."""
    return (values / np.maximum(scales, np.finfo(np.float32).tiny)).astype(np.float32, copy=False)


def encode_roots(shares: NDArray[np.floating[Any]]) -> NDArray[np.uint16]:
    """Return numbers from 0 to 1 as little-endian 16-bit codes, 65535 times their square root."""
    return np.rint(65535 * np.sqrt(np.clip(shares, 0, 1))).astype("<u2")
