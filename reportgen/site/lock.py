"""One run at a time writes into a folder, or the shards of one run; the system lets go of a lock when a process ends.

A shard holds a lock of its own, and takes that of the folder only to begin: so the shards of a run stand beside one
another, and nothing else beside them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from reportgen.files import make_folder
from reportgen.records import Shard
from reportgen.records.errors import SiteError, SiteInUse

LOCK_FILE = ".reportgen.lock"
_SHARD_LOCKS = ".reportgen.*-of-*.lock"
_PATIENCE = 10.0
"""Seconds that a shard waits for the folder: another one may just begin."""


@contextmanager
def lock_site(folder: Path, shard: Shard | None = None) -> Iterator[Path]:
    """Keep other runs out of a folder.

    Args:
        folder: made where it is missing.
        shard: the part of a run that this is; other parts are let in.

    Raises:
        SiteInUse: another run is in it, or the same shard; names its process.
        SiteError: the folder cannot be made or written.
    """
    make_folder(folder)
    if shard is None:
        with _locked(folder, LOCK_FILE):
            _check_shards(folder)
            yield folder
        return
    with ExitStack() as held:
        with _locked(folder, LOCK_FILE, _PATIENCE):
            held.enter_context(_locked(folder, f".reportgen.{shard.number}-of-{shard.count}.lock"))
        yield folder


def _check_shards(folder: Path) -> None:
    """Let no shard be at work, and remove the locks that shards left: none begins while the folder is locked."""
    for path in folder.glob(_SHARD_LOCKS):
        with _locked(folder, path.name), suppress(OSError):  # Windows removes no file that is open
            path.unlink()


@contextmanager
def _locked(folder: Path, name: str, patience: float = 0.0) -> Iterator[None]:
    path = folder / name
    lock = FileLock(path, timeout=patience, mode=0o644)
    try:
        lock.acquire()
    except Timeout as error:
        raise SiteInUse(
            f"{folder}: another reportgen{_holder(path)} writes into it; wait for it, or choose another --results"
        ) from error
    except OSError as error:
        raise SiteError(f"{path}: cannot be written, {error.strerror}; choose another folder with --results") from error
    try:
        _note(path, f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        if path.exists():
            _note(path, "")  # the folder is published, and it is nobody's business where it was made
        lock.release()


def _note(path: Path, holder: str) -> None:
    with suppress(OSError):  # a full disk, or a system that lets nobody touch a locked file: the lock holds without
        path.write_text(holder, "utf-8")


def _holder(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        if holder := path.read_text("utf-8").strip():
            return f" ({holder})"
    return ""
