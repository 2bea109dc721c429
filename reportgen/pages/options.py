"""Options of pages and of the files next to them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from reportgen.records.errors import OptionError
from reportgen.records.short_repr import ShortRepr


@dataclass(frozen=True, repr=False)
class PageOptions(ShortRepr):
    """Options of a page and of the files next to it.

    Attributes:
        export_data: also write the tables of numbers, as ``csv`` or ``parquet``; empty writes none.
        keep_captures: also write the capture of each page, from which ``render_site`` can make the page again.
        max_page_mb: maximum size of a page in megabytes of 1e6 bytes. A larger page omits its smallest weights and
            states how much of each row they are; it fails if too little would be left. 0 means no limit.
        precision: bits per attention weight on a page, 8 or 16.
        shared_assets: store BokehJS once in the site instead of in each page.
        site_url: URL where the site will be published, such as ``https://ada.github.io/heads/``: adds canonical links
            and link previews to the pages; empty if unknown.
    """

    export_data: str = ""
    keep_captures: bool = False
    max_page_mb: float = 25.0
    precision: int = 8
    shared_assets: bool = False
    site_url: str = ""

    def __post_init__(self) -> None:
        """Check the size.

        Raises:
            OptionError: ``max_page_mb`` is not a finite number from 0.
        """
        if not 0 <= self.max_page_mb < inf:
            raise OptionError("--max-page-mb", f"{self.max_page_mb} is no size; write megabytes, or 0 for no limit")
