"""Folders of models that lack a file, hold a pointer in its place, or need a package that is missing."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny import make_llama, make_tokenizer, save_adapter, save_llama

from reportgen.build.build import build_site
from reportgen.build.options import BuildOptions
from reportgen.cli.main import main
from reportgen.models.adapter import check_adapter
from reportgen.models.files import check_sentencepiece
from reportgen.models.hf_errors import quiet
from reportgen.models.model import load_model, load_model_info
from reportgen.records import Prompt
from reportgen.records.errors import ModelError

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:12ab\nsize 538090408\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with quiet():
        return save_llama(tmp_path / "model")


def check(folder: Path, *options: str) -> tuple[int, str]:
    """Return the exit code and the output of ``reportgen check`` for a prompt on a model."""
    file = folder.parent / "prompts.yaml"
    file.write_text(f"model: {folder}\nprompts: [The cat]\n")
    result = CliRunner().invoke(main, ["check", str(file), *options])
    return result.exit_code, result.output


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
def test_pointer_in_place_of_a_file_is_named_before_anything_is_loaded(folder: Path, file: str) -> None:
    (folder / file).write_text(POINTER)
    message = f"{file} is a Git LFS pointer; run `git lfs pull`"
    for load in (load_model_info, load_model):
        with pytest.raises(ModelError, match=f"^model '{folder}': {message}"):
            load(str(folder))
    code, output = check(folder)
    assert code == 1
    assert f"prompts.yaml:1: model '{folder}': {message}" in output


def test_pointers_among_several_files_of_weights_and_in_pickled_ones_are_named(folder: Path) -> None:
    with quiet():
        make_llama().save_pretrained(folder, max_shard_size="4KB")
    (folder / "model.safetensors").unlink()
    parts = sorted(folder.glob("model-*.safetensors"))
    parts[1].write_text(POINTER)
    with pytest.raises(ModelError, match=f"{parts[1].name} is a Git LFS pointer"):
        load_model_info(str(folder))
    for part in parts:
        part.unlink()
    (folder / "pytorch_model.bin").write_text(POINTER)
    with pytest.raises(ModelError, match=r"pytorch_model\.bin is a Git LFS pointer"):
        load_model(str(folder), allow_pickle=True)


def test_pointer_that_is_not_read_does_no_harm(folder: Path) -> None:
    for file in ("pytorch_model.bin", "README.md", "picture.png", "consolidated.safetensors"):
        (folder / file).write_text(POINTER)
    assert load_model(str(folder), device="cpu").info.num_layers == 3


def test_pointer_in_place_of_a_gguf_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_text(POINTER)
    with pytest.raises(ModelError, match=r"a\.gguf is a Git LFS pointer"):
        load_model_info(str(tmp_path / "a.gguf"))


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json", "tokenizer.json"])
def test_pointer_in_an_adapter_is_named(tmp_path: Path, file: str) -> None:
    save_adapter(tmp_path / "lora", make_llama())
    (tmp_path / "lora" / file).write_text(POINTER)
    with pytest.raises(ModelError, match=f"^adapter '{tmp_path}/lora' on model 'm': {file} is a Git LFS pointer"):
        check_adapter(str(tmp_path / "lora"), "m")


def test_check_finds_missing_and_pickled_weights(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    assert check(folder)[0] == 1
    assert "it has no weights; put model.safetensors next to its config.json" in check(folder)[1]
    (folder / "pytorch_model.bin").touch()
    assert "pickled Python objects (pytorch_model.bin)" in check(folder)[1]
    assert check(folder, "--allow-pickle")[0] == 0
    (folder / "model.safetensors").write_bytes(weights)
    assert check(folder)[0] == 0


def test_check_finds_a_missing_part_of_the_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with quiet():
        make_llama().save_pretrained(folder, max_shard_size="4KB")
    assert check(folder)[0] == 0
    parts = sorted(folder.glob("model-*.safetensors"))
    parts[-1].unlink()
    assert f"1 of the {len(parts)} files of its weights are missing, the first '{parts[-1].name}'" in check(folder)[1]
    (folder / "model.safetensors.index.json").write_text("[]")
    assert "its model.safetensors.index.json is no index of weights" in check(folder)[1]


@pytest.fixture
def sentencepiece(folder: Path) -> Path:
    """Return a model whose only tokenizer file is SentencePiece's."""
    for file in folder.glob("tokenizer*"):
        file.unlink()
    (folder / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\2")
    return folder


def forget_packages(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in missing else find(name, *rest))


@pytest.mark.parametrize("missing", ["sentencepiece", "google.protobuf"])
def test_package_that_is_missing_for_a_tokenizer_is_the_one_that_is_advised(
    sentencepiece: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not tiktoken, of which transformers speaks."""
    forget_packages(monkeypatch, missing)
    advice = r"its tokenizer is a SentencePiece model \(tokenizer.model\).*; pip install sentencepiece protobuf$"
    for load in (load_model_info, load_model):
        with pytest.raises(ModelError, match=advice):
            load(str(sentencepiece))


def test_tokenizer_that_needs_no_sentencepiece_is_not_refused(
    sentencepiece: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tokenizer.json is read instead, and a file of tiktoken is a text."""
    forget_packages(monkeypatch, "sentencepiece")
    shutil.copy(sentencepiece / "tokenizer.model", sentencepiece / "other.model")
    (sentencepiece / "tokenizer.model").write_text("IQ== 0\nIg== 1\n")
    (sentencepiece / "other.model").unlink()
    check_sentencepiece(sentencepiece, "m")
    (sentencepiece / "tokenizer.model").write_bytes(b"\n")
    with quiet():
        make_tokenizer().save_pretrained(sentencepiece)
    assert load_model(str(sentencepiece), device="cpu").tokenizer.vocab_size == 259


@pytest.mark.parametrize("kernel", ["flash_attention_2", "flash_attention_3", "kernels-community/flash-attn2"])
def test_attention_that_the_config_names_is_not_used(folder: Path, kernel: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    for key in ("_attn_implementation", "attn_implementation"):
        (folder / "config.json").write_text(json.dumps(config | {key: kernel}))
        assert load_model(str(folder), device="cpu").network.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("options", [("--device", "cuda:99"), ("--device", "tpu", "-v"), ("--device", "cuda:x")])
def test_device_that_is_not_there_is_wrong_usage(folder: Path, options: tuple[str, ...]) -> None:
    file = folder.parent / "prompts.yaml"
    file.write_text(f"model: {folder}\nprompts: [The cat]\n")
    result = CliRunner().invoke(main, ["build", str(file), "-o", str(folder.parent / "out"), *options])
    assert result.exit_code == 2
    assert "device '" in result.output
    assert not (folder.parent / "out" / "index.html").exists()


def test_path_of_a_model_is_in_no_file_of_the_site(folder: Path, tmp_path: Path) -> None:
    """Nor that of an adapter; neither where a prompt fails."""
    save_adapter(tmp_path / "my-lora", make_llama())
    site = tmp_path / "site"
    prompts = [
        Prompt(text="ab", slug="good", model=str(folder), adapter=str(tmp_path / "my-lora"), max_new_tokens=1),
        Prompt(messages=[{"role": "user", "content": "a"}], slug="bad", model=str(folder), max_new_tokens=600),  # pyright: ignore
    ]
    outcome = build_site(prompts, site, BuildOptions(device="cpu", export_data="csv", keep_captures=True))
    assert (len(outcome.pages), len(outcome.failures)) == (1, 1)
    assert "<title>ab · model</title>" in (site / "good.html").read_text("utf-8")
    for path in site.rglob("*"):
        if path.is_file():
            assert str(tmp_path).encode() not in path.read_bytes(), path
