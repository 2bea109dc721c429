"""Find the direction in which a text is written."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal

from reportgen.records import Token

_RIGHT_TO_LEFT = ("R", "AL")


def find_direction(tokens: Sequence[Token]) -> Literal["ltr", "rtl"]:
    """Return the direction of most letters of a text, without its special tokens.

    The first letter does not decide, because a chat begins with the name of a role.

    Args:
        tokens: tokens of the text.
    """
    letters = [unicodedata.bidirectional(letter) for token in tokens if not token.special for letter in token.text]
    backward = sum(letter in _RIGHT_TO_LEFT for letter in letters)
    return "rtl" if backward > letters.count("L") else "ltr"
