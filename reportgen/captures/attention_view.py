"""Attention weights of a capture, indexed as ``[layer, head, query_pos, key_pos]`` with the model's own numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import index as as_number
from types import EllipsisType
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from reportgen.captures.quantization import dequantize_sqrt
from reportgen.records.selection import format_ranges

Index: TypeAlias = int | slice | Sequence[int] | NDArray[np.integer] | EllipsisType
"""Index of one axis: a number, a slice, a list of numbers, or ``...`` for all axes that are not given."""
_AXES = ("layer", "head", "query position", "key position")


@dataclass(frozen=True, eq=False, repr=False)
class Attention:
    """Attention weights of a capture, which is indexed like a float32 array ``[layer, head, query_pos, key_pos]``.

    Layers and heads are numbers in the model, not rows of an array: ``attention[21, 6]`` is layer 21, head 6, whichever
    layers were captured. Negative numbers count from the model's last layer or head, and from the last position. A
    slice or ``...`` selects the captured layers and heads in its range. A list of numbers selects these. Every index
    applies to its own axis. Weights of keys after the query are 0. Only the selected weights are converted to float32.
    ``numpy.asarray(attention)`` is ``attention[...]``.

    Attributes:
        triangles: ``Capture.triangles``.
        layers: numbers of the captured layers.
        heads: numbers of the captured heads.
        num_layers: number of layers of the model.
        num_heads: number of heads of each layer of the model.
        num_tokens: number of positions.
    """

    triangles: NDArray[np.float16] | NDArray[np.uint8]
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    num_layers: int
    num_heads: int
    num_tokens: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of ``attention[...]``: captured layers, captured heads, positions, positions."""
        return len(self.layers), len(self.heads), self.num_tokens, self.num_tokens

    @overload
    def __getitem__(self, index: tuple[int, int, int, int]) -> np.float32: ...
    @overload
    def __getitem__(self, index: Index | tuple[Index, ...]) -> NDArray[np.float32]: ...
    def __getitem__(self, index: Index | tuple[Index, ...]) -> NDArray[np.float32] | np.float32:
        """Return weights.

        Args:
            index: up to four indices, of layer, head, query and key.

        Returns:
            Attention weights, float32, with an axis for each index that is not a number.

        Raises:
            IndexError: a layer or head was not captured, or a number is not in the model or the text.
            TypeError: an index is none of the listed types.
        """
        layer, head, query, key = _spread(index)
        rows, columns = self._find(layer, 0, self.layers), self._find(head, 1, self.heads)
        cells = _select(query, 2, self.num_tokens), _select(key, 3, self.num_tokens)
        weights = self._read(np.atleast_1d(rows), np.atleast_1d(columns), *map(np.atleast_1d, cells))
        return weights[tuple(0 if chosen.ndim == 0 else slice(None) for chosen in (rows, columns, *cells))]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield the weights of each captured layer, ``[head, query_pos, key_pos]``."""
        return (self[layer] for layer in self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError(
                "attention is converted from its stored triangles, which makes a copy; leave out copy=False"
            )
        return self[...].astype(dtype or np.float32, copy=False)

    def __repr__(self) -> str:
        return f"<attention of {len(self.layers)} layers × {len(self.heads)} heads × {self.num_tokens} tokens, float32>"

    def _find(self, index: Any, axis: int, captured: tuple[int, ...]) -> NDArray[np.intp]:
        """Return the rows of the stored triangles that have the selected layers or heads."""
        chosen = _select(index, axis, (self.num_layers, self.num_heads)[axis])
        rows = {number: row for row, number in enumerate(captured)}
        numbers = np.atleast_1d(chosen).tolist()
        missing = [number for number in numbers if number not in rows]
        if isinstance(index, slice) and len(missing) < len(numbers):
            return np.array([rows[number] for number in numbers if number in rows])
        if missing:
            there = format_ranges(captured)
            raise IndexError(f"{_AXES[axis]} {missing[0]} was not captured; the captured ones are {there}")
        return np.array([rows[number] for number in numbers], np.intp).reshape(chosen.shape)

    def _read(
        self, rows: NDArray[np.intp], columns: NDArray[np.intp], query_pos: NDArray[np.intp], key_pos: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        weights = np.zeros((len(rows), len(columns), len(query_pos), len(key_pos)), np.float32)
        visible = key_pos <= query_pos[:, None]
        whole = np.arange(self.num_tokens)
        if np.array_equal(query_pos, whole) and np.array_equal(key_pos, whole):
            cells: slice | NDArray[np.intp] = slice(None)  # the stored order; an index of each cell would cost memory
        else:
            cells = ((query_pos * (query_pos + 1) // 2)[:, None] + key_pos)[visible]
        for place, row in enumerate(rows):
            for number, column in enumerate(columns):
                weights[place, number][visible] = dequantize_sqrt(self.triangles[row, column, cells])
        return weights


def _spread(index: Index | tuple[Index, ...]) -> list[Any]:
    """Return an index for each axis."""
    parts: list[Any] = list(index) if isinstance(index, tuple) else [index]
    dots = [place for place, part in enumerate(parts) if part is ...]
    if len(dots) > 1 or len(parts) - len(dots) > len(_AXES):
        raise IndexError(f"attention has 4 axes, layer, head, query_pos and key_pos; got the index {index!r}")
    missing = [slice(None)] * (len(_AXES) - len(parts) + len(dots))
    place = dots[0] if dots else len(parts)
    return [*parts[:place], *missing, *parts[place + 1 :]]


def _select(index: Any, axis: int, count: int) -> NDArray[np.intp]:
    """Return the selected numbers of one axis, 0-based; without a dimension if the index is one number.

    Args:
        index: index of the axis.
        axis: the axis, for messages.
        count: number of layers or heads of the model, or of positions.
    """
    if isinstance(index, slice):
        return np.arange(count, dtype=np.intp)[index]
    numbers = np.asarray(index)
    if numbers.ndim > 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise TypeError(f"{_AXES[axis]}: the index must be a number, a slice or a list of numbers, got {index!r}")
    for number in np.atleast_1d(numbers).tolist():
        if not -count <= as_number(number) < count:
            owner = "model" if axis < 2 else "text"
            raise IndexError(f"there is no {_AXES[axis]} {number}: the {owner} has {count}, 0 to {count - 1}")
    return np.where(numbers < 0, numbers + count, numbers).astype(np.intp) if numbers.size else numbers.astype(np.intp)
