"""Render the index from the cards of its pages.

The page contains all failures and the first cards as HTML. For the others it has plain links in an element that
browsers use only if scripts are off, and a block with their HTML, from which ``templates/js/index`` makes cards on
demand: with an element for each of ten thousand pages, the index would take a second to open. The thumbnails of these
cards are at the end of the page. The rows of the table are in the same block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reportgen.pages.assets import INDEX_SCRIPTS, INDEX_STYLES, make_policy, read_scripts, read_styles
from reportgen.pages.cards import Card, FailureCard
from reportgen.pages.encoding import encode_bytes, encode_json
from reportgen.pages.links import Link
from reportgen.pages.templates import GENERATOR, get_macro, render
from reportgen.records.sentences import format_effect, format_logprob, format_percent

CARDS_AT_ONCE = 60
"""Number of cards in the HTML of the page, and of those that are added when the reader scrolls to the end."""
_MOST_TAGS = 200
"""Number of tags to choose from, the most frequent ones."""

COLUMNS: Mapping[str, str] = {
    "title": "title",
    "text": "prompt → completion",
    "prob": "p",
    "head": "head",
    "through": "through",
    "effect": "effect",
    "prompt": "log p, prompt",
    "generated": "log p, written",
    "tokens": "tokens",
    "model": "model",
}
"""Columns of the table, which cards can be sorted by, with their titles."""
_EXPLAINED = {
    "prob": "probability of the written token that the head has its effect on",
    "head": "head with the largest effect through one earlier token, or the one that singles out a token",
    "through": "token that the head reads",
    "effect": "effect through the token that the head reads, in logits",
    "prompt": "mean log-probability of the prompt's tokens",
    "generated": "mean log-probability of the written tokens",
    "tokens": "tokens of the prompt + written tokens",
}
_NUMERIC = frozenset({"prob", "effect", "prompt", "generated", "tokens"})


@dataclass(frozen=True)
class IndexContext:
    """Data for ``index.html.jinja2``."""

    link: Link | None
    failures: Sequence[FailureCard]
    cards: Sequence[Card]
    others: Sequence[Card]
    start: Card | None
    count: str
    tags: Sequence[str]
    models: Sequence[str]
    list_block: str
    elements_block: str
    pictures: Iterable[str]
    style: Markup
    script: Markup
    policy: str
    columns: Mapping[str, str]
    explained: Mapping[str, str]
    numeric: Collection[str]
    generator: str = GENERATOR


def render_index(cards: Sequence[Card | FailureCard], link: Link | None = None) -> str:
    """Return the HTML of the index of a site.

    Args:
        cards: cards of pages and failures, in the order of the run.
        link: link metadata of the index; ``None`` if the site's URL is unknown.
    """
    script = read_scripts(INDEX_SCRIPTS)
    failures = [card for card in cards if isinstance(card, FailureCard)]
    pages = [card for card in cards if isinstance(card, Card)]
    tags = Counter(tag for card in pages for tag in card.tags).most_common(_MOST_TAGS)
    return render(
        "index.html.jinja2",
        IndexContext(
            link=link,
            failures=failures,
            cards=pages[:CARDS_AT_ONCE],
            others=pages[CARDS_AT_ONCE:],
            start=pages[0] if len(pages) > 1 else None,
            count=_count(len(pages), len(failures)),
            tags=sorted(tag for tag, _ in tags),
            models=sorted({card.model for card in cards}),
            list_block=encode_json([describe_card(card) for card in pages]),
            elements_block=encode_bytes(_render_elements(pages).encode("utf-8")),
            pictures=(card.thumbnail for card in pages[CARDS_AT_ONCE:]),
            style=read_styles(*INDEX_STYLES),
            script=script,
            policy=make_policy((script,)),
            columns=COLUMNS,
            explained=_EXPLAINED,
            numeric=_NUMERIC,
        ),
    )


def describe_card(card: Card) -> dict[str, Any]:
    """Return the data of a card for the index's script, as JSON values; empty values are left out.

    Values to sort by have the names of ``COLUMNS``.
    """
    values = {
        "slug": card.slug, "title": card.title, "text": card.text, "completion": card.completion, "model": card.model,
        "tags": card.tags, "head": card.head, "through": card.through, "compares": card.compares, "sides": card.sides,
        "prob": card.prob, "effect": card.effect, "prompt": card.prompt_logprob, "generated": card.generated_logprob,
        "tokens": None if card.compares else card.num_prompt_tokens + card.num_steps,
    }  # fmt: skip
    return {name: value for name, value in values.items() if value not in (None, (), "")}


def _render_elements(pages: Sequence[Card]) -> str:
    """Return the HTML of all rows of the table, and then of the cards that are not in the page, without pictures.

    Each is one line: JSON, of which a browser has to read every character, takes twice as long to open.
    """
    make_card, make_row = (get_macro("macros/card.html.jinja2", name) for name in ("page_card", "page_row"))
    rows = [make_row(card, _format_numbers(card)) for card in pages]
    cards = [make_card(card, with_picture=False) for card in pages[CARDS_AT_ONCE:]]
    return "\n".join(str(html).strip().replace("\n", "&#10;") for html in [*rows, *cards])


def _format_numbers(card: Card) -> Mapping[str, str]:
    """Return the numbers of a row of the table by column, empty where they are unknown."""
    numbers = (
        ("prob", card.prob, format_percent),
        ("effect", card.effect, format_effect),
        ("prompt", card.prompt_logprob, format_logprob),
        ("generated", card.generated_logprob, format_logprob),
    )
    return {name: "" if value is None else shows(value) for name, value, shows in numbers} | {"tokens": card.counts}


def _count(pages: int, failures: int) -> str:
    failed = f", {failures:,} failed" if failures else ""
    return f"{pages:,} {'page' if pages == 1 else 'pages'}{failed}"
