"""The values that the stages hand to one another."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from samples import make_capture

from reportgen.records import Comparison, Generation, Prompt, SourceLocation, public_name
from reportgen.records.errors import PromptError
from reportgen.records.selection import Selection


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
    several = Generation(num_beams=3, num_return_sequences=2, return_sequence=1, stop_strings=("\n",))
    assert several.settings() == {
        "do_sample": False, "num_beams": 3, "num_return_sequences": 2, "stop_strings": ("\n",)
    }  # fmt: skip


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
        ({"heads": None}, "heads is None; leave it out to take the default"),
        ({"text": 3}, "text must be text, got the number 3"),
        ({"messages": ({"role": "user", "content": "b"},)}, "both 'text' and 'messages' are given; keep one"),
        ({"tools": ({"name": "f"},)}, "'tools' are given without 'messages'; tools need a chat, write messages"),
        ({"chat_template_kwargs": {"a": 1}}, "'chat_template_kwargs' is given without 'messages'; only a chat has a"),
        ({"chat_template_kwargs": [1]}, "chat_template_kwargs must be a mapping of keys, got a list"),
        ({"continue_final_message": True}, "'continue_final_message' is given without 'messages'; only a chat has"),
        ({"continue_final_message": 1}, "continue_final_message must be true or false, got the number 1"),
        ({"adapter": 3}, "adapter must be text, got the number 3"),
        ({"max_new_tokens": -1}, "max_new_tokens must be greater than or equal to 0, got the number -1"),
        ({"max_new_tokens": 1.5}, "max_new_tokens must be a whole number, got the number 1.5"),
        ({"max_new_tokens": True}, "max_new_tokens must be a whole number, got the boolean True"),
        ({"evidence": ("ablaton",)}, r"evidence\[1\] must be 'ablation' or 'mean-ablation', got the text 'ablaton'"),
        ({"tags": "birds"}, r"tags must be a list, got the text 'birds'; write \[birds\]"),
        ({"title": 7}, "title must be text, got the number 7"),
        ({"slug": "../up"}, "slug must be 1 to 80 of the letters"),
        ({"add_special_tokens": 1}, "add_special_tokens must be true or false, got the number 1"),
        ({"generation": {"do_sample": "no"}}, "generation.do_sample must be true or false, got the text 'no'"),
        ({"generation": Generation(num_beams=0)}, "generation.num_beams must be greater than or equal to 1, got the"),
        ({"generation": Generation(do_sample=True, top_p=3)}, "generation.top_p must be less than or equal to 1, got"),
        ({"generation": Generation(do_sample=True, temperature=math.inf)}, "generation.temperature must be a finite"),
        ({"generation": Generation(top_k=5)}, "generation.top_k does nothing without sampling; add do_sample=True"),
        ({"generation": Generation(min_p=0.1)}, "generation.min_p does nothing without sampling; add do_sample=True"),
        ({"generation": Generation(num_return_sequences=2)}, "generation.num_return_sequences is 2, and without sampl"),
        ({"generation": Generation(num_beams=2, num_return_sequences=3)}, "generation.num_return_sequences is 3, and "),
        ({"generation": Generation(do_sample=True, num_return_sequences=2), "max_new_tokens": 0}, "generation.num_ret"),
        ({"generation": Generation(return_sequence=2)}, "generation.return_sequence is 2, and num_return_sequences is"),
        ({"generation": {"stop_strings": []}}, "generation.stop_strings is an empty list; add an item or leave the k"),
        ({"generation": {"stop_strings": ["a", ""]}}, r"generation.stop_strings\[2\] is empty; write something"),
        ({"generation": {"stop_strings": "a"}}, r"generation.stop_strings must be a list, got the text 'a'; write \[a"),
        ({"text": "", "messages": ({"role": "owner", "content": "b"},)}, r"messages\[1\].role must be 'system', "),
        ({"text": "a\ud800"}, "text holds half a character, a lone surrogate"),
        ({"tags": ("a", "\udfff")}, "tags holds half a character"),
        ({"text": "", "messages": ({"role": "user", "content": "\ud83d"},)}, "messages holds half a character"),
        ({"evidence": "ablation"}, "evidence must be a list, got the text 'ablation'"),
        ({"evidence": ("lens",)}, r"evidence\[1\] must be 'ablation' or 'mean-ablation', got the text 'lens'$"),
        ({"without": ("lense",)}, r"without\[1\] must be 'scores', .*, got the text 'lense'; did you mean 'lens'\?"),
        (
            {"evidence": ("ablation",), "without": ("lens", "ablation")},
            "'ablation' is given under 'evidence' and under 'without'; keep one",
        ),
    ],
)
def test_prompt_made_by_hand_is_checked(keys: dict[str, object], message: str) -> None:
    with pytest.raises(PromptError, match=f"^prompt: {message}"):
        Prompt(**{"text": "a"} | keys)  # type: ignore[arg-type]


def test_records_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Prompt(text="a").text = "b"  # type: ignore[misc]
    assert replace(Prompt(text="a"), text="b").text == "b"


def test_values_of_a_prompt_have_one_type() -> None:
    prompt = Prompt(
        text="a", tags=["b"], evidence=["ablation"], max_new_tokens=np.int64(3), generation={"seed": 1},  # type: ignore[arg-type]
    )  # fmt: skip
    assert (prompt.tags, prompt.evidence, prompt.generation) == (("b",), ("ablation",), Generation(seed=1))
    assert type(prompt.max_new_tokens) is int
    assert replace(prompt) == prompt


def test_comparison_made_by_hand_is_checked() -> None:
    for prompts, message in (
        (("a", "a"), "compare names 'a' twice"),
        (("a",), "compare must name two prompts or more by"),
    ):
        with pytest.raises(PromptError, match=f"^prompt: {message}"):
            Comparison(prompts)  # type: ignore[arg-type]
    with pytest.raises(PromptError, match="^prompt: slug must be 1 to 80"):
        Comparison(("a", "b"), slug="../c")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/home/someone/models/plain", "plain"),
        ("/home/someone/models/plain/", "plain"),
        ("~/plain", "plain"),
        ("./plain", "plain"),
        ("../../someone/plain", "plain"),
        ("work/someone/plain", "plain"),
        ("models/mine.gguf", "mine.gguf"),
        ("/home/someone/a.Q4.gguf", "a.Q4.gguf"),
        ("/home/someone/folder:a.gguf", "folder:a.gguf"),
        ("C:\\Users\\someone\\plain", "plain"),
        ("C:/Users/someone/plain", "plain"),
        ("smollm2-135m", "smollm2-135m"),
        ("owner/name", "owner/name"),
        ("owner/name@main", "owner/name@main"),
        ("owner/name:a.gguf", "owner/name:a.gguf"),
        ("owner/name@main:sub/a.gguf", "owner/name@main:sub/a.gguf"),
        ("mine, step 1000", "mine, step 1000"),
        ("", ""),
    ],
)
def test_public_name_of_a_path_is_its_last_part(name: str, shown: str) -> None:
    assert public_name(name) == shown
