"""``capture``: one call from a prompt to its capture."""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import get_type_hints

import pytest
from tiny import make_llama, make_tokenizer, save_llama

import reportgen
from reportgen import Capture, Prompt, ReportgenError, capture, wrap_model
from reportgen.build.capture import capture as run_prompt
from reportgen.captures.tokenization import encode_prompt
from reportgen.models.model import LoadedModel
from reportgen.notebook.run import _GENERATION, _PROMPT, make_prompt
from reportgen.records import EncodedPrompt, Generation
from reportgen.records.arguments import CaptureArguments, GenerationArguments, PromptArguments
from reportgen.records.errors import PromptError
from reportgen.records.selection import parse_selection


def test_text_and_keys_become_a_capture(tiny_llama: LoadedModel) -> None:
    run = capture(tiny_llama, "The cat", max_new_tokens=2, layers="0,-1", heads=[1, 3], title="A cat")
    assert type(run) is Capture
    assert (run.layers, run.heads, len(run.steps)) == ((0, 2), (1, 3), 2)
    assert (run.prompt.title, run.prompt.slug) == ("A cat", "a-cat")
    expected = Prompt("The cat", max_new_tokens=2, layers="0,-1", heads=[1, 3], title="A cat")
    assert run == run_prompt(tiny_llama, expected)
    assert run == capture(tiny_llama, expected)


def test_keys_are_those_of_prompts_and_generation() -> None:
    prompt = make_prompt(
        "", {"messages": [{"role": "user", "content": "Hi"}], "tags": ["a"], "evidence": ["ablation"], "seed": 3,
             "do_sample": True, "temperature": 0.5, "layers": range(2)},
    )  # fmt: skip
    assert prompt.generation == Generation(do_sample=True, temperature=0.5, seed=3)
    assert (prompt.tags, prompt.evidence, prompt.layers) == (("a",), ("ablation",), parse_selection([0, 1]))
    for beams in (Generation(num_beams=2), {"num_beams": 2}):
        both = make_prompt("a", {"generation": beams, "seed": 5}).generation
        assert both == Generation(num_beams=2, seed=5)


def test_keys_replace_those_of_a_prompt() -> None:
    prompt = Prompt("a", title="A", max_new_tokens=3, generation=Generation(do_sample=True, top_k=3))
    changed = make_prompt(prompt, {"max_new_tokens": 1, "top_k": 5})
    assert (changed.text, changed.title, changed.max_new_tokens) == ("a", "A", 1)
    assert changed.generation == Generation(do_sample=True, top_k=5)


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"layer": "1"}, "capture: unknown argument 'layer'; did you mean 'layers'?"),
        ({"place": 1}, "capture: unknown argument 'place'; there are add_special_tokens, chat_template, "),
        ({"model": "gpt2"}, "capture() got multiple values for argument 'model'"),
    ],
)
def test_unknown_arguments_are_told(tiny_llama: LoadedModel, keys: dict[str, object], what: str) -> None:
    with pytest.raises(TypeError) as caught:
        capture(tiny_llama, "a", **keys)  # pyright: ignore[reportArgumentType]
    assert str(caught.value).startswith(what)


def test_wrong_values_are_told(tiny_llama: LoadedModel) -> None:
    with pytest.raises(PromptError, match="layers cannot be read: .+; write numbers"):
        capture(tiny_llama, "a", layers="x")
    with pytest.raises(PromptError, match="there is no 99: the model has 3, 0 to 2"):
        capture(tiny_llama, "a", layers="99")
    with pytest.raises(ReportgenError):
        capture(tiny_llama)


@pytest.mark.parametrize(
    ("model", "what"),
    [(make_llama(), "a LlamaForCausalLM"), ("smollm2-135m", "'smollm2-135m'"), (None, "a NoneType")],
)
def test_model_is_a_loaded_one(model: object, what: str) -> None:
    with pytest.raises(TypeError) as caught:
        capture(model, "a")  # pyright: ignore[reportArgumentType]
    said = f"capture: model is {what}; pass load_model(name), or wrap_model(network, tokenizer)"
    assert str(caught.value) == said


def test_a_wrapped_network_is_run(tiny_llama: LoadedModel) -> None:
    run = capture(wrap_model(make_llama(), make_tokenizer()), "The cat", max_new_tokens=1)
    assert run.model.name == "LlamaForCausalLM"
    assert (run.triangles == capture(tiny_llama, "The cat", max_new_tokens=1).triangles).all()


def test_a_warning_names_the_line_of_the_call(tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(model: LoadedModel, prompt: Prompt) -> EncodedPrompt:
        return replace(encode_prompt(model, prompt), warnings=("read twice",))

    monkeypatch.setattr("reportgen.captures.capture.encode_prompt", encode)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        capture(tiny_llama, "The cat", max_new_tokens=0)
    assert [(str(warning.message), warning.filename) for warning in caught] == [("prompt: read twice", __file__)]


def test_editors_know_every_key() -> None:
    """Add a new field of ``Prompt`` or ``Generation`` to ``records/arguments.py`` as well."""
    assert set(get_type_hints(GenerationArguments)) == _GENERATION
    assert set(get_type_hints(CaptureArguments)) == _GENERATION | _PROMPT
    assert set(get_type_hints(PromptArguments)) == _PROMPT | {"model", "adapter", "place"}


@pytest.mark.system
def test_nothing_is_printed_and_nothing_downloaded(tmp_path: Path) -> None:
    save_llama(tmp_path / "llama")
    program = (
        "import reportgen as rg\n"
        "model = rg.load_model('llama')\n"
        "rg.capture(model, 'The cat', max_new_tokens=2)._repr_html_()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_import_stays_light() -> None:
    program = "import sys\nimport reportgen\nassert not {'torch', 'transformers', 'bokeh', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_completion_shows_the_public_names_and_nothing_else() -> None:
    assert dir(reportgen) == sorted(reportgen.__all__)
    assert all(hasattr(reportgen, name) for name in reportgen.__all__)
