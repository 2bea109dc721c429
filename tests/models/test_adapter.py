"""Adapters: read, merged, and everything that can be wrong with them; made with peft, on tiny models, no network."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from huggingface_hub import constants
from tiny import make_gpt2, make_llama, make_tokenizer, save_adapter
from transformers import GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from reportgen.build.capture import capture
from reportgen.build.preflight import check_prompts
from reportgen.models.adapter import check_adapter, merge_adapter
from reportgen.models.hf_errors import quiet
from reportgen.models.model import LoadedModel, load_model, wrap_model
from reportgen.pages.tables import make_settings
from reportgen.prompts.prompt_file import read_prompts
from reportgen.records import Prompt
from reportgen.records.errors import ModelError, ModelNotFound, PromptFileError

PROMPT = Prompt(text="The cat ate", max_new_tokens=4, evidence=("ablation",))
SIZES = {"r": 2, "init_lora_weights": False, "task_type": "CAUSAL_LM"}


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a Llama in ``llama``, a GPT-2 in ``gpt2``, and an adapter for each in ``…-lora``."""
    folder = tmp_path_factory.mktemp("adapters")
    for name, make in (("llama", make_llama), ("gpt2", make_gpt2)):
        with quiet():
            make().save_pretrained(folder / name)
            make_tokenizer().save_pretrained(folder / name)
        save_adapter(folder / f"{name}-lora", make())
    return folder


@pytest.fixture
def adapter(saved: Path, tmp_path: Path) -> Path:
    """Return a copy of the Llama's adapter, to be spoilt."""
    return Path(shutil.copytree(saved / "llama-lora", tmp_path / "lora"))


def set_config(adapter: Path, **values: object) -> None:
    """Change keys of an adapter's config."""
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def make_other_llama(**sizes: object) -> LlamaForCausalLM:
    """Return a Llama like the tiny one, but for some sizes."""
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**make_llama().config.to_dict() | sizes)).eval()


