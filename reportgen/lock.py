"""One run at a time writes into a folder; the system lets go of the lock when a process ends, however it ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from reportgen.atomic import make_folder
from reportgen.errors import SiteError, SiteInUse

LOCK_FILE = ".reportgen.lock"


@contextmanager
def lock_site(folder: Path) -> Iterator[Path]:
    """Keep other runs out of a folder.

    Args:
        folder: made where it is missing.

    Raises:
        SiteInUse: another run is in it; names its process.
        SiteError: the folder cannot be made or written.
    """
    make_folder(folder)
    path = folder / LOCK_FILE
    lock = FileLock(path, blocking=False, mode=0o644)
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
        yield folder
    finally:
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
