"""The keys in a page's head: what the page was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PageKeys:
    """What a page was made from, as stored in its head.

    Attributes:
        page: hash of everything that the page depends on; empty if the model's files are unknown.
        numbers: hash of everything that its numbers depend on. A comparison has one for each side, as ``SLUG=HASH
            SLUG=HASH``.
        tables: names of the tables that were written with it, separated by spaces.
    """

    page: str = ""
    numbers: str = ""
    tables: str = ""

    @property
    def sides(self) -> Mapping[str, str]:
        """The numbers key of each side of a comparison, by slug; empty for the page of a prompt."""
        parts = (side.partition("=") for side in self.numbers.split())
        return {slug: key for slug, equals, key in parts if equals}
