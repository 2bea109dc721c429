"""Show errors to the user, and handle Ctrl-C in a command."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click

from reportgen.build.interrupts import INTERRUPTED
from reportgen.files import shorten_path
from reportgen.records.errors import OptionError, PromptFileError, ReportgenError, UnusableFolder, WrongSetting

NO_PAGE = " before a page was finished; earlier pages are kept"
NOT_WRITTEN = "; nothing was written"


def shows_errors(stopped: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that turns the library's errors into a message and an exit code.

    With ``-v``, the error is raised, so that its traceback is shown.

    Args:
        stopped: text after "stopped" if Ctrl-C ends the command, unless the interrupt has its own text.
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
                if options.get("verbose") and not isinstance(error, WrongSetting):
                    raise
                # Errors in a prompt file begin with FILE:LINE, so that editors and scripts can parse them.
                click.echo(error if isinstance(error, PromptFileError) else f"error: {error}", err=True)
                raise SystemExit(2 if isinstance(error, UnusableFolder | WrongSetting) else 1) from error
            except OSError as error:
                if options.get("verbose") or error.filename is None:
                    raise
                # A path that no stage expected, such as one with a name that is too long.
                path = shorten_path(Path(os.fsdecode(error.filename)))
                click.echo(f"error: {path}: cannot be used, {error.strerror}; name another", err=True)
                raise SystemExit(2) from error
            except KeyboardInterrupt as interrupt:
                click.echo(f"stopped{next(iter(interrupt.args), stopped)}", err=True)
                raise SystemExit(INTERRUPTED) from None

        return shown

    return decorate


@contextmanager
def importing(stopped: str) -> Iterator[None]:
    """Let Ctrl-C end the program at once while torch is imported, before anything is written.

    During that import, a ``KeyboardInterrupt`` can be swallowed or turned into another exception.

    Args:
        stopped: text after "stopped" in the message.
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
