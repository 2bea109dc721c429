"""Lock a results folder, so that only one run, or the shards of one run, write to it at a time.

A shard holds its own lock, and holds the lock of the folder only while it starts. So the shards of a run can write at
the same time, and no other run can.

The operating system releases the lock of a process that ends. Some network disks have no such locks. There, a file that
names its process is the lock. The lock of a process that has ended is taken over on the same machine; on another one
it cannot be known whether the process runs, so the message names the file to remove.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from reportgen.files import make_folder
from reportgen.records import Shard
from reportgen.records.errors import InTheWay, SiteError, SiteInUse

LOCK_FILE = ".reportgen.lock"
_SHARD_LOCKS = ".reportgen.*-of-*.lock"
_PATIENCE = 10.0
"""Seconds that a shard waits for the lock of the folder, because another shard may be starting."""
_TAKE_OVER = 4.0
"""Seconds to wait for the lock of a process that has ended; an incomplete lock file is taken over after two."""
_NO_FLOCK = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Errors of a disk that has no locks of the operating system."""


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
    try:
        if path.exists() and not path.is_file():
            raise InTheWay(f"{path}: exists and was not written by reportgen; move it or choose another --results")
        lock = _acquire(path, patience)
    except Timeout as error:
        raise SiteInUse(
            _describe_holder(folder, Path(error.lock_file), is_soft=Path(error.lock_file).name != name)
        ) from error
    except OSError as error:
        raise SiteError(f"{path}: cannot be written, {error.strerror}; choose another folder with --results") from error
    is_soft = isinstance(lock, SoftFileLock)
    try:
        if not is_soft:
            _note(path, f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        if not is_soft and path.exists():
            _note(path, "")  # the folder is published and should not reveal the host name
        lock.release()


def _acquire(path: Path, patience: float) -> BaseFileLock:
    """Take the lock of the operating system, or a lock file on a disk that has no such locks."""
    try:
        lock: BaseFileLock = FileLock(path, timeout=patience, fallback_to_soft=False)
        lock.acquire()
    except OSError as error:
        if error.errno not in _NO_FLOCK:
            raise
        lock = SoftFileLock(_soft_path(path), timeout=max(patience, _TAKE_OVER))
        lock.acquire()
    return lock


def _soft_path(path: Path) -> Path:
    """Return the path of the lock file on a disk without locks.

    It contains the number of the folder on its disk, so that a copy of the folder is not locked.
    """
    return path.with_name(f"{path.name}.{path.parent.stat().st_ino:x}")


def _note(path: Path, holder: str) -> None:
    with suppress(OSError):  # the disk is full, or the locked file is not writable; the lock works without the note
        path.write_text(holder, "utf-8")


def _describe_holder(folder: Path, path: Path, *, is_soft: bool) -> str:
    """Return the error message for a lock that another process holds."""
    holder = ""
    with suppress(OSError, UnicodeDecodeError):
        holder = path.read_text("utf-8").strip()
    if is_soft:
        process, host, *_ = [*holder.splitlines(), "", ""]
        holder = f"process {process} on {host}" if host else ""
    who = f" ({holder})" if holder else ""
    gone = f"; if that process has ended, remove {path}" if is_soft else ""
    return f"{folder}: another reportgen{who} writes into it; wait for it, or choose another --results{gone}"
