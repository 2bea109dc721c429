"""Processes that may take so long and hold so much, and the environment that peers live in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from peer_list import SCRIPTS

SECONDS = 60
"""How long a page may take to be made, and how long until the browser has something to say of it."""
GIGABYTES = 8
"""How much memory a process may hold, its children's included."""
FOLDER = Path(__file__).parent
CACHE = FOLDER / ".cache"
REQUIREMENTS = FOLDER / "peers" / "requirements.txt"


def run_limited(*command: str | Path) -> tuple[list[dict[str, Any]], str]:
    """Run a process that prints lines of JSON.

    Returns:
        The lines, and an empty text; or the lines until then and the limit that was passed, as ``over 60 s``. A process
        that fails by itself is a ``CalledProcessError``, unless it died for want of memory.
    """
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([str(part) for part in command], stdout=output, cwd=FOLDER)
        over = _wait(process, output.fileno())
        output.seek(0)
        lines = [json.loads(line) for line in output.read().splitlines()]
    if process.returncode and not over:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return lines, over


def _wait(process: subprocess.Popen[bytes], output: int) -> str:
    """Wait for the end, or end it: each line that it prints gives it the same time again."""
    path, said, since = Path(f"/proc/self/fd/{output}"), 0, time.monotonic()
    while process.poll() is None:
        time.sleep(0.05)
        if (size := path.stat().st_size) != said:
            said, since = size, time.monotonic()
        over = f"over {SECONDS} s" if time.monotonic() > since + SECONDS else ""
        if over or _held(process.pid) > GIGABYTES * 1e9:
            _end(process)
            return over or f"over {GIGABYTES} GB"
    return ""


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _held(pid: int) -> int:
    held = 0
    for process in _family(pid):
        try:
            held += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return held


def _end(process: subprocess.Popen[bytes]) -> None:
    for one in _family(process.pid):
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def set_up_peers() -> Path:
    """Install the peers, and the scripts that their pages ask the network for, unless they are there.

    Returns:
        The Python that has them.
    """
    environment, stamp = CACHE / "venv", CACHE / "installed.txt"
    wanted = REQUIREMENTS.read_text("utf-8") + "\n".join(SCRIPTS.values())
    python = environment / "bin" / "python"
    if not stamp.exists() or stamp.read_text("utf-8") != wanted:
        shutil.rmtree(environment, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        pins = ["--requirement", REQUIREMENTS, "--constraint", FOLDER.parent / "constraints.txt"]
        quiet = ["--quiet", "--disable-pip-version-check"]
        subprocess.run([python, "-m", "pip", "install", *quiet, *pins], check=True)
        packages = [file.partition("/")[0] for file in SCRIPTS.values()]
        quiet = ["--silent", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(["npm", "install", *quiet, "--prefix", CACHE, *packages], check=True)
        stamp.write_text(wanted, "utf-8")
    return python
