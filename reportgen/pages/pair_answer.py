"""Say how two captures differ, from their own numbers: which heads read the texts most differently, and what they read.

Sentences of a comparison name tokens without their positions as links, because a token stands on one of two sides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reportgen.captures.record import Capture
from reportgen.pages.alignment import Alignment, Variation, align, measure_variations
from reportgen.records.sentences import (
    HeadPart,
    Sentence,
    SidePart,
    TokenPart,
    format_percent,
    format_weight,
    make_sentence,
)

NOTABLE = 0.2
"""Total variation from which a head counts as one that moved."""
LISTED = 10
"""Number of heads in the list of those that differ most."""
_A, _B = SidePart("a"), SidePart("b")
_LEAST_TOLD = 0.005
"""Smallest total variation that is not printed as 0.00."""


@dataclass(frozen=True)
class PairRead:
    """What one head reads most on each side, at the aligned position where it differs most.

    Attributes:
        layer: number of the layer.
        head: number of the head.
        total_variation: mean total variation of the head over all aligned positions.
        queries: position that reads, in A and in B.
        keys: position of the token read most, in A and in B.
        weights: weight on that token, in A and in B.
    """

    layer: int
    head: int
    total_variation: float
    queries: tuple[int, int]
    keys: tuple[int, int]
    weights: tuple[float, float]


@dataclass(frozen=True)
class Differences:
    """How two captures differ, which takes a look at every pattern of both.

    Attributes:
        alignment: positions that stand for one another; ``None`` if there are none.
        variations: variations of all heads that both sides have, largest first; empty without an alignment.
        reads: what the first of these heads read.
    """

    alignment: Alignment | None
    variations: Sequence[Variation] = ()
    reads: Sequence[PairRead] = ()


@dataclass(frozen=True)
class PairAnswer:
    """What a comparison says first: one claim, and what it rests on."""

    claim: Sentence
    details: Sentence


def find_differences(captures: tuple[Capture, Capture]) -> Differences:
    """Return how two captures differ."""
    alignment = align(*captures)
    if alignment is None:
        return Differences(None)
    variations = measure_variations(*captures, alignment)
    return Differences(alignment, variations, find_pair_reads(captures, alignment, variations[:LISTED]))


def find_pair_reads(
    captures: tuple[Capture, Capture], alignment: Alignment, variations: Sequence[Variation]
) -> list[PairRead]:
    """Return what heads read most where they differ most, in the order of the variations.

    Heads whose variation would be printed as 0.00 are left out.
    """
    reads = []
    for one in (one for one in variations if one.total_variation >= _LEAST_TOLD):
        (query_a, key_a, weight_a), (query_b, key_b, weight_b) = (
            _find_read(capture, one, start + one.place)
            for capture, start in zip(captures, alignment.starts, strict=True)
        )
        queries, keys, weights = (query_a, query_b), (key_a, key_b), (weight_a, weight_b)
        reads.append(PairRead(one.layer, one.head, one.total_variation, queries, keys, weights))
    return reads


def _find_read(capture: Capture, head: Variation, query_pos: int) -> tuple[int, int, float]:
    """Return a position that reads, the position of the token that a head reads most from it, and its weight."""
    row = capture.attention[head.layer, head.head, query_pos, : query_pos + 1]
    key_pos = int(row.argmax())
    return query_pos, key_pos, float(row[key_pos])


def make_pair_answer(
    captures: tuple[Capture, Capture],
    alignment: Alignment | None,
    variations: Sequence[Variation],
    reads: Sequence[PairRead],
) -> PairAnswer:
    """Return what a comparison says first.

    Args:
        captures: both sides.
        alignment: positions that stand for one another; ``None`` if there are none.
        variations: variations of all heads that both sides have, largest first.
        reads: what the first of these heads read.
    """
    parts = [
        _say_texts(captures, alignment),
        () if alignment is None else _say_head(captures, variations, reads),
        _say_next(captures, alignment),
    ]
    claim = make_sentence(*(piece for part in parts if part for piece in (part, " ")))
    return PairAnswer(_strip(claim), _say_details(captures, alignment, variations))


def name_token(capture: Capture, position: int) -> Sentence:
    """Return a token, with its position if another token looks the same."""
    shown = capture.tokens[position].shown
    alike = sum(token.shown == shown for token in capture.tokens)
    return TokenPart(shown), f" (at {position})" if alike > 1 else ""


def is_same_model(captures: tuple[Capture, Capture]) -> bool:
    """Return whether both sides were made by the same model."""
    return captures[0].model.title == captures[1].model.title


def _strip(sentence: Sentence) -> Sentence:
    last = sentence[-1]
    return (*sentence[:-1], last.rstrip()) if isinstance(last, str) else sentence


def _say_texts(captures: tuple[Capture, Capture], alignment: Alignment | None) -> Sentence:
    first, second = captures
    if alignment is None:
        return ("The texts do not end alike, so no position of one stands for one of the other.",)
    if not alignment.is_whole:
        count = first.num_prompt_tokens - alignment.starts[0]
        return (f"The last {count} tokens of the prompts are the same." if count > 1 else "The prompts end alike.",)
    pairs = zip(first.tokens[: first.num_prompt_tokens], second.tokens[: second.num_prompt_tokens], strict=True)
    other = [position for position, (a, b) in enumerate(pairs) if a.shown != b.shown]
    if not other:
        whom = "Both prompts are" if is_same_model(captures) else "Two models read"
        return (f"{whom} the same {_count(first.num_prompt_tokens, 'token')}.",)
    if len(other) == 1:
        (position,) = other
        named = (TokenPart(capture.tokens[position].shown) for capture in captures)
        return make_sentence(
            "The prompts differ in one token: ", next(named), " in ", _A, ", ", next(named), " in ", _B, "."
        )
    return (f"The prompts differ in {len(other)} of {first.num_prompt_tokens} tokens.",)


def _say_head(
    captures: tuple[Capture, Capture], variations: Sequence[Variation], reads: Sequence[PairRead]
) -> Sentence:
    if not variations:
        return ("No head has the same layer and number on both sides, so none is compared.",)
    if not reads:
        return ("Every head reads them alike.",)
    best = reads[0]
    tokens = [name_token(capture, key) for capture, key in zip(captures, best.keys, strict=True)]
    weights = [format_weight(weight) for weight in best.weights]
    return make_sentence(
        "The head that reads them most differently is ", HeadPart(best.layer, best.head), ": at ",
        _say_query(captures, best.queries), " it reads ", tokens[0], f" {weights[0]} in ", _A, " and ",
        *(() if tokens[0] == tokens[1] else (tokens[1], " ")), f"{weights[1]} in ", _B, ".",
    )  # fmt: skip


def _say_query(captures: tuple[Capture, Capture], queries: tuple[int, int]) -> Sentence:
    names = [name_token(capture, query) for capture, query in zip(captures, queries, strict=True)]
    if names[0][0] == names[1][0]:
        return names[0]
    return make_sentence(names[0], " of ", _A, " and ", names[1], " of ", _B)


def _say_next(captures: tuple[Capture, Capture], alignment: Alignment | None) -> Sentence:
    written = [_find_next(capture) for capture in captures]
    if written == [None, None]:
        return ("Neither was continued.",)
    after = "After them, " if alignment and not alignment.is_whole else ""
    says = []
    for side, capture, other in zip((_A, _B), captures, written, strict=True):
        if other is None:
            says.append(make_sentence(side, " was not continued"))
        elif side is _B and written[0] and written[0][0] == other[0] and not capture.is_forecast:
            says.append(make_sentence(side, f" too ({other[1]})"))
        else:
            verb = "would go on" if capture.is_forecast else "goes on"
            says.append(make_sentence(side, f" {verb} with ", other[0], f" ({other[1]})"))
    return make_sentence(after, says[0], ", ", says[1], ".")


def _find_next(capture: Capture) -> tuple[TokenPart, str] | None:
    """Return the token after the prompt and its probability before sampling filters."""
    if not capture.steps:
        return None
    token = TokenPart(capture.tokens[capture.num_prompt_tokens].shown)
    return token, format_percent(math.exp(capture.steps[0].raw.logprob))


def _say_details(
    captures: tuple[Capture, Capture], alignment: Alignment | None, variations: Sequence[Variation]
) -> Sentence:
    says = []
    if alignment and variations:
        mean = sum(one.total_variation for one in variations) / len(variations)
        moved = sum(one.total_variation > NOTABLE for one in variations)
        says.append(
            f"On average {format_percent(mean)} of a head’s weight lies elsewhere; {moved} of "
            f"{_count(len(variations), 'head')} move{'s' if moved == 1 else ''} more than a fifth."
        )
    if alignment and any(alignment.starts):
        says.append("Tokens before the shared ending are one column.")
    common = 0 if alignment is None else alignment.starts[0] + alignment.length - captures[0].num_prompt_tokens
    if common:
        says.append(f"{_say_common(captures, common)} the same too, and compared.")
    if not is_same_model(captures):
        says.append("Heads of two models with the same number have nothing else in common.")
    return (" ".join(says),) if says else ()


def _say_common(captures: tuple[Capture, Capture], count: int) -> str:
    first, second = captures
    if first.is_forecast and second.is_forecast:
        return "The token that both would write next is"
    if first.is_forecast or second.is_forecast:
        would, wrote = "AB" if first.is_forecast else "BA"
        return f"The token that {wrote} wrote and {would} would write next is"
    return "The next token is" if count == 1 else f"The next {count} tokens are"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"
