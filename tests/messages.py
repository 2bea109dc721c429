"""Messages, checked for the place they name, the value they got and the remedy, and not for the words between."""

from __future__ import annotations

from collections.abc import Sequence


def says(message: str, pattern: str) -> bool:
    """Say whether a message begins with a pattern's first piece and holds the others in their order.

    Args:
        message: what was said.
        pattern: pieces with ``…`` between them, for words that may change.
    """
    first, *rest = pattern.split("…")
    if not message.startswith(first.rstrip()):
        return False
    start = len(first.rstrip())
    for piece in rest:
        place = message.find(piece.strip(), start)
        if place < 0:
            return False
        start = place + len(piece.strip())
    return True


def unlike(messages: Sequence[str], patterns: Sequence[str]) -> list[tuple[str, str]]:
    """Return the messages that do not say what is expected of them, each with its pattern; all have one.

    Args:
        messages: what was said.
        patterns: of each, in the same order, as ``says`` takes them.
    """
    return [pair for pair in zip(messages, patterns, strict=True) if not says(*pair)]
