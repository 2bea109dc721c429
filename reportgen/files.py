"""Whole files or none: each is written beside its place and renamed into it, so that nobody ever reads half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reportgen.records.errors import SiteError

_ENDING = ".part"
"""How the name of a file ends that is not yet in its place; it begins with a dot."""


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        SiteError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SiteError(f"{folder}: cannot be made, {error.strerror}; choose another folder with --results") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file beside another to be written, which then takes its place: there is the old one or the new one, whole.

    The content is on the disk before it has its name, and the name before this is over.

    Raises:
        OSError: it cannot be written; the old file is as it was.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_ENDING)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def unwritable(path: Path, error: OSError) -> SiteError:
    """Return what to say of a file that cannot be written."""
    return SiteError(f"{path}: cannot be written, {error.strerror}; make room or choose another --results")


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write a file as ``replacing`` does.

    Raises:
        SiteError: it cannot be written; the old file is as it was.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    except OSError as error:
        raise unwritable(path, error) from error


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove what a process left of files that it was killed over; nobody else may write there meanwhile."""
    for folder in folders:
        for path in folder.glob(f".*{_ENDING}"):
            with suppress(OSError):
                path.unlink()


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows, where a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some network disks refuse; the file itself is written
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
