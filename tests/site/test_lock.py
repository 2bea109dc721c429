"""The lock of a folder, with the locks of the operating system and on disks that have none."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from reportgen.records import Shard
from reportgen.records.errors import InTheWay, SiteError, SiteInUse
from reportgen.site.lock import LOCK_FILE, lock_site

HOLD = """
import errno, fcntl, os, sys
def refuse(*_):
    raise OSError(int(sys.argv[2]), "no locks")
fcntl.flock = refuse
from reportgen.site.lock import lock_site
from pathlib import Path
with lock_site(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP], ids=["ENOSYS", "ENOLCK", "ENOTSUP"])
def number(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let the disk have no locks, and return the number of the error that says so."""

    def refuse(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr("reportgen.site.lock._TAKE_OVER", 1.0)
    return request.param


def soft_locks(folder: Path) -> list[Path]:
    """Return the files that are locks on a disk without locks."""
    return [path for path in folder.iterdir() if path.name.startswith(f"{LOCK_FILE}.")]


def hold(folder: Path, number: int) -> subprocess.Popen[str]:
    """Start a process that holds the lock of a folder."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_disk_without_locks_is_locked_while_a_run_is_on(tmp_path: Path, number: int) -> None:
    holder = hold(tmp_path, number)
    try:
        with pytest.raises(SiteInUse) as told, lock_site(tmp_path):
            pass
        (path,) = soft_locks(tmp_path)
        assert f"(process {holder.pid} on {socket.gethostname()}" in str(told.value)
        assert str(told.value).endswith(f"; if that process has ended, remove {path}")
    finally:
        holder.communicate("")
    assert soft_locks(tmp_path) == []
    with lock_site(tmp_path):
        assert len(soft_locks(tmp_path)) == 1


def test_the_lock_of_a_killed_run_is_taken_over(tmp_path: Path, number: int) -> None:
    holder = hold(tmp_path, number)
    holder.kill()
    holder.communicate()
    assert len(soft_locks(tmp_path)) == 1
    with lock_site(tmp_path):
        pass
    assert soft_locks(tmp_path) == []


def test_the_lock_of_another_machine_is_named(tmp_path: Path, number: int) -> None:
    with lock_site(tmp_path):
        (path,) = soft_locks(tmp_path)
    path.write_text("7\nelsewhere\n", "utf-8")
    with pytest.raises(SiteInUse) as told, lock_site(tmp_path):
        pass
    assert "another reportgen (process 7 on elsewhere) writes into it" in str(told.value)
    assert str(told.value).endswith(f"; if that process has ended, remove {path}")
    path.unlink()
    with lock_site(tmp_path):
        pass


def test_a_copied_lock_is_none(tmp_path: Path, number: int) -> None:
    with lock_site(tmp_path / "site"):
        shutil.copytree(tmp_path / "site", tmp_path / "copy")
        assert len(soft_locks(tmp_path / "copy")) == 1
        with lock_site(tmp_path / "copy"):
            pass


def test_a_copied_lock_is_none_where_the_disk_has_locks(tmp_path: Path) -> None:
    with lock_site(tmp_path / "site"):
        shutil.copytree(tmp_path / "site", tmp_path / "copy")
        assert (tmp_path / "copy" / LOCK_FILE).read_text("utf-8")
        with lock_site(tmp_path / "copy"):
            pass


def test_shards_and_whole_runs_exclude_each_other_without_locks(tmp_path: Path, number: int) -> None:
    with lock_site(tmp_path, Shard(1, 2)), lock_site(tmp_path, Shard(2, 2)):
        with pytest.raises(SiteInUse), lock_site(tmp_path):
            pass
        with pytest.raises(SiteInUse), lock_site(tmp_path, Shard(2, 2)):
            pass
    with lock_site(tmp_path):
        pass


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_what_is_no_file_is_no_lock(tmp_path: Path, kind: str) -> None:
    path = tmp_path / LOCK_FILE
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(SiteError if kind == "link" else InTheWay), lock_site(tmp_path):
        pass
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("umask", [0o002, 0o027, 0o077])
def test_the_lock_has_the_rights_that_the_user_gives(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with lock_site(tmp_path):
            assert (tmp_path / LOCK_FILE).stat().st_mode & 0o777 == 0o666 & ~umask
    finally:
        os.umask(before)
