"""Stop a run early: Ctrl-C once stops it after the current prompts, twice stops it now, and so do SIGTERM and SIGHUP.

The index and the report are written then, unless torch is being imported, or more signals come while they are written.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

INTERRUPTED = 130
_DEFAULT_HANDLERS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
if hasattr(signal, "SIGHUP"):  # not on Windows
    _DEFAULT_HANDLERS[signal.SIGHUP] = signal.SIG_DFL


class Stop:
    """A request to stop a run early.

    Attributes:
        asked: whether the run should stop; checked between batches.
    """

    def __init__(self) -> None:
        self.asked = False
        self._phases: list[str] = []
        self._since_raised: int | None = None

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self._phases.append(name)
        try:
            yield
        finally:
            self._phases.remove(name)

    def importing(self) -> AbstractContextManager[None]:
        """Never raise while torch is imported, where an interrupt can be swallowed or become another exception."""
        return self._phase("importing")

    def at_once(self) -> AbstractContextManager[None]:
        """Raise at the first interrupt, for downloading and loading a model, where there is no prompt to finish."""
        return self._phase("at once")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Delay interrupts until the block ends, so that a page is both written and recorded, or neither."""
        with self._phase("held"):
            yield
        if self._since_raised is not None:
            raise KeyboardInterrupt

    def interrupt(self, *, now: bool = False) -> None:
        """Handle one signal.

        Args:
            now: stop the run now; otherwise only the second interrupt does.

        Raises:
            KeyboardInterrupt: the run must stop now. The first interrupt after that is ignored, so that the index is
                still written, and the next one ends the process.
        """
        first, self.asked = not self.asked, True
        if self._since_raised is not None:
            self._since_raised += 1
            if self._since_raised > 1:
                _end()
        elif first and not now and "at once" not in self._phases:
            _say("stopping after the current prompts; press Ctrl-C again to stop now")
        elif "importing" in self._phases:
            _end()
        else:
            self._since_raised = 0
            if "held" not in self._phases:
                raise KeyboardInterrupt


@contextmanager
def listen(stop: Stop) -> Iterator[None]:
    """Pass signals to a run; only in the main thread, and only signals that no other code has a handler for."""
    with ExitStack() as restored:
        if threading.current_thread() is threading.main_thread():
            for number, default in _DEFAULT_HANDLERS.items():
                if signal.getsignal(number) is default:
                    signal.signal(number, lambda number, _: stop.interrupt(now=number != signal.SIGINT))
                    restored.callback(signal.signal, number, default)
        yield


def _end() -> None:
    _say("stopped")
    os._exit(INTERRUPTED)


def _say(line: str) -> None:
    # Not through sys.stderr, because the signal may interrupt a write to it.
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{line}\n".encode())
