"""Write sentences as JSON for the page's scripts and templates, and as plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from reportgen.records import Token
from reportgen.records.sentences import HeadPart, Part, Sentence, SidePart, StrongPart, TokenPart


def to_json(sentence: Sentence, tokens: Sequence[Token] = ()) -> list[Any]:
    """Return a sentence as JSON values.

    Args:
        sentence: the sentence.
        tokens: tokens of the capture, as in ``to_text``.

    Returns:
        Text as it is, and ``["token", shown, position]``, ``["head", layer, head]``, ``["strong", text]`` or
        ``["side", name]``. A token that looks like another one has a fourth value, ``True``: its position must be told.
    """
    counts = Counter(token.shown for token in tokens)
    return [_describe(part, counts) for part in sentence]


def to_text(sentence: Sentence, tokens: Sequence[Token] = ()) -> str:
    """Return a sentence as plain text, for descriptions of links, alternative texts and captions.

    Args:
        sentence: the sentence.
        tokens: tokens of the capture; a token of the sentence that looks like another one of these gets its position.
    """
    counts = Counter(token.shown for token in tokens)
    return "".join(_write(part, counts) for part in sentence)


def _describe(part: Part, counts: Counter[str]) -> Any:
    match part:
        case TokenPart():
            is_one_of_many = counts[part.shown] > 1 and part.position is not None
            return ["token", part.shown, part.position, *[True] * is_one_of_many]
        case HeadPart():
            return ["head", part.layer, part.head]
        case StrongPart():
            return ["strong", part.text]
        case SidePart():
            return ["side", part.name]
    return part


def _write(part: Part, counts: Counter[str]) -> str:
    match part:
        case TokenPart():
            quoted = f"“{part.shown.replace('␣', ' ')}”"
            return f"{quoted} ({part.position})" if counts[part.shown] > 1 and part.position is not None else quoted
        case HeadPart():
            return f"L{part.layer} H{part.head}"
        case StrongPart():
            return part.text
        case SidePart():
            return part.name.upper()
    return part
