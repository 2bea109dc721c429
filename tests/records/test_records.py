"""The values that the stages hand to one another."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from samples import make_capture, make_pattern

from reportgen.records import Generation, Prompt, SourceLocation
from reportgen.records.errors import PromptError
from reportgen.records.selection import Selection


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
    place = SourceLocation("prompts.yaml", 3, {"text": 5})
    assert [place.of("text"), place.of("layers"), place.of()] == ["prompts.yaml:5", "prompts.yaml:3", "prompts.yaml:3"]
    assert SourceLocation().of("text") == "prompt"
    place = SourceLocation("prompts.yaml", 3, {"layers": 5}, options={"layers": "--layers"})
    assert [place.of("layers"), place.of()] == ["--layers", "prompts.yaml:3"]


def test_where_a_prompt_stands_is_not_what_it_is() -> None:
    assert Prompt(text="a", place=SourceLocation("a.yaml", 1)) == Prompt(text="a")


@pytest.mark.parametrize("layers", ["0-1, 3", [0, 1, 3], ["0-1", 3], (0, 1, 3)])
def test_selections_are_read_as_they_are_written(layers: object) -> None:
    prompt = Prompt(text="a", layers=layers, heads=2)  # type: ignore[arg-type]
    assert prompt.layers.resolve(4) == (0, 1, 3)
    assert prompt.heads == Selection(((2, 2),))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"layers": "0..4"}, "layers cannot be read: '0..4' is not a number or range; write numbers, ranges such as"),
        ({"heads": "3-1"}, "heads cannot be read: the range 3-1 runs backwards; write"),
        ({"heads": None}, "heads cannot be read: None is not a number or range; write"),
        ({"text": 3}, "text must be text, got 3"),
        ({"messages": ({"role": "user", "content": "b"},)}, "messages and text are both given; keep one"),
        ({"tools": ({"name": "f"},)}, "tools are for messages, whose chat template writes them out; give messages"),
        ({"adapter": 3}, "adapter must be text, got 3"),
        ({"max_new_tokens": -1}, "max_new_tokens must be a whole number from 0 on, got -1"),
        ({"max_new_tokens": 1.5}, "max_new_tokens must be a whole number from 0 on, got 1.5"),
        ({"max_new_tokens": True}, "max_new_tokens must be a whole number from 0 on, got True"),
        ({"evidence": ("ablaton",)}, "evidence must be some of .*, got"),
        ({"text": "a\ud800"}, "text holds half a character, a lone surrogate"),
        ({"tags": ("a", "\udfff")}, "tags holds half a character"),
        ({"text": "", "messages": ({"role": "user", "content": "\ud83d"},)}, "messages holds half a character"),
        ({"evidence": "ablation"}, "evidence must be some of .*, got 'ablation'"),
    ],
)
def test_prompt_made_by_hand_is_checked(keys: dict[str, object], message: str) -> None:
    with pytest.raises(PromptError, match=f"^prompt: {message}"):
        Prompt(**{"text": "a"} | keys)  # type: ignore[arg-type]


def test_records_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Prompt(text="a").text = "b"  # type: ignore[misc]
    assert replace(Prompt(text="a"), text="b").text == "b"
