"""The values that the stages hand to one another."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from samples import make_capture, make_pattern

from reportgen.records import Generation, Place, Prompt


def test_pattern_is_square_and_causal() -> None:
    pattern = make_capture(("a", "b"), ("c",), layers=(2, 5), heads=(1, 3)).pattern(2, 1)
    assert pattern.dtype == np.float32
    assert pattern == pytest.approx(np.array([[1, 0, 0], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]]), abs=1e-3)


@pytest.mark.parametrize(
    ("layer", "head", "kind"), [(2, 1, "uniform"), (2, 3, "previous"), (5, 1, "first"), (5, 3, "self")]
)
def test_pattern_goes_by_the_models_own_numbers(layer: int, head: int, kind: str) -> None:
    capture = make_capture(layers=(2, 5), heads=(1, 3))
    assert np.allclose(capture.pattern(layer, head), make_pattern(kind, 8), atol=1e-3)


@pytest.mark.parametrize(("layer", "head"), [(0, 1), (2, 0), (-1, 1)])
def test_what_was_not_captured_has_no_pattern(layer: int, head: int) -> None:
    with pytest.raises(KeyError, match=f"L{layer} H{head} was not captured"):
        make_capture(layers=(2, 5), heads=(1, 3)).pattern(layer, head)


def test_step_is_predicted_from_the_position_before_its_token() -> None:
    capture = make_capture(("a", "b", "c"), ("d", "e"))
    positions = [capture.query_pos_of_step(step) for step in range(2)]
    assert positions == [2, 3]
    assert [capture.tokens[position + 1].text for position in positions] == ["d", "e"]
    assert capture.num_tokens == 5


@pytest.mark.parametrize("step", [-1, 2])
def test_there_is_no_such_step(step: int) -> None:
    with pytest.raises(IndexError, match=f"step {step}: this capture has 2 steps"):
        make_capture(("a", "b", "c"), ("d", "e")).query_pos_of_step(step)


def test_settings_are_those_that_were_given() -> None:
    assert Generation().settings() == {"do_sample": False, "num_beams": 1}
    assert Generation(do_sample=True, top_k=5, seed=3).settings() == {"do_sample": True, "top_k": 5, "num_beams": 1}


def test_place_names_the_line_of_a_key_or_of_the_prompt() -> None:
    place = Place("prompts.yaml", 3, {"text": 5})
    assert [place.of("text"), place.of("layers"), place.of()] == ["prompts.yaml:5", "prompts.yaml:3", "prompts.yaml:3"]
    assert Place().of("text") == "prompt"


def test_where_a_prompt_stands_is_not_what_it_is() -> None:
    assert Prompt(text="a", place=Place("a.yaml", 1)) == Prompt(text="a")


def test_records_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Prompt(text="a").text = "b"  # type: ignore[misc]
    assert replace(Prompt(text="a"), text="b").text == "b"
