"""Quantised checkpoints: one made by hand in the format of compressed-tensors, and those that cannot be loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import make_llama, make_tokenizer, save_adapter, save_llama
from transformers import LlamaForCausalLM, PreTrainedModel

from reportgen.build.capture import capture
from reportgen.models.hf_errors import explain, quiet
from reportgen.models.model import load_model, load_model_info, wrap_model
from reportgen.pages.tables import make_settings
from reportgen.records import Prompt
from reportgen.records.errors import ModelError, UnsupportedModel

PROMPT = Prompt(text="The cat ate", max_new_tokens=4, evidence=("ablation",))
COMPRESSED = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "quantization_status": "compressed",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"},
        }
    },
}


def set_config(folder: Path, **values: object) -> None:
    """Change keys of a saved config."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a Llama as it was trained."""
    folder = tmp_path_factory.mktemp("quantised") / "plain"
    with quiet():
        return save_llama(folder)


@pytest.fixture(scope="module")
def quantised(plain: Path) -> tuple[Path, LlamaForCausalLM]:
    """Return a folder with the linear maps in 8 bits, four to an integer, and the network that they stand for."""
    folder, network = Path(shutil.copytree(plain, plain.parent / "packed")), make_llama()
    packed, meant = {}, {}
    for name, weight in network.state_dict().items():
        packed[name] = meant[name] = weight.clone()
        if "_proj" in name:
            scale = weight.abs().amax(1, keepdim=True) / 127
            whole = (weight / scale).round()
            meant[name] = whole * scale
            packed[f"{name}_packed"] = (whole.int() + 128).to(torch.uint8).view(torch.int32)
            packed |= {f"{name}_scale": scale, f"{name}_shape": torch.tensor(weight.shape)}
            del packed[name]
    save_file(packed, folder / "model.safetensors", metadata={"format": "pt"})
    set_config(folder, quantization_config=COMPRESSED)
    network.load_state_dict(meant)
    return folder, network


def test_quantised_checkpoint_gives_what_its_weights_stand_for(
    quantised: tuple[Path, LlamaForCausalLM], capfd: pytest.CaptureFixture[str]
) -> None:
    """Attention and all evidence; the page says that the model is quantised, and nothing is said on the terminal."""
    folder, network = quantised
    loaded, meant = load_model(str(folder), device="cpu"), wrap_model(network, make_tokenizer())
    assert loaded.info.dtype == "float32, quantised by compressed-tensors"
    found, expected = capture(loaded, PROMPT), capture(meant, PROMPT)
    assert found.tokens == expected.tokens
    np.testing.assert_allclose(found.triangles, expected.triangles, atol=1e-3)
    assert found.evidence.missing == {}
    assert found.evidence.attribution is not None
    assert expected.evidence.attribution is not None
    np.testing.assert_allclose(found.evidence.attribution.heads, expected.evidence.attribution.heads, atol=1e-4)
    np.testing.assert_allclose(found.evidence.value_norms, expected.evidence.value_norms, atol=1e-4)  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert dict(make_settings(found))["dtype and device"] == "float32, quantised by compressed-tensors on cpu"
    assert capfd.readouterr() == ("", "")


def test_quantised_model_keeps_its_dtype_and_is_never_moved(
    quantised: tuple[Path, LlamaForCausalLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where ``auto`` would widen a plain one on the CPU; some quantisers refuse both."""
    folder = Path(shutil.copytree(quantised[0], tmp_path / "half"))
    set_config(folder, dtype="bfloat16")
    monkeypatch.setattr(PreTrainedModel, "to", lambda *_, **__: pytest.fail("it was moved"))
    for device_map in ("", "auto"):
        device = "auto" if device_map else "cpu"
        loaded = load_model(str(folder), device=device, device_map=device_map)
        assert loaded.info.dtype == "bfloat16, quantised by compressed-tensors"
        assert loaded.info.device == "cpu"
        assert len(capture(loaded, PROMPT).steps) == 4


def test_adapter_on_a_quantised_model_is_refused(quantised: tuple[Path, LlamaForCausalLM], tmp_path: Path) -> None:
    save_adapter(tmp_path, make_llama())
    with pytest.raises(
        ModelError, match="^adapter .*: the model's weights are quantised, and an adapter cannot be merged"
    ):
        load_model(str(quantised[0]), adapter=str(tmp_path), device="cpu")


@pytest.mark.parametrize(
    ("config", "package"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 16}, "gptqmodel"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 16}, "optimum"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes>="),
        ({"quant_method": "quanto", "weights": "int8"}, "optimum-quanto"),
        ({"quant_method": "torchao", "quant_type": "int8_weight_only"}, "torchao"),
        ({"quant_method": "auto-round"}, "auto-round>="),
    ],
)
def test_missing_quantiser_is_named(plain: Path, tmp_path: Path, config: dict[str, object], package: str) -> None:
    """What it says to install is what transformers asks for."""
    folder = Path(shutil.copytree(plain, tmp_path / "model"))
    set_config(folder, quantization_config=config)
    assert load_model_info(str(folder)).num_layers == 3
    with pytest.raises(ModelError, match=f"^model '{folder}': .* not installed; pip install '?{package}"):
        load_model(str(folder), device="cpu")


def test_missing_quantiser_of_a_real_checkpoint_is_named(
    quantised: tuple[Path, LlamaForCausalLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "transformers.utils.quantization_config.is_compressed_tensors_available", lambda *_: False, raising=True
    )
    with pytest.raises(ModelError, match="not installed; pip install 'compressed-tensors"):
        load_model(str(quantised[0]), device="cpu")


def test_unknown_quantiser_is_refused(plain: Path, tmp_path: Path) -> None:
    """transformers would take the weights as they are, without their scales."""
    folder = Path(shutil.copytree(plain, tmp_path / "model"))
    set_config(folder, quantization_config={"quant_method": "zork"})
    for load in (load_model_info, load_model):
        with pytest.raises(
            UnsupportedModel, match="its weights are quantised by 'zork', which this transformers does not"
        ):
            load(str(folder))


@pytest.mark.parametrize(
    ("message", "name", "said"),
    [
        ("It requires A: `pip install a-b[gpu,cpu]`", None, "pip install 'a-b[gpu,cpu]'"),
        ("Please run pip install -U 'a.b>=0.4.1'.", None, "pip install 'a.b>=0.4.1'"),
        ("No module named 'torchao'", "torchao", "pip install torchao"),
        (
            "Using fbgemm fp8 quantization requires a GPU",
            None,
            "ImportError: Using fbgemm fp8 quantization requires a GPU",
        ),
    ],
)
def test_what_to_install_is_read_from_the_error(message: str, name: str | None, said: str) -> None:
    assert str(explain(ImportError(message, name=name), "m", "weights")).endswith(said)
