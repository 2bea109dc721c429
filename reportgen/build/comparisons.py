"""Comparisons of a run: hold the capture of one side until those of the other sides are available."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reportgen.captures.record import Capture
from reportgen.pages.alignment import slim
from reportgen.pages.cards import FailureCard
from reportgen.prompts.slugs import name_comparisons
from reportgen.records import Comparison, Prompt
from reportgen.records.errors import PromptFileError, ReportgenError


def name_and_check(comparisons: Sequence[Comparison], prompts: Sequence[Prompt]) -> tuple[Comparison, ...]:
    """Return comparisons with slugs and titles.

    Args:
        comparisons: comparisons of the run.
        prompts: prompts of the run, each with its slug.

    Raises:
        PromptFileError: a comparison names an unknown prompt, or its slug is already in use.
    """
    named, wrong = name_comparisons(comparisons, prompts)
    if wrong:
        raise PromptFileError(f"{named[index].place.of('compare')}: {problem}" for index, problem in wrong)
    return named


def make_lost_card(comparison: Comparison, error: str) -> FailureCard:
    """Return the index card of a comparison that has no page."""
    return FailureCard(comparison.slug, comparison.title, "side by side", error)


@dataclass(frozen=True)
class ComparisonInput:
    """The data that a comparison needs from one of its prompts.

    Attributes:
        captured: capture of the prompt, reduced by ``slim``, or the error message if it failed.
        key: key of the numbers, as returned by ``make_numbers_key``.
    """

    captured: Capture | str
    key: str


def make_comparison_input(captured: Capture | ReportgenError, key: str, bits: int) -> ComparisonInput:
    """Return the data that a comparison needs from a capture, or from the error if the capture failed.

    Args:
        captured: capture of the prompt, or the error.
        key: cache key of the prompt.
        bits: bits per weight on the page.
    """
    return ComparisonInput(slim(captured, bits) if isinstance(captured, Capture) else str(captured), key)


@dataclass(frozen=True)
class ComparisonInputs:
    """All sides of a comparison, in its order.

    Attributes:
        captures: captures of the prompts, reduced by ``slim``.
        keys: keys of their numbers, as returned by ``make_numbers_key``.
        prompts: the prompts, with the names by which their models are loaded.
    """

    captures: tuple[Capture, ...]
    keys: tuple[str, ...]
    prompts: tuple[Prompt, ...]


class PendingComparisons:
    """The comparisons of a run that are not complete; a side is kept in memory only until its comparisons have all."""

    def __init__(self, comparisons: Sequence[Comparison]) -> None:
        """Start with no sides.

        Args:
            comparisons: comparisons with slugs, each of different prompts.
        """
        self.comparisons = tuple(comparisons)
        self.prompts = frozenset(slug for comparison in comparisons for slug in comparison.prompts)
        self._open = list(comparisons)
        self._kept: dict[str, tuple[Prompt, ComparisonInput]] = {}

    def take(
        self, prompt: Prompt, side: ComparisonInput
    ) -> Iterator[tuple[Comparison, ComparisonInputs | FailureCard]]:
        """Add the data of a prompt, and yield the comparisons that are now complete.

        Args:
            prompt: prompt that has run or failed.
            side: its data.

        Yields:
            Each complete comparison with all of its sides, or with a failure card that names the sides that failed.
        """
        self._kept[prompt.slug] = prompt, side
        ready = [comparison for comparison in self._open if all(slug in self._kept for slug in comparison.prompts)]
        for comparison in ready:
            yield comparison, self._gather(comparison)
        self._open = [comparison for comparison in self._open if comparison not in ready]
        awaited = {slug for comparison in self._open for slug in comparison.prompts}
        self._kept = {slug: kept for slug, kept in self._kept.items() if slug in awaited}

    def _gather(self, comparison: Comparison) -> ComparisonInputs | FailureCard:
        prompts, sides = zip(*(self._kept[slug] for slug in comparison.prompts), strict=True)
        captures = tuple(side.captured for side in sides if isinstance(side.captured, Capture))
        if len(captures) == len(sides):
            return ComparisonInputs(captures, tuple(side.key for side in sides), prompts)
        lost = [
            f"{slug!r} failed: {side.captured}"
            for slug, side in zip(comparison.prompts, sides, strict=True)
            if isinstance(side.captured, str)
        ]
        error = f"{comparison.place.of('compare')}: {'; '.join(lost)}"
        return make_lost_card(comparison, error)
