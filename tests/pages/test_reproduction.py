"""What a page says it takes to make it again does make it again."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from counts import count
from html_tree import parse_html
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import HOSTILE, make_capture
from tiny import save_llama

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.cli.build import build
from reportgen.models.model import load_model, wrap_model
from reportgen.pages.alignment import slim
from reportgen.pages.compare import render_comparison
from reportgen.pages.options import PageOptions
from reportgen.pages.reproduction import make_command, make_prompt_file
from reportgen.prompts.prompt_file import load_prompts, name_pages, read_prompt_file
from reportgen.records import Comparison, Generation, Prompt
from reportgen.records.slug import RESERVED_SLUGS
from reportgen.records.span import RESERVED_SPANS
from reportgen.records.story import StoryStep

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
    made = with_prompt(Prompt("x", model=name))
    made = replace(made, model=replace(made.model, revision="607a30d"))
    assert f"- model: {pinned}\n" in make_prompt_file(made)


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
    made = replace(make_capture(), versions={"a\n- text": "evil\r\n"})
    assert make_prompt_file(made).startswith("# made with a - text evil\n# save as")


def test_recipe_says_that_a_path_is_not_whole() -> None:
    text = make_prompt_file(with_prompt(Prompt("x", model="mine", adapter="lora")))
    for name in ("mine", "lora"):
        assert f"# '{name}' has no place on the hub that is known: write its path instead\n" in text
    capture = with_prompt(Prompt("x", model="owner/name", adapter="owner/lora"))
    assert "its path" not in make_prompt_file(replace(capture, model=replace(capture.model, revision="607a30d")))


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda text: not text.isspace()
)
looks_like_something_else = st.one_of(
    st.from_regex(r"[-+]?[0-9]{0,3}\.?[0-9]{0,3}([eE][-+]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["yes", "No", "null", "~", ".inf", "-.INF", ".nan", "<<", "=", "0x1f", "0o7", "1_000", "1:30",
                     "2024-01-01", "- a", "? a", "a: b", "a #b", "&a", "*a", "!a", "%a", "@a", "`a", "|", ">", "''"]),
    st.builds("".join, st.lists(st.sampled_from(["a", " ", "\n", "\r", "\t", "\x85", "\u2028", "\u2029", "\ufeff",
                                                 "\x00", "\x1b", "\xa0", '"', "'", "\\", ":", "#"]), min_size=1)),
).filter(lambda text: bool(text) and not text.isspace())  # fmt: skip
words = texts | looks_like_something_else
numbers = st.integers() | st.integers(-(10**40), 10**40) | st.floats(allow_nan=False)


def nest(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return values such as JSON has, of these numbers."""
    return st.recursive(
        st.none() | st.booleans() | leaves | words | st.just(""),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
        max_leaves=8,
    )


