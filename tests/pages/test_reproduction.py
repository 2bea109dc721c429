"""What a page says it takes to make it again does make it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from samples import HOSTILE, make_capture

from reportgen.captures.record import Capture
from reportgen.pages.reproduction import make_command, make_prompt_file
from reportgen.prompts.prompt_file import load_prompts
from reportgen.records import Generation, Prompt

SAMPLED = Generation(do_sample=True, temperature=0.7, top_k=5, seed=3)


def with_prompt(prompt: Prompt) -> Capture:
    return replace(make_capture(), prompt=prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt("John wanted some pizza so", title="A title: #1", slug="john"),
        Prompt("  two\n lines\t: [x] ", title="a", slug="a", max_new_tokens=0, add_special_tokens=False),
        Prompt("x", title="a", slug="a", layers="0-4, -1", heads=3, evidence=("ablation",), generation=SAMPLED),  # type: ignore[arg-type]
        Prompt("x", title="a", slug="a", tags=("one", "2"), note="What\nI say", adapter="owner/lora", model="./m.gguf"),
        Prompt(messages=({"role": "user", "content": "Hi: {there}"},), title="a", slug="a",
               tools=({"name": "f", "parameters": {"type": "object"}},)),
        Prompt(messages=({"role": "developer", "content": "Be kind"}, {"role": "assistant", "content": "It is"}),
               title="a", slug="a", continue_final_message=True,
               chat_template_kwargs={"date_string": "26 Jul 2024", "enable_thinking": False, "more": [1, {"a": 2.5}]}),
        *(Prompt(text, title=text, slug="a") for text in HOSTILE if "\n" not in text),
        Prompt("a\x01b\u2028c\ufeffd", title="a", slug="a"),
    ],
)  # fmt: skip
def test_recipe_is_the_prompt(prompt: Prompt, tmp_path: Path) -> None:
    file = tmp_path / "prompts.yaml"
    file.write_text(make_prompt_file(with_prompt(prompt)), "utf-8")
    assert load_prompts(file) == (prompt,)


def test_recipe_says_versions_and_command_and_leaves_out_what_is_usual() -> None:
    prompt = Prompt("The cat", title="Cat", slug="cat", max_new_tokens=3)
    assert make_prompt_file(with_prompt(prompt)).split("\n") == [
        "# made with torch 2.13.0, transformers 5.24.0",
        "# save as cat.yaml, then run: reportgen build cat.yaml --device cpu --dtype float32",
        "- model: smollm2-135m",
        "  text: The cat",
        "  title: Cat",
        "  slug: cat",
        "  max_new_tokens: 3",
        "",
    ]


@pytest.mark.parametrize(
    ("name", "pinned"),
    [
        ("owner/name", "owner/name@607a30d"),
        ("owner/name@main", "owner/name@607a30d"),
        ("owner/name:model.gguf", "owner/name@607a30d:model.gguf"),
        ("owner/name@main:model.GGUF", "owner/name@607a30d:model.GGUF"),
    ],
)
def test_model_of_the_hub_is_pinned_to_its_commit(name: str, pinned: str) -> None:
    capture = with_prompt(Prompt("x", model=name))
    capture = replace(capture, model=replace(capture.model, revision="607a30d"))
    assert f"- model: {pinned}\n" in make_prompt_file(capture)


@pytest.mark.parametrize(
    ("device", "dtype", "options"),
    [
        ("cpu", "float32", "--device cpu --dtype float32"),
        ("cuda:0", "bfloat16", "--device cuda --dtype bfloat16"),
        ("cuda:0, cuda:1", "float16", "--device-map auto --dtype float16"),
        ("xpu:0", "int4, 4 bits", ""),
    ],
)
def test_command_names_device_and_format(device: str, dtype: str, options: str) -> None:
    model = replace(make_capture().model, device=device, dtype=dtype)
    assert make_command(model, "a.yaml") == f"reportgen build a.yaml {options}".rstrip()


def test_versions_cannot_leave_their_comment() -> None:
    capture = replace(make_capture(), versions={"a\n- text": "evil\r\n"})
    assert make_prompt_file(capture).startswith("# made with a - text evil\n# save as")


def test_recipe_says_that_a_path_is_not_whole() -> None:
    text = make_prompt_file(with_prompt(Prompt("x", model="mine", adapter="lora")))
    for name in ("mine", "lora"):
        assert f"# '{name}' has no place on the hub that is known: write its path instead\n" in text
    capture = with_prompt(Prompt("x", model="owner/name", adapter="owner/lora"))
    assert "its path" not in make_prompt_file(replace(capture, model=replace(capture.model, revision="607a30d")))
