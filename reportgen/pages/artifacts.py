"""All that is written of one page: from captures to files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reportgen.captures.record import Capture
from reportgen.pages.cards import Card, make_card
from reportgen.pages.compare import draw_comparison, make_compare_card
from reportgen.pages.data_tables import encode_tables
from reportgen.pages.links import key_at
from reportgen.pages.options import PageOptions
from reportgen.pages.page import draw_page
from reportgen.pages.precision import describe_dropped_mass, measure_dropped_mass
from reportgen.pages.preview import draw_preview
from reportgen.records import Comparison


@dataclass(frozen=True, eq=False)
class Artifacts:
    """What there is to write of one page.

    Attributes:
        html: the page.
        card: what the index says about it.
        tables: its tables of numbers, content by name of the file.
        kept: the capture that it was made from, where that is to be kept.
        key: of what it was made from, without the address.
        dropped: what the page leaves out, in words; empty where it leaves out nothing.
        preview: the picture of it for cards of links, a PNG; empty where it is not known where it will be published.
    """

    html: str
    card: Card
    tables: Mapping[str, bytes] = field(default_factory=dict)
    kept: Capture | None = None
    key: str = ""
    dropped: str = ""
    preview: bytes = b""


def render_artifacts(
    capture: Capture, options: PageOptions, *, table_format: str = "", keep_capture: bool = False
) -> Artifacts:
    """Render the page of a prompt, and what stands beside it.

    Args:
        capture: what to show.
        options: how; the key is that without the address.
        table_format: of the tables of numbers, ``csv`` or ``parquet``; empty for none.
        keep_capture: whether the capture is written too.
    """
    html, precision = draw_page(capture, _with_address(options))
    card = make_card(capture)
    return Artifacts(
        html=html,
        card=card,
        tables=encode_tables(capture, table_format) if table_format else {},
        kept=capture if keep_capture else None,
        key=options.key,
        dropped=describe_dropped_mass(measure_dropped_mass(capture, precision), precision),
        preview=draw_preview(card) if options.site_url else b"",
    )


def render_comparison_artifacts(
    comparison: Comparison, first: Capture, second: Capture, options: PageOptions
) -> Artifacts:
    """Render the page of a comparison; its arguments are those of ``draw_comparison`` and ``render_artifacts``."""
    html, _ = draw_comparison(comparison, first, second, _with_address(options))
    card = make_compare_card(comparison, first, second)
    return Artifacts(html, card, key=options.key, preview=draw_preview(card) if options.site_url else b"")


def _with_address(options: PageOptions) -> PageOptions:
    return replace(options, key=key_at(options.key, options.site_url))
