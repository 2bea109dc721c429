"""How far a run is, on a terminal: prompts done, the stage of the one at work, time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from reportgen.records import Failure, Prompt

_STAGES = {"load": "loading", "capture": "running", "page": "drawing"}


class ProgressBar:
    """A bar on standard error; one line per prompt where that is no terminal, unless quiet."""

    def __init__(
        self, console: Console, bar: Progress, task: TaskID, total: int, *, quiet: bool, verbose: bool
    ) -> None:
        """Take what ``watch`` has made."""
        self._total = total
        self._console, self._bar, self._task = console, bar, task
        self._quiet, self._verbose = quiet, verbose
        self._heads: TaskID | None = None
        self._said = ""
        self.num_pages = 0

    def stage(self, prompt: Prompt, stage: str) -> None:
        """Show what is being done."""
        subject = _spell_out(prompt.runs_on if stage == "load" else prompt.slug)
        self._bar.update(self._task, description=f"{_STAGES[stage]} {subject}")
        if self._verbose:
            self._say(f"{_STAGES[stage]} {subject}")

    def ablating(self, prompt: Prompt, done: int, total: int, seconds: float) -> None:
        """Show how many heads are ablated, on a bar of their own; say before the first how long it will take."""
        if done == 0:
            if not self._quiet:
                self._say(f"ablating {total} heads of {prompt.slug}, about {max(1, round(seconds))} s")
            self._heads = self._bar.add_task(f"ablating {prompt.slug}", total=total)
        elif self._heads is not None:
            self._bar.update(self._heads, completed=done)
            if done == total:
                self._bar.remove_task(self._heads)
                self._heads = None

    def warn(self, prompt: Prompt, warning: str) -> None:
        """Say what a page must be read with, where it cannot be missed."""
        self._say(f"warning: {prompt.slug}: {warning}", style="yellow")

    def done(self, prompt: Prompt, outcome: Path | Failure) -> None:
        """Count a prompt; say why where it failed, once for all prompts that fail for the same reason."""
        self._bar.advance(self._task)
        if isinstance(outcome, Path):
            self.num_pages += 1
            if self._verbose:
                self._say(f"written: {outcome}")
        elif outcome.error != self._said:
            self._said = outcome.error
            self._say(f"failed: {outcome.error}", style="red")
            if self._verbose and outcome.details:
                self._say(outcome.details.rstrip())

    def skip(self, count: int) -> None:
        """Leave prompts out of what is still to be done."""
        self._total -= count
        self._bar.update(self._task, total=self._total)

    def _say(self, text: str, style: str = "") -> None:
        # Neither markup nor emoji codes: a prompt may hold square brackets and colons.
        self._console.print(_spell_out(text), style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _spell_out(text: str) -> str:
    """Return a text whose control characters, which could steer the terminal, are written as in a Python string."""
    return "".join(
        character if character.isprintable() or character == "\n" else repr(character)[1:-1] for character in text
    )


@contextmanager
def watch(total: int, *, quiet: bool, verbose: bool) -> Iterator[ProgressBar]:
    """Show a progress bar while the block runs.

    Args:
        total: how many prompts there are.
        quiet: no bar.
        verbose: a line for each stage and page.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        yield ProgressBar(console, bar, bar.add_task("starting", total=total), total, quiet=quiet, verbose=verbose)
