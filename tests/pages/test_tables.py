"""A capture as rows of text."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from samples import make_capture, make_prediction, make_token

from reportgen.captures.record import ONE_PASS, Capture
from reportgen.pages.stills import Shade
from reportgen.pages.tables import (
    EvidenceRow,
    PromptRow,
    StepRow,
    TokenView,
    describe_check,
    describe_drift,
    format_logprob,
    format_prob,
    format_signed,
    make_evidence_rows,
    make_prompt_rows,
    make_score_rows,
    make_settings,
    make_step_rows,
    make_token_views,
    summarize_settings,
    warn_of_drift,
)
from reportgen.records import Generation, Step
from reportgen.records.evidence import Evidence
from reportgen.records.selection import parse_selection


def with_step(capture: Capture, **changes: object) -> Capture:
    """Return the capture with its first step changed."""
    first, *rest = capture.steps
    return replace(capture, steps=(replace(first, **changes), *rest))  # pyright: ignore[reportArgumentType]


def test_strip_tells_prompt_and_generated_tokens_apart() -> None:
    assert make_token_views(make_capture(("a ", "b\n"), ("c",))) == [
        TokenView(0, "a␣", ("a␣",), special=False, generated=False),
        TokenView(1, "b↵", ("b↵", ""), special=False, generated=False),
        TokenView(2, "c", ("c",), special=False, generated=True),
    ]


def test_lines_of_a_token_end_where_its_text_does() -> None:
    """Code keeps its lines and its indentation; an arrow that the text itself holds ends none."""
    texts = ("f():\n    return\n", "↵", "a", "\n\n")
    lines = [view.lines for view in make_token_views(make_capture(texts, ()))]
    assert lines == [("f():↵", "␣␣␣␣return↵", ""), ("↵",), ("a",), ("↵", "↵", "")]


def test_shades_are_those_of_the_first_tokens() -> None:
    shades = [None, Shade("#ffffff", "#000000")]
    assert [view.shade for view in make_token_views(make_capture(("a", "b", "c"), ()), shades)] == [*shades, None]


def test_strip_and_step_mark_a_forecast() -> None:
    """The token that would be next stands where a generated one does."""
    forecast, written = make_capture(("a", "b"), ("c",), max_new_tokens=0), make_capture(("a", "b"), ("c",))
    views = make_token_views(forecast)
    assert [(view.generated, view.is_forecast) for view in views] == [(False, False), (False, False), (True, True)]
    assert [replace(view, is_forecast=False) for view in views] == make_token_views(written)
    (row,) = make_step_rows(forecast)
    assert row.is_forecast
    assert [replace(row, is_forecast=False)] == make_step_rows(written)
    assert make_evidence_rows(forecast) == make_evidence_rows(written)


def test_special_tokens_are_marked() -> None:
    capture = make_capture(("a", "b"), ())
    marked = replace(capture, tokens=(make_token("<s>", special=True), capture.tokens[1]))
    assert [view.special for view in make_token_views(marked)] == [True, False]


def test_nothing_predicts_the_first_token() -> None:
    capture = make_capture(("a", "b"), ("c",))
    assert make_prompt_rows(capture) == [
        PromptRow(0, capture.tokens[0], "", "", ""),
        PromptRow(1, capture.tokens[1], "0.250", "−1.386", "1"),
    ]


def test_step_shows_its_token_and_the_runners_up() -> None:
    capture = make_capture(("a",), ("c",))
    assert make_step_rows(capture) == [
        StepRow(
            step=0,
            token=capture.tokens[1],
            prob="0.500",
            logprob="−0.693",
            rank=1,
            entropy="0.690",
            filtered_prob="0.800",
            runners_up=(("␣dog", "0.250"), ("␣hat", "0.250")),
        )
    ]


def test_each_step_shows_its_own_token() -> None:
    rows = make_step_rows(make_capture())
    assert [(row.step, row.token.text) for row in rows] == [(0, "."), (1, " And"), (2, " the")]


def test_three_runners_up_are_shown_and_the_chosen_token_is_none_of_them() -> None:
    """The chosen token is the second of the list, as sampling may have it."""
    capture = make_capture(("a",), ("c",))
    best, chosen, *others = [make_token(text, number) for number, text in enumerate("wcxyz", start=50)]
    chosen = replace(capture.tokens[1])
    raw = replace(
        make_prediction(chosen, (), 0.2),
        rank=2,
        alternatives=tuple((token, math.log(0.3)) for token in (best, chosen, *others)),
    )
    (row,) = make_step_rows(with_step(capture, raw=raw))
    assert row.rank == 2
    assert [shown for shown, _ in row.runners_up] == ["w", "x", "y"]


def test_settings_say_what_it_takes_to_make_the_page_again() -> None:
    capture = make_capture(layers=(2, 5))
    prompt = replace(
        capture.prompt,
        layers=parse_selection("2,5"),
        generation=Generation(do_sample=True, temperature=0.7, top_p=0.9, seed=42),
    )
    assert dict(make_settings(replace(capture, prompt=prompt))) == {
        "model": "tiny",
        "architecture": "LlamaForCausalLM",
        "parameters": "7,000",
        "key/value heads": "2",
        "dtype and device": "float32 on cpu",
        "layers shown": "2, 5",
        "heads shown": "all",
        "most new tokens": "3",
        "do_sample": "true",
        "temperature": "0.7",
        "top_p": "0.9",
        "num_beams": "1",
        "seed": "42",
        "special tokens added": "true",
        "torch": "2.13.0",
        "transformers": "5.24.0",
    }


def test_scores_name_the_heads_where_they_are_largest() -> None:
    scores = {"sink": [[0.25, np.nan], [0.5, 0.25]], "induction": [[np.nan] * 2] * 2, "distance": [[1, 2], [3, 4.06]]}
    capture = make_capture(layers=(2, 5), heads=(1, 3))
    rows = make_score_rows(
        replace(capture, evidence=Evidence(scores={name: np.array(values) for name, values in scores.items()}))
    )
    assert {row.score.name: row.strongest for row in rows} == {
        "sink": ((5, 1, "0.500"), (2, 1, "0.250"), (5, 3, "0.250")),
        "induction": (),
        "distance": ((5, 3, "4.1"), (5, 1, "3.0"), (2, 3, "2.0"), (2, 1, "1.0")),
    }


def test_evidence_names_heads_on_both_sides_and_what_the_last_layers_say() -> None:
    """The second head writes nothing, and nothing is said of it."""
    capture = make_capture(layers=(2, 5), heads=(0, 1, 3))
    assert capture.evidence.lens
    (row, *_) = make_evidence_rows(capture)
    dog, dot = capture.evidence.lens.best[0][0], capture.tokens[5]
    assert row == EvidenceRow(
        step=0,
        token=dot,
        check="parts +7.500, logit +7.500, rounding 1.0e-06",
        strongest_for=(("L5 H0", "+0.200"), ("L2 H0", "+0.100")),
        strongest_against=(("L5 H3", "−0.200"), ("L2 H3", "−0.100")),
        last_layers=(("L2", dog, "0.750"), ("L3", dog, "0.750"), ("L4", dog, "0.750"), ("L5", dot, "0.750")),
    )


def test_withheld_attribution_says_by_how_much_and_names_no_head() -> None:
    capture = make_capture()
    assert capture.evidence.attribution
    attribution = replace(
        capture.evidence.attribution,
        withheld=(("its parts do not add up", "", "the sum of its parts is not a number"),) * 4,
        heads=np.full_like(capture.evidence.attribution.heads, np.nan),
    )
    rows = make_evidence_rows(replace(capture, evidence=capture.evidence.replace(attribution=attribution)))
    assert rows[0].check == "withheld: its parts do not add up"
    assert (rows[0].strongest_for, rows[0].strongest_against) == ((), ())
    assert describe_check(attribution, 2).startswith("withheld")


def test_evidence_has_rows_for_what_there_is() -> None:
    capture = make_capture()
    without = capture.evidence.replace(attribution=None)
    rows = make_evidence_rows(replace(capture, evidence=without))
    assert [(row.check, len(row.last_layers)) for row in rows] == [("", 3)] * 3
    assert make_evidence_rows(replace(capture, evidence=without.replace(lens=None))) == []
    assert make_evidence_rows(make_capture(generated=())) == []


@pytest.mark.parametrize(("value", "shown"), [(0.5, "+0.500"), (-0.5, "−0.500"), (0.0, "+0.000"), (math.nan, "n/a")])
def test_signed_numbers_keep_their_sign(value: float, shown: str) -> None:
    assert format_signed(value) == shown


@pytest.mark.parametrize(
    ("generation", "max_new_tokens", "chosen"),
    [
        (Generation(seed=3), 3, "greedy"),
        (
            Generation(do_sample=True, temperature=0.7, top_p=0.9, seed=3),
            3,
            "sampled, temperature 0.7, top_p 0.9, seed 3",
        ),
        (Generation(num_beams=4, repetition_penalty=1.2), 3, "greedy, 4 beams, repetition_penalty 1.2"),
        (
            Generation(do_sample=True, min_p=0.1, num_return_sequences=3, return_sequence=2, stop_strings=("\n", "Q:")),
            3,
            r"sampled, min_p 0.1, stop_strings '\n', 'Q:', seed 0, sequence 2 of 3",
        ),
        (Generation(do_sample=True, seed=3), 0, "nothing generated, most probable next token"),
    ],
)
def test_summary_says_how_tokens_were_chosen(generation: Generation, max_new_tokens: int, chosen: str) -> None:
    summary = summarize_settings(make_capture(generation=generation, max_new_tokens=max_new_tokens))
    assert summary == f"LlamaForCausalLM · float32 on cpu · {chosen}"


def test_summary_of_a_pass_without_a_forecast() -> None:
    assert summarize_settings(make_capture(generated=())).endswith(" · forward pass alone")


def test_settings_tell_revision_and_chat_template() -> None:
    capture = make_capture(messages=({"role": "user", "content": "Hi"},), add_special_tokens=False)
    told = replace(capture, model=replace(capture.model, revision="abc123", num_parameters=None))
    settings = dict(make_settings(told))
    assert settings["revision"] == "abc123"
    assert settings["special tokens added"] == "by the chat template"
    assert "parameters" not in settings
    without = dict(make_settings(make_capture(add_special_tokens=False)))
    assert without["special tokens added"] == "false"


def test_settings_tell_how_a_chat_was_formatted() -> None:
    messages = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Oh"})
    variables = {"date_string": "4 May", "enable_thinking": False}
    capture = make_capture(messages=messages, chat_template_kwargs=variables, continue_final_message=True)
    settings = dict(make_settings(capture))
    assert settings["template variables"] == "date_string: 4 May, enable_thinking: false"
    assert settings["last message"] == "continued"
    assert not {"template variables", "last message"} & dict(make_settings(make_capture())).keys()


def test_settings_tell_the_adapter() -> None:
    capture = make_capture()
    assert "adapter" not in dict(make_settings(capture))
    adapted = replace(capture, model=replace(capture.model, adapter="owner/lora"))
    assert dict(make_settings(adapted))["adapter"] == "owner/lora"


def test_second_pass_names_the_largest_difference() -> None:
    assert " by at most 2.3e-04." in describe_drift(with_step(make_capture(), logprob_drift=2.34e-4))


@pytest.mark.parametrize(
    ("max_new_tokens", "run"), [(3, "the generation itself"), (0, "the run that chose the next token")]
)
def test_one_pass_is_named(max_new_tokens: int, run: str) -> None:
    capture = replace(make_capture(("a", "b"), ("c",), max_new_tokens=max_new_tokens), strategy=ONE_PASS)
    assert describe_drift(capture) == f"Attention and evidence are of {run}."


@pytest.mark.parametrize(
    ("dtype", "limit", "advice"),
    [
        ("float32", 0.01, "do not cite it"),
        ("float64", 0.01, "do not cite it"),
        ("bfloat16", 0.5, "try --dtype float32"),
        ("float16", 0.5, "try --dtype float32"),
        ("float32, quantised by gptq", 0.5, "take the model in full precision"),
    ],
)
def test_replay_difference_beyond_rounding_is_warned_of(dtype: str, limit: float, advice: str) -> None:
    capture = make_capture()
    capture = replace(capture, model=replace(capture.model, dtype=dtype))
    assert warn_of_drift(with_step(capture, logprob_drift=limit)) == ""
    warning = warn_of_drift(with_step(capture, logprob_drift=1.004 * limit))
    assert f"differ by up to {1.004 * limit:.2g}, more than rounding in {dtype} does ({limit:g})" in warning
    assert warning.endswith(advice)
    assert warn_of_drift(replace(capture, steps=())) == ""


def test_drift_of_a_forecast_is_not_of_a_generation() -> None:
    capture = make_capture(("a", "b"), ("c",), max_new_tokens=0)
    for text in (describe_drift(capture), warn_of_drift(with_step(capture, logprob_drift=0.5))):
        assert "next" in text
        assert "generat" not in text
    assert "1.0e-06" in describe_drift(capture)


def test_nothing_was_replayed_without_steps() -> None:
    assert describe_drift(make_capture(generated=())) == ""
    assert make_step_rows(make_capture(generated=())) == []


@pytest.mark.parametrize(
    ("prob", "shown"),
    [(1, "1.000"), (0.5, "0.500"), (0.1, "0.100"), (0.0999, "0.0999"), (0.01234, "0.0123"), (1e-7, "1e-07"), (0, "0")],
)
def test_probabilities_have_three_digits(prob: float, shown: str) -> None:
    assert format_prob(math.log(prob) if prob else -math.inf) == shown


@pytest.mark.parametrize(("logprob", "shown"), [(0.0, "0.000"), (-1.23456, "−1.235"), (-math.inf, "−∞")])
def test_log_probabilities_have_three_decimals(logprob: float, shown: str) -> None:
    assert format_logprob(logprob) == shown


def test_impossible_token_is_shown_as_such() -> None:
    ruled_out = replace(make_prediction(make_token("c")), logprob=-math.inf)
    steps = (Step(0, ruled_out, ruled_out, 0.0),)
    (row,) = make_step_rows(replace(make_capture(("a",), ("c",)), steps=steps))
    assert (row.prob, row.logprob, row.filtered_prob) == ("0", "−∞", "0")
