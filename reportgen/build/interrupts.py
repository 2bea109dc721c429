"""Ctrl-C: once lets a run finish what it is at, twice stops it now; either way it can still write its index."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130


class Stop:
    """Whether a run shall come to its end before all is done.

    Attributes:
        asked: whether it shall; a run looks at it between prompts.
    """

    def __init__(self) -> None:
        self.asked = False
        self._importing = self._at_once = self._held = False
        self._since_raised: int | None = None

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Never raise while torch is imported: there an interrupt gets lost, or turns into an error of another kind."""
        self._importing = True
        try:
            yield
        finally:
            self._importing = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise at the first interrupt: there is nothing to finish while a model is fetched and loaded."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Put off what would raise until the block is over: a page is written and known, or neither."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._since_raised is not None:
            raise KeyboardInterrupt

    def press(self) -> None:
        """Take one interrupt.

        Raises:
            KeyboardInterrupt: the run shall stop now. The first interrupt after that is ignored, so that an impatient
                reader still gets an index, and the next one ends the process.
        """
        first, self.asked = not self.asked, True
        if self._since_raised is not None:
            self._since_raised += 1
            if self._since_raised > 1:
                _end()
        elif first and not self._at_once:
            _say("stopping when the prompts at work have their pages; Ctrl-C again stops now")
        elif self._importing:
            _end()
        else:
            self._since_raised = 0
            if not self._held:
                raise KeyboardInterrupt


@contextmanager
def listen(stop: Stop) -> Iterator[None]:
    """Tell a run of interrupts, where they are this program's to handle: in the main thread, and nobody else does."""
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
    # Not through sys.stderr, which may be in the middle of a write of its own.
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{line}\n".encode())
