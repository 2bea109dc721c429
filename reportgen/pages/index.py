"""Render the index from the cards of its pages.

The page contains the first cards as HTML. For the others it has plain links in an element that browsers use only if
scripts are off, and a block from which ``templates/js/index.js`` makes cards on demand: with an element for each of ten
thousand pages, the index would take a second to open. The thumbnails of these cards are at the end of the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reportgen.pages.assets import INDEX_SCRIPTS, make_policy, read_scripts, read_styles
from reportgen.pages.cards import Card, FailureCard
from reportgen.pages.encoding import encode_json
from reportgen.pages.links import Link
from reportgen.pages.templates import GENERATOR, render

CARDS_AT_ONCE = 60
"""Number of cards in the HTML of the page, and of those that are added when the reader scrolls to the end."""


@dataclass(frozen=True)
class IndexContext:
    """Data for ``index.html.jinja2``."""

    link: Link | None
    cards: Sequence[Card | FailureCard]
    others: Sequence[Card | FailureCard]
    num_failed: int
    has_comparisons: bool
    list_block: str
    pictures: Iterable[str]
    style: Markup
    script: Markup
    policy: str
    generator: str = GENERATOR


def render_index(cards: Sequence[Card | FailureCard], link: Link | None = None) -> str:
    """Return the HTML of the index of a site.

    Args:
        cards: cards of pages and failures, in the order in which they are shown.
        link: link metadata of the index; ``None`` if the site's URL is unknown.
    """
    script = read_scripts(INDEX_SCRIPTS)
    others = cards[CARDS_AT_ONCE:]
    return render(
        "index.html.jinja2",
        IndexContext(
            link=link,
            cards=cards[:CARDS_AT_ONCE],
            others=others,
            num_failed=sum(isinstance(card, FailureCard) for card in cards),
            has_comparisons=any(isinstance(card, Card) and bool(card.compares) for card in cards),
            list_block=encode_json([describe_card(card) for card in cards]),
            pictures=(card.thumbnail if isinstance(card, Card) else "" for card in others),
            style=read_styles("index.css"),
            script=script,
            policy=make_policy((script,)),
        ),
    )


def describe_card(card: Card | FailureCard) -> dict[str, Any]:
    """Return the data of a card for the index's script, as JSON values; empty values are left out."""
    if isinstance(card, FailureCard):
        values = {"title": card.title, "facts": card.facts, "model": card.model, "error": card.error}
        return values | ({"earlier_page": card.earlier_page} if card.earlier_page else {})
    values = {
        "href": card.href,
        "title": card.title,
        "facts": card.facts,
        "text": card.text,
        "model": card.model,
        "tags": card.tags,
        "tokens": card.num_prompt_tokens + card.num_steps,
        "prompt": card.prompt_logprob,
        "generated": card.generated_logprob,
    }
    return {name: value for name, value in values.items() if value not in (None, (), "")}
