"""Selections of layers or heads: ``all``, ``3``, ``0-4, 20-23``, ``-1``, or a list of those.

A selection is written before the model is known, so it is stored as ranges and resolved against a count later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

MAX_LENGTH = 10_000
"""Maximum number of characters of a selection; far more than any model needs."""
_RANGE = re.compile(r"\s*(-?\d{1,6})\s*(?:-\s*(-?\d{1,6})\s*)?")


@dataclass(frozen=True, repr=False)
class Selection:
    """A set of layer or head numbers.

    Attributes:
        ranges: inclusive ``(first, last)`` pairs, where a negative number counts from the end; ``None`` means all.
    """

    ranges: tuple[tuple[int, int], ...] | None = None

    def __repr__(self) -> str:
        return repr(str(self))

    def __str__(self) -> str:
        """Return the selection in the notation of a prompt file."""
        if self.ranges is None:
            return "all"
        return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges)

    def resolve(self, count: int) -> tuple[int, ...]:
        """Return the selected numbers, ascending, each once.

        Args:
            count: number of layers or heads of the model.

        Returns:
            Numbers in ``range(count)``.

        Raises:
            ValueError: a number is outside ``-count .. count - 1``, or the end of a range is before its start.
        """
        if self.ranges is None:
            return tuple(range(count))
        chosen: set[int] = set()
        for first, last in self.ranges:
            start, stop = _from_end(first, count), _from_end(last, count)
            if start > stop:
                raise ValueError(f"the range {first}-{last} runs backwards")
            chosen.update(range(start, stop + 1))
        return tuple(sorted(chosen))


ALL = Selection()


def parse_selection(value: str | int | list[str | int]) -> Selection:
    """Parse a selection from a prompt file, the command line or Python.

    Args:
        value: a number, a text such as ``"0-4, 20-23"`` or ``"all"``, or a list of those.

    Returns:
        The selection.

    Raises:
        ValueError: the value is none of these, is empty, or has a range that ends before its start in any model.
    """
    if isinstance(value, list):
        parts = [parse_selection(item) for item in value]
        if not parts:
            raise ValueError("the list is empty")
        if any(part.ranges is None for part in parts):
            return ALL
        return Selection(tuple(pair for part in parts for pair in part.ranges or ()))
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{value!r} is not a number or range")
    text = str(value).strip()
    if text == "all":
        return ALL
    if len(text) > MAX_LENGTH:
        raise ValueError(f"it is longer than {MAX_LENGTH:,} characters")
    return Selection(tuple(_parse_range(part) for part in text.split(",")))


def format_ranges(numbers: Iterable[int]) -> str:
    """Return numbers as ranges, such as ``0–2, 5`` for ``[0, 1, 2, 5]``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def explain_missing(kind: str, number: int, count: int, kept: Selection) -> str:
    """Return why a model or a selection lacks a layer or a head; empty if it does not.

    Args:
        kind: ``layer`` or ``head``.
        number: its number.
        count: how many the model has.
        kept: those that are captured; a selection that does not fit the model has an error of its own.
    """
    if number >= count:
        return f"there is no {kind} {number}: the model has {count}, 0 to {count - 1}"
    with suppress(ValueError):
        if number not in (chosen := kept.resolve(count)):
            return f"{kind} {number} is not captured, {kind}s are {format_ranges(chosen)}; add it to {kind + 's'!r}"
    return ""


def _parse_range(text: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text.strip()!r} is not a number or range")
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    # If only one of the two counts from the end, their order depends on the model.
    if first > last and (first < 0) == (last < 0):
        raise ValueError(f"the range {first}-{last} runs backwards")
    return first, last


def _from_end(number: int, count: int) -> int:
    if not -count <= number < count:
        raise ValueError(f"there is no {number}: the model has {count}, 0 to {count - 1}")
    return number % count
