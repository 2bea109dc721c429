"""How a page is drawn, apart from what it shows."""

from __future__ import annotations

from dataclasses import dataclass

MAX_PAGE_MB = 25.0
"""Megabytes, 1e6 bytes each, that a page of a build has at most where nothing else is said."""


@dataclass(frozen=True)
class PageOptions:
    """How a page is drawn.

    Attributes:
        shared_assets: refer to BokehJS beside the page instead of carrying it along.
        key: of all that the page is made from, for its head; empty for none.
        site_url: where the site will be published, as ``check_site_url`` returns it; empty where that is not known.
        has_index: whether an index stands beside the page, which it links to.
        max_mb: megabytes, 1e6 bytes each, that a page has at most: a longer one leaves out its weakest weights; 0 sets
            no limit.
        precision: bits of a weight, 8 or 16.
    """

    shared_assets: bool = False
    key: str = ""
    site_url: str = ""
    has_index: bool = True
    max_mb: float = 0.0
    precision: int = 8
