"""The one place that shows errors, and what Ctrl-C does to a command."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from reportgen.build.interrupts import INTERRUPTED
from reportgen.records.errors import OptionError, PromptFileError, ReportgenError

NO_PAGE = " before a page was finished; earlier pages are kept"
NOT_WRITTEN = "; nothing was written"


def shows_errors(stopped: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn the library's errors into a message and an exit code; ``-v`` lets the traceback through.

    Args:
        stopped: what is true when Ctrl-C ends the command, unless the interrupt itself says more.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def shown(*args: Any, **options: Any) -> None:
            try:
                command(*args, **options)
            except OptionError as error:
                context = click.get_current_context()
                raise click.BadParameter(error.message, ctx=context, param_hint=f"'{error.option}'") from error
            except ReportgenError as error:
                if options.get("verbose"):
                    raise
                # What is wrong with a file begins with its place, so that editors and scripts find it.
                click.echo(error if isinstance(error, PromptFileError) else f"error: {error}", err=True)
                raise SystemExit(1) from error
            except KeyboardInterrupt as interrupt:
                click.echo(f"stopped{next(iter(interrupt.args), stopped)}", err=True)
                raise SystemExit(INTERRUPTED) from None

        return shown

    return decorate


@contextmanager
def importing(stopped: str) -> Iterator[None]:
    """Let Ctrl-C end the program at once while torch is imported, before anything is written.

    Inside that import an interrupt gets lost, or turns into an error of another kind.

    Args:
        stopped: what is true then.
    """

    def stop(*_: object) -> None:
        sys.stderr.write(f"stopped{stopped}\n")
        sys.stderr.flush()
        os._exit(INTERRUPTED)

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
