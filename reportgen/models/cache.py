"""The folders of converted models in the user's cache: that of a bundled model, and those of the user's GGUF files.

A folder is made under a temporary name and renamed when it is complete, so that a program that is killed leaves none
under its own name, and of two programs that make the same one, each finds a complete one. Its manifest has the key that
says what it was made from, and the SHA-256 of each of its files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

_MANIFEST = "reportgen.json"
_UNFINISHED = ".unfinished-"
_SECONDS_UNFINISHED = 24 * 3600
"""Age at which an unfinished folder is that of a program that was killed."""
_CONVERTED = re.compile(r"gguf-[0-9a-f]{32}-\w+")


def cache_folder() -> Path:
    """Return ``$REPORTGEN_CACHE``, or by default this program's folder in the user's cache."""
    chosen = os.environ.get("REPORTGEN_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("reportgen", appauthor=False)


def models_folder() -> Path:
    """Return the folder that holds the folders of converted models; it may not exist."""
    return cache_folder() / "models"


def converted_folder(sha256: str, dtype: str) -> Path:
    """Return the folder for the conversion of a GGUF file.

    Args:
        sha256: SHA-256 of the file, in hexadecimal.
        dtype: dtype of the converted weights.
    """
    return models_folder() / f"gguf-{sha256[:32]}-{dtype}"


def is_whole(folder: Path, key: Mapping[str, str]) -> bool:
    """Return whether a folder has all of its files, and was made for a key."""
    manifest = _read_manifest(folder)
    try:
        names = manifest["files"]
        return all(manifest[part] == value for part, value in key.items()) and all(
            os.access(folder / name, os.R_OK) for name in names
        )
    except (KeyError, TypeError):
        return False


def is_damaged(folder: Path) -> bool:
    """Return whether a file of a folder is missing, unreadable or changed; all of its files are read."""
    try:
        return any(_hash(folder / name) != digest for name, digest in _read_manifest(folder)["files"].items())
    except (OSError, KeyError, AttributeError):
        return True


@contextmanager
def making(folder: Path, key: Mapping[str, str], facts: Mapping[str, str]) -> Iterator[Path]:
    """Yield a temporary folder next to a folder, and put its subfolder ``model`` in that folder's place at the end.

    An earlier folder that is not whole is replaced; one that another program finished meanwhile is kept.

    Args:
        folder: the folder to make.
        key: what tells the folder from one made from something else.
        facts: further entries of its manifest.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for path in folder.parent.glob(f"{_UNFINISHED}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _SECONDS_UNFINISHED:
                shutil.rmtree(path)
    # Another program may remove the folder meanwhile, by `reportgen models --clear`.
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder.parent, ignore_cleanup_errors=True) as temporary:
        yield Path(temporary)
        made = Path(temporary, "model")
        files = {path.name: _hash(path, flush=True) for path in sorted(made.iterdir())}
        manifest = made / _MANIFEST
        manifest.write_text(json.dumps({**key, **facts, "files": files}, indent=2) + "\n", "utf-8")
        _hash(manifest, flush=True)
        _put_in_place(made, folder, key)


def find_converted() -> dict[Path, str]:
    """Return the folders of the converted GGUF files, each with the name that its file had, sorted by this name."""
    with suppress(OSError):
        folders = [path for path in models_folder().iterdir() if _CONVERTED.fullmatch(path.name) and path.is_dir()]
        names = {path: str(_read_manifest(path).get("gguf", "?")) for path in folders}
        return dict(sorted(names.items(), key=lambda item: (item[1], item[0])))
    return {}


def clear_converted() -> tuple[int, int]:
    """Remove the converted GGUF files, and what programs left that were killed; bundled models stay.

    Returns:
        How many conversions were removed, and how many bytes were freed.

    Raises:
        OSError: a folder cannot be removed.
    """
    converted = list(find_converted())
    num_bytes = 0
    for folder in (*converted, *models_folder().glob(f"{_UNFINISHED}*")):
        size = size_of(folder)
        shutil.rmtree(folder)
        num_bytes += size
    return len(converted), num_bytes


def size_of(folder: Path) -> int:
    """Return the size in bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def describe_size(num_bytes: float) -> str:
    """Return a size in words, such as ``538 MB``."""
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes < 1e9 else f"{num_bytes / 1e9:,.1f} GB"


def _read_manifest(folder: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        content = json.loads((folder / _MANIFEST).read_text("utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


def _hash(path: Path, *, flush: bool = False) -> str:
    """Return the SHA-256 of a file; if asked, after the disk has its content, which a rename does not wait for."""
    if flush:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _put_in_place(made: Path, folder: Path, key: Mapping[str, str]) -> None:
    if folder.exists() and not is_whole(folder, key):
        with suppress(FileNotFoundError):  # another program is replacing it too
            folder.replace(made.with_name("earlier"))  # removed with the temporary folder
    try:
        made.replace(folder)
    except OSError:
        # Another program made the folder first; use it if it is complete.
        if not is_whole(folder, key):
            raise
