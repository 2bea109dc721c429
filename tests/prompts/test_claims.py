"""Claims in a prompt file: what is wrong with them is said with the line of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from prompt_problems import problems_of

from reportgen.prompts.prompt_file import load_prompts, prompt_file_schema
from reportgen.records.claim import parse_claim


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_wrong_grammar_is_told_with_the_line_of_the_claim() -> None:
    assert problems_of(
        """\
- model: tiny
  text: The cat
  slug: cat
  claims:
    - {head: L1H1, effect: "> 1"}
    - {head: L1H1, effect: 1}

    - head: 21.6
      effect: "> 0"
    - {token: " mat"}
"""
    ) == (
        "p.yaml:6: claims[2] of prompt 'cat' has effect: 1; write <, <=, > or >= and a number in quotes, such as "
        'effect: "> 0.5"',
        "p.yaml:8: claims[3] of prompt 'cat' names the head 21.6; write layer and head such as L21H6",
        "p.yaml:10: claims[4] of prompt 'cat' lacks 'prob' or 'rank'; add a comparison, such as prob: \"> 0.5\"",
    )


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ("L1H1", "p.yaml:3: claims of prompt 1 must be a list, got the text 'L1H1'; write [L1H1]"),
        ("[]", "p.yaml:3: claims of prompt 1 is an empty list; add an item or leave the key out"),
        ("[L1H1]", "p.yaml:3: claims[1] of prompt 1 must be a mapping of keys, got 'L1H1'; write such as {head: L21H6, "
         'effect: "> 1"}'),
    ],
)  # fmt: skip
def test_claims_that_are_no_list_of_claims(claims: str, says: str) -> None:
    assert problems_of(f"- model: tiny\n  text: x\n  claims: {claims}\n") == (says,)


def test_what_a_prompt_cannot_answer_is_told_with_its_line() -> None:
    assert problems_of(
        """\
- model: tiny
  text: The cat
  max_new_tokens: 2
  foils: [" dog"]
  without: [scores]
  claims:
    - {ablation: L1H1, change: "< 0"}
    - {head: L1H1, effect: "> 0", against: " hat"}
    - {head: L1H1, induction: "> 0.5"}
    - {token: " mat", prob: "> 0.5", step: 2}
"""
    ) == (
        "p.yaml:7: claims[1] of prompt 1 needs the evidence 'ablation'; add evidence: [ablation] to the prompt",
        "p.yaml:8: claims[2] of prompt 1 compares with ' hat', and the foils of the prompt are ' dog'; add it under "
        "'foils'",
        "p.yaml:9: claims[3] of prompt 1 needs 'scores', which 'without' leaves out; keep one",
        "p.yaml:10: claims[4] of prompt 1 is for step 2, and the last step is 1; lower its step or raise "
        "max_new_tokens",
    )


def test_heads_that_the_model_or_the_selection_lacks_are_told_as_those_of_a_selection() -> None:
    assert problems_of(
        """\
- model: tiny
  text: The cat
  layers: 0-1
  heads: 9
  claims:
    - {head: L3H0, effect: "> 0"}
    - {head: L0H4, sink: "> 0"}
    - {head: L2H0, effect: "> 0"}
    - {head: L1H0, effect: "> 0"}
"""
    ) == (
        "p.yaml:4: heads '9' of tiny: there is no 9: the model has 4, 0 to 3",
        "p.yaml:6: claims[1] on a head of tiny: there is no layer 3: the model has 3, 0 to 2",
        "p.yaml:7: claims[2] on a head of tiny: there is no head 4: the model has 4, 0 to 3",
        "p.yaml:8: claims[3] on a head of tiny: layer 2 is not captured, layers are 0–1; add it to 'layers'",
    )


def test_inherited_evidence_counts() -> None:
    Path("p.yaml").write_text(
        'defaults: {evidence: [ablation]}\nprompts: [{text: x, claims: [{ablation: L1H1, change: "< 0"}]}]\n', "utf-8"
    )
    (prompt,) = load_prompts("p.yaml")
    assert prompt.claims == ({"ablation": "L1H1", "change": "< 0"},)


def validates(claim: Any) -> bool:
    return Draft202012Validator(prompt_file_schema()).is_valid([{"text": "x", "claims": [claim]}])


def test_examples_of_the_schema_are_claims() -> None:
    (examples,) = prompt_file_schema()["$defs"]["PromptKeys"]["properties"]["claims"]["examples"]
    assert len(examples) == 6
    for example in examples:
        parse_claim(example)
        assert validates(example), example


@pytest.mark.parametrize(
    "wrong",
    [
        {"head": "L1H1"},
        {"head": "L1H1", "effect": "1"},
        {"head": "L1H1", "effect": "> 1", "sink": "> 1"},
        {"head": "1.1", "effect": "> 1"},
        {"head": "L1H1", "token": "a", "effect": "> 1"},
        {"ablation": "L1H1"},
        {"token": "a"},
        {"token": "", "prob": "> 1"},
        {"head": "L1H1", "weight": "> 1", "from": -1, "to": 0},
        {"head": "L1H1", "effect": "> 1", "why": "x"},
    ],
)
def test_schema_refuses_what_the_program_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        parse_claim(wrong)
    assert not validates(wrong)