values = nest(numbers)
finite_values = nest(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
calls = st.lists(st.dictionaries(words, values, max_size=3), min_size=1, max_size=2)
messages = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "user"]),
        "content": words
        | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": words}), min_size=1, max_size=2),
    },
    optional={"name": words, "tool_calls": calls, "tool_call_id": words},
) | st.fixed_dictionaries({"role": st.just("assistant"), "tool_calls": calls}, optional={"content": st.none()})
chats = st.fixed_dictionaries(
    {"messages": st.lists(messages, min_size=1, max_size=3)},
    optional={
        "chat_template": words,
        "tools": st.lists(st.dictionaries(words, values, max_size=4), min_size=1, max_size=2),
        "chat_template_kwargs": st.dictionaries(words, finite_values, min_size=1, max_size=2),
    },
)  # fmt: skip
sampled = st.builds(
    Generation, do_sample=st.just(True), temperature=st.floats(1e-9, 1e9), top_k=st.integers(1, 10**9),
    top_p=st.floats(1e-9, 1), repetition_penalty=st.none() | st.floats(1e-9, 1e9), num_beams=st.integers(1, 9),
    min_p=st.none() | st.floats(1e-9, 1), stop_strings=st.just(()) | st.lists(words, min_size=1, max_size=3).map(tuple),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
selections = st.lists(st.integers(-30, 30), min_size=1, max_size=4)
heads = st.builds("L{}H{}".format, st.integers(0, 99), st.integers(0, 99))
bounds = st.builds("{} {!r}".format, st.sampled_from(["<", "<=", ">", ">="]), st.floats(-1e6, 1e6))
ranks = st.builds("{} {}".format, st.sampled_from(["<", "<=", ">", ">="]), st.integers(1, 999))
at = st.integers(0, 99) | words | st.fixed_dictionaries({"token": words}, optional={"nth": st.integers(1, 9)})
ranked = {"rank": ranks}
claims = st.one_of(
    st.fixed_dictionaries({"head": heads, "from": at, "to": at, "weight": bounds}, optional=ranked),
    st.fixed_dictionaries({"head": heads, "effect": bounds}, optional={**ranked, "to": at, "step": st.just(0)}),
    st.fixed_dictionaries({"head": heads, "induction": bounds}, optional=ranked),
    st.fixed_dictionaries({"token": words, "prob": bounds}, optional={**ranked, "step": st.just(0)}),
)
story_steps = st.builds(
    StoryStep,
    st.sampled_from(("head", "heads", "layers")),
    words.filter(lambda text: "[" not in text and "<" not in text),  # links are a matter of another test
    st.sampled_from(("", "layer=1&head=2&step=0", "tokens=2-9&all=steps%2Cheads")),
)
others = st.fixed_dictionaries(
    {"slug": st.from_regex("[A-Za-z0-9_][A-Za-z0-9_-]{0,20}", fullmatch=True).filter(
        lambda slug: slug.lower() not in RESERVED_SLUGS), "title": words},
    optional={
        "note": words, "tags": st.lists(words, min_size=1, max_size=3).map(tuple), "model": words, "adapter": words,
        "layers": selections, "heads": selections, "max_new_tokens": st.integers(0, 10**6),
        "spans": st.dictionaries(words.filter(lambda name: name not in RESERVED_SPANS), words | st.fixed_dictionaries(
            {"text": words, "nth": st.integers(1, 9)}), min_size=1, max_size=2),
        "add_special_tokens": st.booleans(), "evidence": st.just(("ablation",)), "generation": sampled,
        "foils": st.lists(words, min_size=1, max_size=2, unique=True),
        "continuation": st.tuples(words), "claims": st.lists(claims, min_size=1, max_size=3).map(tuple),
        "story": st.lists(story_steps, min_size=1, max_size=2).map(tuple),
        "without": st.lists(st.sampled_from(("lens", "predictions")), min_size=1, unique=True).map(tuple),
    },
)  # fmt: skip


def make_prompt(asked: dict[str, Any], keys: dict[str, Any]) -> Prompt:
    """Return a prompt whose keys fit one another."""
    if "continuation" in keys:  # nothing is generated
        keys = {key: value for key, value in keys.items() if key not in ("max_new_tokens", "generation")}
    return Prompt(**{**asked, **keys})


prompts = st.builds(make_prompt, st.fixed_dictionaries({"text": words}) | chats, others)


@settings(max_examples=count("recipes"), deadline=None)
@given(prompt=prompts)
def test_recipe_of_any_prompt_is_that_prompt(tmp_path_factory: pytest.TempPathFactory, prompt: Prompt) -> None:
    file = tmp_path_factory.getbasetemp() / "recipe.yaml"
    file.write_text(make_prompt_file(with_prompt(prompt)), "utf-8", newline="")
    assert load_prompts(file) == (prompt,)


def test_recipe_of_a_return_sequence_makes_its_page_alone(tmp_path: Path) -> None:
    generation = Generation(do_sample=True, num_return_sequences=3, seed=2)
    named = name_pages([Prompt("x", generation=generation)])
    for prompt in named:
        (tmp_path / "one.yaml").write_text(make_prompt_file(with_prompt(prompt)), "utf-8", newline="")
        assert load_prompts(tmp_path / "one.yaml") == (prompt,)


def test_recipe_continues_a_message() -> None:
    messages = ({"role": "user", "content": "Who?"}, {"role": "assistant", "content": "The owl"})
    text = make_prompt_file(with_prompt(Prompt(messages=messages, continue_final_message=True)))
    assert "  continue_final_message: true\n" in text


def test_recipe_has_every_field_of_a_prompt() -> None:
    """A new field is in the property above, or the property says nothing about it."""
    drawn = {"text", "messages", "tools", "slug", "title", "note", "tags", "model", "adapter", "layers", "heads"}
    drawn |= {
        "chat_template",
        "chat_template_kwargs",
        "continue_final_message",
        "spans",
        "max_new_tokens",
        "add_special_tokens",
        "evidence",
        "without",
        "generation",
        "foils",
        "continuation",
        "claims",
        "story",
    }
    assert drawn | {"place"} == {item.name for item in fields(Prompt)}


def test_command_has_every_option_that_shapes_the_page() -> None:
    given = PageOptions(max_page_mb=3.5, precision=16, shared_assets=True, site_url="https://ada.example/a;b/")
    command = make_command(make_capture().model, "a.yaml", given)
    parsed = build.make_context("build", shlex.split(command)[2:]).params
    chosen = PageOptions(**{item.name: parsed[item.name] or item.default for item in fields(PageOptions)})
    assert chosen == given
    assert {item.name for item in fields(PageOptions) if getattr(given, item.name) == item.default} == {
        "export_data", "keep_captures"  # files next to the page
    }  # fmt: skip


@pytest.mark.parametrize("option", ["--trust-remote-code", "--allow-pickle", "--device-map balanced"])
def test_command_has_the_options_that_load_the_model(option: str) -> None:
    command = make_command(replace(make_capture().model, load_options=(option,)), "a.yaml")
    assert option in command
    assert ("--device cpu" in command) == ("map" not in option)


def test_adapter_of_the_hub_is_pinned_to_its_commit() -> None:
    made = with_prompt(Prompt("x", adapter="owner/lora@main"))
    made = replace(made, model=replace(made.model, adapter_revision="607a30d"))
    assert "  adapter: owner/lora@607a30d\n" in make_prompt_file(made)


def test_capture_made_in_python_names_its_model_and_one_in_memory_cannot_be_loaded(tmp_path: Path) -> None:
    loaded = load_model(str(save_llama(tmp_path / "llama")), device="cpu")
    made = capture(loaded, Prompt("grey owl", max_new_tokens=0))
    assert (made.prompt.model, made.prompt.slug, made.prompt.title) == ("llama", "grey-owl", "grey owl")
    assert "in memory" not in make_prompt_file(made)
    in_memory = wrap_model(loaded.network, loaded.tokenizer, name="step 900")
    recipe = make_prompt_file(capture(in_memory, Prompt("grey owl", max_new_tokens=0)))
    assert "# 'step 900' was in memory and has no files; save it to a folder" in recipe
    assert "- model: step 900\n" in recipe


def test_recipe_of_a_comparison_has_both_prompts(tmp_path: Path) -> None:
    sides = (
        with_prompt(Prompt("a: 1e3", slug="fox", title="1e3", model="owner/one")),
        with_prompt(Prompt(messages=({"role": "user", "content": "no"},), slug="hen", title="hen", tags=("6e2",))),
    )
    beside = Comparison(("fox", "hen"), "yes", "both", ("a", "~"), "see: it")
    page = parse_html(render_comparison(beside, *(slim(side, 8) for side in sides), PageOptions(precision=16)))
    (recipe,) = page.find("pre", id="recipe")
    (tmp_path / "both.yaml").write_text(recipe.text, "utf-8", newline="")
    read = read_prompt_file(tmp_path / "both.yaml")
    assert read.prompts == tuple(side.prompt for side in sides)
    assert read.comparisons == (beside,)
    assert "# save as both.yaml, then run: reportgen build both.yaml --device cpu" in recipe.text
    assert " --precision 16\n" in recipe.text