def logits_of(network: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        return network(torch.arange(8)[None]).logits


@pytest.mark.parametrize(("name", "make"), [("llama", make_llama), ("gpt2", make_gpt2)])
def test_capture_is_that_of_the_merged_network(
    saved: Path, tmp_path: Path, name: str, make: Callable[[], LlamaForCausalLM | GPT2LMHeadModel],
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Attention, tokens and evidence: with the adapter, not without it; and nothing is said on the terminal."""
    merged = wrap_model(save_adapter(tmp_path / "again", make()), make_tokenizer())
    loaded = load_model(str(saved / name), adapter=str(saved / f"{name}-lora"), device="cpu")
    base = load_model(str(saved / name), device="cpu")
    assert (loaded.info.adapter, base.info.adapter) == (str(saved / f"{name}-lora"), "")
    assert loaded.info.num_parameters == base.info.num_parameters
    found, expected, plain = (capture(model, PROMPT) for model in (loaded, merged, base))
    assert found.tokens == expected.tokens
    np.testing.assert_allclose(found.triangles, expected.triangles, atol=2e-3)
    assert np.abs(found.triangles[..., :6] - plain.triangles[..., :6]).max() > 0.05
    assert found.evidence.missing == plain.evidence.missing == {}
    assert found.evidence.attribution is not None
    assert expected.evidence.attribution is not None
    np.testing.assert_allclose(found.evidence.attribution.heads, expected.evidence.attribution.heads, atol=1e-3)
    assert capfd.readouterr() == ("", "")


def test_merged_network_has_its_own_modules_alone(saved: Path) -> None:
    network = make_llama()
    merged = merge_adapter(network, str(saved / "llama-lora"), "m")
    assert merged is network
    assert {type(part) for part in merged.modules()} == {type(part) for part in make_llama().modules()}
    assert not any("lora" in name for name in merged.state_dict())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_adapter_is_merged_in_half_precision(saved: Path, dtype: str) -> None:
    loaded = load_model(str(saved / "llama"), adapter=str(saved / "llama-lora"), device="cpu", dtype=dtype)
    assert loaded.info.dtype == dtype
    exact = logits_of(load_model(str(saved / "llama"), adapter=str(saved / "llama-lora"), device="cpu").network)
    assert (logits_of(loaded.network) - exact).abs().mean() < 0.02 * exact.abs().max()


@pytest.mark.parametrize(
    "config",
    [
        peft.LoraConfig(**SIZES, target_modules=["q_proj"], use_dora=True),
        peft.LoraConfig(**SIZES, target_modules=["q_proj"], modules_to_save=["lm_head"]),
        peft.IA3Config(
            target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"], init_ia3_weights=False
        ),
        peft.LoHaConfig(r=2, target_modules=["q_proj", "v_proj"], init_weights=False),
    ],
)  # fmt: skip
def test_other_kinds_are_merged_too(tmp_path: Path, config: peft.PeftConfig) -> None:
    expected = save_adapter(tmp_path, make_llama(), config)
    merged = merge_adapter(make_llama(), str(tmp_path), "m")
    torch.testing.assert_close(logits_of(merged), logits_of(expected), atol=1e-4, rtol=1e-4)
    assert (logits_of(merged) - logits_of(make_llama())).abs().max() > 0.01


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3), "PREFIX_TUNING"),
        (peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3), "PROMPT_TUNING"),
    ],
)
def test_virtual_tokens_are_refused(tmp_path: Path, config: peft.PeftConfig, kind: str) -> None:
    """By the config alone, before anything is loaded."""
    save_adapter(tmp_path, make_llama(), config)
    with pytest.raises(ModelError, match=f"^adapter '{tmp_path}' on model 'm': {kind} adds virtual tokens.*cannot be"):
        check_adapter(str(tmp_path), "m")


def test_adapter_that_cannot_be_merged_is_refused(tmp_path: Path) -> None:
    """Kinds without a way to merge, and those whose merging would change what another module reads."""
    for target in ("lm_head", "embed_tokens"):
        config = peft.LoraConfig(**SIZES, target_modules=[target])
        save_adapter(tmp_path / target, make_other_llama(tie_word_embeddings=True), config)
        with pytest.raises(ModelError, match="on model 'm': it changes the embedding or the unembedding, which share"):
            merge_adapter(make_other_llama(tie_word_embeddings=True), str(tmp_path / target), "m")
        save_adapter(tmp_path / target, make_llama(), config)
        merge_adapter(make_llama(), str(tmp_path / target), "m")
    config = peft.AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=2, adapter_layers=1)
    save_adapter(tmp_path / "prompt", make_llama(), config)
    with pytest.raises(ModelError, match="ADAPTION_PROMPT cannot be merged into the weights"):
        merge_adapter(make_llama(), str(tmp_path / "prompt"), "m")


def test_quantised_base_is_refused(saved: Path) -> None:
    network = make_llama()
    network.is_quantized = True
    with pytest.raises(
        ModelError, match="^adapter '.*' on model 'm': the model's weights are quantised, .* without loss"
    ):
        merge_adapter(network, str(saved / "llama-lora"), "m")


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (make_other_llama(hidden_size=32), "its weights do not fit this one"),
        (make_other_llama(num_hidden_layers=4), "its weights do not fit this one"),
        (make_other_llama(num_hidden_layers=2), "6 of its weights have no place in this one, the first '.*layers.2"),
        (make_gpt2(), "its weights do not fit this one"),
    ],
)
def test_adapter_for_another_model_is_refused(adapter: Path, network: PreTrainedModel, problem: str) -> None:
    """Wider, deeper, shallower or of another family: peft itself would take some of them in silence."""
    start = f"^adapter '{adapter}' on model 'm': it was made for another model: {problem}.*; "
    with pytest.raises(ModelError, match=start + "name the model that it was trained on"):
        merge_adapter(network, str(adapter), "m")
    set_config(adapter, base_model_name_or_path="owner/base")
    with pytest.raises(ModelError, match="it says that it was trained on 'owner/base'"):
        merge_adapter(make_other_llama(hidden_size=24), str(adapter), "m")


def test_broken_adapter_is_reported(saved: Path, adapter: Path) -> None:
    """A config or weights that cannot be read, and weights that are no numbers."""
    (adapter / "adapter_model.safetensors").write_bytes(b"broken")
    with pytest.raises(
        ModelError, match="on model 'm': its weights cannot be read: .*broken or cut short, get it again"
    ):
        merge_adapter(make_llama(), str(adapter), "m")
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match="on model 'm': it has no weights; put adapter_model.safetensors next to"):
        merge_adapter(make_llama(), str(adapter), "m")
    for content, problem in (
        ("{", "its adapter_config.json is not valid JSON"),
        ("[]", "does not know the adapter type .* None"),
        ('{"peft_type": "ZORK"}', "does not know the adapter type .* 'ZORK'; a newer version may"),
        ('{"peft_type": "LORA", "task_type": "SEQ_CLS"}', "it was trained for SEQ_CLS, not to generate text"),
        ('{"peft_type": "LORA"}', "it has no weights"),
        (
            '{"peft_type": "LORA", "r": 0, "target_modules": ["q_proj"]}',
            "its weights cannot be loaded: ValueError: .*0",
        ),
    ):
        (adapter / "adapter_config.json").write_text(content)
        if '"r"' in content:
            shutil.copy(saved / "llama-lora" / "adapter_model.safetensors", adapter)
        with pytest.raises(ModelError, match=f"^adapter '{adapter}' on model 'm': .*{problem}"):
            merge_adapter(make_llama(), str(adapter), "m")


def test_merging_that_changes_what_the_network_says_is_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two are compared, whatever peft says."""
    monkeypatch.setattr(peft.tuners.lora.LoraModel, "merge_and_unload", lambda self, **_: self.unload())
    with pytest.raises(ModelError, match=r"merging it changes the logits by .* more than 0.001"):
        merge_adapter(make_llama(), str(saved / "llama-lora"), "m")


class Intruder:
    """An object whose unpickling would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_pickled_adapter_loads_where_it_may_and_runs_no_code(saved: Path, adapter: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    expected = merge_adapter(make_llama(), str(saved / "llama-lora"), "m")
    torch.save(load_file(adapter / "adapter_model.safetensors"), adapter / "adapter_model.bin")
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"are pickled Python objects \(adapter_model.bin\).* with --allow-pickle"):
        merge_adapter(make_llama(), str(adapter), "m")
    merged = merge_adapter(make_llama(), str(adapter), "m", allow_pickle=True)
    assert torch.equal(logits_of(merged), logits_of(expected))
    torch.save({"weight": Intruder(tmp_path / "intruder")}, adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match="not safe to load; convert them to safetensors"):
        merge_adapter(make_llama(), str(adapter), "m", allow_pickle=True)
    assert not (tmp_path / "intruder").exists()


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("./missing", ModelNotFound, "no such folder; a hub name is written like 'owner/name'"),
        ("{folder}", ModelError, "the folder holds no adapter_config.json; is it the right folder"),
        ("{folder}/file", ModelError, "a file; name the folder it is in"),
        ("a b", ModelNotFound, "neither a file or folder here nor a possible hub name; a hub name is written"),
        ("owner/name@", ModelNotFound, "nothing after '@'"),
        ("owner/name", ModelNotFound, "not in the hub's cache .* forbids using the hub; unset it, or name a local f"),
    ],
)
def test_adapter_that_is_not_there_is_reported(
    offline: Path, tmp_path: Path, name: str, kind: type[ModelError], message: str
) -> None:
    (tmp_path / "file").touch()
    name = name.format(folder=tmp_path)
    with pytest.raises(kind, match=f"^adapter '{name}' on model 'm': {message}"):
        check_adapter(name, "m")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Forbid the hub, and give it an empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_hub_adapter_in_the_cache_loads_offline(offline: Path, saved: Path) -> None:
    """A revision is looked up; another one is not there."""
    repo, commit = offline / "models--owner--lora", "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(saved / "llama-lora", repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    expected = merge_adapter(make_llama(), str(saved / "llama-lora"), "m")
    for name in ("owner/lora", "owner/lora@main", f"owner/lora@{commit}"):
        assert torch.equal(logits_of(merge_adapter(make_llama(), name, "m")), logits_of(expected))
    with pytest.raises(ModelNotFound, match="adapter 'owner/lora@other' on model 'm': not in the hub's cache"):
        check_adapter("owner/lora@other", "m")


def test_missing_package_is_named_before_any_work(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "peft" else find(name, *rest))
    prompt = Prompt(text="a", model=str(saved / "llama"), adapter=str(saved / "llama-lora"))
    with pytest.raises(ModelError, match=r"peft, which is not installed; pip install 'attention-reportgen\[peft\]'"):
        check_prompts([prompt])


def test_folder_of_an_adapter_is_no_model(saved: Path) -> None:
    with pytest.raises(
        ModelError, match="holds no config.json; it is an adapter: name it under 'adapter', and its base"
    ):
        load_model(str(saved / "llama-lora"))


def test_adapter_beside_a_model_is_not_loaded_by_itself(saved: Path, tmp_path: Path) -> None:
    """With peft installed, transformers would; without, it would not."""
    folder = Path(shutil.copytree(saved / "llama", tmp_path / "both"))
    shutil.copytree(saved / "llama-lora", folder, dirs_exist_ok=True)
    assert torch.equal(logits_of(load_model(str(folder), device="cpu").network), logits_of(make_llama()))
    merged = load_model(str(folder), adapter=str(folder), device="cpu")
    expected = merge_adapter(make_llama(), str(saved / "llama-lora"), "m")
    assert torch.equal(logits_of(merged.network), logits_of(expected))


def test_check_names_the_line_of_a_wrong_adapter(saved: Path, tmp_path: Path) -> None:
    """Also of one that the defaults name, and where something else is wrong too; an adapter on two models is two."""
    file = tmp_path / "prompts.yaml"
    llama, gpt2 = saved / "llama", saved / "gpt2"
    file.write_text(
        f"model: {llama}\n"
        "defaults:\n  adapter: ./missing\n"
        "prompts:\n"
        "  - The cat\n"
        f"  - text: The dog\n    adapter: {saved / 'llama-lora'}\n"
        f"  - text: The cow\n    model: {gpt2}\n    adapter: {llama}\n    layers: 9\n"
        f"  - text: The ox\n    model: {gpt2}\n"
    )
    prompts, problems = read_prompts(file)
    assert [prompt.adapter for prompt in prompts] == ["./missing", str(saved / "llama-lora"), str(llama), "./missing"]
    with pytest.raises(PromptFileError) as caught:
        check_prompts(prompts, problems=problems)
    assert caught.value.problems == (
        f"{file}:3: adapter './missing' on model '{llama}': no such folder; a hub name is written like 'owner/name'",
        f"{file}:3: adapter './missing' on model '{gpt2}': no such folder; a hub name is written like 'owner/name'",
        f"{file}:10: adapter '{llama}' on model '{gpt2}': the folder holds no adapter_config.json; is it the right "
        "folder?",
        f"{file}:11: layers '9' of {gpt2}: there is no 9: the model has 2, 0 to 1",
    )


def test_model_in_memory_cannot_be_given_an_adapter(saved: Path, tiny_llama: LoadedModel) -> None:
    adapter = str(saved / "llama-lora")
    with pytest.raises(ModelError, match=f"^adapter '{adapter}' on model 'tiny-llama': the model in memory has none; "):
        check_prompts([Prompt(text="a", adapter=adapter)], model=tiny_llama.info)
    loaded = load_model(str(saved / "llama"), adapter=adapter, device="cpu")
    for given in ("", adapter):
        (prompt,) = check_prompts([Prompt(text="a", adapter=given)], model=loaded.info)
        assert (prompt.model, prompt.adapter) == (str(saved / "llama"), adapter)
    with pytest.raises(ModelError, match=f"adapter 'b' on model .*: the model in memory has '{adapter}'; load it with"):
        check_prompts([Prompt(text="a", adapter="b")], model=loaded.info)


def save_with_tokens(folder: Path, tokens: list[str], *, template: str = "{{ messages[0]['content'] }}!") -> None:
    """Save an adapter that was trained with more tokens, and with its own chat template."""
    tokenizer, network = make_tokenizer(), make_llama()
    tokenizer.add_special_tokens({"additional_special_tokens": tokens})
    tokenizer.chat_template = template
    torch.manual_seed(3)
    network.resize_token_embeddings(len(tokenizer))
    save_adapter(
        folder,
        network,
        peft.LoraConfig(**SIZES, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"]),
    )
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize("tokens", [["<tool>"], ["<a>", "<b>", "<c>"]])
def test_tokens_and_template_of_an_adapter_come_first(saved: Path, tmp_path: Path, tokens: list[str]) -> None:
    """The embedding gets rows for its tokens, with the weights that the adapter brings."""
    save_with_tokens(tmp_path, tokens)
    loaded = load_model(str(saved / "llama"), adapter=str(tmp_path), device="cpu")
    assert loaded.info.adapter_tokenizer
    assert len(loaded.network.get_input_embeddings().weight) == len(loaded.tokenizer) == 259 + len(tokens)
    captured = capture(loaded, Prompt(messages=[{"role": "user", "content": f"use {tokens[-1]}"}], max_new_tokens=1))
    assert [token.token_id for token in captured.tokens][4:6] == [258 + len(tokens), loaded.tokenizer("!").input_ids[0]]
    from safetensors.torch import load_file

    rows = load_file(tmp_path / "adapter_model.safetensors")["base_model.model.model.embed_tokens.weight"]
    assert torch.equal(loaded.network.get_input_embeddings().weight, rows)
    assert ("tokenizer", "the adapter's own") in make_settings(captured)


def test_template_of_an_adapter_without_a_tokenizer_comes_first(saved: Path, adapter: Path) -> None:
    (adapter / "chat_template.jinja").write_text("mine")
    loaded = load_model(str(saved / "llama"), adapter=str(adapter), device="cpu")
    assert (loaded.tokenizer.chat_template, loaded.info.adapter_tokenizer) == ("mine", False)
    plain = load_model(str(saved / "llama"), adapter=str(saved / "llama-lora"), device="cpu")
    assert plain.tokenizer.chat_template == make_tokenizer().chat_template


def test_template_of_the_model_is_kept_if_the_adapter_has_none(saved: Path, tmp_path: Path) -> None:
    save_with_tokens(tmp_path, ["<tool>"], template="")
    loaded = load_model(str(saved / "llama"), adapter=str(tmp_path), device="cpu")
    assert loaded.tokenizer.chat_template == make_tokenizer().chat_template
    assert len(loaded.tokenizer) == 260


def test_rows_that_an_adapter_lacks_are_the_same_each_time(saved: Path, adapter: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<new>"]})
    tokenizer.save_pretrained(adapter)
    first, second = (load_model(str(saved / "llama"), adapter=str(adapter), device="cpu").network for _ in range(2))
    assert torch.equal(first.get_input_embeddings().weight, second.get_input_embeddings().weight)
    assert len(first.get_input_embeddings().weight) == 260


def test_shapes_that_do_not_fit_are_named(saved: Path, tmp_path: Path) -> None:
    """Without the tokenizer that it was trained with, the rows of its embedding are too many."""
    save_with_tokens(tmp_path, ["<tool>"])
    with pytest.raises(ModelError, match=r"do not fit this one, .* has the shape \[260, 16\] and not \[259, 16\]"):
        merge_adapter(make_llama(), str(tmp_path), "m")


def test_folder_of_checkpoints_names_them(saved: Path, tmp_path: Path) -> None:
    for name in ("checkpoint-10", "checkpoint-9", "named/mine"):
        shutil.copytree(saved / "llama-lora", tmp_path / name)
    listed = [tmp_path / name for name in ("named/mine", "checkpoint-9", "checkpoint-10")]
    with pytest.raises(
        ModelError, match=f"no adapter_config.json; name one of those in it: {', '.join(map(str, listed))}$"
    ):
        check_adapter(str(tmp_path), "m")
