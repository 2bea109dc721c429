"""The grammar of claims: what is one, and what an error says of what is none."""

from __future__ import annotations

from typing import Any

import pytest

from reportgen.evidence.kinds.scores import HEAD_SCORES
from reportgen.records import Foil, Prompt
from reportgen.records.choices import HEAD_SCORE_NAMES
from reportgen.records.claim import Bound, Claim, TokenPlace, parse_claim
from reportgen.records.errors import PromptError

HEAD = {"head": "L21H6"}


@pytest.mark.parametrize(
    ("given", "claim"),
    [
        (
            {**HEAD, "from": "last", "to": " France", "weight": "> 0.8"},
            Claim("weight", Bound(">", 0.8), head=(21, 6), query="last", key=TokenPlace(" France")),
        ),
        (
            {"head": "L0 H12", "from": {"token": "a", "nth": 2}, "to": 0, "weight": "<=.5", "rank": "< 3"},
            Claim("weight", Bound("<=", 0.5), Bound("<", 3), (0, 12), query=TokenPlace("a", 2), key=0),
        ),
        (
            {**HEAD, "effect": ">= -1e-3", "to": "first", "against": " John", "step": 2, "rank": "<= 1"},
            Claim("effect", Bound(">=", -0.001), Bound("<=", 1), (21, 6), key="first", step=2, against=" John"),
        ),
        ({**HEAD, "induction": " > +0.5 "}, Claim("induction", Bound(">", 0.5), head=(21, 6))),
        ({"ablation": "L21H6", "change": "< -0.5"}, Claim("ablation", Bound("<", -0.5), head=(21, 6))),
        ({"mean-ablation": "L1H2", "change": "> 0"}, Claim("mean-ablation", Bound(">", 0), head=(1, 2))),
        ({"token": " Paris", "prob": "> 0.5"}, Claim("token", Bound(">", 0.5), token=" Paris")),
        ({"token": " Paris", "rank": "<= 1", "step": 1}, Claim("token", rank=Bound("<=", 1), token=" Paris", step=1)),
    ],
)
def test_claim_is_read(given: dict[str, Any], claim: Claim) -> None:
    assert parse_claim(given) == claim


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("L21H6", "must be a mapping of keys, got 'L21H6'; write such as {head: L21H6"),
        ({}, "must be about one of head, ablation, mean-ablation or token, got the keys none"),
        ({"hed": "L1H1"}, "got the keys 'hed'"),
        ({**HEAD, "token": "a", "prob": "> 0"}, "got 'head' and 'token'"),
        (HEAD, "must have one of weight, effect, sink,"),
        ({**HEAD, "inducton": "> 0"}, "has the key 'inducton'; did you mean 'induction'?"),
        ({**HEAD, "effect": "> 0", "self": "> 0"}, "got 'effect' and 'self'"),
        ({**HEAD, "effect": "> 0", "from": 1}, "has the key 'from'; a claim on effect has head, effect, to, against"),
        ({**HEAD, "induction": "> 0", "step": 1}, "has the key 'step'; a claim on induction has head, induction, rank"),
        ({"ablation": "L1H1"}, "lacks 'change'; add a comparison, such as change: \"> 0.5\""),
        ({"token": "a"}, "lacks 'prob' or 'rank'"),
        ({**HEAD, "effect": 1}, "has effect: 1; write <, <=, > or >= and a number in quotes"),
        ({**HEAD, "effect": "= 1"}, "has effect: '= 1'; write <"),
        ({**HEAD, "effect": "> nan"}, "has effect: '> nan'"),
        ({**HEAD, "effect": ">"}, "has effect: '>'; write <"),
        ({**HEAD, "effect": "> 0", "rank": "<= 1.5"}, "a rank is a whole number from 1"),
        ({"head": "21.6", "effect": "> 0"}, "names the head '21.6'; write layer and head such as L21H6"),
        ({"head": [21, 6], "effect": "> 0"}, "names the head [21, 6]"),
        ({**HEAD, "weight": "> 0", "to": 0}, "lacks 'from'"),
        ({**HEAD, "weight": "> 0", "from": "last"}, "lacks 'to'"),
        ({**HEAD, "weight": "> 0", "from": -1, "to": 0}, "has from: -1; write last, first, a position from 0"),
        ({**HEAD, "weight": "> 0", "from": True, "to": 0}, "has from: True"),
        ({**HEAD, "weight": "> 0", "from": "last", "to": {"token": "a", "nth": 0}}, "has to: {'token': 'a', 'nth': 0}"),
        ({**HEAD, "weight": "> 0", "from": 3, "to": 0, "step": 1}, "has a step, which only says what 'last' is"),
        ({**HEAD, "effect": "> 0", "step": -1}, "has step: -1; a step is a whole number from 0"),
        ({**HEAD, "effect": "> 0", "against": ""}, "has against: ''; write the exact text of a token"),
        ({"token": 5, "prob": "> 0"}, "has token: 5; write the exact text of a token in quotes"),
    ],
)
def test_wrong_claim_says_what_is_allowed(given: Any, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_claim(given)
    assert says in str(caught.value)
    with pytest.raises(PromptError) as of_prompt:
        Prompt("x", claims=[{**HEAD, "effect": "> 0"}, given])
    assert str(of_prompt.value) == f"prompt: claims[2] {caught.value}"


@pytest.mark.parametrize(
    ("claim", "keys", "says"),
    [
        ({"ablation": "L1H1", "change": "< 0"}, {}, "needs the evidence 'ablation'; add evidence: [ablation]"),
        ({"mean-ablation": "L1H1", "change": "< 0"}, {"evidence": ["ablation"]}, "needs the evidence 'mean-ablation'"),
        ({**HEAD, "effect": "> 0"}, {"without": ["attribution"]}, "needs 'attribution', which 'without' leaves out"),
        ({**HEAD, "self": "> 0"}, {"without": ["scores"]}, "needs 'scores', which 'without' leaves out"),
        ({**HEAD, "effect": "> 0", "against": "a"}, {}, "the foils of the prompt are none; add it under 'foils'"),
        ({**HEAD, "effect": "> 0", "against": "a"}, {"foils": ["b"]}, "the foils of the prompt are 'b'"),
        ({**HEAD, "effect": "> 0", "against": "a"}, {"foils": ["a", Foil("a", 1)]}, "a foil of the steps 0, 1; add"),
        ({**HEAD, "effect": "> 0", "against": "a", "step": 2}, {"foils": ["a"]}, "and the foil 'a' for 0; take that"),
        ({"token": "a", "prob": "> 0", "step": 3}, {"max_new_tokens": 3}, "is for step 3, and the last step is 2;"),
    ],
)
def test_claim_that_the_prompt_cannot_answer_is_refused(claim: Any, keys: dict[str, Any], says: str) -> None:
    with pytest.raises(PromptError) as caught:
        Prompt("x", claims=[claim], **keys)
    assert str(caught.value).startswith("prompt: claims[1] ")
    assert says in str(caught.value)


def test_half_a_character_is_refused() -> None:
    with pytest.raises(PromptError, match="claims holds half a character"):
        Prompt("x", claims=[{"token": "\ud800", "prob": "> 0"}])


def test_every_score_has_a_claim() -> None:
    assert tuple(score.name for score in HEAD_SCORES) == HEAD_SCORE_NAMES


@pytest.mark.parametrize("text", ["< 1", "<= -0.5", "> 0.25", ">= 1e-07", "> 1e+22"])
def test_bound_is_written_as_it_is_read(text: str) -> None:
    bound = parse_claim({**HEAD, "effect": text}).bound
    assert str(bound) == text
