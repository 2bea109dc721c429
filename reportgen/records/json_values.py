"""Values as the JSON that the scripts of a page read."""

from __future__ import annotations

from math import isfinite
from typing import Any

from numpy.typing import NDArray

from reportgen.records.prediction import Token

DIGITS = 5
"""Significant digits of a number: more than a page shows."""


def shorten(number: float, digits: int = DIGITS) -> float | None:
    """Return a number with so many significant digits; ``None`` where it is not finite, since JSON has no NaN."""
    return float(f"{number:.{digits}g}") if isfinite(number) else None


def list_numbers(values: NDArray[Any], digits: int = DIGITS) -> list[Any]:
    """Return an array as nested lists of short numbers, ``None`` where a value is not finite."""
    return [list_numbers(item, digits) if item.ndim else shorten(float(item), digits) for item in values]


def describe_token(token: Token) -> list[Any]:
    """Return a token as ``[token_id, shown, special]``."""
    return [token.token_id, token.shown, int(token.special)]
