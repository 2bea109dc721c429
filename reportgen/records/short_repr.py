"""Show a record on one line."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

_VALUE, _LINE = 40, 110
"""Most characters of one value and of the whole."""


class ShortRepr:
    """Base class of dataclasses whose ``repr`` names the fields that differ from their defaults, on one line.

    Declare the dataclass with ``repr=False``.
    """

    def __repr__(self) -> str:
        shown = [
            f"{item.name}={_cut(value if isinstance(value, str) else repr(value), _VALUE)}"
            for item in fields(self)  # pyright: ignore[reportArgumentType]
            if item.repr
            for value in [_plain(getattr(self, item.name))]
            if value != _plain(item.default if item.default_factory is MISSING else item.default_factory())
        ]
        return f"{type(self).__name__}({_cut(', '.join(shown), _LINE - len(type(self).__name__) - 2)})"


def _plain(value: Any) -> Any:
    """Return a text in quotes, and other values unchanged."""
    return repr(value) if isinstance(value, str) else value


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
