"""Record the outcome of each prompt during a run: cards, pages, failures, seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from reportgen.build.comparisons import make_lost_card
from reportgen.build.options import BuildOptions, Outcome, describe_options
from reportgen.pages.cards import Card, FailureCard, make_failure_card
from reportgen.records import Comparison, Failure, Prompt
from reportgen.records.errors import SiteError
from reportgen.records.prompt import name_claim
from reportgen.site.shards import write_part
from reportgen.site.site import Run, Site

_T = TypeVar("_T")


class RunReport:
    """The record of one run into one folder.

    Attributes:
        failures: failures of prompts, by slug.
        broken: error messages of comparisons that failed although both of their prompts succeeded.
    """

    def __init__(
        self,
        site: Site,
        entries: Sequence[Prompt | Comparison],
        up_to_date: Mapping[str, Card],
        options: BuildOptions,
    ) -> None:
        """Start with the pages that are up to date.

        Args:
            site: results folder, locked for this run.
            entries: all prompts of the run, followed by its comparisons.
            up_to_date: cards of prompts and comparisons that need not run, by slug.
            options: options of the run.
        """
        self._site, self._entries, self._options, self._shard = site, entries, options, options.shard
        self._num_left = 0
        self._start = time.perf_counter()
        self._before = list(site.pages)
        self._up_to_date = list(up_to_date)
        self._cards: dict[str, Card | FailureCard] = {**up_to_date}
        self._pages: dict[str, Path] = {}
        self._seconds: dict[str, dict[str, float]] = {}
        self.failures: dict[str, Failure] = {}
        self.broken: list[str] = []

    def add_page(self, entry: Prompt | Comparison, card: Card, path: Path) -> None:
        """Record that the page of a prompt or a comparison has been written."""
        self._cards[entry.slug], self._pages[entry.slug] = card, path

    def add_lost(self, comparison: Comparison, card: FailureCard) -> None:
        """Record that a comparison has no page, because one of its prompts failed."""
        self._cards[comparison.slug] = card

    def fail_comparison(self, comparison: Comparison, error: str) -> None:
        """Record that a comparison could not be drawn or written, with the error message."""
        self.broken.append(error)
        self.add_lost(comparison, make_lost_card(comparison, error))

    def add_failure(self, failure: Failure) -> None:
        """Record that a prompt failed."""
        slug = failure.prompt.slug
        self.failures[slug] = failure
        self._cards[slug] = make_failure_card(failure, has_earlier_page=slug in self._before)

    def leave(self, count: int) -> None:
        """Record that a number of prompts or comparisons belong to other shards."""
        self._num_left += count

    def is_up_to_date(self, prompt: Prompt) -> bool:
        """Return whether the page of a prompt was up to date when the run began."""
        return prompt.slug in self._up_to_date

    def add_seconds(self, prompt: Prompt, seconds: Mapping[str, float]) -> None:
        """Record how long the stages of a prompt took, in seconds by stage."""
        self._seconds.setdefault(prompt.slug, {}).update(seconds)

    @property
    def has_pages(self) -> bool:
        """Whether any prompt or comparison of this run has a page, new or up to date."""
        return bool(self._pages or self._up_to_date)

    @contextmanager
    def finished_if_interrupted(self) -> Iterator[None]:
        """Write the index if an exception ends the block, so that it shows what was done."""
        try:
            yield
        except BaseException:
            with suppress(SiteError):  # the original exception is more important
                self.finish(keep_earlier=True)
            raise

    def finish(self, *, keep_earlier: bool, prune: bool = False) -> Outcome:
        """Write the index and the report.

        A shard writes only its partial report; the index is made later, from the partial reports of all shards.

        Args:
            keep_earlier: keep pages of earlier runs in the index.
            prune: remove the pages of prompts that are not part of this run; a shard removes none.

        Returns:
            The outcome of the run.

        Raises:
            SiteError: a file cannot be written.
        """
        if self._shard is not None:
            places = {place: entry.slug for place, entry in enumerate(self._entries) if entry.slug in self._cards}
            cards = {place: self._cards[slug] for place, slug in places.items()}
            part = write_part(self._site, self._shard, cards, self._make_run(), keep_earlier=keep_earlier)
            return self._make_outcome(part)
        ours = {entry.slug for entry in self._entries}
        pruned = self._site.prune([slug for slug in self._before if slug not in ours]) if prune else []
        before = [slug for slug in self._before if self._site.page(slug) not in pruned]
        earlier = self._site.read_cards() if keep_earlier and before else []
        shown = {card.slug: card for card in earlier if card.slug in before or isinstance(card, FailureCard)}
        shown.update({card.slug: card for card in self._in_order(self._cards)})
        left_out = [slug for slug in before if slug not in shown]
        index = self._site.write_index(tuple(shown.values()), left_out, self._make_run())
        return self._make_outcome(index, left_out, pruned)

    def _make_outcome(self, index: Path, left_out: Sequence[str] = (), pruned: Sequence[Path] = ()) -> Outcome:
        return Outcome(
            index,
            tuple(self._in_order(self._pages)),
            tuple(self._in_order(self.failures)),
            broken=tuple(self.broken),
            left_out=tuple(self._site.page(slug) for slug in left_out),
            up_to_date=tuple(self._site.page(slug) for slug in self._up_to_date),
            pruned=tuple(pruned),
            not_run=self._num_not_run,
            failing_claims=tuple(self._list_failing_claims()),
            stale=tuple((self._site.page(slug), sides) for slug, sides in self._site.find_stale()),
        )

    def _list_failing_claims(self) -> Iterator[str]:
        for entry in self._entries:
            card = self._cards.get(entry.slug)
            for index, claim in enumerate(card.claims if isinstance(card, Card) else ()):
                if not claim.holds:
                    name = name_claim(index)
                    where = f"{entry.place.of(name)}: {name} of {entry.slug}"
                    yield f"{where} does not hold: {claim.claim}; {claim.found}"

    @property
    def _num_not_run(self) -> int:
        return len(self._entries) - len(self._cards) - self._num_left

    def _make_run(self) -> Run:
        stages = [stage for seconds in self._seconds.values() for stage in seconds.items()]
        totals = {stage: round(sum(took for name, took in stages if name == stage), 3) for stage in dict(stages)}
        seconds = {**totals, "all": round(time.perf_counter() - self._start, 3)}
        counts = {
            "built": len(self._pages),
            "up_to_date": len(self._up_to_date),
            "failed": len(self.failures) + len(self.broken),
            "not_run": self._num_not_run,
        }
        prompts = {slug: self._describe(slug) for slug in self._cards}
        last, options = self._site.read_run(), self._options
        # A run of some prompts leaves the options of the others as they were.
        known = options.update and last.totals
        recorded = dict(last.options) if known else describe_options(options)
        run = Run(
            {**counts, "seconds": seconds}, prompts, recorded, [*dict.fromkeys((*last.compared, *options.compared))]
        )
        return run.at(options.site_url)

    def _describe(self, slug: str) -> dict[str, object]:
        seconds = {stage: round(took, 3) for stage, took in self._seconds.get(slug, {}).items()}
        return {"built": slug in self._pages, "seconds": seconds}

    def _in_order(self, by_slug: Mapping[str, _T]) -> list[_T]:
        return [by_slug[entry.slug] for entry in self._entries if entry.slug in by_slug]
