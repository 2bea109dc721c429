"""Captures that wait for one another: what the comparisons of a run hold until both of their sides are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reportgen.captures.record import Capture
from reportgen.errors import PromptFileError, ReportgenError
from reportgen.pages.alignment import slim
from reportgen.pages.cards import FailureCard
from reportgen.prompts.names import name_comparisons
from reportgen.records import Comparison, Prompt


def name_and_check(comparisons: Sequence[Comparison], prompts: Sequence[Prompt]) -> tuple[Comparison, ...]:
    """Return comparisons with slugs and titles.

    Raises:
        PromptFileError: one names a prompt that is not there, or would share its page's file with another.
    """
    named, wrong = name_comparisons(comparisons, prompts)
    if wrong:
        raise PromptFileError(f"{named[index].place.of('compare')}: {what}" for index, what in wrong)
    return named


@dataclass(frozen=True)
class Sides:
    """Both sides of a comparison.

    Attributes:
        captures: what each is, slim.
        keys: of what made each, as ``page_keys`` makes them.
    """

    captures: tuple[Capture, Capture]
    keys: tuple[str, str]


class Pairs:
    """The comparisons of a run; what they need of a capture is kept from one side to the other, no longer."""

    def __init__(self, comparisons: Sequence[Comparison]) -> None:
        """Start with no capture.

        Args:
            comparisons: named, each of two different prompts.
        """
        self.comparisons = tuple(comparisons)
        self._open = list(comparisons)
        self._kept: dict[str, Capture | ReportgenError] = {}
        self._keys: dict[str, str] = {}

    def take(
        self, prompt: Prompt, captured: Capture | ReportgenError, key: str = ""
    ) -> Iterator[tuple[Comparison, Sides | FailureCard]]:
        """Take what became of a prompt, and yield the comparisons that wait for nothing else.

        Args:
            prompt: which.
            captured: its record, or why there is none.
            key: of what made it.

        Yields:
            Each such comparison with both of its sides, or with the card that says which of them failed.
        """
        if not any(prompt.slug in one.prompts for one in self._open):
            return
        self._keys[prompt.slug] = key
        self._kept[prompt.slug] = slim(captured) if isinstance(captured, Capture) else captured
        ready = [one for one in self._open if all(slug in self._kept for slug in one.prompts)]
        for one in ready:
            yield one, self._pair(one)
        self._open = [one for one in self._open if one not in ready]
        awaited = {slug for one in self._open for slug in one.prompts}
        self._kept = {slug: kept for slug, kept in self._kept.items() if slug in awaited}

    def _pair(self, comparison: Comparison) -> Sides | FailureCard:
        first, second = (self._kept[slug] for slug in comparison.prompts)
        if isinstance(first, Capture) and isinstance(second, Capture):
            return Sides((first, second), (self._keys[comparison.prompts[0]], self._keys[comparison.prompts[1]]))
        lost = [
            f"{slug!r} failed: {kept}"
            for slug, kept in zip(comparison.prompts, (first, second), strict=True)
            if isinstance(kept, ReportgenError)
        ]
        error = f"{comparison.place.of('compare')}: {'; '.join(lost)}"
        return FailureCard(comparison.slug, comparison.title, "side by side", error)
