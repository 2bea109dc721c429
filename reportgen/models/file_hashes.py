"""SHA-256 of files; those of large files are kept in the user's cache, so that each is read once until it changes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from reportgen.models.cache import cache_folder

_HASHES = "file-hashes.json"
_MIN_CACHED_BYTES = 1 << 24
"""Smallest file whose hash is cached, in bytes; hashing a smaller one is faster than looking its hash up."""


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal, from the cache if the file is large and has not changed.

    Raises:
        OSError: the file cannot be read.
    """
    hashes = FileHashes()
    digest = hashes.of(path)
    hashes.save()
    return digest


class FileHashes:
    """SHA-256 of several files, cached on disk for large files."""

    def __init__(self) -> None:
        """Read the cache."""
        self._file = cache_folder() / _HASHES
        self._known: dict[str, list[int | str]] = {}
        self._new = False
        with suppress(OSError, ValueError):
            content = json.loads(self._file.read_text("utf-8"))
            self._known = content if isinstance(content, dict) else {}

    def of(self, path: Path) -> str:
        """Return the SHA-256 of a file, in hexadecimal.

        Raises:
            OSError: the file cannot be read.
        """
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
