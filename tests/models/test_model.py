"""Loading models: names, folders made from tiny models, everything that can be wrong with them; no network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from families import make_config, make_network
from huggingface_hub import constants, errors
from tiny import make_gpt2, make_llama, make_tokenizer
from transformers import BertConfig, FalconConfig, GPTNeoXConfig, MambaConfig, MptConfig, RwkvConfig, T5Config

from reportgen.models.config import find_rope_switch
from reportgen.models.hf_errors import calling_transformers, explain, quiet
from reportgen.models.model import check_settings, load_model, load_model_info, wrap_model
from reportgen.models.model_source import find_source
from reportgen.models.source import Source
from reportgen.records.errors import ModelError, ModelNotFound, UnsupportedModel

TEXT = "The cat ate the mat."


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return folders of a Llama and a GPT-2, saved as a user would have them."""
    folders = {}
    for name, network in {"llama": make_llama(), "gpt2": make_gpt2()}.items():
        folders[name] = tmp_path_factory.mktemp("saved") / name
        with quiet():
            network.save_pretrained(folders[name])
            make_tokenizer().save_pretrained(folders[name])
    return folders


@pytest.fixture
def folder(saved: dict[str, Path], tmp_path: Path) -> Path:
    """Return a copy of the Llama's folder, to be spoilt."""
    return Path(shutil.copytree(saved["llama"], tmp_path / "model"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Forbid the hub, and give it an empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def set_config(folder: Path, **values: object) -> None:
    """Change keys of a saved config."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(("name", "make"), [("llama", make_llama), ("gpt2", make_gpt2)])
def test_folder_loads_with_the_numbers_it_was_saved_with(
    saved: dict[str, Path], name: str, make, capfd: pytest.CaptureFixture[str]
) -> None:
    """The network gives the logits of the one that was saved, and nothing is said on the terminal."""
    loaded = load_model(str(saved[name]), device="cpu")
    token_ids = loaded.tokenizer(TEXT, return_tensors="pt").input_ids
    with torch.no_grad():
        assert torch.equal(loaded.network(token_ids).logits, make()(token_ids).logits)
    assert not loaded.network.training
    assert loaded.network.config._attn_implementation == "sdpa"
    assert capfd.readouterr() == ("", "")


def test_info_states_the_facts(saved: dict[str, Path]) -> None:
    """Loaded, the facts are complete; from the config alone, all but weights, dtype and device are there."""
    llama, gpt2 = (str(saved[name]) for name in ("llama", "gpt2"))
    info = load_model(llama, device="cpu").info
    assert (info.name, info.revision, info.architecture) == (llama, "", "LlamaForCausalLM")
    assert (info.num_layers, info.num_heads, info.num_kv_heads, info.context_window) == (3, 4, 2, 512)
    assert (info.num_parameters, info.dtype, info.device) == (make_llama().num_parameters(), "float32", "cpu")
    info = load_model_info(gpt2)
    assert (info.architecture, info.num_layers, info.num_heads, info.num_kv_heads) == ("GPT2LMHeadModel", 2, 2, 2)
    assert (info.context_window, info.num_parameters, info.dtype, info.device) == (256, None, "", "")


def test_padding_token_is_there_without_warnings(saved: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    """The end-of-text token pads; generation has nothing to complain about."""
    loaded = load_model(str(saved["llama"]), device="cpu")
    assert loaded.tokenizer.pad_token_id == loaded.tokenizer.eos_token_id == 2
    batch = loaded.tokenizer(["a", "longer"], padding=True, padding_side="left", return_tensors="pt")
    loaded.network.generate(**batch, max_new_tokens=1, do_sample=False)
    assert capfd.readouterr().err == ""


def test_padding_falls_back_to_the_first_token() -> None:
    """A tokenizer without any special role pads with token 0."""
    tokenizer = make_tokenizer()
    tokenizer.eos_token = None
    assert wrap_model(make_llama(), tokenizer).tokenizer.pad_token_id == 0


def test_dtype_is_what_was_asked_for(saved: dict[str, Path]) -> None:
    """Weights are converted, and the info says so."""
    loaded = load_model(str(saved["llama"]), device="cpu", dtype="bfloat16")
    assert loaded.network.dtype == torch.bfloat16
    assert loaded.info.dtype == "bfloat16"


def test_auto_dtype_widens_on_the_cpu(folder: Path) -> None:
    """A checkpoint kept in half precision is float32 on the CPU by default."""
    with quiet():
        make_llama().to(torch.float16).save_pretrained(folder)
    assert load_model(str(folder), device="cpu").info.dtype == "float32"


def test_model_of_the_caller_is_wrapped() -> None:
    """The very objects come back, in evaluation mode, under the name given or their class's."""
    network, tokenizer = make_gpt2().train(), make_tokenizer()
    loaded = wrap_model(network, tokenizer, name="mine")
    assert (loaded.network, loaded.tokenizer, loaded.info.name) == (network, tokenizer, "mine")
    assert not network.training
    assert loaded.info.num_parameters == network.num_parameters()
    assert wrap_model(network, tokenizer).info.name == "GPT2LMHeadModel"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("gpt2", Source("gpt2", is_local=False)),
        ("owner/name", Source("owner/name", is_local=False)),
        ("owner/name@v1.0", Source("owner/name", is_local=False, revision="v1.0")),
        ("owner/name:a.gguf", Source("owner/name", is_local=False, gguf_file="a.gguf")),
        ("owner/name@main:sub/a.gguf", Source("owner/name", False, revision="main", gguf_file="sub/a.gguf")),
    ],
)
def test_hub_names_are_taken_apart(name: str, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Revision and GGUF file are told from the repository."""
    monkeypatch.chdir(tmp_path)
    assert find_source(name) == source


def test_local_names_go_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder or file that is there is meant, in each of its spellings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").touch()
    (tmp_path / "m" / "a.gguf").touch()
    for name in ("m", "./m", str(tmp_path / "m")):
        assert find_source(name) == Source(str(Path(name)), is_local=True)
    assert find_source("~/m") == Source(str(tmp_path / "m"), is_local=True)
    for name in ("m/a.gguf", "m:a.gguf", "./m:a.gguf"):
        assert find_source(name) == Source("m", is_local=True, gguf_file="a.gguf")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "neither a file or folder here nor a possible hub name; a hub name is written"),
        ("a/b/c", "neither a file or folder here nor a possible hub name"),
        ("smollm2 135m", "did you mean 'smollm2-135m'"),
        ("owner/name@", "nothing after '@'"),
        ("./missing", "no such folder"),
        ("/missing/model", "no such folder"),
        (r"C:\models\llama", "no such folder"),
        (r"C:\models\a.gguf", "no such file"),
        ("missing/a.gguf", "no such file; a GGUF file on the hub is written 'owner/name:file.gguf'"),
        ("{folder}:missing.gguf", "no missing.gguf in the folder"),
    ],
)
def test_names_that_mean_nothing_are_refused(name: str, message: str, tmp_path: Path) -> None:
    """The error says what is missing and how a name is written."""
    name = name.format(folder=tmp_path)
    with pytest.raises(ModelNotFound, match=message):
        load_model_info(name)


def test_folder_without_config_names_its_gguf_file(tmp_path: Path) -> None:
    """A folder of GGUF files is no model by itself; the advice is the name to write."""
    with pytest.raises(ModelError, match="holds no config.json; is it the right folder"):
        load_model_info(str(tmp_path))
    (tmp_path / "a.gguf").touch()
    with pytest.raises(ModelError, match="name one of its GGUF files, as '.*:a.gguf'"):
        load_model_info(str(tmp_path))
    with pytest.raises(ModelError, match="a file, but not a .gguf file"):
        (tmp_path / "notes.txt").touch()
        load_model_info(str(tmp_path / "notes.txt"))


def test_offline_without_cache_is_refused(offline: Path) -> None:
    """The error says what forbids the hub, and suggests the bundled model where the name is close."""
    with pytest.raises(ModelNotFound, match="'owner/name': not in the hub's cache .* HF_HUB_OFFLINE .* forbids"):
        load_model("owner/name")
    with pytest.raises(ModelNotFound, match="did you mean 'smollm2-135m'"):
        load_model("SmolLM2-135")


def test_hub_model_in_the_cache_loads_offline_with_its_commit(offline: Path, saved: dict[str, Path]) -> None:
    """A branch is resolved to the commit that is in the cache, and the info names it."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = offline / "models--owner--name"
    shutil.copytree(saved["llama"], repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    loaded = load_model("owner/name@main", device="cpu")
    assert (loaded.info.name, loaded.info.revision) == ("owner/name@main", commit)
    assert load_model_info("owner/name").revision == commit
    with pytest.raises(ModelNotFound, match="not in the hub's cache"):
        load_model("owner/name@other")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (BertConfig(architectures=["BertForMaskedLM"]), "BertForMaskedLM is an encoder, whose tokens also attend"),
        (T5Config(), "T5Config is not a causal language model"),
        (transformers.BartConfig(), "BartForCausalLM is an encoder-decoder"),
        (MambaConfig(), "MambaForCausalLM is a mamba model, whose config names no attention heads"),
        (RwkvConfig(), "RwkvForCausalLM is a rwkv model, whose config names no attention heads"),
        (transformers.ViTConfig(), "ViTConfig is not a causal language model"),
        (transformers.XLNetConfig(), "XLNetLMHeadModel is an encoder, whose tokens also attend"),
        (
            transformers.ProphetNetConfig(is_encoder_decoder=False, is_decoder=True),
            "ProphetNetForCausalLM is a model that predicts several tokens at once",
        ),
        (transformers.ReformerConfig(is_decoder=True), "ReformerModelWithLMHead is a model that attends within chunks"),
        (
            make_config("gemma4_assistant"),
            "Gemma4AssistantForCausalLM is a draft model, whose layers all read the keys",
        ),
    ],
)
def test_models_without_causal_attention_are_refused_by_name(tmp_path: Path, config, message: str) -> None:
    """The config is enough to tell; no weights are read."""
    config.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModel, match=message):
        load_model_info(str(tmp_path))


