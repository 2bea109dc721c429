"""Claims about a run, such as ``{head: L21H6, effect: "> 1"}``, which a build checks against what it measured."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reportgen.records.choices import EXTRA_EVIDENCE, HEAD_SCORE_NAMES
from reportgen.records.foil import Foil, explain_step
from reportgen.records.selection import Selection, explain_missing

WEIGHT, EFFECT, TOKEN = "weight", "effect", "token"
LAST, FIRST = "last", "first"
"""Names of the position that predicts the step's token, and of position 0."""
_SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_BOUND = re.compile(r"\s*(<=?|>=?)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*")
_HEAD = re.compile(r"L(\d{1,6}) ?H(\d{1,6})")
_OF_HEAD = (WEIGHT, EFFECT, *HEAD_SCORE_NAMES)
"""What a claim on a head can measure, besides what removing it changes."""
KEYS_OF_CLAIMS = {
    WEIGHT: ("head", WEIGHT, "from", "to", "step", "rank"),
    EFFECT: ("head", EFFECT, "to", "against", "step", "rank"),
    TOKEN: (TOKEN, "prob", "rank", "step"),
    **{name: ("head", name, "rank") for name in HEAD_SCORE_NAMES},
    **{name: (name, "change", "against", "step", "rank") for name in EXTRA_EVIDENCE},
}
"""The keys of a claim, by what it measures."""
CLAIM_KEYS = tuple(dict.fromkeys(key for keys in KEYS_OF_CLAIMS.values() for key in keys))
_EXAMPLE = '{head: L21H6, effect: "> 1"}'


@dataclass(frozen=True)
class Bound:
    """A comparison with a number, such as ``> 0.8``.

    Attributes:
        sign: ``<``, ``<=``, ``>`` or ``>=``.
        number: what a value is compared with.
    """

    sign: Literal["<", "<=", ">", ">="]
    number: float

    def holds(self, value: Any) -> Any:
        """Return whether a value, or each value of an array, meets the comparison; NaN never does."""
        return _SIGNS[self.sign](value, self.number)

    @property
    def is_upper(self) -> bool:
        """Whether values must be below the number."""
        return self.sign.startswith("<")

    def __str__(self) -> str:
        """Return the comparison as it is written in a prompt file."""
        return f"{self.sign} {repr(self.number).removesuffix('.0')}"


@dataclass(frozen=True)
class TokenPlace:
    """A token of the text.

    Attributes:
        token: its exact text, with its leading space.
        nth: which of the tokens with this text, from 1; ``None`` if there must be only one.
    """

    token: str
    nth: int | None = None


Place = int | str | TokenPlace
"""A position: its number, ``LAST``, ``FIRST``, or a token of the text."""


@dataclass(frozen=True)
class Claim:
    """A claim about a head or a token.

    Attributes:
        measure: what is measured: ``weight``, ``effect``, the name of a head score, ``ablation``, ``mean-ablation``, or
            ``token`` for the probability and the rank of a token.
        bound: what the measured number is compared with; ``None`` if only the rank of a token is.
        rank: what the rank is compared with: of the head among all captured heads, or of the token in the vocabulary;
            ``None`` if it is not.
        head: layer and head, as numbers in the model; ``None`` for a token.
        token: exact text of the token that a claim is about; empty for a head.
        query: position that reads, for a weight.
        key: position that is read, for a weight or an effect through one token; ``None`` for a whole head.
        step: 0-based step; ``None`` for that of the foil, or else the one that the page opens on.
        against: text of the foil that the written token is compared with; empty for the alternatives.
    """

    measure: str
    bound: Bound | None = None
    rank: Bound | None = None
    head: tuple[int, int] | None = None
    token: str = ""
    query: Place | None = None
    key: Place | None = None
    step: int | None = None
    against: str = ""

    @property
    def counts_from_lowest(self) -> bool:
        """Whether rank 1 is the lowest value: where the number must be below another one."""
        return self.bound is not None and self.bound.is_upper


