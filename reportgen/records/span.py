"""Spans: named parts of a text, as ranges of tokens."""

from __future__ import annotations

from dataclasses import dataclass

GENERATED, GIVEN = "generated", "given"
"""Names of the span of the tokens behind the prompt, which are generated or given."""
REST = "rest"
"""Name of all tokens that are in no span."""
RESERVED_SPANS = (GENERATED, GIVEN, REST)


@dataclass(frozen=True)
class Span:
    """A named part of a text.

    Attributes:
        name: its name: of a message, the role and the 1-based number, such as ``user 2``.
        first: position of its first token.
        last: position of its last token.
        role: role of the message; empty if the span is no message.
    """

    name: str
    first: int
    last: int
    role: str = ""
