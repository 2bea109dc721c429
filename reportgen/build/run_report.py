"""What became of each prompt of a run, while it goes on: cards, pages, failures, seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from reportgen.build.comparisons import make_lost_card
from reportgen.build.options import Outcome
from reportgen.pages.cards import Card, FailureCard, make_failure_card
from reportgen.records import Comparison, Failure, Prompt, Shard
from reportgen.records.errors import SiteError
from reportgen.site.shards import write_part
from reportgen.site.site import Run, Site

_T = TypeVar("_T")


class RunReport:
    """The account of one run into one folder."""

    def __init__(
        self,
        site: Site,
        entries: Sequence[Prompt | Comparison],
        up_to_date: Mapping[str, Card],
        site_url: str = "",
        shard: Shard | None = None,
    ) -> None:
        """Begin with the pages that are there.

        Args:
            site: nobody else writes into it but other shards.
            entries: all prompts of the run, then its comparisons.
            up_to_date: cards of those that need not be run, by slug.
            site_url: where the site will be published.
            shard: the part of the run that this is.
        """
        self._site, self._entries, self._site_url, self._shard = site, entries, site_url, shard
        self._num_left = 0
        self._start = time.perf_counter()
        self._before = site.find_pages()
        self._up_to_date = list(up_to_date)
        self._cards: dict[str, Card | FailureCard] = {**up_to_date}
        self._pages: dict[str, Path] = {}
        self._seconds: dict[str, dict[str, float]] = {}
        self.failures: dict[str, Failure] = {}
        self.broken: list[str] = []

    def add_page(self, entry: Prompt | Comparison, card: Card, path: Path) -> None:
        """Note that a prompt, or a comparison, has its page."""
        self._cards[entry.slug], self._pages[entry.slug] = card, path

    def add_lost(self, comparison: Comparison, card: FailureCard) -> None:
        """Note that a comparison has none, since one of its prompts failed."""
        self._cards[comparison.slug] = card

    def fail_comparison(self, comparison: Comparison, error: str) -> None:
        """Note that a comparison could not be drawn or written, and why."""
        self.broken.append(error)
        self.add_lost(comparison, make_lost_card(comparison, error))

    def add_failure(self, failure: Failure) -> None:
        """Note that a prompt has none, and why."""
        slug = failure.prompt.slug
        self.failures[slug] = failure
        self._cards[slug] = make_failure_card(failure, has_earlier_page=slug in self._before)

    def leave(self, count: int) -> None:
        """Note that so many prompts, or comparisons, are other shards'."""
        self._num_left += count

    def add_seconds(self, prompt: Prompt, seconds: Mapping[str, float]) -> None:
        """Note what the stages of a prompt took."""
        self._seconds.setdefault(prompt.slug, {}).update(seconds)

    @property
    def has_pages(self) -> bool:
        """Whether there is a page of a prompt of this run."""
        return bool(self._pages or self._up_to_date)

    @contextmanager
    def finished_if_interrupted(self) -> Iterator[None]:
        """Let whatever ends the run leave an index of what was done."""
        try:
            yield
        except BaseException:
            with suppress(SiteError):  # what ended the run says more
                self.finish(keep_earlier=True)
            raise

    def finish(self, *, keep_earlier: bool, prune: bool = False) -> Outcome:
        """Write the index and the report; of a shard the report alone, from which the index is made with the others'.

        Args:
            keep_earlier: keep pages of earlier runs in the index, beside those of this one.
            prune: remove the pages of prompts that are not of this run; a shard removes none.

        Raises:
            SiteError: they cannot be written.
        """
        if self._shard is not None:
            places = {place: entry.slug for place, entry in enumerate(self._entries) if entry.slug in self._cards}
            cards = {place: self._cards[slug] for place, slug in places.items()}
            return self._tell(write_part(self._site, self._shard, cards, self._make_run(), keep_earlier=keep_earlier))
        ours = {entry.slug for entry in self._entries}
        pruned = self._site.prune([slug for slug in self._before if slug not in ours]) if prune else []
        before = [slug for slug in self._before if self._site.page(slug) not in pruned]
        earlier = self._site.read_cards() if keep_earlier and before else []
        shown = {card.slug: card for card in earlier if card.slug in before or isinstance(card, FailureCard)}
        shown.update({card.slug: card for card in self._in_order(self._cards)})
        left_out = [slug for slug in before if slug not in shown]
        index = self._site.write_index(tuple(shown.values()), left_out, self._make_run())
        return self._tell(index, left_out, pruned)

    def _tell(self, index: Path, left_out: Sequence[str] = (), pruned: Sequence[Path] = ()) -> Outcome:
        return Outcome(
            index,
            tuple(self._in_order(self._pages)),
            tuple(self._in_order(self.failures)),
            broken=tuple(self.broken),
            left_out=tuple(self._site.page(slug) for slug in left_out),
            up_to_date=tuple(self._site.page(slug) for slug in self._up_to_date),
            pruned=tuple(pruned),
            not_run=self._num_not_run,
        )

    @property
    def _num_not_run(self) -> int:
        return len(self._entries) - len(self._cards) - self._num_left

    def _make_run(self) -> Run:
        stages = [seconds for some in self._seconds.values() for seconds in some.items()]
        totals = {stage: round(sum(took for name, took in stages if name == stage), 3) for stage in dict(stages)}
        seconds = {**totals, "all": round(time.perf_counter() - self._start, 3)}
        counts = {
            "built": len(self._pages),
            "up_to_date": len(self._up_to_date),
            "failed": len(self.failures) + len(self.broken),
            "not_run": self._num_not_run,
        }
        prompts = {slug: self._describe(slug) for slug in self._cards}
        return Run({**counts, "seconds": seconds}, prompts, self._site_url)

    def _describe(self, slug: str) -> dict[str, object]:
        seconds = {stage: round(took, 3) for stage, took in self._seconds.get(slug, {}).items()}
        return {"built": slug in self._pages, "seconds": seconds}

    def _in_order(self, by_slug: Mapping[str, _T]) -> list[_T]:
        return [by_slug[entry.slug] for entry in self._entries if entry.slug in by_slug]
