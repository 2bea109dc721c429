"""Tokens, and the distributions that predicted them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """One token of a sequence.

    Attributes:
        token_id: index in the vocabulary.
        text: exact decoded text; the joined texts of all tokens are the decoded sequence. Of the tokens that share one
            character, the last has the character and the others have an empty text.
        shown: text for display: spaces as ``␣``, line ends as ``↵``, part of a character as its bytes.
        special: whether the token is a special token of the tokenizer.
        goes_on: whether the token ends inside a character that the next token continues.
    """

    token_id: int
    text: str
    shown: str
    special: bool = False
    goes_on: bool = False


@dataclass(frozen=True)
class FoilToken:
    """A foil, as a token of the model's vocabulary.

    Attributes:
        token: the token that the written token of the step is compared with.
        step: 0-based step of the written token.
        logprob: natural logarithm of the probability of the foil, before sampling filters; ``None`` without the step.
        rank: its place by probability, 1 for the most probable; ``None`` without the step.
        missing: why nothing is compared with it; empty if the comparison is measured.
    """

    token: Token
    step: int
    logprob: float | None = None
    rank: int | None = None
    missing: str = ""


@dataclass(frozen=True)
class Prediction:
    """A predicted distribution over the vocabulary, and the actual next token in it.

    Attributes:
        logprob: natural logarithm of the probability of the next token; ``-inf`` if a filter excluded it.
        rank: place of the next token by probability: 1 plus the number of tokens that are more probable.
        entropy: entropy of the whole distribution, in nats.
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
        step: 0-based number of the step.
        raw: the model's distribution before sampling filters.
        filtered: the distribution after sampling filters, from which the token was chosen; ``None`` with beam search,
            which chooses among whole texts and not from a distribution.
        logprob_drift: absolute difference between the raw log-probability of the chosen token during generation
            and in the pass from which the attention was captured.
    """

    step: int
    raw: Prediction
    filtered: Prediction | None
    logprob_drift: float
