"""Captures that wait for one another: what the comparisons of a run hold until both of their sides are there."""

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

    Raises:
        PromptFileError: one names a prompt that is not there, or would share its page's file with another.
    """
    named, wrong = name_comparisons(comparisons, prompts)
    if wrong:
        raise PromptFileError(f"{named[index].place.of('compare')}: {what}" for index, what in wrong)
    return named


def make_lost_card(comparison: Comparison, error: str) -> FailureCard:
    """Return what the index says about a comparison that has no page."""
    return FailureCard(comparison.slug, comparison.title, "side by side", error)


@dataclass(frozen=True)
class ComparisonInput:
    """What a comparison needs of one of its prompts.

    Attributes:
        captured: its record, slim, or why there is none.
        key: of what made it, as ``cache_key`` makes it.
    """

    captured: Capture | str
    key: str


def make_comparison_input(captured: Capture | ReportgenError, key: str) -> ComparisonInput:
    """Return what a comparison needs of a record, or of the reason why there is none."""
    return ComparisonInput(slim(captured) if isinstance(captured, Capture) else str(captured), key)


@dataclass(frozen=True)
class ComparisonInputs:
    """Both sides of a comparison.

    Attributes:
        captures: what each is, slim.
        keys: of what made each, as ``cache_key`` makes them.
    """

    captures: tuple[Capture, Capture]
    keys: tuple[str, str]


class PendingComparisons:
    """The comparisons of a run; what they need of a prompt is kept from one side to the other, no longer."""

    def __init__(self, comparisons: Sequence[Comparison]) -> None:
        """Start with no side.

        Args:
            comparisons: named, each of two different prompts.
        """
        self.comparisons = tuple(comparisons)
        self.prompts = frozenset(slug for one in comparisons for slug in one.prompts)
        self._open = list(comparisons)
        self._kept: dict[str, ComparisonInput] = {}

    def take(
        self, prompt: Prompt, side: ComparisonInput
    ) -> Iterator[tuple[Comparison, ComparisonInputs | FailureCard]]:
        """Take what became of a prompt, and yield the comparisons that wait for nothing else.

        Args:
            prompt: which.
            side: what is needed of it.

        Yields:
            Each such comparison with both of its sides, or with the card that says which of them failed.
        """
        self._kept[prompt.slug] = side
        ready = [one for one in self._open if all(slug in self._kept for slug in one.prompts)]
        for one in ready:
            yield one, self._pair(one)
        self._open = [one for one in self._open if one not in ready]
        awaited = {slug for one in self._open for slug in one.prompts}
        self._kept = {slug: kept for slug, kept in self._kept.items() if slug in awaited}

    def _pair(self, comparison: Comparison) -> ComparisonInputs | FailureCard:
        first, second = (self._kept[slug] for slug in comparison.prompts)
        if isinstance(first.captured, Capture) and isinstance(second.captured, Capture):
            return ComparisonInputs((first.captured, second.captured), (first.key, second.key))
        lost = [
            f"{slug!r} failed: {side.captured}"
            for slug, side in zip(comparison.prompts, (first, second), strict=True)
            if isinstance(side.captured, str)
        ]
        error = f"{comparison.place.of('compare')}: {'; '.join(lost)}"
        return make_lost_card(comparison, error)
