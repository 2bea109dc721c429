"""The index in a browser: found, sorted, walked through by keyboard; hostile texts stay texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from browser.captures import CAPTURES
from browser.reader import Reader
from browser.test_everyone import AXE, VIOLATIONS
from browser.test_reading import no_sideways_scroll
from playwright.sync_api import Browser, Page
from samples import HOSTILE

from reportgen.pages.cards import Card, FailureCard, make_card
from reportgen.pages.index import CARDS_AT_ONCE
from reportgen.site.site import Site

NUM_CARDS = 150


def make_cards() -> list[Card | FailureCard]:
    """Return cards of pages of many lengths; every fiftieth failed, and the last has nothing but hostile texts."""
    card = make_card(CAPTURES["cat"])
    cards = [
        FailureCard(f"lost-{i}", f"Lost {i}", "gpt2", "prompts.yaml:5: too long; shorten it")
        if i % 50 == 7
        else replace(
            card, slug=f"page-{i}", title=f"Page {i}", num_prompt_tokens=(i * 37) % NUM_CARDS, tags=(f"t{i % 3}",),
            generated_logprob=-float(i % 5) or None, model="tiny" if i % 2 else "small",
        )
        for i in range(NUM_CARDS - 1)
    ]  # fmt: skip
    return [*cards, replace(make_card(CAPTURES["hostile"]), title=HOSTILE[0], tags=HOSTILE[5:7])]


CARDS = make_cards()


@pytest.fixture(scope="module")
def index_address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = Site(tmp_path_factory.mktemp("index")).open().root
    (folder / "page-3.html").write_text("<title>Page 3</title>")
    return Site(folder).write_index(CARDS).as_uri()


@pytest.fixture
def reader(new_reader: Callable[..., Reader], index_address: str) -> Reader:
    return open_index(new_reader(), index_address)


def open_index(reader: Reader, address: str) -> Reader:
    """Open an index and wait until it answers."""
    reader.page.goto(address)
    reader.page.locator("html[data-ready]").wait_for(state="attached")
    return reader


def titles(page: Page) -> list[str]:
    # What is out of sight is not rendered: it has text, but none that is seen.
    return page.locator("#cards h2").all_text_contents()


def focused(page: Page) -> str:
    return page.evaluate("() => document.activeElement.closest('li')?.querySelector('h2').textContent ?? ''")


def test_first_cards_are_there_and_the_others_come(reader: Reader) -> None:
    page = reader.page
    assert titles(page) == [card.title for card in CARDS[:CARDS_AT_ONCE]]
    assert page.locator("#count").inner_text() == "150 reports, 3 failed."
    while page.locator("#more").is_visible():
        page.locator("#more").scroll_into_view_if_needed()
        page.wait_for_timeout(50)
    assert titles(page) == [card.title for card in CARDS]
    assert reader.problems == []
    assert len(reader.requests) == 1 + sum(request.startswith("data:") for request in reader.requests)


def test_cards_that_a_script_makes_are_like_those_of_the_page(reader: Reader) -> None:
    page = reader.page
    outline = """(li) => li.outerHTML.replace(/>[^<]*</g, "><").replace(/(src|href)="[^"]*"/g, "$1")"""
    made = [page.locator("#cards > li").nth(i).evaluate(outline) for i in (6, 7)]
    page.locator("#filter").fill("t2 page-108 page 108")
    page.locator("#filter").fill("page 108")
    later = page.locator("#cards > li").evaluate(outline)
    page.locator("#filter").fill("lost 107")
    assert [later, page.locator("#cards > li").evaluate(outline)] == made


def test_hostile_texts_of_a_card_stay_texts(reader: Reader) -> None:
    page, card = reader.page, CARDS[-1]
    assert isinstance(card, Card)
    page.locator("#filter").fill("owned")
    (item,) = page.locator("#cards > li").all()
    assert item.locator("a").text_content() == card.title
    assert item.locator(".excerpt").text_content() == card.text
    assert item.locator(".tag").all_text_contents() == list(card.tags)
    assert item.locator("img").get_attribute("src") == card.thumbnail
    assert reader.problems == []
    assert page.title() == "Attention reports"


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        ("tokens", lambda card: card.num_prompt_tokens + card.num_steps),
        ("tag", lambda card: " ".join(card.tags)),
        ("model", lambda card: card.model),
    ],
)
def test_cards_are_sorted(reader: Reader, sort: str, key: Callable[[Card], object]) -> None:
    reader.page.locator("#filter").fill("page")
    reader.page.locator("#sort").select_option(sort)
    pages = [card for card in CARDS if isinstance(card, Card) and card.title.startswith("Page")]
    assert titles(reader.page) == [card.title for card in sorted(pages, key=key)][:CARDS_AT_ONCE]  # pyright: ignore


def test_choice_is_in_the_address_and_back_undoes_it(reader: Reader, index_address: str) -> None:
    page = reader.page
    page.locator("#filter").fill("page 1")
    page.locator("#sort").select_option("generated")
    page.locator("#reverse").click()
    chosen = titles(page)
    assert reader.address() == {"filter": "page 1", "sort": "generated", "reverse": ""}
    page.go_back()
    assert page.locator("#reverse").get_attribute("aria-pressed") == "false"
    page.go_forward()
    again = open_index(reader, f"{index_address}#filter=page+1&sort=generated&reverse=").page
    assert titles(again) == chosen
    assert again.locator("#filter").input_value() == "page 1"


def test_failures_can_be_seen_alone(reader: Reader) -> None:
    page = reader.page
    page.locator("#failed").check()
    assert titles(page) == ["Lost 7", "Lost 57", "Lost 107"]
    assert page.locator("#count").inner_text() == "3 of 150 reports, 3 failed."
    assert "prompts.yaml:5: too long" in page.locator("#cards > li").first.inner_text()


def test_nothing_found_is_said(reader: Reader) -> None:
    reader.page.locator("#filter").fill("no such thing")
    assert reader.page.locator("#nothing").inner_text() == "Nothing matches."
    reader.page.locator("#filter").fill("")
    assert not reader.page.locator("#nothing").is_visible()


def test_index_is_used_by_keyboard(reader: Reader) -> None:
    page = reader.page
    keys = page.keyboard
    keys.press("/")
    keys.type("page")
    keys.press("Enter")
    assert focused(page) == "Page 0"
    for _ in range(CARDS_AT_ONCE):
        keys.press("j")
    assert focused(page) == f"Page {CARDS_AT_ONCE + 2}"  # two failures are not called pages
    keys.press("k")
    assert focused(page) == f"Page {CARDS_AT_ONCE + 1}"
    keys.press("s")
    assert page.locator("#sort").input_value() == "title"
    keys.press("r")
    assert titles(page)[0] == "Page 148"
    keys.press("/")
    assert page.evaluate("() => getSelection().toString()") == "page"
    keys.type("page 3")
    page.locator("#sort").select_option("order")
    page.locator("#reverse").click()
    keys.press("j")
    keys.press("Enter")
    page.wait_for_url("**/page-3.html")


def test_without_scripts_every_page_is_a_link(browser: Browser, index_address: str) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(index_address)
        links = page.locator("#cards a:visible, .links a:visible")
        assert links.all_text_contents() == [card.title for card in CARDS if isinstance(card, Card)]
        assert page.locator(".links .error").count() == 1
        assert not page.locator("#search, #more").first.is_visible()


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(new_reader, index_address: str, width: int, scheme: str) -> None:
    reader = new_reader(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page = open_index(reader, index_address).page
    assert no_sideways_scroll(page)
    page.add_script_tag(path=AXE)
    assert page.evaluate(VIOLATIONS) == []
