"""Blocks of a page as bytes, and packed triangles unpacked cell by cell: what tests hold encoded data against."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BOUNDS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 24, 32, 48, 64, 96)


def decode_bytes(block: str) -> bytes:
    """Return the bytes of a block."""
    return zlib.decompress(base64.b64decode(block))


def unpack_triangles(packed: bytes, num_heads: int = 1) -> NDArray[np.uint8]:
    """Return codes ``[head, cell]``."""
    header = 4 * len(BOUNDS)
    streams = [iter(stream) for stream in _split(packed[header:], np.frombuffer(packed[:header], "<u4").tolist())]
    num_cells = (len(packed) - header) // num_heads
    length = math.isqrt(2 * num_cells)
    return np.array([_unpack_one(streams, length) for _ in range(num_heads)], np.uint8).reshape(num_heads, num_cells)


def _split(data: bytes, counts: list[int]) -> Iterator[bytes]:
    for count in counts:
        yield data[:count]
        data = data[count:]


def _unpack_one(streams: list[Iterator[int]], length: int) -> list[int]:
    cells: dict[tuple[int, int], int] = {}
    for query_pos in range(length):
        for key_pos in range(query_pos + 1):
            left = cells.get((query_pos, key_pos - 1), 0)
            above = cells.get((query_pos - 1, key_pos), 0)
            corner = cells.get((query_pos - 1, key_pos - 1), 0)
            predicted = sorted([left, above, left + above - corner])[1]
            group = max(number for number, bound in enumerate(BOUNDS) if bound <= predicted)
            cells[query_pos, key_pos] = next(streams[group])
    return list(cells.values())
