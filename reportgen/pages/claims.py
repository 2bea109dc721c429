"""Say the claims of a prompt in words, with what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from reportgen.captures.record import Capture
from reportgen.captures.tokens import show_text
from reportgen.evidence.claims import ClaimResult, judge_claims
from reportgen.evidence.kinds.scores import HEAD_SCORES
from reportgen.pages.sentences import to_text
from reportgen.records.claim import EFFECT, TOKEN, WEIGHT, Bound
from reportgen.records.sentences import HeadPart, Sentence, TokenPart, make_sentence

_SIGNS = {"<": "<", "<=": "≤", ">": ">", ">=": "≥"}
_MOST_DIGITS = 9
"""Number of digits by which all float32 numbers differ."""


@dataclass(frozen=True)
class SaidClaim:
    """A claim in words, with what was measured.

    Attributes:
        claim: the claim.
        found: the measured value, its rank, and how many heads would pass; or why there is no value.
        holds: whether it holds.
    """

    claim: Sentence
    found: Sentence
    holds: bool


@dataclass(frozen=True)
class ClaimOutcome:
    """What became of a claim, on the card of its page and in ``report.json``.

    Attributes:
        claim: the claim in words.
        found: what was measured, in words.
        holds: whether it holds.
        value: measured value; ``None`` if it is n/a.
        rank: its rank; ``None`` if it is n/a.
        num_passing: how many of the captured heads would pass; ``None`` for a token, or if it is n/a.
        num_heads: number of the captured heads; ``None`` for a token.
    """

    claim: str
    found: str
    holds: bool
    value: float | None = None
    rank: int | None = None
    num_passing: int | None = None
    num_heads: int | None = None


def say_claims(capture: Capture, results: Sequence[ClaimResult] | None = None) -> list[SaidClaim]:
    """Return the claims of a capture in words; ``results`` are those of ``judge_claims``, if they are known."""
    results = judge_claims(capture) if results is None else results
    return [SaidClaim(_say_claim(capture, result), _say_found(result), result.holds) for result in results]


def list_outcomes(capture: Capture) -> tuple[ClaimOutcome, ...]:
    """Return what became of each claim of a capture."""
    results, text = judge_claims(capture), partial(to_text, tokens=capture.tokens)
    return tuple(
        ClaimOutcome(
            text(said.claim), text(said.found), result.holds, result.value, result.rank, result.num_passing,
            result.num_heads,
        )
        for result, said in zip(results, say_claims(capture, results), strict=True)
    )  # fmt: skip


def count_claims(outcomes: Sequence[ClaimOutcome] | Sequence[SaidClaim]) -> str:
    """Return how many claims hold, such as ``2 of 3 hold``."""
    holding = sum(outcome.holds for outcome in outcomes)
    return f"{holding} of {len(outcomes)} {'holds' if len(outcomes) == 1 else 'hold'}"


def _say_claim(capture: Capture, result: ClaimResult) -> Sentence:
    claim = result.claim
    said = _say_token(capture, result) if claim.measure == TOKEN else _say_head(capture, result)
    return make_sentence(*said)


def _say_token(capture: Capture, result: ClaimResult) -> Sentence:
    claim = result.claim
    parts = [f"probability {_say_bound(claim.bound)}"] if claim.bound else []
    parts += [f"rank {_say_bound(claim.rank)}"] if claim.rank else []
    where = "" if result.step is None else f" as token {result.step + 1}"
    return TokenPart(show_text(claim.token)), f" has {' and '.join(parts)}{where}"


def _say_head(capture: Capture, result: ClaimResult) -> Sentence:
    claim = result.claim
    assert claim.head is not None
    assert claim.bound is not None
    head, bound = HeadPart(*claim.head), _say_bound(claim.bound)
    rank = f", and has rank {_say_bound(claim.rank)} of all heads" if claim.rank else ""
    if claim.measure == WEIGHT:
        read = (" reads ", _point(capture, result.key_pos), " at ", _point(capture, result.query_pos))
        return (head, *read, f" with weight {bound}{rank}")
    over = (" over ", TokenPart(show_text(claim.against))) if claim.against else ()
    if claim.measure == EFFECT:
        through = () if claim.key is None else (" through ", _point(capture, result.key_pos))
        over = over or (" over its alternatives",)
        return (head, f" adds {bound} logits to ", _written(capture, result.step), *over, *through, rank)
    scores = {score.name: score.title for score in HEAD_SCORES}
    if claim.measure in scores:
        return (head, f" has the score “{scores[claim.measure]}” {bound}{rank}")
    without = ("Without ", head) if claim.measure == "ablation" else ("With ", head, " at its mean")
    what = "the logit of " if claim.against else "the log-probability of "
    return (*without, f", {what}", _written(capture, result.step), *over, f" changes by {bound}{rank}")


def _say_found(result: ClaimResult) -> Sentence:
    if result.value is None:
        return (f"n/a: {result.missing}",)
    measured = f"measured {_format(result.value, result.claim.bound)}, rank {result.rank:,}"
    if result.claim.measure == TOKEN:
        return (measured,)
    measured += " from the lowest" if result.claim.counts_from_lowest else ""
    with_value = f" with a value, of {result.num_heads:,}" if result.num_measured != result.num_heads else ""
    return (f"{measured}; {result.num_passing:,} of {result.num_measured:,} heads{with_value} would pass",)


def _say_bound(bound: Bound) -> str:
    return str(bound).replace(bound.sign, _SIGNS[bound.sign]).replace("-", "−")


def _format(value: float, bound: Bound | None) -> str:
    """Return a value with as many digits as it takes to see on which side of a bound it is, three at least."""
    for digits in range(3, _MOST_DIGITS + 1):
        text = f"{value:.{digits}g}"
        if bound is None or bound.holds(float(text)) == bound.holds(value):
            break
    return text.replace("-", "−")


def _point(capture: Capture, position: int | None) -> TokenPart | str:
    if position is None or position >= capture.num_tokens:
        return f"position {position}"
    return TokenPart(capture.tokens[position].shown, position)


def _written(capture: Capture, step: int | None) -> TokenPart | str:
    if step is None or step >= len(capture.steps):
        return "the written token" if step is None else f"token {step + 1}"
    return _point(capture, capture.query_pos_of_step(step) + 1)
