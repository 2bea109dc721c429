"""Sentences about a run: text with tokens and heads that a page can link, and the formats of their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan


@dataclass(frozen=True)
class TokenPart:
    """A token in a sentence.

    Attributes:
        shown: text for display, as in ``Token.shown``.
        position: position of the token in the text; ``None`` if it does not stand there.
    """

    shown: str
    position: int | None = None


@dataclass(frozen=True)
class HeadPart:
    """A head in a sentence, shown as ``L23 H4``; both numbers are those of the model."""

    layer: int
    head: int


@dataclass(frozen=True)
class StrongPart:
    """Text that is stressed."""

    text: str


@dataclass(frozen=True)
class SidePart:
    """A side of a comparison, ``a`` or ``b``."""

    name: str


Part = str | TokenPart | HeadPart | StrongPart | SidePart
Sentence = tuple[Part, ...]


def make_sentence(*pieces: Part | Sentence) -> Sentence:
    """Return a sentence of parts and of other sentences; neighbouring texts become one, empty ones are left out."""
    parts: list[Part] = []
    for piece in pieces:
        for part in piece if isinstance(piece, tuple) else (piece,):
            if isinstance(part, str) and parts and isinstance(parts[-1], str):
                parts[-1] += part
            elif part != "":
                parts.append(part)
    return tuple(parts)


def format_effect(value: float) -> str:
    """Return an effect, in logits or nats, with its sign and one decimal; ``0.0`` has no sign, NaN is ``n/a``."""
    if isnan(value):
        return "n/a"
    text = f"{value:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def format_weight(weight: float) -> str:
    """Return an attention weight with two decimals."""
    return f"{weight:.2f}"


def format_logprob(logprob: float) -> str:
    """Return a log-probability, in nats, with two decimals."""
    return f"{logprob:.2f}".replace("-", "−")


def format_percent(prob: float) -> str:
    """Return a probability in percent: whole numbers from 1 to 99, more digits beyond, never 0 or 100 by rounding."""
    percent = 100 * prob
    if percent in (0, 100):
        return f"{percent:.0f} %"
    if percent < 0.01:
        return "<0.01 %"
    if percent < 0.95:
        return f"{percent:.1g} %"
    if percent < 99:
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if percent < 99.95 else f"{percent:.2f} %" if percent < 99.995 else ">99.99 %"
