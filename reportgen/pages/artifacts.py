"""Render a page and the files that belong to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.patching import Patching
from reportgen.pages.cards import Card
from reportgen.pages.compare import draw_comparison, make_compare_card
from reportgen.pages.data_tables import encode_tables
from reportgen.pages.options import PageOptions
from reportgen.pages.page import draw_page
from reportgen.pages.page_keys import PageKeys
from reportgen.pages.pair_answer import find_differences
from reportgen.pages.preview import draw_preview
from reportgen.pages.series import draw_series, make_series_card, measure_series
from reportgen.records import Comparison


@dataclass(frozen=True, eq=False)
class Artifacts:
    """A page and the files that belong to it.

    Attributes:
        html: HTML of the page.
        card: card of the page for the index.
        tables: tables of numbers, content by file name.
        kept: capture that the page was made from; ``None`` if captures are not kept.
        keys: what the page was made from.
        dropped: description of the weights that the page leaves out; empty if it leaves out none.
        preview: preview picture for links to the page, as PNG; empty if the site's URL is unknown.
    """

    html: str
    card: Card
    tables: Mapping[str, bytes] = field(default_factory=dict)
    kept: Capture | None = None
    keys: PageKeys = PageKeys()
    dropped: str = ""
    preview: bytes = b""


def render_artifacts(capture: Capture, options: PageOptions, keys: PageKeys = PageKeys()) -> Artifacts:
    """Render the page of a prompt, and the files next to it.

    Args:
        capture: capture to show.
        options: options of the page; they also select the files.
        keys: what the page is made from; the tables are added here.

    Raises:
        PromptError: the page does not fit into its maximum size with a useful part of its weights.
    """
    tables = encode_tables(capture, options.export_data) if options.export_data else {}
    keys = replace(keys, tables=" ".join(PurePath(name).stem for name in tables))
    page = draw_page(capture, options, keys=keys)
    return Artifacts(
        html=page.html,
        card=page.card,
        tables=tables,
        kept=capture if options.keep_captures else None,
        keys=keys,
        dropped=page.dropped,
        preview=draw_preview(page.card) if options.site_url else b"",
    )


def render_comparison_artifacts(
    comparison: Comparison,
    captures: Sequence[Capture],
    options: PageOptions,
    keys: PageKeys = PageKeys(),
    patching: Patching | str = "",
) -> Artifacts:
    """Render the page of a comparison: of two captures side by side, of more as a series.

    See ``draw_comparison``, ``draw_series`` and ``render_artifacts`` for arguments and errors.
    """
    if len(captures) > 2:
        series = measure_series(comparison, captures)
        html, _ = draw_series(series, options, keys=keys)
        card = make_series_card(series)
    else:
        first, second = captures
        found = find_differences((first, second))
        html, _ = draw_comparison(comparison, first, second, options, keys=keys, differences=found, patching=patching)
        card = make_compare_card(comparison, first, second, found)
    return Artifacts(html, card, keys=keys, preview=draw_preview(card) if options.site_url else b"")
