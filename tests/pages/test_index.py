"""The index: cards for those who look, links for those without scripts, and little weight for each."""

from __future__ import annotations

import json
from dataclasses import replace

from html_tree import parse_html
from samples import HOSTILE, make_capture
from unpacking import decode_bytes

from reportgen.pages.cards import Card, FailureCard, make_card
from reportgen.pages.index import CARDS_AT_ONCE, describe_card, render_index

CARD = make_card(make_capture(tags=("notebook",)))
FAILURE = FailureCard("lost", HOSTILE[0], HOSTILE[5], f"prompts.yaml:5: {HOSTILE[6]}")


def make_cards(count: int) -> list[Card | FailureCard]:
    """Return so many cards, every tenth a failure, hostile ones among them."""
    return [
        replace(FAILURE, slug=f"page-{i}")
        if i % 10 == 7
        else replace(CARD, slug=f"page-{i}", title=f"{HOSTILE[i % len(HOSTILE)]} {i}")
        for i in range(count)
    ]


def test_few_cards_stand_in_the_page_and_nothing_else() -> None:
    index = parse_html(render_index(make_cards(CARDS_AT_ONCE)))
    assert len(index.find("ul", id="cards")[0].find("li")) == CARDS_AT_ONCE
    assert not index.find("noscript")


def test_every_page_has_a_link_without_scripts() -> None:
    cards = make_cards(200)
    index = parse_html(render_index(cards))
    shown, (others,) = index.find("ul", id="cards")[0], index.find("noscript")
    links = {link.attributes["href"]: link.text for part in (shown, others) for link in part.find("a")}
    assert links == {card.href: card.title for card in cards if isinstance(card, Card)}
    assert [error.text for error in others.find(class_="error")] == [
        f"{card.facts}: {card.error}" for card in cards[CARDS_AT_ONCE:] if isinstance(card, FailureCard)
    ]


def test_block_lists_all_cards_and_pictures_those_that_are_not_in_the_page() -> None:
    cards = make_cards(100)
    index = parse_html(render_index(cards))
    blocks = {script.attributes["id"]: script.text for script in index.find("script", type="text/plain")}
    assert json.loads(decode_bytes(blocks["block-list"])) == json.loads(json.dumps([*map(describe_card, cards)]))
    pictures = blocks["block-pictures"].splitlines()
    assert pictures == [getattr(card, "thumbnail", "") for card in cards[CARDS_AT_ONCE:]]


def test_card_is_described_by_what_it_has() -> None:
    assert describe_card(CARD) == {
        "href": "cat.html",
        "title": "A cat and a mat",
        "facts": CARD.facts,
        "text": "The cat ate the mat",
        "model": "tiny",
        "tags": ("notebook",),
        "tokens": 8,
        "prompt": -1.38629436,
        "generated": -0.693147181,
    }
    assert describe_card(make_card(make_capture(("a",), ()))).keys() == {
        "href", "title", "facts", "text", "model", "tokens"
    }  # fmt: skip
    assert describe_card(FAILURE).keys() == {"title", "facts", "model", "error"}


def test_blanks_for_scripts_are_like_the_cards_of_the_page() -> None:
    index = parse_html(render_index([CARD, FAILURE]))
    cards = index.find("ul", id="cards")[0].find("li")
    blanks = [index.find("template", id=name)[0].find("li")[0] for name in ("page-card", "failure-card")]
    without_tags = [card.outline().replace("\n      span.tag", "") for card in cards]
    assert [blank.outline() for blank in blanks] == without_tags


def test_data_stand_behind_the_script() -> None:
    scripts = [script.attributes.get("id", "script") for script in parse_html(render_index([CARD])).find("script")]
    assert scripts == ["script", "block-list", "block-pictures"]


def test_failures_can_be_shown_alone_where_there_are_any() -> None:
    assert parse_html(render_index([CARD, FAILURE])).find(id="failed")
    assert not parse_html(render_index([CARD])).find(id="failed")


def test_ten_thousand_cards_are_a_few_megabytes() -> None:
    assert len(render_index(make_cards(10_000))) < 10e6


def test_pictures_of_comparisons_are_explained_where_there_are_any() -> None:
    assert "above it" in parse_html(render_index([CARD, replace(CARD, compares=("a", "b"))])).text
    assert "above it" not in parse_html(render_index([CARD])).text
