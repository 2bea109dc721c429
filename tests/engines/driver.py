"""What the tests ask of a browser, whichever engine it has.

Each browser runs in a process group of its own, and each question has a time limit: an engine that hangs answers
nothing, not even a request to quit. Then the whole group is killed, and the test that asked fails.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

LIMIT_SECONDS = 20
"""How long a browser may take for one answer; the slowest takes two seconds on an idle machine."""
START_SECONDS = 60

KEYS = {
    "Backspace": "\ue003", "Tab": "\ue004", "Enter": "\ue007", "Escape": "\ue00c", "ArrowLeft": "\ue012",
    "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015",
}  # fmt: skip
"""Keys that type no character, by name: their code points in the WebDriver specification, section 17.4.2."""

_CALL = """
const done = arguments[arguments.length - 1];
const given = [...arguments].slice(0, -1);
const answer = Promise.resolve().then(() => (%s)(...given));
answer.then((value) => done({ value }), (error) => done({ error: String(error) }));
"""


class Hung(Exception):
    """A browser gave no answer within its time limit; it has been killed."""


class Processes:
    """Programs that are one process group, so that they end together."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, command: Sequence[str], env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()) -> None:
        """Start a program in the group; what it says goes to the log."""
        group = self._started[0].pid if self._started else 0
        command = ["setpriv", "--pdeathsig", "KILL", *command]  # where the tests themselves are killed
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                process_group=group, pass_fds=pass_fds,
            )  # fmt: skip
        self._started.append(process)

    def wait_for(self, find: Callable[[], Any], what: str) -> Any:
        """Return the first truthy value of ``find``; raise ``Hung`` if a program ends first, or none does in time."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if found := find():
                return found
            if any(process.poll() is not None for process in self._started):
                break
            time.sleep(0.02)
        self.kill()
        raise Hung(f"{what}: was not there in {START_SECONDS} s; {self.log} ends with {self.log.read_text()[-500:]!r}")

    def kill(self) -> None:
        """End all that was started here, and all that those programs started."""
        if self._started:
            with suppress(ProcessLookupError):
                os.killpg(self._started[0].pid, signal.SIGKILL)
        for process in self._started:
            process.wait()
        self._started.clear()

    @property
    def running(self) -> bool:
        """Whether there is a group and none of its programs has ended."""
        return bool(self._started) and all(process.poll() is None for process in self._started)


class Driver(ABC):
    """One window of one browser."""

    name: ClassVar[str]
    timeouts: ClassVar[tuple[type[Exception], ...]]
    """What the client raises where no answer came in time."""

    def __init__(self, folder: Path) -> None:
        """Start the browser.

        Args:
            folder: existing empty folder, for what the browser writes.

        Raises:
            Hung: the browser does not start.
        """
        self.processes = Processes(folder / "log.txt")
        self.limit = START_SECONDS
        started = False
        try:
            self._start(folder)
            self.set_limit(LIMIT_SECONDS)
            started = True
        except self.timeouts as error:
            raise Hung(f"{self.name} gave no answer while starting; see {self.processes.log}") from error
        finally:
            if not started:
                self.processes.kill()

    def open(self, address: str) -> None:
        """Go to an address, anew where only its fragment differs."""
        self._ask("opening a blank page", lambda: self._go("about:blank"))
        self._ask(f"opening {address}", lambda: self._go(address))

    def run(self, script: str, *given: Any) -> Any:
        """Return what a JavaScript function returns, or what its promise gives; the page's policy does not apply."""
        answer = self._ask(f"running {script.strip()[:200]}", lambda: self._run(_CALL % script, given))
        if "error" in answer:
            raise AssertionError(f"{self.name}: {answer['error']}, in {script}")
        return answer.get("value")

    def press(self, *keys: str) -> None:
        """Press keys one after the other: a character, or a name of ``KEYS``."""
        for key in keys:
            self._ask(f"pressing {key}", lambda: self._press(KEYS.get(key, key)))  # noqa: B023  # called at once

    def click(self, x: float, y: float) -> None:
        """Click in the window, in CSS pixels."""
        self._ask(f"clicking {x}, {y}", lambda: self._point(round(x), round(y), True))

    def point(self, x: float, y: float) -> None:
        """Move the pointer in the window, in CSS pixels."""
        self._ask(f"pointing at {x}, {y}", lambda: self._point(round(x), round(y), False))

    def resize(self, width: int, height: int) -> None:
        """Give the page a window of a size, in CSS pixels."""
        self._ask("resizing", lambda: self._resize(width, height))
        inner = self.run("() => [innerWidth, innerHeight]")
        if inner != [width, height]:
            self._ask("resizing", lambda: self._resize(2 * width - inner[0], 2 * height - inner[1]))
            self.run(_WAIT_FOR_SIZE, width, height)

    def screenshot(self) -> bytes:
        """Return what the window shows, as a PNG."""
        return self._ask("taking a screenshot", self._screenshot)

    def quit(self) -> None:
        """End the browser, whatever it is doing."""
        self._leave()
        self.processes.kill()

    @property
    def running(self) -> bool:
        """Whether the browser can be asked."""
        return self.processes.running

    def _ask(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except self.timeouts as error:
            self.quit()
            raise Hung(f"{self.name} gave no answer in {self.limit} s and was killed, while {what}") from error

    @abstractmethod
    def set_limit(self, seconds: int) -> None:
        """Wait this long for an answer from now on."""

    @abstractmethod
    def _start(self, folder: Path) -> None: ...
    @abstractmethod
    def _go(self, address: str) -> None: ...
    @abstractmethod
    def _run(self, body: str, given: tuple[Any, ...]) -> dict[str, Any]: ...
    @abstractmethod
    def _press(self, key: str) -> None: ...
    @abstractmethod
    def _point(self, x: int, y: int, press: bool) -> None: ...
    @abstractmethod
    def _resize(self, width: int, height: int) -> None: ...
    @abstractmethod
    def _screenshot(self) -> bytes: ...
    @abstractmethod
    def _leave(self) -> None:
        """Close the connection without waiting for the browser."""


_WAIT_FOR_SIZE = """(width, height) => new Promise((done) => {
  const look = () => (innerWidth === width && innerHeight === height ? done() : setTimeout(look, 20));
  look();
})"""


def find_program(*names: str) -> str:
    """Return the path of the first program that there is."""
    for name in names:
        if found := shutil.which(name):
            return found
    raise FileNotFoundError(f"none of {', '.join(names)} is on this machine; tests/install-browsers installs them")
