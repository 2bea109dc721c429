"""One prompt's failure is one prompt's: models, tokenizers and texts that fail in all ways, beside good ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from families import make_network
from forks import Commands, Ended, commands
from html_tree import parse_html
from tiny import make_gpt2, make_llama, make_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from reportgen.site.site import Site

pytestmark = pytest.mark.system


def save(folder: Path, network: PreTrainedModel, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
    network.save_pretrained(folder)
    (tokenizer or make_tokenizer()).save_pretrained(folder)


def make_word_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer that knows two words, and raises where it meets another."""
    tokenizer = Tokenizer(models.WordLevel({"cat": 0, "dog": 1, "<end>": 2}, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")


@torch.no_grad()
def save_models(folder: Path) -> None:
    """Save models that fail, each in its own way, and one that does not."""
    save(folder / "good", make_llama())
    save(folder / "words", make_llama(), make_word_tokenizer())
    network = make_llama()
    network.model.layers[1].self_attn.q_proj.weight[0, 0] = torch.nan
    save(folder / "nan-attention", network)
    network = make_llama()
    network.lm_head.weight[7] = torch.nan
    save(folder / "nan-logits", network)
    network = make_gpt2()
    network.lm_head.weight = torch.nn.Parameter(torch.zeros_like(network.lm_head.weight))
    network.config.tie_word_embeddings = False
    network.config.eos_token_id = network.generation_config.eos_token_id = 0  # the first of equals is chosen  # pyright: ignore
    save(folder / "stops", network)
    save(folder / "gated", make_network("afmoe"))
    save(folder / "no-weights", make_llama())
    (folder / "no-weights" / "model.safetensors").write_bytes(b"broken")


PROMPTS = (
    ("cat", "good", "text: The cat"),
    ("words", "words", "text: cat mouse"),
    ("dog", "words", "text: cat dog"),
    ("attention", "nan-attention", "text: The cat"),
    ("logits", "nan-logits", "text: The cat"),
    ("forward", "nan-logits", "text: The cat, max_new_tokens: 0"),
    ("stops", "stops", "text: The cat"),
    ("long", "good", f"text: {'x' * 600}"),
    ("chat", "words", "messages: [{role: user, content: cat}]"),
    ("broken", "no-weights", "text: The cat"),
    ("gated", "gated", "text: The cat"),
    ("hen", "good", "text: The hen"),
)
FAILED = {
    "words": "words's tokenizer cannot encode it, Exception: WordLevel error: Missing [UNK] token from the vocabulary",
    "attention": "attention holds NaN or infinity; try --dtype float32",
    "logits": "not finite",
    "forward": "not finite",
    "long": "600 prompt tokens and 2 to generate do not fit into good's context window of 512",
    "chat": "words has no chat template",
    "broken": "its weights cannot be read",
}


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    folder = tmp_path_factory.mktemp("failures")
    save_models(folder)
    lines = [f"  - {{slug: {slug}, model: {model}, {rest}}}" for slug, model, rest in PROMPTS]
    (folder / "prompts.yaml").write_text("defaults: {max_new_tokens: 2}\nprompts:\n" + "\n".join(lines), "utf-8")
    with commands(folder) as made:
        yield made


@pytest.fixture(scope="module")
def built(command: Commands) -> Ended:
    return command.run("build", "-o", "site")


def test_each_failure_is_told_and_the_run_goes_on(command: Commands, built: Ended) -> None:
    assert built.code == 1
    assert built.stderr.endswith(f"{len(PROMPTS) - len(FAILED)} built, {len(FAILED)} failed\n")
    assert "Traceback" not in built.stderr
    report = json.loads((command.folder / "site" / "report.json").read_text("utf-8"))
    found = {each["slug"]: each for each in report["prompts"]}
    assert list(found) == [slug for slug, *_ in PROMPTS]
    assert {slug for slug, each in found.items() if each["status"] == "failed"} == set(FAILED)
    for slug, error in FAILED.items():
        assert error in found[slug]["error"]
        assert found[slug]["run"]["built"] is False


def test_index_shows_every_failure_with_its_text(command: Commands, built: Ended) -> None:
    index = parse_html((command.folder / "site" / "index.html").read_text("utf-8"))
    shown = [" ".join(error.text.split()) for error in index.find("p", class_="error")]
    assert shown.pop() == ""  # of the card that the index's script copies
    assert len(shown) == len(FAILED)
    for error in FAILED.values():
        assert any(error in one for one in shown)
    links = [str(link.attributes["href"]) for link in index.find("a") if link.attributes["href"]]
    assert links == [f"{slug}.html" for slug, *_ in PROMPTS if slug not in FAILED]


def test_generation_that_stops_at_once_is_a_page_of_one_step(command: Commands, built: Ended) -> None:
    (card,) = [card for card in Site(command.folder / "site").read_cards() if card.slug == "stops"]
    assert card.num_steps == 1  # pyright: ignore[reportAttributeAccessIssue]


def test_evidence_that_cannot_be_had_is_said_on_the_page(command: Commands, built: Ended) -> None:
    text = parse_html((command.folder / "site" / "gated.html").read_text("utf-8")).text
    assert "its heads are gated before the output projection" in " ".join(text.split())


def test_fail_fast_ends_at_the_first_and_the_next_run_does_the_rest(command: Commands) -> None:
    ended = command.run("build", "-o", "fast", "--fail-fast", "--batch-size", "1")
    assert ended.code == 1
    # The prompts of one model run together: the first to fail is the long one, after the two before it.
    assert ended.stderr.splitlines()[-1] == "1 built, 1 failed, 10 not run"
    assert [card.slug for card in Site(command.folder / "fast").read_cards()] == ["cat", "long"]
    assert command.run("build", "-o", "fast").stderr.splitlines()[-1] == "1 up to date, 4 built, 7 failed"


@pytest.fixture(scope="module")
def wide(command: Commands) -> Path:
    """Return the folder of a model whose attention over long texts takes much memory, and whose weights take none."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=259, hidden_size=64, intermediate_size=32, num_hidden_layers=4, num_attention_heads=16,
        num_key_value_heads=2, max_position_embeddings=4096, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    save(command.folder / "wide", LlamaForCausalLM(config))
    return command.folder / "wide"


def write_prompts(folder: Path, lengths: list[int]) -> Path:
    lines = [f"- {{text: {'a' * length}, slug: p{number}, model: wide, max_new_tokens: 0}}" for number, length in
             enumerate(lengths)]  # fmt: skip
    path = folder / "memory.yaml"
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_prompt_that_memory_does_not_hold_fails_alone(command: Commands, wide: Path) -> None:
    """2,600 tokens take 430 MB for the weights that are kept."""
    write_prompts(command.folder, [20, 2600, 30])
    ended = command.run("build", "memory.yaml", "-o", "one", "--batch-size", "3", memory=400 << 20)
    assert (ended.code, ended.stderr.splitlines()[-1]) == (1, "2 built, 1 failed")
    assert "memory.yaml:2: out of memory; shorten it, select fewer layers" in ended.stderr


def test_batch_that_memory_does_not_hold_is_run_in_parts(command: Commands, wide: Path) -> None:
    write_prompts(command.folder, [1000] * 4)
    ended = command.run("build", "memory.yaml", "-o", "many", "--batch-size", "4", memory=450 << 20)
    assert (ended.code, ended.stderr) == (0, "4 built\n")
