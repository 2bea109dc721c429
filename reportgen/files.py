"""Write files atomically: write a temporary file next to the target, then rename it, so no reader sees half a file."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reportgen.records.errors import SiteError, UnusableFolder

_ENDING = ".part"
"""Suffix of temporary files. Their names begin with a dot."""
_WRONG_PATH = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.EINVAL}
"""Errors of a path that no folder can have."""
_SHOWN = 200
"""Largest number of characters of a path in a message."""


def make_folder(folder: Path) -> None:
    """Create a folder and its parents.

    Raises:
        UnusableFolder: no folder can have this path.
        SiteError: the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise uncreatable(folder, error) from error


def uncreatable(folder: Path, error: OSError | ValueError) -> SiteError:
    """Return the error to raise for a folder that cannot be created or looked at."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    kind = UnusableFolder if isinstance(error, ValueError) or error.errno in _WRONG_PATH else SiteError
    return kind(f"{shorten_path(folder)}: cannot be created, {reason}; choose another folder with --results")


def shorten_path(path: Path) -> str:
    """Return a path for a message, without the middle of a very long one."""
    text = str(path)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}…{text[-_SHOWN // 2 :]}"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file, and move that file to ``path`` when the block ends.

    Readers see either the complete old file or the complete new one. The content is flushed to disk before the rename,
    and the rename before this function returns. If the block raises an exception, the temporary file is removed.

    Raises:
        OSError: the file cannot be written; the old file is unchanged.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_ENDING)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_read_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _read_umask() -> int:
    umask = os.umask(0o077)  # it can be read only by setting it
    os.umask(umask)
    return umask


def unwritable(path: Path, error: OSError) -> SiteError:
    """Return the error to raise for a file that cannot be written."""
    return SiteError(f"{path}: cannot be written, {error.strerror}; make room or choose another --results")


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write a file atomically.

    Raises:
        SiteError: the file cannot be written; the old file is unchanged.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    except OSError as error:
        raise unwritable(path, error) from error


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove temporary files of a process that was killed; no other process may write to the folders meanwhile."""
    for folder in folders:
        for path in folder.glob(f".*{_ENDING}"):
            with suppress(OSError):
                path.unlink()


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some network file systems do not support this; the file itself is written
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
