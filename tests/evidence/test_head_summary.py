"""The summary of a capture's heads: its numbers, rounded, and means over the steps where a number is defined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from samples import make_capture, make_random, make_screened, make_whole, with_foil, withhold

from reportgen.evidence.head_summary import SUMMARY_NUMBERS, summarize_heads
from reportgen.evidence.opening import find_opening


def test_numbers_are_those_of_the_opening_step_and_means_over_all() -> None:
    capture = make_random(4, 3)
    summary, step = summarize_heads(capture), find_opening(capture).step
    assert step is not None
    effects, changes = capture.evidence.attribution.heads[0], capture.evidence.ablations["ablation"]
    expected = {
        "effect": effects[step],
        "effect_over_steps": effects.mean(0, dtype=float),
        "ablation": changes[step],
        "ablation_over_steps": changes.mean(0, dtype=float),
        **capture.evidence.scores,
    }
    assert list(summary.numbers) == [name for name in SUMMARY_NUMBERS if name in expected]
    assert (summary.step, summary.layers, summary.heads) == (step, capture.layers, capture.heads)
    for name, values in expected.items():
        assert summary.numbers[name].dtype == np.float16
        np.testing.assert_array_equal(summary.numbers[name], values.astype(np.float16))


def test_a_mean_is_over_the_steps_where_the_number_is_defined() -> None:
    capture = withhold(make_capture(), 0)
    effects = capture.evidence.attribution.heads[0]
    over_steps = summarize_heads(capture).numbers["effect_over_steps"]
    np.testing.assert_array_equal(over_steps, effects[1:].mean(0, dtype=float).astype(np.float16))
    assert np.isnan(summarize_heads(withhold(make_capture(), 0, 1, 2)).numbers["effect_over_steps"]).all()


def test_effects_are_against_the_alternatives_whatever_the_foils() -> None:
    capture = make_capture()
    with_one = summarize_heads(with_foil(capture))
    assert with_one.step == 0
    effects = capture.evidence.attribution.heads[0, 0]
    np.testing.assert_array_equal(with_one.numbers["effect"], effects.astype(np.float16))


def test_heads_that_were_only_estimated_have_no_ablation() -> None:
    screened = replace(make_capture(), evidence=make_screened())
    changes = screened.evidence.ablations["ablation"][0]
    assert np.isnan(changes).any()
    numbers = summarize_heads(screened).numbers
    assert (np.isnan(numbers["ablation"]) == np.isnan(changes)).all()
    assert "estimate" not in numbers


def test_without_steps_there_are_scores_alone() -> None:
    summary = summarize_heads(make_capture(generated=()))
    assert summary.step is None
    assert {"previous", "self"} <= set(summary.numbers) <= set(make_capture().evidence.scores)


def test_every_number_has_a_place_and_equal_ones_have_equal_bytes() -> None:
    whole = summarize_heads(make_whole()).numbers
    assert set(SUMMARY_NUMBERS) - set(whole) == {"mean-ablation", "mean-ablation_over_steps"}
    scores = {"distance": np.array([[-0.0, 1e6], [-np.nan, np.nan]], np.float32)}
    capture = make_capture(layers=(0, 1), heads=(0, 1))
    capture = replace(capture, evidence=capture.evidence.replace(scores=scores))
    codes = summarize_heads(capture).numbers["distance"].view(np.uint16)
    assert codes.tolist() == [[0, 0x7BFF], [0x7E00, 0x7E00]]  # 0, the largest number, and one NaN
