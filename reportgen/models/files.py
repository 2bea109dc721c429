"""Check the files in the folder of a model or an adapter, before transformers reads them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from reportgen.records.errors import ModelError

NO_TOKENIZER = "it has no tokenizer; put the tokenizer's files (tokenizer.json) next to the weights"
_TOKENIZER_FILES = ("tokenizer*", "vocab*", "*.model", "*.tiktoken", "spiece*")
_POINTER = b"version https://git-lfs.github.com/spec"
_NOT_WEIGHTS = (".json", ".txt", ".jinja", ".model", ".tiktoken", ".py")
"""Suffixes of the other files that are read when a model or an adapter is loaded."""
_WEIGHTS = "model.safetensors"
_INDEX = f"{_WEIGHTS}.index.json"


def check_no_pointers(folder: Path, subject: str, weights: tuple[str, ...] = ("model*.safetensors",)) -> None:
    """Check that no file that is read is a Git LFS pointer, which Git leaves in place of a large file.

    Args:
        folder: folder of a model or an adapter.
        subject: start of the error message, as from ``name_subject``.
        weights: patterns of the files with weights; pickled weights are checked if there are no others.

    Raises:
        ModelError: a file is a pointer.
    """
    files = sorted(path for pattern in weights for path in folder.glob(pattern))
    files = files or sorted(folder.glob("*model*.bin"))
    files += sorted(path for path in folder.iterdir() if path.suffix in _NOT_WEIGHTS)
    for path in files:
        check_no_pointer(path, subject)


def check_no_pointer(path: Path, subject: str) -> None:
    """Check that a file is no Git LFS pointer.

    Raises:
        ModelError: it is one.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise ModelError(f"{subject}: {path.name} is a Git LFS pointer; run `git lfs pull` where it was cloned")


def check_weight_files(folder: Path, subject: str, *, allow_pickle: bool) -> None:
    """Check that a model's folder has all files of its weights, in a format that may be read.

    Raises:
        ModelError: it has no weights, only pickled ones, or not all files that their index names.
    """
    pickled = sorted(path.name for path in folder.glob("pytorch_model*.bin"))
    if any(folder.glob("*.safetensors")):
        _check_parts(folder, subject)
    elif not pickled:
        raise ModelError(
            f"{subject}: it has no weights; put {_WEIGHTS} next to its config.json, or get the whole model again"
        )
    elif not allow_pickle:
        raise ModelError(
            f"{subject}: its weights are pickled Python objects ({pickled[0]}), which can carry code; convert "
            "them to safetensors, or, if you trust where they come from, allow them with --allow-pickle"
        )


def _check_parts(folder: Path, subject: str) -> None:
    if (folder / _WEIGHTS).is_file() or not (folder / _INDEX).is_file():
        return
    try:
        parts = sorted(set(json.loads((folder / _INDEX).read_text("utf-8"))["weight_map"].values()))
        missing = [part for part in parts if not (folder / part).is_file()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{subject}: its {_INDEX} is no index of weights; get the whole model again") from error
    if missing:
        raise ModelError(
            f"{subject}: {len(missing)} of the {len(parts)} files of its weights are missing, the first "
            f"{missing[0]!r}; get the whole model again"
        )


def check_tokenizer_files(folder: Path, subject: str) -> None:
    """Check that a model's folder has files of a tokenizer, and that the packages that read them are installed.

    Raises:
        ModelError: there are no such files, or a package is missing.
    """
    if not any(any(folder.glob(pattern)) for pattern in _TOKENIZER_FILES):
        raise ModelError(f"{subject}: {NO_TOKENIZER}")
    if not any(folder.glob("vocab*")):
        check_sentencepiece(folder, subject)


def check_sentencepiece(folder: Path, subject: str) -> None:
    """Check that SentencePiece is installed if it alone can read a model's tokenizer.

    Raises:
        ModelError: it is not installed.
    """
    if (folder / "tokenizer.json").exists() or all(map(_is_installed, ("sentencepiece", "google.protobuf"))):
        return
    # A file of this suffix can also be tiktoken's, which is a text; SentencePiece's begins with the tag of a piece.
    models = [path for path in sorted(folder.glob("*.model")) if path.read_bytes()[:1] == b"\n"]
    if models:
        raise ModelError(
            f"{subject}: its tokenizer is a SentencePiece model ({models[0].name}), which needs packages that are not "
            "installed; pip install sentencepiece protobuf"
        )


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False
