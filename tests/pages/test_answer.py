"""What a page says first: its numbers are those of the capture, and nothing is said where nothing is known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from samples import make_capture, make_prediction, make_token

from reportgen.build.capture import capture as run
from reportgen.captures.quantization import quantize_sqrt
from reportgen.captures.record import Capture
from reportgen.evidence.kinds.attribution import list_rows
from reportgen.models.model import LoadedModel
from reportgen.pages.answer import Answer, make_account, make_answer, make_answers
from reportgen.pages.sentences import to_text
from reportgen.records import LayerType, Prompt
from reportgen.records.sentences import HeadPart, StrongPart, TokenPart

SINGLED = (
    "Of all heads, L0 H3 singles out one token most, the first token, the one before and the query itself aside: at "
)


def with_attribution(made: Capture, **changes: Any) -> Capture:
    attribution = replace(made.evidence.attribution, **changes)
    return replace(made, evidence=made.evidence.replace(attribution=attribution))


def plant(made: Capture, *effects: tuple[int, int, int, int, float]) -> Capture:
    """Return the capture with these effects through single tokens, ``(step, row, column, key_pos, effect)`` each."""
    sources = np.zeros_like(made.evidence.attribution.sources)
    for step, row, column, key_pos, effect in effects:
        sources[row, column, list_rows(made)[step]][key_pos] = effect
    return with_attribution(made, sources=sources)


def with_parts(made: Capture, attention: float, mlps: float) -> Capture:
    """Return the capture with these sums at step 0, and an account that closes."""
    old = made.evidence.attribution
    heads, parts, logits = np.zeros_like(old.heads), np.zeros_like(old.other_parts), old.logits.copy()
    heads[0, 0, 0, 0], parts[0, 0, 0] = attention, mlps
    logits[0, 0] = attention + mlps + 2.5 + old.other_heads[0, 0]
    return with_attribution(made, heads=heads, other_parts=parts, logits=logits)


def texts_of(made: Capture, answer: Answer) -> tuple[str, str]:
    return to_text(answer.claim, made.tokens), to_text(answer.details, made.tokens)


def test_the_claim_names_head_token_weight_effect_and_alternatives() -> None:
    made = with_parts(plant(make_capture(layers=(2, 5), heads=(0, 1)), (0, 1, 0, 3, 1.25)), attention=3, mlps=1)
    answer = make_answer(made, 0)
    assert answer.claim == (
        "The model wrote ", TokenPart(".", 5),
        " (50 %). The largest effect of a captured head through one earlier token: ",
        HeadPart(5, 0), " reads ", TokenPart("␣the", 3), " with weight 1.00, ", StrongPart("+1.2"), " logits for ",
        TokenPart(".", 5), " over its alternatives (", TokenPart("␣dog"), ", ", TokenPart("␣hat"), " …).",
    )  # fmt: skip
    assert answer.best is not None
    assert (answer.best.layer, answer.best.head, answer.best.key_pos, answer.best.effect) == (5, 0, 3, 1.25)
    assert answer.token == made.tokens[5]
    assert answer.prob == pytest.approx(0.5)


def test_details_name_the_next_three_the_largest_against_and_the_account() -> None:
    planted = plant(
        make_capture(), (0, 0, 0, 1, 4.0), (0, 0, 0, 2, 3.0), (0, 1, 0, 1, 2.0), (0, 2, 3, 3, 1.0), (0, 2, 3, 2, 0.5),
        (0, 1, 1, 1, -0.5), (0, 1, 2, 2, -2.0),
    )  # fmt: skip
    made = with_parts(planted, attention=3, mlps=1)
    claim, details = texts_of(made, make_answer(made, 0))
    assert "largest effect through one earlier token: L0 H0 reads “ cat” with weight 0.00, +4.0 logits" in claim
    assert details == (
        "Then L0 H0 through “ ate” +3.0, L1 H0 through “ cat” +2.0, L2 H3 through “ the” (3) +1.0; most against: "
        "L1 H2 through “ ate” −2.0. In all +6.5: attention +3.0, MLPs +1.0, other +2.5; less 2.0 for the spread of the "
        f"alternatives: log-odds {made.evidence.attribution.log_odds[0]:+.1f}."
    )


def test_details_without_further_reads_are_the_account() -> None:
    made = with_parts(plant(make_capture(), (0, 0, 0, 1, 4.0)), attention=3, mlps=1)
    assert texts_of(made, make_answer(made, 0))[1].startswith("In all +6.5: ")
    against = with_parts(plant(make_capture(), (0, 0, 0, 1, -4.0)), attention=3, mlps=1)
    claim, details = texts_of(against, make_answer(against, 0))
    assert claim == "The model wrote “.” (50 %). No single earlier token adds even 0.1 logits, the first token aside."
    assert details.startswith("Most against: L0 H0 through “ cat” −4.0. In all +6.5: ")


def test_effects_that_are_printed_as_none_are_not_named() -> None:
    made = with_parts(plant(make_capture(), (0, 0, 0, 1, 1.0), (0, 0, 1, 1, 0.04), (0, 0, 2, 1, -0.04)), 3, 1)
    assert texts_of(made, make_answer(made, 0))[1].startswith("In all ")
    tiny = with_parts(plant(make_capture(), (0, 0, 0, 1, 0.04)), 3, 1)
    assert make_answer(tiny, 0).best is None
    assert "No single earlier token adds even 0.1 logits" in to_text(make_answer(tiny, 0).claim)


def test_first_token_template_and_predicting_position_are_left_out_and_generated_tokens_are_not() -> None:
    chat = make_capture(messages=({"role": "user", "content": "ate the mat"},))
    made = plant(chat, (1, 0, 0, 0, 9.0), (1, 0, 0, 1, 8.0), (1, 0, 0, 5, 7.0), (2, 0, 0, 6, 6.0), (2, 1, 0, 5, 1.0))
    answers = make_answers(made)
    assert answers[1].best is None
    assert (answers[2].best and (answers[2].best.layer, answers[2].best.key_pos)) == (1, 5)


@pytest.mark.parametrize(
    ("attention", "mlps", "says"),
    [
        (1, 2, " Mostly MLPs: +2.0 of +5.5; attention +1.0."),
        (-0.7, 7.2, " Mostly MLPs: +7.2 of +9.0; attention −0.7."),
        (-1, -2, " Attention does not speak for it: −1.0 of −0.5; MLPs −2.0."),
        (2, 1, ""),
    ],
)
def test_it_begins_with_the_mlps_where_they_do_more(attention: float, mlps: float, says: str) -> None:
    made = with_parts(plant(make_capture(), (0, 0, 0, 1, 4.0)), attention, mlps)
    claim, _ = texts_of(made, make_answer(made, 0))
    assert claim.startswith(f"The model wrote “.” (50 %).{says} The largest effect through")


def test_layers_without_attention_are_named() -> None:
    made = with_parts(plant(make_capture(), (0, 0, 0, 1, 4.0)), 1, 2)
    kinds = (LayerType(0), LayerType(1, has_attention=False), LayerType(2))
    claim, details = texts_of(made, make_answer(replace(made, layer_types=kinds), 0))
    assert "Mostly MLPs and layers without attention: +2.0 of" in claim
    assert "attention +1.0, MLPs and layers without attention +2.0, other" in details


@pytest.mark.parametrize("layers", [(0, 1, 2), (1,)])
def test_the_account_closes(layers: tuple[int, ...]) -> None:
    made = make_capture(layers=layers)
    for answer in make_answers(made):
        account = answer.account
        assert account is not None
        assert account.total == pytest.approx(account.attention + account.mlps + account.other, abs=1e-3)
        assert account.odds is not None
        log_odds = account.total + account.odds.soft_cap - account.odds.entropy
        assert account.odds.log_odds == pytest.approx(log_odds, abs=1e-3)


def test_a_soft_cap_is_named_where_it_does_something() -> None:
    made = make_capture()
    assert "soft cap" not in texts_of(made, make_answer(made, 0))[1]
    capped = with_attribution(made, soft_cap=np.full(3, -0.3, np.float32))
    assert ", other +2.5; soft cap −0.3; less 2.0 for" in texts_of(capped, make_answer(capped, 0))[1]


def test_a_withheld_step_says_why_and_the_others_have_answers() -> None:
    reasons = (("", "its parts do not add up", ""),) * 4
    made = with_attribution(make_capture(), withheld=reasons)
    made.evidence.attribution.sources[:, :, list_rows(made)[1]] = np.nan
    answers = make_answers(made)
    claim, details = texts_of(made, answers[1])
    assert claim == f"The model wrote “ And” (50 %). {SINGLED}“.” it reads “ cat” with weight 0.17."
    assert details == "The effects on this token are withheld: its parts do not add up."
    assert (answers[1].best, answers[1].account) == (None, None)
    assert make_account(made.evidence.attribution, 1) is None
    assert answers[0].account is not None
    assert answers[2].best is not None


def test_without_attribution_it_says_the_head_that_singles_out_a_token_and_the_reason() -> None:
    made = make_capture()
    reason = {"attribution": "not available for Bloom: it has no unembedding"}
    lacks = replace(made, evidence=made.evidence.replace(attribution=None, missing=reason))
    claim, details = texts_of(lacks, make_answer(lacks, 0))
    assert claim == f"The model wrote “.” (50 %). {SINGLED}“ mat” it reads “ cat” with weight 0.20."
    assert details == f"No effects: {reason['attribution']}."
    silent = replace(made, evidence=made.evidence.replace(attribution=None))
    assert make_answer(silent, 0).details == ()


def test_without_sources_it_has_the_account_and_the_head() -> None:
    made = with_attribution(make_capture(), sources=None)
    claim, details = texts_of(made, make_answer(made, 0))
    assert claim.endswith(f"{SINGLED}“ mat” it reads “ cat” with weight 0.20.")
    assert details.startswith("In all ")


def test_without_generation_it_says_so() -> None:
    made = make_capture(generated=())
    (answer,) = make_answers(made)
    assert answer == make_answer(made, None)
    assert texts_of(made, answer) == (
        f"Nothing was generated after this text of 5 tokens. {SINGLED}“ mat” it reads “ cat” with weight 0.20.", "",
    )  # fmt: skip
    assert (answer.step, answer.token, answer.prob, answer.best, answer.account) == (None,) * 5


def test_a_short_text_has_no_head_that_singles_out_a_token() -> None:
    made = make_capture(("a",), ())
    assert texts_of(made, make_answers(made)[0])[0] == (
        "Nothing was generated after this text of 1 token. In a text this short no head singles out a token; L0 H0 is "
        "the first one: at “a” it reads “a” with weight 1.00."
    )


def test_beams_and_impossible_alternatives_are_plain() -> None:
    """With beams a token was chosen from no distribution; where no other token was possible, none is named."""
    made = plant(make_capture(), (0, 0, 0, 1, 1.0))
    steps = [replace(step, filtered=None) for step in made.steps]
    beams = replace(made, steps=tuple(steps))
    assert [answer.claim for answer in make_answers(beams)] == [answer.claim for answer in make_answers(made)]
    alone = replace(steps[0], raw=make_prediction(made.tokens[5], (), 1 - 1e-12))
    certain = replace(made, steps=(alone, *steps[1:]))
    claim, _ = texts_of(certain, make_answer(certain, 0))
    assert claim.endswith("logits for “.” over its alternatives.")
    impossible = replace(steps[0], raw=replace(alone.raw, logprob=-math.inf))
    filtered_in = replace(made, steps=(impossible, *steps[1:]))
    assert texts_of(filtered_in, make_answer(filtered_in, 0))[0].startswith("The model wrote “.” (0 %).")


def test_the_token_itself_is_no_alternative_and_three_are_named() -> None:
    made = plant(make_capture(), (0, 0, 0, 1, 1.0))
    others = tuple(make_token(text, number) for number, text in enumerate("vwxyz", start=80))
    step = replace(made.steps[0], raw=make_prediction(made.tokens[5], others))
    named = replace(made, steps=(step, *made.steps[1:]))
    assert texts_of(named, make_answer(named, 0))[0].endswith("alternatives (“v”, “w”, “x” …).")


def test_an_end_token_ends_the_text() -> None:
    made = make_capture()
    ended = replace(made, tokens=(*made.tokens[:-1], replace(made.tokens[-1], special=True)))
    assert [to_text(answer.claim)[:16] for answer in make_answers(ended)] == [
        "The model wrote ", "The model wrote ", "The model ended ",
    ]  # fmt: skip


def test_weights_of_a_large_capture_are_read_from_their_codes() -> None:
    made = plant(make_capture(), (0, 0, 3, 2, 1.0))
    coded = replace(made, triangles=quantize_sqrt(made.triangles))
    best = make_answer(coded, 0).best
    assert best is not None
    assert best.weight == pytest.approx(0.2, abs=0.004)


def test_there_is_no_answer_of_a_step_that_is_not_there() -> None:
    with pytest.raises(IndexError):
        make_answer(make_capture(), 3)


def test_bundled_model_says_what_it_wrote(smollm2: LoadedModel) -> None:
    made = run(smollm2, Prompt(text="The capital of France is", max_new_tokens=2))
    claim, details = texts_of(made, make_answer(made, 0))
    assert claim == (
        "The model wrote “ Paris” (77 %). The largest effect through one earlier token: L23 H4 reads “ France” with "
        "weight 0.90, +2.8 logits for “ Paris” over its alternatives (“ the”, “ London”, “ Le” …)."
    )
    assert details.endswith(
        "In all +5.4: attention +4.7, MLPs +0.8, other −0.1; less 4.2 for the spread of the alternatives: log-odds "
        "+1.2."
    )
    for answer in make_answers(made):
        account = answer.account
        assert account is not None
        assert account.odds is not None
        parts = account.attention + account.mlps + account.other + account.odds.soft_cap - account.odds.entropy
        assert account.odds.log_odds == pytest.approx(parts, abs=1e-3)
        assert answer.prob == pytest.approx(1 / (1 + math.exp(-account.odds.log_odds)), abs=1e-3)
