"""Render the index from the cards of its pages.

The page contains the first cards as HTML. For the others it has plain links in an element that browsers use only if
scripts are off, and a block from which ``templates/js/index`` makes cards on demand: with an element for each of ten
thousand pages, the index would take a second to open. The thumbnails of these cards are at the end of the page. The
table is made from the same block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reportgen.pages.assets import INDEX_SCRIPTS, INDEX_STYLES, make_policy, read_scripts, read_styles
from reportgen.pages.cards import Card, FailureCard
from reportgen.pages.encoding import encode_json
from reportgen.pages.links import Link
from reportgen.pages.templates import GENERATOR, render
from reportgen.records.sentences import format_effect, format_percent

CARDS_AT_ONCE = 60
"""Number of cards in the HTML of the page, and of those that are added when the reader scrolls to the end."""
FAILURES_AT_ONCE = 5
"""Number of failures above the cards, until the reader asks for more."""
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


@dataclass(frozen=True)
class IndexContext:
    """Data for ``index.html.jinja2``."""

    link: Link | None
    failures: Sequence[FailureCard]
    other_failures: Sequence[FailureCard]
    cards: Sequence[Card]
    others: Sequence[Card]
    start: Card | None
    count: str
    tags: Sequence[str]
    models: Sequence[str]
    list_block: str
    pictures: Iterable[str]
    style: Markup
    script: Markup
    policy: str
    columns: Mapping[str, str]
    explained: Mapping[str, str]
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
            failures=failures[:FAILURES_AT_ONCE],
            other_failures=failures[FAILURES_AT_ONCE:],
            cards=pages[:CARDS_AT_ONCE],
            others=pages[CARDS_AT_ONCE:],
            start=pages[0] if len(pages) > 1 else None,
            count=_count(len(pages), len(failures)),
            tags=sorted(tag for tag, _ in tags),
            models=sorted({card.model for card in cards}),
            list_block=encode_json([describe_card(card) for card in [*failures, *pages]]),
            pictures=(card.thumbnail for card in pages[CARDS_AT_ONCE:]),
            style=read_styles(*INDEX_STYLES),
            script=script,
            policy=make_policy((script,)),
            columns=COLUMNS,
            explained=_EXPLAINED,
        ),
    )


def describe_card(card: Card | FailureCard) -> dict[str, Any]:
    """Return the data of a card for the index's script, as JSON values; empty values are left out.

    Values to sort by have the names of ``COLUMNS``; ``shown`` is what the table shows of those that are numbers.
    """
    if isinstance(card, FailureCard):
        values = {
            "title": card.title, "model": card.model, "place": card.place, "error": card.reason,
            "earlier": card.earlier_page,
        }  # fmt: skip
        return {name: value for name, value in values.items() if value or name == "error"}
    numbers = {
        "prob": (card.prob, format_percent),
        "effect": (card.effect, format_effect),
        "prompt": (card.prompt_logprob, _format_mean),
        "generated": (card.generated_logprob, _format_mean),
    }
    known = {name: (value, shows(value)) for name, (value, shows) in numbers.items() if value is not None}
    values = {
        "slug": card.slug, "title": card.title, "own": card.own_title, "text": card.text,
        "completion": card.completion, "said": card.said, "model": card.model, "tags": card.tags, "head": card.head,
        "through": card.through, "compares": card.compares, "sides": card.sides,
        **{name: value for name, (value, _) in known.items()},
        "tokens": card.num_prompt_tokens + card.num_steps,
        "shown": {**{name: text for name, (_, text) in known.items()}, "tokens": card.counts},
    }  # fmt: skip
    return {name: value for name, value in values.items() if value not in (None, (), [], "")}


def _format_mean(logprob: float) -> str:
    return f"{logprob:.2f}".replace("-", "−")


def _count(pages: int, failures: int) -> str:
    failed = f", {failures:,} failed" if failures else ""
    return f"{pages:,} {'page' if pages == 1 else 'pages'}{failed}"
