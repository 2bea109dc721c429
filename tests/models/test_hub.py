"""Models of the hub while it does not answer: from its cache, at once, with one line said. No network is used."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from tiny import make_llama, save_adapter, save_llama

from reportgen.models import hub
from reportgen.models.hf_errors import quiet
from reportgen.models.model import load_model, load_model_info
from reportgen.models.model_source import find_adapter, find_source
from reportgen.records.errors import ModelError, ModelNotFound

COMMIT = "abcdef0123456789abcdef0123456789abcdef01"


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return an empty cache of a hub at a closed port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "_SAID", set())
    monkeypatch.setattr(hub, "_SILENT", set())
    close_session()
    return tmp_path / "hub"


def put_into_cache(folder: Path, cache: Path, name: str) -> None:
    repo = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(folder, repo / "snapshots" / COMMIT)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)


def test_cached_model_and_adapter_load_at_once(silent: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Also a second time, without another line; the hub may be asked again afterwards."""
    with quiet():
        put_into_cache(save_llama(tmp_path / "model"), silent, "owner/tiny")
        save_adapter(tmp_path / "lora", make_llama())
        put_into_cache(tmp_path / "lora", silent, "owner/lora")
    start = time.monotonic()
    assert load_model_info("owner/tiny").revision == COMMIT
    loaded = load_model("owner/tiny", adapter="owner/lora", device="cpu")
    assert time.monotonic() - start < 25
    assert (loaded.info.revision, loaded.info.adapter) == (COMMIT, "owner/lora")
    output = capfd.readouterr()
    assert output.err.splitlines() == [
        "reportgen: model 'owner/tiny': the hub does not answer; it is taken from the cache on this machine",
        "reportgen: adapter 'owner/lora' on model 'owner/tiny': the hub does not answer; it is taken from the cache on "
        "this machine",
    ]
    assert not constants.HF_HUB_OFFLINE


def test_model_that_is_not_cached_is_refused_at_once(silent: Path) -> None:
    start = time.monotonic()
    with pytest.raises(ModelNotFound, match="'owner/other': not in the hub's cache .*, and the hub cannot be reached"):
        load_model_info("owner/other")
    assert time.monotonic() - start < 15
    assert not silent.exists()


def test_file_that_the_cache_lacks_is_not_blamed_on_a_setting(silent: Path, tmp_path: Path) -> None:
    with quiet():
        put_into_cache(save_llama(tmp_path / "model"), silent, "owner/tiny")
    next(silent.rglob("model.safetensors")).unlink()
    with pytest.raises(ModelError) as caught:
        load_model("owner/tiny", device="cpu")
    assert "HF_HUB_OFFLINE" not in str(caught.value)


def test_address_of_the_hub_without_a_scheme_is_refused(silent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "hub.example.org")
    with pytest.raises(ModelError, match="HF_ENDPOINT is 'hub.example.org', which is no address; write it with https:"):
        load_model_info("owner/other")


def test_proxy_of_an_unknown_kind_is_refused(silent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:1")
    close_session()
    with pytest.raises(ModelError, match="the proxy that .* names cannot be used: .*gopher.*; write http://host:port"):
        load_model_info("owner/other")
    close_session()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://huggingface.co/owner/name", "owner/name"),
        ("https://huggingface.co/owner/name/", "owner/name"),
        ("huggingface.co/gpt2", "gpt2"),
        ("https://huggingface.co/gpt2/tree/v2", "gpt2@v2"),
        ("http://hf.co/owner/name?library=transformers#top", "owner/name"),
        ("https://huggingface.co/owner/name/tree/607a30d", "owner/name@607a30d"),
        ("https://huggingface.co/owner/name/blob/main/config.json", "owner/name"),
        ("https://huggingface.co/owner/name/resolve/main/a.Q4.gguf?download=true", "owner/name:a.Q4.gguf"),
        ("https://huggingface.co/owner/name/blob/dev/sub/a.gguf", "owner/name@dev:sub/a.gguf"),
        ("https://huggingface.co/owner/name/discussions/7", "owner/name"),
    ],
)
def test_address_of_a_page_is_answered_with_the_name_to_write(address: str, name: str) -> None:
    with pytest.raises(ModelNotFound, match=f"^model .*: the address of a page; write '{name}'$"):
        find_source(address)
    with pytest.raises(ModelNotFound, match=f"^adapter .* on model 'm': the address of a page; write '{name}'$"):
        find_adapter(address, "m")


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("https://huggingface.co/datasets/owner/name", "not the page of a model"),
        ("https://huggingface.co", "an address, not a name"),
        ("https://example.org/owner/name", "an address, not a name"),
        ("s3://bucket/model.gguf", "an address, not a name"),
    ],
)
def test_other_addresses_are_refused(address: str, problem: str) -> None:
    with pytest.raises(ModelNotFound, match=f"{problem}; write the name on the hub, such as 'owner/name'"):
        find_source(address)


def test_folder_that_hides_a_hub_name_is_said_once(
    silent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with quiet():
        save_llama(tmp_path / "gpt2")
        save_llama(tmp_path / "models" / "tiny")
        save_llama(tmp_path / "owner" / "tiny")
        put_into_cache(tmp_path / "gpt2", silent, "owner/tiny")
    for name in ("gpt2", "gpt2", "./gpt2", "models/tiny", "owner/tiny"):
        load_model_info(name)
    assert capfd.readouterr().err.splitlines() == [
        f"reportgen: model '{name}': the folder of that name is taken; write '{name}@main' for the hub's model"
        for name in ("gpt2", "owner/tiny")
    ]
    (tmp_path / "distilgpt2").mkdir()
    with pytest.raises(
        ModelError, match="holds no config.json; .*; write 'distilgpt2@main' for the hub's model of that name"
    ):
        load_model_info("distilgpt2")


@pytest.mark.parametrize("name", ["owner/name:big-00002-of-00003.gguf", "models/big-00002-of-00003.gguf"])
def test_parts_of_a_gguf_file_are_to_be_joined(name: str) -> None:
    with pytest.raises(ModelError, match=r"one of 3 parts .*: gguf-split --merge big-00001-of-00003.gguf big.gguf$"):
        find_source(name)
    assert find_source("owner/name:small-00001-of-00001.gguf").gguf_file == "small-00001-of-00001.gguf"
