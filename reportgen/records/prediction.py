"""Tokens, and the distributions that they came from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """One token in place.

    Attributes:
        token_id: number in the vocabulary.
        text: exact decoded text; the texts of all tokens joined are the decoded whole, so a token that holds only
            part of a character has the empty text and the last one of that character has it all.
        shown: what a person sees: spaces as ``␣``, line ends as ``↵``, part of a character as its bytes.
        special: whether the tokenizer calls it a special token.
    """

    token_id: int
    text: str
    shown: str
    special: bool = False


@dataclass(frozen=True)
class Prediction:
    """A distribution over the vocabulary, and the token that came next in it.

    Attributes:
        logprob: natural logarithm of the probability of the token that came next; ``-inf`` where it was ruled out.
        rank: 0 where that token is the most probable one.
        entropy: of the whole distribution, in nats.
        alternatives: the most probable tokens with their log-probabilities, at most ten, best first; tokens of
            probability 0 are left out.
    """

    logprob: float
    rank: int
    entropy: float
    alternatives: tuple[tuple[Token, float], ...]


@dataclass(frozen=True)
class Step:
    """One generation step.

    Attributes:
        step: 0-based.
        raw: the model's own distribution.
        filtered: the distribution after sampling filters, the one the token was drawn from.
        logprob_drift: absolute difference between the raw log-probability of the chosen token during generation
            and in the pass that attention was taken from.
    """

    step: int
    raw: Prediction
    filtered: Prediction
    logprob_drift: float
