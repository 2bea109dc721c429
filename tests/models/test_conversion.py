"""GGUF files are converted once, into the user's cache; the numbers, tokenizer and facts are those of the file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from counts import count
from tiny import make_llama
from tiny_gguf import write_gguf
from transformers import LlamaForCausalLM

from reportgen.models import conversion, hub
from reportgen.models.bundled import list_models
from reportgen.models.cache import clear_converted, find_converted
from reportgen.models.conversion import convert_once
from reportgen.models.fingerprint import fingerprint
from reportgen.models.model import LoadedModel, load_model, load_model_info, load_outline, wrap_model
from reportgen.models.reading import read_config, read_network, read_tokenizer
from reportgen.models.source import Source
from reportgen.records.errors import ModelError

PROGRAM = """
import os, signal, sys
def watch(frame, event, _):
    if event == "call" and frame.f_code.co_qualname == {where!r}:
        os.kill(os.getpid(), signal.SIGKILL)
from reportgen import load_model
sys.setprofile(watch)
load_model({name!r}, device="cpu")
"""


@pytest.fixture
def gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a GGUF file with quantised weights; the cache is empty, and nothing was said yet."""
    monkeypatch.setenv("REPORTGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "_SAID", set())
    path = tmp_path / "here" / "tiny.gguf"
    path.parent.mkdir()
    write_gguf(path, quantised=True)
    return path


def load_directly(gguf: Path, dtype: str = "float32") -> LoadedModel:
    """Load the file itself, past the cache."""
    source = Source(str(gguf.parent), is_local=True, gguf_file=gguf.name)
    config = read_config("m", source)
    tokenizer = read_tokenizer("m", source, config)
    return wrap_model(read_network("m", source, config, dtype=getattr(torch, dtype)), tokenizer, name=str(gguf))


def bits(loaded: LoadedModel) -> dict[str, tuple[torch.dtype, bytes]]:
    tensors = (*loaded.network.named_parameters(), *loaded.network.named_buffers())
    return {name: (each.dtype, each.detach().view(torch.uint8).numpy().tobytes()) for name, each in tensors}


def names_in_cache(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache" / "models").iterdir())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_numbers_are_those_of_the_file_to_the_last_bit(
    gguf: Path, dtype: str, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = load_directly(gguf, dtype)
    first = load_model(str(gguf), device="cpu", dtype=dtype)
    said = capfd.readouterr().err
    second = load_model(str(gguf), device="cpu", dtype=dtype)
    assert (said.count("\n"), capfd.readouterr().err) == (2, "")
    assert bits(first) == bits(second) == bits(expected)
    assert Path(second.network.name_or_path) == next(iter(find_converted()))  # it was not read from the file
    ids = torch.tensor([[1, 5, 200, 7]])
    with torch.no_grad():
        assert torch.equal(second.network(ids).logits, expected.network(ids).logits)
        assert torch.equal(
            second.network.generate(ids, do_sample=False, max_new_tokens=4),
            expected.network.generate(ids, do_sample=False, max_new_tokens=4),
        )
    rounded = {"float32": 0, "bfloat16": 8e-3, "float16": 1e-3}[dtype] + 0.15  # blocks of 4 bits
    for name, weight in make_llama().named_parameters():
        assert (second.network.get_parameter(name).float() - weight).abs().max() < rounded * weight.abs().max(), name


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_tokenizer_and_facts_are_those_of_the_file(gguf: Path, family: str) -> None:
    """What a page says of the model does not depend on whether it was converted.

    The class of Qwen2's tokenizer splits texts in another way than transformers does for a GGUF file.
    """
    write_gguf(gguf, family=family)
    expected, before, outline = load_directly(gguf), fingerprint(str(gguf)), load_outline(str(gguf))
    facts = load_model_info(str(gguf))
    for _ in range(2):
        loaded = load_model(str(gguf), device="cpu")
        assert asdict(loaded.info) == asdict(expected.info) | {"is_in_memory": False}
        for text in ("Grüße, 🙂", "abab  cab\n", "<|im_start|>user"):
            assert loaded.tokenizer(text) == expected.tokenizer(text)
            assert loaded.tokenizer(text).input_ids == load_outline(str(gguf)).tokenizer(text).input_ids
        assert loaded.tokenizer.backend_tokenizer.to_str() == expected.tokenizer.backend_tokenizer.to_str()
        assert str(loaded.tokenizer.special_tokens_map) == str(
            {name: expected.tokenizer.special_tokens_map[name] for name in loaded.tokenizer.special_tokens_map}
        )
        assert loaded.network.generation_config.to_dict() == expected.network.generation_config.to_dict()
        assert bits(loaded) == bits(expected)
    assert Path(loaded.network.name_or_path) == next(iter(find_converted()))
    assert fingerprint(str(gguf)) == before
    assert load_model_info(str(gguf)) == facts
    assert load_outline(str(gguf)).info == outline.info


def test_loaded_conversion_can_be_saved(gguf: Path, tmp_path: Path) -> None:
    for _ in range(2):
        loaded = load_model(str(gguf), device="cpu")
        loaded.network.save_pretrained(tmp_path / "saved")
        loaded.tokenizer.save_pretrained(tmp_path / "saved")
        again = load_model(str(tmp_path / "saved"), device="cpu")
        assert bits(again) == bits(loaded)
        assert again.tokenizer("abab").input_ids == loaded.tokenizer("abab").input_ids


def test_conversion_says_size_and_time_and_is_listed_and_cleared(
    gguf: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load_model_info(str(gguf))
    assert not (tmp_path / "cache").exists()  # looking at the config converts nothing
    load_model(f"{gguf.parent}:tiny.gguf", device="cpu")
    ((folder, name),) = find_converted().items()
    start, end = capfd.readouterr().err.splitlines()
    assert start == f"reportgen: model '{gguf.parent}:tiny.gguf': converting it to safetensors, once (0 MB)"
    subject = f"reportgen: model '{gguf.parent}:tiny.gguf': converted in "
    assert end.startswith(subject)
    assert end.endswith(f" s; 0 MB in {folder}, which `reportgen models --clear` removes")
    size = sum(path.stat().st_size for path in folder.iterdir())
    row = next(row for row in list_models() if row.folder == folder)
    assert (row.name, row.title, row.num_bytes, name) == ("tiny.gguf", "converted", size, "tiny.gguf")

    kept = [tmp_path / "cache" / "models" / name for name in ("smollm2-135m", "gguf-mine")]
    for each in kept:
        each.mkdir()
    (folder.parent / ".unfinished-x").mkdir()
    (folder.parent / ".unfinished-x" / "part").write_bytes(b"123")
    assert clear_converted() == (1, size + 3)
    assert names_in_cache(tmp_path) == sorted(path.name for path in kept)
    assert clear_converted() == (0, 0)


def test_same_content_is_converted_once_and_other_content_anew(gguf: Path, tmp_path: Path) -> None:
    """A copy, or a file under another time, is the same; a file of the same name with other bytes is not."""
    load_model(str(gguf), device="cpu")
    made = names_in_cache(tmp_path)
    shutil.copy(gguf, tmp_path / "copy.gguf")
    os.utime(gguf, (1, 1))
    for path in (gguf, tmp_path / "copy.gguf"):
        load_model(str(path), device="cpu")
    assert names_in_cache(tmp_path) == made
    write_gguf(gguf)
    torch.testing.assert_close(
        dict(load_model(str(gguf), device="cpu").network.named_parameters()), dict(make_llama().named_parameters())
    )
    assert len(names_in_cache(tmp_path)) == 2


def test_file_of_the_hub_is_converted_and_keeps_its_commit(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are those of the cache, and the revision is that of the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repo = tmp_path / "hub" / "models--owner--name"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("a" * 40, "utf-8")
    (repo / "snapshots" / ("a" * 40) / "sub").mkdir(parents=True)
    shutil.copy(gguf, repo / "snapshots" / ("a" * 40) / "sub" / "tiny.gguf")
    expected = load_directly(gguf)
    for _ in range(2):
        loaded = load_model("owner/name:sub/tiny.gguf", device="cpu")
        assert (loaded.info.name, loaded.info.revision) == ("owner/name:sub/tiny.gguf", "a" * 40)
        assert bits(loaded) == bits(expected)
        assert Path(loaded.network.name_or_path) == next(iter(find_converted()))


def test_conversion_of_another_version_of_transformers_is_made_anew(gguf: Path) -> None:
    """A newer version may read the file in another way."""
    load_model(str(gguf), device="cpu")
    manifest = next(iter(find_converted())) / "reportgen.json"
    content = json.loads(manifest.read_text("utf-8"))
    manifest.write_text(json.dumps(content | {"transformers": "5.0"}), "utf-8")
    load_model(str(gguf), device="cpu")
    assert json.loads(manifest.read_text("utf-8")) == content


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_damaged_conversion_is_made_again(gguf: Path, file: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be read is told, and the numbers are right; one that is missing is made again."""
    expected = bits(load_model(str(gguf), device="cpu"))
    folder = next(iter(find_converted()))
    (folder / file).write_bytes(b"\xff" * (folder / file).stat().st_size)
    capfd.readouterr()
    assert bits(load_model(str(gguf), device="cpu")) == expected
    warning = f"reportgen: warning: model '{gguf}': its conversion in {folder} is damaged; it is made again\n"
    assert warning in capfd.readouterr().err
    (folder / file).unlink()
    assert bits(load_model(str(gguf), device="cpu")) == expected
    assert (folder / file).is_file()


def test_damaged_conversion_that_cannot_be_removed_is_not_used(
    gguf: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = bits(load_model(str(gguf), device="cpu"))
    folder = next(iter(find_converted()))
    (folder / "model.safetensors").write_bytes(b"\xff" * 1000)
    monkeypatch.setattr(conversion, "_stuck", set())
    monkeypatch.setattr(conversion.shutil, "rmtree", lambda folder, ignore_errors: None)
    for _ in range(2):
        assert bits(load_model(str(gguf), device="cpu")) == expected
    said = capfd.readouterr().err
    assert f"its conversion in {folder} is damaged; remove that folder; until then the GGUF file itself" in said


def test_error_that_is_not_of_the_conversion_is_told_as_it_is(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole conversion stays."""
    load_model(str(gguf), device="cpu")
    folder = next(iter(find_converted()))

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(LlamaForCausalLM, "from_pretrained", fail)
    with pytest.raises(ModelError, match="there is not enough memory for it"):
        load_model(str(gguf), device="cpu")
    assert (folder / "model.safetensors").is_file()


def test_cache_that_cannot_be_written_is_told_and_the_file_is_loaded(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("REPORTGEN_CACHE", str(tmp_path / "file"))
    assert bits(load_model(str(gguf), device="cpu")) == bits(load_directly(gguf))
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"reportgen: warning: model '{gguf}': its conversion cannot be kept: [Errno 20] Not a dir")
    assert "set REPORTGEN_CACHE to another folder; the GGUF file itself is loaded" in line


def test_conversion_that_would_fill_the_disk_is_not_begun(
    gguf: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert convert_once(gguf, "m", "float32", 10**16) is None
    assert "it takes 40,000,000.0 GB and has to leave as much free, but " in capfd.readouterr().err
    assert names_in_cache(tmp_path) == []


def test_conversion_that_is_not_the_same_is_not_kept(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each conversion is loaded once and compared, bit by bit."""
    expected = bits(load_directly(gguf))
    save = LlamaForCausalLM.save_pretrained

    def save_almost(network: LlamaForCausalLM, folder: Path) -> None:
        with torch.no_grad():
            network.model.norm.weight[0] += 1e-6
        save(network, folder)

    monkeypatch.setattr(LlamaForCausalLM, "save_pretrained", save_almost)
    assert bits(load_model(str(gguf), device="cpu")) == expected
    assert "its conversion cannot be kept: its weights would not be the same; the GGUF" in capfd.readouterr().err
    assert names_in_cache(tmp_path) == []


def test_unsupported_or_broken_file_is_not_converted(gguf: Path, tmp_path: Path) -> None:
    """The error is that of the file, and nothing is kept."""
    gguf.write_bytes(gguf.read_bytes().replace(b"blk.2.ffn_up.weight", b"blk.2.ffn_xx.weight"))
    with pytest.raises(ModelError, match="1 of the weights of LlamaForCausalLM are missing"):
        load_model(str(gguf), device="cpu")
    assert names_in_cache(tmp_path) == []


@pytest.mark.full
@pytest.mark.system
def test_file_that_cannot_grow_is_a_full_disk(gguf: Path, tmp_path: Path) -> None:
    """The system refuses every byte after the first 30,000 of a file, while the weights are written."""
    program = f"""
import resource
from reportgen import load_model
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
print(load_model({str(gguf)!r}, device="cpu").info.num_parameters)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{make_llama().num_parameters()}\n"), done.stderr
    assert "its conversion cannot be kept: " in done.stderr
    assert "File too large" in done.stderr
    assert names_in_cache(tmp_path) == []


@pytest.mark.system
@pytest.mark.parametrize(
    "where",
    ["_put_in_place", "_fingerprint", "PreTrainedModel.save_pretrained"][: count("places of a kill in a conversion")],
)
def test_killed_conversion_leaves_nothing_that_is_used(gguf: Path, tmp_path: Path, where: str) -> None:
    program = PROGRAM.format(where=where, name=str(gguf))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    (left,) = (tmp_path / "cache" / "models").iterdir()
    assert left.name.startswith(".unfinished-")
    assert find_converted() == {}
    assert bits(load_model(str(gguf), device="cpu")) == bits(load_directly(gguf))
    assert left.exists()  # it could be that of a program that runs
    old = time.time() - 25 * 3600
    os.utime(left, (old, old))
    load_model(str(gguf), device="cpu", dtype="bfloat16")
    assert [path for path in (tmp_path / "cache" / "models").iterdir() if path.name[0] == "."] == []


@pytest.mark.full
@pytest.mark.system
def test_two_programs_at_once_convert_the_same_file(gguf: Path, tmp_path: Path) -> None:
    program = PROGRAM.format(where="nowhere", name=str(gguf))
    both = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "warning" not in "".join(said)
    assert len(names_in_cache(tmp_path)) == 1
    assert bits(load_model(str(gguf), device="cpu")) == bits(load_directly(gguf))
