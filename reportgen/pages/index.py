"""Cards to the HTML of the index.

The first cards stand in the page. Of the others it has links for readers without scripts, in an element that browsers
with scripts never read, and a block from which ``templates/js/index.js`` makes cards as they are asked for: an element
for each of ten thousand pages would take a second to open. Their pictures stand last.
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
"""How many cards stand in the page; so many more appear when the reader comes to their end."""


@dataclass(frozen=True)
class IndexContext:
    """All that ``index.html.jinja2`` reads."""

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
    """Return the index of a site, cards in the order given; ``link`` says where it will be published."""
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
    """Return what the index's script reads of a card, as JSON values; what it lacks is left out."""
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
