"""Convert values to JSON for the scripts of a page."""

from __future__ import annotations

from math import isfinite
from typing import Any

from numpy.typing import NDArray

from reportgen.records.prediction import Token

DIGITS = 9
"""Number of significant digits, which is all of a float32, so that a number is rounded only where it is printed."""


def shorten(number: float, digits: int = DIGITS) -> float | None:
    """Return a number rounded to significant digits; ``None`` if it is not finite, because JSON has no NaN."""
    return float(f"{number:.{digits}g}") if isfinite(number) else None


def list_numbers(values: NDArray[Any], digits: int = DIGITS) -> list[Any]:
    """Return an array as nested lists of rounded numbers; ``None`` for values that are not finite."""
    return [list_numbers(item, digits) if item.ndim else shorten(float(item), digits) for item in values]


def describe_token(token: Token) -> list[Any]:
    """Return a token as ``[token_id, shown, special]``."""
    return [token.token_id, token.shown, int(token.special)]
