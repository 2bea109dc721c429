"""What page and index say of claims, and what the card of a page keeps of them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from html_tree import parse_html
from samples import HOSTILE, make_capture, make_token, with_attribution, with_foil

from reportgen.captures.record import Capture
from reportgen.pages.cards import make_card, parse_card
from reportgen.pages.claims import list_outcomes
from reportgen.pages.index import render_index
from reportgen.pages.page import render_page
from reportgen.site.site import Run, Site

CLAIMS = (
    {"head": "L1H0", "weight": "> 0.9", "from": "last", "to": " mat"},
    {"head": "L2H0", "effect": ">= 0.6", "rank": "<= 1"},
    {"head": "L0H9", "weight": "< 1", "from": 12, "to": 0},
)


def with_claims(made: Capture, *claims: dict[str, Any]) -> Capture:
    return replace(made, prompt=replace(made.prompt, claims=claims))


def make_claimed() -> Capture:
    """Return a capture of which one claim holds, one does not, and one has no value."""
    last = {**CLAIMS[2], "head": "L0H3"}
    return with_claims(make_capture(), CLAIMS[0], {**CLAIMS[1], "effect": "> 0.61"}, last)


def test_page_says_what_holds_in_words() -> None:
    page = parse_html(render_page(make_claimed()))
    (section,) = page.find("section", class_="claims")
    assert section.find("strong")[0].text == "Claims: 1 of 3 hold"
    assert [item.text for item in section.find("li")] == [
        "✓ holds L1 H0 reads ␣mat at . with weight > 0.9: measured 1, rank 1; 3 of 12 heads would pass",
        "✗ does not hold L2 H0 adds > 0.61 logits to ␣And over its alternatives, and has rank ≤ 1 of all heads: "
        "measured 0.6, rank 1; 0 of 12 heads would pass",
        "✗ does not hold L0 H3 reads The at position 12 with weight < 1: n/a: the text has no position 12, it ends "
        "with 7",
    ]
    assert [item.find("b")[0].attributes["class"] for item in section.find("li")] == [
        "verdict holds", "verdict", "verdict",
    ]  # fmt: skip
    answer = page.find("section", id="answer")[0]
    assert section in answer.find("section")


def test_page_without_claims_does_not_speak_of_them() -> None:
    assert not parse_html(render_page(make_capture())).find("section", class_="claims")


def test_every_kind_of_claim_is_said() -> None:
    made = with_foil(make_capture(evidence=("ablation", "mean-ablation")))
    changes = made.evidence.ablations["ablation"]
    evidence = made.evidence.replace(ablations={"ablation": changes, "mean-ablation": 2 * changes})
    claims = (
        {"head": "L2H0", "effect": "> 0.1", "against": " dog", "to": " mat"},
        {"head": "L1H3", "induction": ">= -1e-3"},
        {"ablation": "L2H3", "change": "<= -0.25", "rank": "< 4"},
        {"mean-ablation": "L2H3", "change": "> 0", "step": 1},
        {"ablation": "L2H3", "change": "< 0", "against": " dog"},
        {"token": " dog", "prob": "< 0.3", "rank": "<= 3"},
        {"token": ".", "rank": "> 1"},
    )
    said = [outcome.claim for outcome in list_outcomes(with_claims(replace(made, evidence=evidence), *claims))]
    assert said == [
        "L2 H0 adds > 0.1 logits to “.” over “ dog” through “ mat”",
        "L1 H3 has the score “induction” ≥ −0.001",
        "Without L2 H3, the log-probability of “.” changes by ≤ −0.25, and has rank < 4 of all heads",
        "With L2 H3 at its mean, the log-probability of “ And” changes by > 0",
        "Without L2 H3, the logit of “.” over “ dog” changes by < 0",
        "“ dog” has probability < 0.3 and rank ≤ 3 as token 1",
        "“.” has rank > 1 as token 1",
    ]


def test_value_is_written_with_the_digits_that_decide() -> None:
    made = make_capture()
    heads = made.evidence.attribution.heads.copy()
    heads[0, 1, 0, 0] = 0.50004
    close = with_claims(with_attribution(made, heads=heads), {"head": "L0H0", "effect": "> 0.5"})
    (outcome,) = list_outcomes(close)
    assert (outcome.holds, outcome.value) == (True, float(np.float32(0.50004)))
    assert outcome.found.startswith("measured 0.50004, rank ")


def test_some_heads_without_a_value_are_counted() -> None:
    made = make_capture(evidence=("ablation",))
    changes = made.evidence.ablations["ablation"].copy()
    changes[:, 0, :3] = np.nan
    claimed = with_claims(
        replace(made, evidence=made.evidence.replace(ablations={"ablation": changes})),
        {"ablation": "L1H3", "change": "<= 0"},
    )
    (outcome,) = list_outcomes(claimed)
    assert outcome.found == "measured −0.6, rank 1 from the lowest; 9 of 9 heads with a value, of 12 would pass"


def test_card_counts_what_holds_and_comes_back_from_json() -> None:
    card = make_card(make_claimed())
    assert card.claims_said == "claims: 1 of 3 hold"
    assert parse_card(json.loads(json.dumps(asdict(card)))) == card
    shown = parse_html(render_index([card])).find("li", class_="card")[0]
    assert "claims: 1 of 3 hold" in [line.text for line in shown.find("p", class_="hint")]
    assert not make_card(make_capture()).claims_said


def test_report_has_each_claim_with_its_value(tmp_path: Any) -> None:
    (outcome,) = Site(tmp_path).make_outcomes([make_card(make_claimed())], Run())
    first, second, third = outcome["claims"]
    assert (first["holds"], first["value"], first["rank"], first["num_passing"]) == (True, 1.0, 1, 3)
    assert (second["holds"], second["num_passing"], second["num_heads"]) == (False, 0, 12)
    assert (third["holds"], third["value"], third["rank"]) == (False, None, None)
    assert "claims" not in Site(tmp_path).make_outcomes([make_card(make_capture())], Run())[0]


def test_hostile_tokens_in_claims_are_text() -> None:
    made = make_capture()
    steps = list(made.steps)
    alternatives = tuple((make_token(text, number), -1.0) for number, text in enumerate(HOSTILE))
    steps[1] = replace(steps[1], raw=replace(steps[1].raw, alternatives=alternatives))
    claims = [{"token": text, "prob": "> 0.3", "step": 1} for text in HOSTILE]
    claimed = with_claims(replace(made, steps=tuple(steps)), *claims)
    (section,) = parse_html(render_page(claimed)).find("section", class_="claims")
    assert len(section.find("li")) == len(HOSTILE)
    assert not section.find("script")
    assert not section.find("img")
