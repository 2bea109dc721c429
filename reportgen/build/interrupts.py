"""Handle Ctrl-C: once stops a run after the current prompts, twice stops it now. In both cases the index is written."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130


class Stop:
    """A request to stop a run early.

    Attributes:
        asked: whether the run should stop; checked between batches.
    """

    def __init__(self) -> None:
        self.asked = False
        self._importing = self._at_once = self._held = False
        self._since_raised: int | None = None

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Never raise while torch is imported, where an interrupt can be swallowed or become another exception."""
        self._importing = True
        try:
            yield
        finally:
            self._importing = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise at the first interrupt, for downloading and loading a model, where there is no prompt to finish."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Delay interrupts until the block ends, so that a page is both written and recorded, or neither."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._since_raised is not None:
            raise KeyboardInterrupt

    def press(self) -> None:
        """Handle one interrupt.

        Raises:
            KeyboardInterrupt: the run must stop now. The first interrupt after that is ignored, so that the index is
                still written, and the next one ends the process.
        """
        first, self.asked = not self.asked, True
        if self._since_raised is not None:
            self._since_raised += 1
            if self._since_raised > 1:
                _end()
        elif first and not self._at_once:
            _say("stopping after the current prompts; press Ctrl-C again to stop now")
        elif self._importing:
            _end()
        else:
            self._since_raised = 0
            if not self._held:
                raise KeyboardInterrupt


@contextmanager
def listen(stop: Stop) -> Iterator[None]:
    """Pass interrupts to a run; only in the main thread, and only if no other code has installed a handler."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: stop.press())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end() -> None:
    _say("stopped")
    os._exit(INTERRUPTED)


def _say(line: str) -> None:
    # Not through sys.stderr, because the signal may interrupt a write to it.
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{line}\n".encode())