def parse_claim(value: Any) -> Claim:
    """Parse a claim of a prompt file.

    Raises:
        ValueError: it is no claim; the message says what is wrong and what is allowed.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a mapping of keys, got {_short(value)}; write such as {_EXAMPLE}")
    measure = _find_measure(value)
    allowed = KEYS_OF_CLAIMS[measure]
    if unknown := [key for key in value if key not in allowed]:
        raise ValueError(f"has the key {_short(unknown[0])}; a claim on {measure} has {', '.join(allowed)}")
    bound_key = {TOKEN: "prob", **dict.fromkeys(EXTRA_EVIDENCE, "change")}.get(measure, measure)
    bound = _parse_bound(bound_key, value[bound_key]) if bound_key in value else None
    rank = _parse_rank(value["rank"]) if "rank" in value else None
    if bound is None and (rank is None or measure != TOKEN):
        needs = "'prob' or 'rank'" if measure == TOKEN else f"{bound_key!r}"
        raise ValueError(f'lacks {needs}; add a comparison, such as {bound_key}: "> 0.5"')
    query, key = (_parse_place(name, value[name]) if name in value else None for name in ("from", "to"))
    _check_weight(measure, value, query, key)
    return Claim(
        measure=measure,
        bound=bound,
        rank=rank,
        head=None if measure == TOKEN else _parse_head(value["head" if "head" in value else measure]),
        token=_parse_text(TOKEN, value[TOKEN]) if measure == TOKEN else "",
        query=query,
        key=key,
        step=_parse_step(value["step"]) if "step" in value else None,
        against=_parse_text("against", value["against"]) if "against" in value else "",
    )


def _find_measure(value: Mapping[str, Any]) -> str:
    """Return what a claim measures."""
    about = [key for key in ("head", TOKEN, *EXTRA_EVIDENCE) if key in value]
    if len(about) != 1:
        got = " and ".join(map(repr, about)) if about else f"the keys {', '.join(map(_short, value)) or 'none'}"
        others = ", ".join(("head", *EXTRA_EVIDENCE))
        raise ValueError(f"must be about one of {others} or {TOKEN}, got {got}; write such as {_EXAMPLE}")
    if about != ["head"]:
        return about[0]
    measures = [key for key in _OF_HEAD if key in value]
    if len(measures) == 1:
        return measures[0]
    unknown = next((str(key) for key in value if key not in CLAIM_KEYS), "")
    if close := difflib.get_close_matches(unknown[:100].lower(), _OF_HEAD, 1):
        raise ValueError(f"has the key {_short(unknown)}; did you mean {close[0]!r}?")
    got = " and ".join(map(repr, measures)) or (_short(unknown) if unknown else "none")
    raise ValueError(f"must have one of {', '.join(_OF_HEAD)} with its head, got {got}")


def _parse_bound(key: str, value: Any) -> Bound:
    match = _BOUND.fullmatch(value) if isinstance(value, str) and len(value) < 100 else None
    if match is None:
        raise ValueError(
            f'has {key}: {_short(value)}; write <, <=, > or >= and a number in quotes, such as {key}: "> 0.5"'
        )
    return Bound(match[1], float(match[2]))  # pyright: ignore[reportArgumentType] (the pattern has these signs)


def _parse_rank(value: Any) -> Bound:
    bound = _parse_bound("rank", value)
    if bound.number != round(bound.number):
        raise ValueError(f'has rank: {_short(value)}; a rank is a whole number from 1, such as rank: "<= 1"')
    return bound


def _parse_head(value: Any) -> tuple[int, int]:
    match = _HEAD.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"names the head {_short(value)}; write layer and head such as L21H6")
    return int(match[1]), int(match[2])


def _parse_text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f'has {key}: {_short(value)}; write the exact text of a token in quotes, such as " Paris"')
    return value


def _parse_step(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"has step: {_short(value)}; a step is a whole number from 0")
    return value


def _parse_place(key: str, value: Any) -> Place:
    if value in (LAST, FIRST) and isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and value:
        return TokenPlace(value)
    if isinstance(value, Mapping) and value.keys() <= {TOKEN, "nth"} and isinstance(value.get(TOKEN), str):
        nth = value.get("nth", 1)
        if value[TOKEN] and isinstance(nth, int) and not isinstance(nth, bool) and nth > 0:
            return TokenPlace(value[TOKEN], value.get("nth"))
    raise ValueError(
        f"has {key}: {_short(value)}; write {LAST}, {FIRST}, a position from 0, the text of a token in quotes, or "
        '{token: " Paris", nth: 2}'
    )


def _check_weight(measure: str, value: Mapping[str, Any], query: Place | None, key: Place | None) -> None:
    if measure != WEIGHT:
        return
    for name, place in (("from", query), ("to", key)):
        if place is None:
            raise ValueError(f"lacks {name!r}; a weight is from a position to one that it reads: from: last, to: first")
    if "step" in value and LAST not in (query, key):
        raise ValueError(f"has a step, which only says what {LAST!r} is; leave it out, or write from: {LAST}")


def explain_head(head: tuple[int, int], num_layers: int, num_heads: int, layers: Selection, heads: Selection) -> str:
    """Return why a model or the selection of a prompt lacks a head; empty if it does not.

    Args:
        head: layer and head.
        num_layers: number of layers of the model.
        num_heads: number of heads of each of its layers.
        layers: layers that the prompt keeps.
        heads: heads that the prompt keeps.
    """
    wrong = (
        explain_missing(*place)
        for place in zip(("layer", "head"), head, (num_layers, num_heads), (layers, heads), strict=True)
    )
    return next(filter(None, wrong), "")


def find_wrong_claims(
    claims: Sequence[Claim],
    *,
    evidence: Collection[str],
    without: Collection[str],
    foils: Sequence[Foil],
    num_steps: int | None,
    advice: str = "raise max_new_tokens",
) -> Iterator[tuple[int, str]]:
    """Yield the index of each claim that its prompt cannot answer, and why.

    Args:
        claims: claims of the prompt.
        evidence: evidence that the prompt asks for.
        without: what the prompt leaves out.
        foils: foils of the prompt.
        num_steps: largest number of steps; ``None`` if it is not known.
        advice: how to get more steps.
    """
    for index, claim in enumerate(claims):
        needs = {EFFECT: "attribution", **dict.fromkeys(HEAD_SCORE_NAMES, "scores")}.get(claim.measure)
        if claim.measure in EXTRA_EVIDENCE and claim.measure not in evidence:
            yield index, f"needs the evidence {claim.measure!r}; add evidence: [{claim.measure}] to the prompt"
        elif needs in without:
            yield index, f"needs {needs!r}, which 'without' leaves out; keep one"
        else:
            wrong = _explain_foil(claim, foils) if claim.against else ""
            if num_steps is not None and claim.step is not None:
                wrong = wrong or explain_step(claim.step, num_steps, advice)
            if wrong:
                yield index, wrong


def _explain_foil(claim: Claim, foils: Sequence[Foil]) -> str:
    """Return why the foil of a claim is not one of its prompt; empty if it is."""
    steps = [foil.step for foil in foils if foil.token == claim.against]
    if not steps:
        known = ", ".join(repr(foil.token) for foil in foils) or "none"
        return f"compares with {claim.against!r}, and the foils of the prompt are {known}; add it under 'foils'"
    if claim.step is None and len(steps) > 1:
        return f"compares with {claim.against!r}, a foil of the steps {', '.join(map(str, steps))}; add a step"
    if claim.step is not None and claim.step not in steps:
        return f"is for step {claim.step}, and the foil {claim.against!r} for {', '.join(map(str, steps))}; take that"
    return ""


def _short(value: object) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else f"{value[:39]}…")
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
