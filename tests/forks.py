"""The command in processes of its own that can be killed, without waiting for torch each time.

Run as a program, it reads commands from standard input, a JSON list of arguments a line; forks a process for each, in
the state of one that has imported all and done nothing; and answers with its id, then, when it has ended, with how.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, negative for a signal; what it said; seconds from its beginning."""

    code: int
    stdout: str
    stderr: str
    seconds: float


class Commands:
    """Runs ``reportgen`` commands in forked processes."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self.folder = process, folder

    def run(
        self, *arguments: str, meanwhile: Callable[[int], None] = lambda _: None, memory: int | None = None
    ) -> Ended:
        """Run one command.

        Args:
            arguments: of the command.
            meanwhile: called with the id of its process while it runs.
            memory: bytes that the process may take beyond what it has; ``None`` for no limit.
        """
        assert self._process.stdin
        assert self._process.stdout
        start = time.perf_counter()
        self._process.stdin.write(json.dumps([arguments, memory]) + "\n")
        self._process.stdin.flush()
        meanwhile(int(self._process.stdout.readline()))
        self._process.stdin.write("wait\n")  # until then its id stays its own
        self._process.stdin.flush()
        code = os.waitstatus_to_exitcode(int(self._process.stdout.readline()))
        seconds = time.perf_counter() - start
        return Ended(code, *((self.folder / name).read_text("utf-8") for name in ("stdout", "stderr")), seconds)


@contextmanager
def commands(folder: Path) -> Iterator[Commands]:
    """Start the program below in a folder, which is also where the output of commands is kept for a while."""
    # One arena: how much address space threads reserve would differ from run to run, and limits count it.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "MALLOC_ARENA_MAX": "1"}
    process = subprocess.Popen(
        [sys.executable, __file__],
        cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Commands(process, folder)
    finally:
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=60)


def kill_after(seconds: float, sign: int = signal.SIGKILL) -> Callable[[int], None]:
    """Return what sends a signal when so many seconds are over, if the process is still there."""

    def send(process_id: int) -> None:
        time.sleep(seconds)
        os.kill(process_id, sign)

    return send


def when(condition: Callable[[], bool], *signs: int, pause: float = 0.0) -> Callable[[int], None]:
    """Return what sends signals, one after another, once a condition holds."""

    def send(process_id: int) -> None:
        deadline = time.monotonic() + 60
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.005)
        for sign in signs:
            os.kill(process_id, sign)
            time.sleep(pause)

    return send


def _serve() -> None:
    import torch

    from reportgen.cli.main import main

    torch.set_num_threads(1)
    assert threading.active_count() == 1, "a process with threads cannot be forked safely"
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for name, descriptor in (("stdout", 1), ("stderr", 2)):
                file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(file, descriptor)
            code: object = 1
            arguments, memory = json.loads(line)
            if memory is not None:
                limit = psutil.Process().memory_info().vms + memory
                resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            try:
                main(arguments, standalone_mode=True)
            except SystemExit as done:
                code = done.code
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code if isinstance(code, int) else int(code is not None))
        print(child, flush=True)
        sys.stdin.readline()
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    _serve()
