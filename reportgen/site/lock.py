"""Lock a results folder, so that only one run, or the shards of one run, write to it at a time.

A shard holds its own lock, and holds the lock of the folder only while it starts. So the shards of a run can write at
the same time, and no other run can. The operating system releases the lock of a process that ends.
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
"""Seconds that a shard waits for the lock of the folder, because another shard may be starting."""


@contextmanager
def lock_site(folder: Path, shard: Shard | None = None) -> Iterator[Path]:
    """Lock a folder against other runs.

    Args:
        folder: folder to lock; it is created if it does not exist.
        shard: shard that takes the lock; other shards may hold theirs at the same time.

    Yields:
        The folder.

    Raises:
        SiteInUse: another run, or the same shard, holds the lock. The message names its process.
        SiteError: the folder cannot be created or written.
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
    """Check that no shard is running, and remove old lock files of shards; no shard can start during the check."""
    for path in folder.glob(_SHARD_LOCKS):
        with _locked(folder, path.name), suppress(OSError):  # Windows cannot remove a file that is open
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
            _note(path, "")  # the folder is published and should not reveal the host name
        lock.release()


def _note(path: Path, holder: str) -> None:
    with suppress(OSError):  # the disk is full, or the locked file is not writable; the lock works without the note
        path.write_text(holder, "utf-8")


def _holder(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        if holder := path.read_text("utf-8").strip():
            return f" ({holder})"
    return ""
