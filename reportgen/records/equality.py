"""Compare records that hold arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isnan
from typing import Any

import numpy as np


class WithArrays:
    """Base class of dataclasses with arrays, whose ``==`` compares all fields and all numbers of arrays.

    Declare the dataclass with ``eq=False``. A subclass without fields of its own compares as its base class. Two arrays
    are equal if they have the same shape, dtype and numbers; NaN equals NaN. Such records have no hash.
    """

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WithArrays) or not (isinstance(other, type(self)) or isinstance(self, type(other))):
            return NotImplemented
        assert is_dataclass(self)
        return all(is_equal(getattr(self, item.name), getattr(other, item.name)) for item in fields(self))


def is_equal(first: Any, second: Any) -> bool:
    """Return whether two values are equal; arrays, and values in mappings and sequences, by their numbers."""
    match first, second:
        case np.ndarray(), np.ndarray():
            return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
        case Mapping(), Mapping():
            return first.keys() == second.keys() and all(is_equal(first[key], second[key]) for key in first)
        case (tuple() | list(), tuple() | list()):
            return len(first) == len(second) and all(map(is_equal, first, second))
        case float(), float():
            return first == second or (isnan(first) and isnan(second))
    return type(first) is type(second) and first == second
