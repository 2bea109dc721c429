"""The name of a model, as a user writes it, and where transformers finds what it means."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reportgen.models.bundled import BUNDLED, fetch_model
from reportgen.models.hf_errors import name_subject
from reportgen.records.errors import ModelError, ModelNotFound

ADAPTER_CONFIG = "adapter_config.json"
"""What makes a folder one of an adapter."""
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_LOOKS_LIKE_PATH = re.compile(rf"[./~\\]|{_DRIVE.pattern}|.*\\")


@dataclass(frozen=True)
class Source:
    """Where a model lies.

    Attributes:
        repo: a local folder, or a repository of the hub.
        is_local: which of the two.
        revision: branch, tag or commit of a hub repository; ``None`` for its default.
        gguf_file: name of a GGUF file inside; ``None`` for weights beside a ``config.json``.
    """

    repo: str
    is_local: bool
    revision: str | None = None
    gguf_file: str | None = None

    def arguments(self) -> dict[str, Any]:
        """Return the keywords for ``from_pretrained``, apart from the repository itself."""
        given = {"revision": self.revision, "gguf_file": self.gguf_file}
        return {key: value for key, value in given.items() if value is not None}


def find_source(name: str) -> Source:
    """Say where a model lies; an embedded one is fetched if it is not yet here.

    Tried in this order: embedded name, local file or folder, ``repo:file.gguf``, hub name. The hub is not asked.

    Args:
        name: an embedded name, a local folder, a ``.gguf`` file, ``repo:file.gguf`` with a hub name or a folder before
            the colon, or a hub name; a hub name may end in ``@revision``.

    Returns:
        The source.

    Raises:
        ModelNotFound: a path where nothing is, or no possible name.
        ModelError: the embedded model could not be fetched, or the folder holds no model.
    """
    if name in BUNDLED:
        return Source(str(fetch_model(name)), is_local=True)
    path = Path(name).expanduser()
    if name and path.is_dir():
        return _in_folder(name, path)
    if name.lower().endswith(".gguf"):
        return _gguf(name, path)
    if path.is_file():
        raise ModelError(f"model {name!r}: a file, but no .gguf file; name the folder it is in")
    if _LOOKS_LIKE_PATH.match(name):
        raise ModelNotFound(f"model {name!r}: no such folder; a hub name is written like 'owner/name'")
    return _on_hub(f"model {name!r}", name, suggest(name))


def find_adapter(name: str, model: str) -> Source:
    """Say where an adapter lies. The hub is not asked.

    Args:
        name: a local folder, or a hub name, which may end in ``@revision``.
        model: what it is to be put on, for error messages.

    Raises:
        ModelNotFound: a path where nothing is, or no possible name.
        ModelError: the folder holds no adapter.
    """
    subject, path = name_subject(model, name), Path(name).expanduser()
    if name and path.is_dir():
        if (path / ADAPTER_CONFIG).is_file():
            return Source(str(path), is_local=True)
        raise ModelError(f"{subject}: the folder holds no {ADAPTER_CONFIG}; is it the right folder?")
    if path.is_file():
        raise ModelError(f"{subject}: a file; name the folder it is in")
    if _LOOKS_LIKE_PATH.match(name):
        raise ModelNotFound(f"{subject}: no such folder; a hub name is written like 'owner/name'")
    return _on_hub(subject, name)


def suggest(name: str) -> str:
    """Return ``"; did you mean …?"`` where a name is close to an embedded one, else the empty text."""
    close = difflib.get_close_matches(name.rpartition("/")[2].lower(), BUNDLED, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _in_folder(name: str, folder: Path) -> Source:
    if (folder / "config.json").is_file():
        return Source(str(folder), is_local=True)
    files = sorted(path.name for path in folder.glob("*.gguf"))
    advice = f"name one of its GGUF files, as '{name}:{files[0]}'" if files else "is it the right folder?"
    if (folder / ADAPTER_CONFIG).is_file():
        advice = "it is an adapter: name it under 'adapter', and its base model here"
    raise ModelError(f"model {name!r}: the folder holds no config.json; {advice}")


def _gguf(name: str, path: Path) -> Source:
    if path.is_file():
        return Source(str(path.parent), is_local=True, gguf_file=path.name)
    repo, colon, file = name.rpartition(":")
    if not colon or (_DRIVE.match(name) and len(repo) == 1):
        raise ModelNotFound(f"model {name!r}: no such file; a GGUF file on the hub is written 'owner/name:file.gguf'")
    folder = Path(repo).expanduser()
    if folder.is_dir():
        if not (folder / file).is_file():
            raise ModelNotFound(f"model {name!r}: no {file} in the folder {repo}")
        return Source(str(folder), is_local=True, gguf_file=file)
    return _on_hub(f"model {name!r}", repo, suggest(name), gguf_file=file)


def _on_hub(subject: str, repo_at: str, suggestion: str = "", gguf_file: str | None = None) -> Source:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    repo, at, revision = repo_at.partition("@")
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        advice = suggestion or "; a hub name is written 'owner/name' or 'owner/name@revision'"
        raise ModelNotFound(f"{subject}: neither a file or folder here nor a possible hub name{advice}") from error
    if at and not revision:
        raise ModelNotFound(f"{subject}: nothing after '@'; write a branch, tag or commit there, or leave '@' out")
    return Source(repo, is_local=False, revision=revision or None, gguf_file=gguf_file)