@pytest.mark.parametrize(
    ("config", "facts"),
    [
        (BertConfig(is_decoder=True), (12, 12, 12, 512)),
        (GPTNeoXConfig(), (44, 64, 64, 2048)),  # is_decoder is False in its config too
        (FalconConfig(), (32, 71, 1, 2048)),
        (FalconConfig(new_decoder_architecture=True, num_kv_heads=8), (32, 71, 8, 2048)),
        (MptConfig(), (24, 16, 16, 2048)),
        (transformers.BloomConfig(), (2, 8, 8, None)),
        (transformers.Gemma3Config(), (26, 8, 4, 131072)),
    ],
)
def test_facts_of_other_families(tmp_path: Path, config, facts: tuple) -> None:
    """Layers, heads, key/value heads and context window are found under each family's own keys."""
    with quiet():
        config.save_pretrained(tmp_path)
        make_tokenizer().save_pretrained(tmp_path)
    info = load_model_info(str(tmp_path))
    assert (info.num_layers, info.num_heads, info.num_kv_heads, info.context_window) == facts


def test_wrapping_an_encoder_is_refused() -> None:
    """What a caller hands over is checked as well."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    network = transformers.BertForMaskedLM(BertConfig(vocab_size=259, **sizes))
    with pytest.raises(UnsupportedModel, match="is an encoder"):
        wrap_model(network, make_tokenizer())


def test_wrapping_an_encoder_that_only_its_modules_tell_of_is_refused() -> None:
    """Its config is as silent as that of GPT-NeoX, whose attention is causal."""
    with pytest.raises(UnsupportedModel, match="'mine': BertGenerationDecoder is an encoder, whose tokens also attend"):
        wrap_model(make_network("bert-generation", is_decoder=False), make_tokenizer(), name="mine")
    assert wrap_model(make_network("bert-generation"), make_tokenizer()).info.num_heads == 4
    assert make_network("gpt_neox").config.is_decoder is False
    assert wrap_model(make_network("gpt_neox"), make_tokenizer()).info.num_heads == 4


@pytest.mark.parametrize("family", ["bart", "whisper"])
def test_decoder_that_was_saved_alone_loads(family: str, tmp_path: Path) -> None:
    """Of an encoder-decoder, which is refused as a whole."""
    with quiet():
        make_network(family).save_pretrained(tmp_path)
        make_tokenizer().save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path), device="cpu")
    assert (loaded.info.num_layers, loaded.info.num_heads) == (4, 4)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_missing_tokenizer_is_reported(saved: dict[str, Path], tmp_path: Path, name: str) -> None:
    """Without files of a tokenizer, or with an unreadable rest of one, the error says what to add."""
    folder = Path(shutil.copytree(saved[name], tmp_path / name))
    (folder / "tokenizer.json").unlink()
    for load in (load_model_info, load_model):
        (folder / "tokenizer_config.json").unlink(missing_ok=True)
        with pytest.raises(ModelError, match="it has no tokenizer; put the tokenizer's files"):
            load(str(folder))
    (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ModelError, match="it has no tokenizer.*put the tokenizer's files"):
        load_model(str(folder), device="cpu")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("{", ModelError, "its config.json is not valid JSON"),
        ("{}", UnsupportedModel, "does not know the model type"),
        ('{"model_type": "zork"}', UnsupportedModel, "does not know the model type"),
        ('{"model_type": "llama", "hidden_size": "wide"}', ModelError, "its config cannot be loaded: .*hidden_size"),
        (
            '{"model_type": "zork", "auto_map": {"AutoConfig": "zork.Config", "AutoModelForCausalLM": "zork.Model"}}',
            ModelError,
            "its own Python code.*--trust-remote-code",
        ),
    ],
)
def test_wrong_config_is_reported(folder: Path, content: str, error: type[ModelError], message: str) -> None:
    """Each way in which a config can be wrong has its own words; nobody is asked on the terminal."""
    (folder / "config.json").write_text(content)
    with pytest.raises(error, match=message):
        load_model_info(str(folder))


def test_wrong_weights_are_reported(folder: Path) -> None:
    """Weights of another shape, too few of them, none, or a broken file: never a model filled with random numbers."""
    set_config(folder, intermediate_size=48)
    with pytest.raises(ModelError, match="its weights have other shapes than its config.json says"):
        load_model(str(folder), device="cpu")
    set_config(folder, intermediate_size=32, num_hidden_layers=4)
    with pytest.raises(ModelError, match="9 of the weights of LlamaForCausalLM are missing, the first 'model.layers.3"):
        load_model(str(folder), device="cpu")
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(
        ModelError, match="its weights cannot be read: .*; the file is broken or cut short, get it again"
    ):
        load_model(str(folder), device="cpu")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="it has no weights; put model.safetensors next to its config.json"):
        load_model(str(folder), device="cpu")
    (folder / "pytorch_model.bin").write_bytes(b"broken")
    with pytest.raises(ModelError, match="its weights cannot be read: .*get it again"):
        load_model(str(folder), device="cpu", allow_pickle=True)


@pytest.mark.parametrize(
    ("changes", "count", "first"),
    [
        ({"num_hidden_layers": 2}, 9, "model.layers.2.input_layernorm.weight"),
        ({"num_hidden_layers": 1}, 18, "model.layers.1.input_layernorm.weight"),
    ],
)
def test_weights_that_the_config_leaves_unused_are_refused(
    folder: Path, changes: dict[str, int], count: int, first: str
) -> None:
    set_config(folder, **changes)
    with pytest.raises(ModelError, match=f"{count} of its weights have no place in the LlamaForCausalLM .* '{first}'"):
        load_model(str(folder), device="cpu")


@pytest.mark.parametrize("key", ["model.layers.0.self_attn.q_proj.bias", "model.layers.1.extra.weight", "lm_head.bias"])
def test_weights_that_the_modules_of_a_network_lack_are_refused(folder: Path, key: str) -> None:
    """A bias, for example, that the config switches off."""
    network = make_llama()
    network.save_pretrained(folder, state_dict={**network.state_dict(), key: torch.ones(16)})
    with pytest.raises(ModelError, match=f"1 of its weights have no place .* the first '{key}'; correct the config"):
        load_model(str(folder), device="cpu")


def test_weights_of_base_models_are_counted_alike(tmp_path: Path) -> None:
    """Saved without a language-model head, the names of their weights begin otherwise."""
    with quiet():
        make_gpt2().transformer.save_pretrained(tmp_path)
        make_tokenizer().save_pretrained(tmp_path)
    assert load_model(str(tmp_path), device="cpu").info.num_layers == 2
    set_config(tmp_path, n_layer=1)
    with pytest.raises(ModelError, match=r"\d+ of its weights have no place .* the first '.*h\.1\."):
        load_model(str(tmp_path), device="cpu")


@pytest.mark.parametrize("key", ["v_head.summary.weight", "mtp.layers.0.weight", "model.vision_tower.patch.weight"])
def test_modules_beside_the_network_do_no_harm(folder: Path, key: str) -> None:
    """A value head of a training, layers that predict further tokens, an encoder of images."""
    network = make_llama()
    network.save_pretrained(folder, state_dict={**network.state_dict(), key: torch.ones(16)})
    assert load_model(str(folder), device="cpu").info.num_layers == 3


@pytest.mark.parametrize(
    ("rope", "longest", "window", "switch"),
    [
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}, 64, 256, None),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}, 256, 256, None),
        ({"rope_type": "dynamic", "factor": 3.0}, 100, 300, 100),
        ({"type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 50}, 100, 100, 50),
        ({"rope_type": "linear", "factor": 2.0}, 128, 128, None),
        (
            {
                "rope_type": "llama3",
                "factor": 8.0,
                "original_max_position_embeddings": 64,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
            },
            128,
            128,
            None,
        ),
        (
            {
                "rope_type": "longrope",
                "short_factor": [1.0] * 2,
                "long_factor": [2.0] * 2,
                "original_max_position_embeddings": 32,
            },
            128,
            128,
            32,
        ),
    ],
)  # fmt: skip
def test_window_is_what_the_scaling_of_positions_allows(
    folder: Path, rope: dict[str, object], longest: int, window: int, switch: int | None
) -> None:
    """And long rope and dynamic scaling switch to other frequencies above a length."""
    set_config(folder, max_position_embeddings=longest, rope_parameters={"rope_theta": 10000.0, **rope})
    loaded = load_model(str(folder), device="cpu")
    assert loaded.info.context_window == load_model_info(str(folder)).context_window == window
    assert find_rope_switch(loaded.network.config) == switch


def test_dynamic_positions_do_not_depend_on_earlier_texts(folder: Path) -> None:
    """transformers keeps the frequencies of the longest text."""
    set_config(folder, max_position_embeddings=16, rope_parameters={"rope_type": "dynamic", "factor": 4.0})
    texts = [torch.arange(length)[None] for length in (20, 40, 20, 8)]
    with torch.no_grad():
        model = load_model(str(folder), device="cpu")
        again = wrap_model(model.network, model.tokenizer)
        found = [again.network(text).logits for text in texts]
        for text, logits in zip(texts, found, strict=True):
            assert torch.equal(load_model(str(folder), device="cpu").network(text).logits, logits)


@pytest.mark.parametrize("content", [b"", b"broken", b"GGUF\3\0\0\0" + b"\0" * 16])
def test_broken_gguf_file_is_reported(tmp_path: Path, content: bytes) -> None:
    """Empty, of another kind, or cut short: the error says what to do."""
    (tmp_path / "a.gguf").write_bytes(content)
    with pytest.raises(ModelError, match="its .gguf file is broken or cut short; get that file again"):
        load_model_info(str(tmp_path / "a.gguf"))


class Intruder:
    """An object whose unpickling would make a file."""

    def __init__(self, path: Path) -> None:
        """Remember the file to make."""
        self.path = path

    def __reduce__(self):
        """Tell pickle to open the file for writing."""
        return open, (str(self.path), "w")


def test_pickled_weights_load_where_they_may_and_run_no_code(folder: Path, tmp_path: Path) -> None:
    """Plain tensors are taken from a pickle if asked for; one that would call something is refused even then."""
    (folder / "model.safetensors").unlink()
    torch.save(make_llama().state_dict(), folder / "pytorch_model.bin")
    refused = r"its weights are pickled Python objects \(pytorch_model.bin\), which can carry code; .* --allow-pickle"
    with pytest.raises(ModelError, match=refused):
        load_model(str(folder), device="cpu")
    loaded = load_model(str(folder), device="cpu", allow_pickle=True)
    assert torch.equal(loaded.network.lm_head.weight, make_llama().lm_head.weight)
    torch.save({"lm_head.weight": Intruder(tmp_path / "intruder")}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="not safe to load; convert them to safetensors"):
        load_model(str(folder), device="cpu", allow_pickle=True)
    with pytest.raises(ModelError, match=refused):
        load_model(str(folder), device="cpu")
    assert not (tmp_path / "intruder").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "tpu"}, "unknown device 'tpu'; write auto, cpu, cuda or mps"),
        ({"device": "cpu:first"}, "unknown device 'cpu:first'; a number follows the colon"),
        ({"device": "cuda"}, "device 'cuda': this torch sees no cuda device; write --device auto or cpu"),
        ({"device": "cpu", "dtype": "int4"}, "unknown dtype 'int4'; write auto, float32, bfloat16, float16"),
    ],
)
def test_wrong_device_or_dtype_is_reported(
    saved: dict[str, Path], settings: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error lists what can be written."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match=message):
        load_model(str(saved["llama"]), **settings)


def test_device_beyond_the_last_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how many there are, before any model is looked for."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_settings("cuda:1", "auto")
    with pytest.raises(ModelError, match="device 'cuda:2': this torch sees 2 of them, counted from cuda:0"):
        check_settings("cuda:2", "auto")


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_picks_the_first_device_that_is_there(
    cuda: bool, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is cuda, mps, cpu; away from the CPU the checkpoint's own dtype is kept."""
    from reportgen.models.model import _choose_device, _choose_dtype

    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    device = _choose_device("auto")
    assert device.type == expected
    kept = transformers.LlamaConfig(dtype="bfloat16")
    assert _choose_dtype("auto", device, kept) == (torch.float32 if expected == "cpu" else torch.bfloat16)


