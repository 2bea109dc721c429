"""A capture to all that is written of one prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reportgen.captures.record import Capture
from reportgen.records.errors import PromptError, ReportgenError, first_line
from reportgen.pages.data_tables import encode_tables
from reportgen.build.options import Options
from reportgen.build.cache_key import add_address, make_key
from reportgen.pages.cards import Card, make_card
from reportgen.pages.precision import describe_dropped, measure_dropped
from reportgen.pages.page import draw_page
from reportgen.pages.preview import draw_preview
from reportgen.records import Prompt


@dataclass(frozen=True)
class Artifacts:
    """What there is to write of one prompt.

    Attributes:
        html: its page.
        card: what the index says about it.
        tables: files of ``export_data``, content by name.
        kept: what it was made from, where that is to be kept.
        key: of what it was made from, without the address.
        dropped: what the page leaves out, in words; empty where it leaves out nothing.
        preview: the picture of it for cards of links, a PNG; empty where it is not known where it will be published.
    """

    html: str
    card: Card
    tables: Mapping[str, bytes]
    kept: Capture | None
    key: str
    dropped: str = ""
    preview: bytes = b""


def draw(prompt: Prompt, captured: Capture, options: Options, model_fingerprint: str) -> Artifacts:
    """Draw the page of a prompt.

    Args:
        prompt: which.
        captured: its record.
        options: of the run.
        model_fingerprint: its model, as ``fingerprint`` tells it.

    Raises:
        PromptError: the page cannot be made of these numbers.
    """
    key = make_key(prompt, options, model_fingerprint)
    kept = captured if options.keep_captures else None
    try:
        html, detail = draw_page(
            captured, shared_assets=options.shared_assets, key=add_address(key, options.site_url),
            site_url=options.site_url, max_mb=options.max_page_mb, precision=options.precision,
        )  # fmt: skip
        tables = encode_tables(captured, options.export_data) if options.export_data else {}
        dropped = describe_dropped(measure_dropped(captured, detail), detail)
        card = make_card(captured)
        return Artifacts(html, card, tables, kept, key, dropped, draw_preview(card) if options.site_url else b"")
    except ReportgenError:
        raise
    except Exception as error:  # numbers that nobody foresaw are this prompt's failure, not the run's
        where = prompt.place.of()
        raise PromptError(f"{where}: its page cannot be made, {first_line(error)}; -v shows where") from error
