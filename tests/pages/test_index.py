"""The index: cards for those who look, links for those without scripts, and little weight for each."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from html_tree import Element, parse_html
from samples import HOSTILE, make_capture
from unpacking import decode_bytes

from reportgen.pages.cards import Card, FailureCard, make_card
from reportgen.pages.index import CARDS_AT_ONCE, COLUMNS, describe_card, render_index

CARD = make_card(make_capture(tags=("notebook",)))
FAILURE = FailureCard("lost", HOSTILE[0], HOSTILE[5], f"prompts.yaml:5: {HOSTILE[6]}")
PAIR = Card(
    slug="both", title="Both", text="a | b", model="tiny", tags=(), num_prompt_tokens=10, num_steps=0, thumbnail="",
    said=[["head", 1, 2], " reads the two most differently"], compares=("Cat", "Dog"), sides=("cat", "dog"),
)  # fmt: skip


def make_cards(count: int) -> list[Card | FailureCard]:
    """Return so many cards, every tenth a failure, hostile ones among them."""
    return [
        replace(FAILURE, slug=f"page-{i}")
        if i % 10 == 7
        else replace(CARD, slug=f"page-{i}", title=f"{HOSTILE[i % len(HOSTILE)]} {i}")
        for i in range(count)
    ]


def blocks_of(index: Element) -> dict[str, str]:
    return {script.attributes["id"]: script.text for script in index.find("script", type="text/plain")}


def elements_of(index: Element) -> list[Element]:
    """Return the rows and cards that a script makes, as a parser sees them."""
    lines = decode_bytes(blocks_of(index)["block-elements"]).decode("utf-8").split("\n")
    return [parse_html(line) for line in lines]


def test_few_cards_stand_in_the_page_and_nothing_else() -> None:
    index = parse_html(render_index([replace(CARD, slug=f"page-{i}") for i in range(CARDS_AT_ONCE)]))
    assert len(index.find("ul", id="cards")[0].find("li")) == CARDS_AT_ONCE
    assert not index.find("noscript")


def test_card_says_what_the_model_answered_and_which_head_read_what() -> None:
    (card,) = parse_html(render_index([CARD])).find("li", class_="card")
    assert [link.text for link in card.find("a", href="cat.html")] == ["A cat and a mat"]
    assert card.find("p", class_="answered")[0].text == "The cat ate the mat . And the"
    assert card.find("b", class_="completion")[0].text == ". And the"
    said, facts = (line.text for line in card.find("p", class_="hint"))
    assert said == "L1 H0 reads ␣mat (1.00) for ␣And 50\u00a0%, +0.4"
    assert facts == "notebook · tiny · 5 + 3 tokens"


def test_prompt_is_the_link_where_the_title_says_no_more() -> None:
    (card,) = parse_html(render_index([replace(CARD, title="The cat ate…")])).find("li", class_="card")
    assert [link.text for link in card.find("a")] == ["The cat ate the mat . And the"]
    assert not card.find("p", class_="answered")


def test_comparison_names_both_sides() -> None:
    (card,) = parse_html(render_index([PAIR])).find("li", class_="card")
    assert [part.text for side in card.find("span", class_="sides") for part in side.find("span")[1:]] == [
        "A Cat",
        "B Dog",
    ]
    assert not card.find("img")
    assert card.find("p", class_="hint")[-1].text == "tiny"


def test_failures_come_first_with_file_and_line() -> None:
    index = parse_html(render_index([CARD, FAILURE]))
    (failed,) = index.find("ul", id="failures")
    assert [code.text for code in failed.find("code")] == ["prompts.yaml:5"]
    assert failed.find("li")[0].text == f"{HOSTILE[0]} prompts.yaml:5 {HOSTILE[6]}"
    assert index.find(id="count")[0].text == "1 page, 1 failed"
    order = [element.attributes.get("id") for element in index]
    assert order.index("failures") < order.index("cards")
    (hidden,) = parse_html(render_index([CARD])).find(id="failed")
    assert "hidden" in hidden.attributes


@pytest.mark.parametrize(("cards", "marked"), [([CARD], []), ([FAILURE, CARD, PAIR], ["cat.html"]), ([FAILURE], [])])
def test_reader_is_told_where_to_start(cards: list[Card | FailureCard], marked: list[str]) -> None:
    cards_there = parse_html(render_index(cards)).find("li", class_="card")
    starts = [card for card in cards_there if "start here" in card.text]
    assert [card.find("a")[0].attributes["href"] for card in starts] == marked


def test_every_page_has_a_link_without_scripts() -> None:
    cards = make_cards(200)
    index = parse_html(render_index(cards))
    shown, (others,) = index.find("ul", id="cards")[0], index.find("noscript")
    links = {link.attributes["href"]: link.text for part in (shown, others) for link in part.find("a")}
    assert links == {card.href: card.title for card in cards if isinstance(card, Card)}
    assert len(index.find("ul", id="failures")[0].find("li")) == 20


def test_blocks_hold_all_pages() -> None:
    cards = [card for card in make_cards(100) if isinstance(card, Card)]
    index = parse_html(render_index(cards))
    blocks = blocks_of(index)
    assert json.loads(decode_bytes(blocks["block-list"])) == json.loads(json.dumps([*map(describe_card, cards)]))
    assert blocks["block-pictures"].splitlines() == [card.thumbnail for card in cards[CARDS_AT_ONCE:]]
    rows, later = elements_of(index)[: len(cards)], elements_of(index)[len(cards) :]
    links = [[row.find("a")[0].attributes["href"] for row in part] for part in (rows, later)]
    assert links == [[card.href for card in part] for part in (cards, cards[CARDS_AT_ONCE:])]
    assert [card.find("h2")[0].find("a")[0].text for card in later] == [card.title for card in cards[CARDS_AT_ONCE:]]


def test_later_cards_are_like_those_of_the_page_but_for_their_pictures() -> None:
    cards = [replace(CARD, slug=f"page-{i}") for i in range(CARDS_AT_ONCE + 1)]
    index = parse_html(render_index(cards))
    card, later = index.find("li", class_="card")[1], elements_of(index)[-1].find("li")[0]
    assert card.outline() == later.outline()
    assert later.find("img")[0].attributes["src"] == ""


def test_rows_of_the_table_have_its_columns() -> None:
    index = parse_html(render_index([CARD, PAIR]))
    names = [column.attributes["data-column"] for column in index.find("th")]
    assert names == list(COLUMNS)
    row, pair = elements_of(index)
    assert [cell.text for cell in row.find("td")] == [
        "", "A cat and a mat", "The cat ate the mat . And the", "50 %", "L1 H0", "␣mat", "+0.4", "−1.39", "−0.69",
        "5 + 3", "tiny",
    ]  # fmt: skip
    assert [cell.text.strip() for cell in pair.find("td")] == [
        "", "Both", "A Cat B Dog", "", "", "", "", "", "", "", "tiny"
    ]  # fmt: skip
    assert [len(one.find("input", type="checkbox")) for one in (row, pair)] == [1, 0]


def test_card_is_described_by_what_it_has() -> None:
    assert describe_card(CARD) == {
        "slug": "cat",
        "title": "A cat and a mat",
        "text": "The cat ate the mat",
        "completion": ". And the",
        "model": "tiny",
        "tags": ("notebook",),
        "head": "L1 H0",
        "through": "␣mat",
        "prob": 0.5,
        "effect": 0.400000006,
        "prompt": -1.38629436,
        "generated": -0.693147181,
        "tokens": 8,
    }
    assert describe_card(PAIR).keys() == {"slug", "title", "text", "model", "compares", "sides"}


def test_data_stand_behind_the_script() -> None:
    scripts = [script.attributes.get("id", "script") for script in parse_html(render_index([CARD])).find("script")]
    assert scripts == ["script", "block-list", "block-elements", "block-pictures"]


def test_there_is_a_choice_of_tags_and_models_where_there_are_any() -> None:
    def choices(*cards: Card | FailureCard) -> dict[str, list[str]]:
        index = parse_html(render_index(cards))
        return {
            select.attributes["id"]: [option.text for option in select.find("option")]
            for select in index.find("select")
            if select.attributes["id"] != "sort"
        }

    assert choices(PAIR) == {}
    assert choices(CARD, replace(CARD, tags=("b", "a"))) == {"tag": ["all", "a", "b", "notebook"]}
    assert choices(PAIR, replace(PAIR, model="gpt2")) == {"model": ["all", "gpt2", "tiny"]}


def test_ten_thousand_cards_are_a_few_megabytes() -> None:
    assert len(render_index(make_cards(10_000))) < 10e6
