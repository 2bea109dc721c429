"""Show the progress of a run on a terminal: prompts done, the current stage, time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from reportgen.records import Failure, Prompt

_STAGES = {"load": "loading", "capture": "running", "page": "drawing"}


class ProgressBar:
    """A progress bar on standard error; failures and warnings are printed above it as lines.

    The bar is not shown if standard error is not a terminal, or if ``quiet`` is set.
    """

    def __init__(
        self, console: Console, bar: Progress, task: TaskID, total: int, *, quiet: bool, verbose: bool
    ) -> None:
        """Store the console, the bar and its task, which ``watch`` creates."""
        self._total = total
        self._console, self._bar, self._task = console, bar, task
        self._quiet, self._verbose = quiet, verbose
        self._heads: TaskID | None = None
        self._said = ""
        self.num_pages = 0

    def stage(self, prompt: Prompt, stage: str) -> None:
        """Show the stage of a prompt."""
        subject = spell_out(prompt.runs_on if stage == "load" else prompt.slug)
        self._bar.update(self._task, description=f"{_STAGES[stage]} {subject}")
        if self._verbose:
            self._say(f"{_STAGES[stage]} {subject}")

    def ablating(self, prompt: Prompt, done: int, total: int, seconds: float) -> None:
        """Show how many heads have been ablated, on a separate bar; print the estimated time before the first one."""
        self._count(f"ablating {total} heads of", prompt, done, total, seconds)

    def patching(self, prompt: Prompt, done: int, total: int, seconds: float) -> None:
        """Show how many patches have been made, as ``ablating`` does."""
        self._count(f"making {total} patches of", prompt, done, total, seconds)

    def _count(self, doing: str, prompt: Prompt, done: int, total: int, seconds: float) -> None:
        if done == 0 and self._heads is None:
            if not self._quiet:
                self._say(f"{doing} {prompt.slug}, about {max(1, round(seconds))} s")
            self._heads = self._bar.add_task(f"{doing.partition(' ')[0]} {prompt.slug}", total=total)
        elif self._heads is not None:
            self._bar.update(self._heads, completed=done)
            if done == total:
                self._bar.remove_task(self._heads)
                self._heads = None

    def warn(self, prompt: Prompt, warning: str) -> None:
        """Print a warning about a page, even if ``quiet`` is set."""
        self._say(f"warning: {prompt.slug}: {warning}", style="yellow")

    def done(self, prompt: Prompt, outcome: Path | Failure) -> None:
        """Count a prompt as done; if it failed, print the error, once for consecutive prompts with the same error."""
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
        """Subtract prompts from the total."""
        self._total -= count
        self._bar.update(self._task, total=self._total)

    def _say(self, text: str, style: str = "") -> None:
        # No markup and no emoji codes: a prompt may contain square brackets and colons.
        self._console.print(spell_out(text), style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)


def spell_out(text: str) -> str:
    """Escape control characters as in a Python string, so that they cannot affect the terminal."""
    return "".join(
        character if character.isprintable() or character == "\n" else repr(character)[1:-1] for character in text
    )


@contextmanager
def watch(total: int, *, quiet: bool, verbose: bool) -> Iterator[ProgressBar]:
    """Show a progress bar while the block runs.

    Args:
        total: number of prompts.
        quiet: show no bar.
        verbose: print a line for each stage and page.

    Yields:
        The progress bar, which implements ``Progress``.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        yield ProgressBar(console, bar, bar.add_task("starting", total=total), total, quiet=quiet, verbose=verbose)
