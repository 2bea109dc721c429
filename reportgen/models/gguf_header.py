"""Check the header of a GGUF file before the gguf library reads it.

The library creates an object for every value that the header declares. A header of a few bytes can declare 2**60
values.
"""

from __future__ import annotations

import os
import struct
from math import prod
from pathlib import Path
from typing import BinaryIO

from reportgen.records.errors import ModelError

MAX_VALUES = 3_000_000
"""Maximum number of keys, tensors and array elements in total; the largest models need half of it for their vocabulary
and merges."""
MAX_TEXT = 1_000_000
"""Maximum length in bytes of a string outside of arrays; the longest are chat templates of about 10,000 bytes."""
_MAX_DIMENSIONS = 4
_STRING, _ARRAY = 8, 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Size in bytes of each value type of fixed size."""
_BROKEN = "its .gguf file is broken or cut short; get that file again, and compare its size with the source's"


def check_gguf(path: Path, name: str) -> int:
    """Check that the header of a GGUF file is consistent with the size of the file; no values are stored.

    Args:
        path: the file.
        name: name of the model, for error messages.

    Returns:
        Number of weights in the file.

    Raises:
        ModelError: the file is not a GGUF file, declares more values than it contains or than ``MAX_VALUES``, or has
            tensors that overlap or extend past the end of the file.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        try:
            return _Header(file).check()
        except _TooMany as error:
            raise ModelError(
                f"model {name!r}: its .gguf file {error}; no model needs that; get the file from another source"
            ) from error
        except (EOFError, ValueError) as error:
            raise ModelError(f"model {name!r}: {_BROKEN}") from error


class _TooMany(Exception):
    """The header declares more than any model needs."""


class _Header:
    """Reads the header once, from start to end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._order = file, "<"
        self._size = os.fstat(file.fileno()).st_size
        self._num_values = 0
        self._block_count = 0

    def check(self) -> int:
        if self._take(4) != b"GGUF":
            raise ValueError
        version = self._take(4)
        if version[:2] == b"\0\0":  # the file is big-endian
            self._order = ">"
        num_tensors, num_keys = self._number("Q"), self._number("Q")
        self._count(num_tensors + num_keys)
        for _ in range(num_keys):
            key = self._text(MAX_TEXT)
            self._value(key, self._number("I"))
        if self._block_count > max(num_tensors, 1):
            raise _TooMany(f"declares {self._block_count:,} layers and has {num_tensors:,} tensors")
        return self._tensors(num_tensors)

    def _tensors(self, num_tensors: int) -> int:
        tensors = [self._tensor() for _ in range(num_tensors)]
        start = self._file.tell()
        if any(start + offset + size > self._size for offset, size, _ in tensors):
            raise ValueError
        # Overlapping tensors would let a small file fill the memory.
        if sum(size for _, size, _ in tensors) > self._size:
            raise _TooMany("has tensors that overlap")
        return sum(num_weights for _, _, num_weights in tensors)

    def _tensor(self) -> tuple[int, int, int]:
        """Return offset and size of the next tensor in bytes, and its number of weights."""
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        self._text(MAX_TEXT)
        if (num_dimensions := self._number("I")) > _MAX_DIMENSIONS:
            raise _TooMany(f"has a tensor of {num_dimensions:,} dimensions")
        num_weights = prod(self._number("Q") for _ in range(num_dimensions))
        per_block, size_of_block = GGML_QUANT_SIZES[GGMLQuantizationType(self._number("I"))]
        return self._number("Q"), num_weights * size_of_block // per_block, num_weights

    def _value(self, key: bytes, kind: int) -> None:
        if kind == _STRING:
            self._text(MAX_TEXT)
        elif kind == _ARRAY:
            self._array()
        elif kind == 4 and key.endswith(b".block_count"):
            self._block_count = self._number("I")
        else:
            self._skip(_size_of(kind))

    def _array(self) -> None:
        kind, length = self._number("I"), self._number("Q")
        self._count(length)
        if kind != _STRING:
            self._skip(length * _size_of(kind))  # no model has arrays of arrays; _size_of rejects them
            return
        for _ in range(length):
            self._text(self._size)

    def _text(self, max_length: int) -> bytes:
        length = self._number("Q")
        if length > max_length:
            raise _TooMany(f"has a string of {length:,} bytes in its header")
        return self._take(length)

    def _count(self, more: int) -> None:
        self._num_values += more
        if self._num_values > MAX_VALUES:
            raise _TooMany(f"declares {self._num_values:,} values in its header, more than {MAX_VALUES:,}")

    def _number(self, kind: str) -> int:
        return struct.unpack(self._order + kind, self._take(8 if kind == "Q" else 4))[0]

    def _take(self, length: int) -> bytes:
        data = self._file.read(length) if length <= self._size else b""
        if len(data) < length:
            raise EOFError
        return data

    def _skip(self, length: int) -> None:
        if self._file.tell() + length > self._size:
            raise EOFError
        self._file.seek(length, os.SEEK_CUR)


def _size_of(kind: int) -> int:
    if kind not in _SIZES:
        raise ValueError(f"unknown type {kind}")
    return _SIZES[kind]