def hub_error(kind: type[Exception]) -> OSError:
    """Return an error of the hub, as transformers wraps it."""
    error = OSError("wrapped")
    error.__cause__ = kind.__new__(kind)
    return error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (hub_error(errors.GatedRepoError), ModelError, "requires that you accept its terms"),
        (hub_error(errors.RepositoryNotFoundError), ModelNotFound, "the hub has no such model"),
        (hub_error(errors.RevisionNotFoundError), ModelNotFound, "no such revision"),
        (hub_error(errors.LocalEntryNotFoundError), ModelNotFound, "the hub cannot be reached"),
        (hub_error(errors.RemoteEntryNotFoundError), ModelError, "not the file that is needed"),
        (MemoryError(), ModelError, "not enough memory"),
        (ValueError("GGUF model with architecture x is not supported yet."), UnsupportedModel, "take the model's safe"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), ModelError, "--dtype bfloat16"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), ModelError, "a smaller model"),
        (RuntimeError("\n something\nelse"), ModelError, "its weights cannot be loaded: RuntimeError: something$"),
        (RuntimeError(), ModelError, "RuntimeError: no reason given$"),
    ],
)
def test_errors_of_the_libraries_are_explained(
    error: Exception, kind: type[ModelError], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the hub, transformers and torch raise becomes the program's own error, with advice and the model's name."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    explained = explain(error, "owner/name", "weights")
    assert type(explained) is kind
    with pytest.raises(kind, match=f"^model 'owner/name': .*{message}"):
        raise explained
    with pytest.raises(kind), calling_transformers("owner/name", "weights"):
        raise error


def test_verbosity_is_put_back() -> None:
    """The silence ends with the block."""
    from transformers.utils import logging as log

    before = log.get_verbosity(), log.is_progress_bar_enabled()
    with quiet():
        assert not log.is_progress_bar_enabled()
    assert (log.get_verbosity(), log.is_progress_bar_enabled()) == before
