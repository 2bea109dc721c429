"""What can be known of prompts without the weights of their models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from tiny import make_llama, make_tokenizer, save_adapter, save_llama

from reportgen.build.preflight import check_tokens
from reportgen.captures.tokenization import encode_prompt
from reportgen.models.hf_errors import quiet
from reportgen.models.model import load_model, load_outline
from reportgen.prompts.prompt_file import load_prompts
from reportgen.records import Prompt
from reportgen.records.errors import PromptFileError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a folder with a model whose window has 512 tokens."""
    with quiet():
        return save_llama(tmp_path / "llama")


def test_lengths_and_templates_are_checked_without_weights(model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").write_bytes(b"not read")
    (model / "chat_template.jinja").unlink()
    (tmp_path / "prompts.yaml").write_text(
        f"model: {model}\nprompts:\n- text: {'x ' * 600}\n- {{text: a, max_new_tokens: 600}}\n- a\n"
        "- messages: [{role: user, content: Hi}]\n"
    )
    with pytest.raises(PromptFileError) as refused:
        check_tokens(load_prompts(tmp_path / "prompts.yaml"))
    long, many, chat = str(refused.value).splitlines()
    window = f"do not fit into {model}'s context window of 512; shorten the text or lower max_new_tokens"
    assert long == f"{tmp_path}/prompts.yaml:3: 1199 prompt tokens and 10 to generate {window}"
    assert many == f"{tmp_path}/prompts.yaml:4: 1 prompt tokens and 600 to generate {window}"
    assert chat == f"{tmp_path}/prompts.yaml:6: {model} has no chat template; write text, or use a chat model"


def test_spans_and_templates_are_checked_at_their_lines(model: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.yaml").write_text(
        f"model: {model}\nprompts:\n- text: the cat and the dog\n  spans:\n    cat: cat\n    bird: owl\n"
        "- text: the cat and the dog\n  spans: {article: the}\n"
        "- messages: [{role: user, content: Hi}]\n  spans: {user 1: Hi}\n"
        "- messages: [{role: user, content: Hi}]\n  chat_template: tool_use\n"
        "- messages:\n  - {role: assistant, content: null, tool_calls: [{function: {name: f, arguments: {}}}]}\n"
    )
    with pytest.raises(PromptFileError) as refused:
        check_tokens(load_prompts(tmp_path / "prompts.yaml"))
    found = [line.removeprefix(f"{tmp_path}/prompts.yaml:") for line in str(refused.value).splitlines()]
    assert found == [
        "6: spans.bird: 'owl' is not in the text; write it as it stands there",
        "8: spans.article: 'the' is in the text 2 times; say which with nth: {text: …, nth: 2}",
        "10: spans.user 1: a message has this name; take another",
        f"12: {model} has one chat template, without a name; leave chat_template out",
        f"13: {model}'s chat template leaves out the tool_calls of message 1; leave them out, or use a model that was "
        "trained to call functions",
    ]


def test_outline_encodes_as_the_model_does(model: Path) -> None:
    outline, loaded = load_outline(str(model)), load_model(str(model), device="cpu")
    assert {weight.device for weight in outline.network.parameters()} == {torch.device("meta")}
    prompts = [Prompt("grey owl 🦉"), Prompt("<s>a", add_special_tokens=False), Prompt("a" * 600)]
    for one, other in zip(
        *([encode_prompt(each, prompt) for prompt in prompts] for each in (outline, loaded)), strict=True
    ):
        assert (one.token_ids, one.warnings, str(one.error)) == (other.token_ids, other.warnings, str(other.error))


def test_adapter_brings_its_tokens(model: Path, tmp_path: Path) -> None:
    tokenizer, network = make_tokenizer(), make_llama()
    tokenizer.add_tokens(["<owl>"])
    network.resize_token_embeddings(len(tokenizer))
    save_adapter(tmp_path / "lora", network, LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
    tokenizer.save_pretrained(tmp_path / "lora")
    prompt = Prompt("a <owl>", model=str(model), adapter=str(tmp_path / "lora"), slug="owl", title="owl")
    assert check_tokens([prompt]) == []
    assert check_tokens([replace(prompt, adapter="")]) == []
