"""The index in a browser: found, sorted, walked through by keyboard, compared; hostile texts stay texts."""

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
    """Return cards of pages of many lengths; every fiftieth failed, and the last two are a comparison and hostile."""
    card = make_card(CAPTURES["cat"])
    cards = [
        FailureCard(f"lost-{i}", f"Lost {i}", "gpt2", "prompts.yaml:5: too long; shorten it")
        if i % 50 == 7
        else replace(
            card, slug=f"page-{i}", title=f"Page {i}", num_prompt_tokens=(i * 37) % NUM_CARDS, tags=(f"t{i % 3}",),
            effect=float(i % 5) or None, model="tiny" if i % 2 else "small",
        )
        for i in range(NUM_CARDS - 2)
    ]  # fmt: skip
    pair = replace(
        card, slug="pair", title="Page 1 beside page 3", completion="", tags=(), compares=("Page 1", "Page 3"),
        sides=("page-1", "page-3"), head="", through="", prob=None, effect=None,
    )  # fmt: skip
    return [*cards, pair, replace(make_card(CAPTURES["hostile"]), title=HOSTILE[0], tags=HOSTILE[5:7])]


CARDS = make_cards()
PAGES = [card for card in CARDS if isinstance(card, Card)]


@pytest.fixture(scope="module")
def index_address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = Site(tmp_path_factory.mktemp("index")).open().root
    for slug in ("page-3", "pair"):
        (folder / f"{slug}.html").write_text("<title>A page</title>")
    return Site(folder).write_index(CARDS).as_uri()


@pytest.fixture
def reader(new_reader: Callable[..., Reader], index_address: str) -> Reader:
    return open_index(new_reader(), index_address)


def open_index(reader: Reader, address: str) -> Reader:
    """Open an index and wait until it answers."""
    reader.page.goto("about:blank")
    reader.page.goto(address)
    reader.page.locator("html[data-ready]").wait_for(state="attached")
    return reader


def titles(page: Page) -> list[str]:
    # What is out of sight is not rendered: it has text, but none that is seen.
    return page.locator("#cards h2 a").all_text_contents()


def column(page: Page, number: int) -> list[str]:
    return page.locator(f"#rows td:nth-child({number})").all_text_contents()


def focused(page: Page) -> str:
    return page.evaluate("() => document.activeElement.closest('li, tr')?.querySelector('a').textContent ?? ''")


def test_first_cards_are_there_and_the_others_come(reader: Reader) -> None:
    page = reader.page
    assert titles(page) == [card.title for card in PAGES[:CARDS_AT_ONCE]]
    assert page.locator("#count").inner_text() == "147 pages, 3 failed"
    while page.locator("#more").is_visible():
        page.locator("#more").evaluate("(one) => one.scrollIntoView()")  # it may be hidden by now
        page.wait_for_timeout(50)
    assert titles(page) == [card.title for card in PAGES]
    pictures = page.locator("#cards img").evaluate_all("(found) => found.map((one) => one.getAttribute('src'))")
    assert pictures == [card.thumbnail for card in PAGES]
    assert reader.problems == []
    assert len(reader.requests) == 1 + sum(request.startswith("data:") for request in reader.requests)


@pytest.mark.parametrize("view", ["cards", "table"])
def test_hostile_texts_of_a_page_stay_texts(reader: Reader, view: str) -> None:
    page, card = reader.page, PAGES[-1]
    page.locator("#filter").fill("owned")
    page.locator(f"label[for=view-{view}]").click()
    (item,) = page.locator("#cards > li:visible, #rows > tr:visible").all()
    assert item.locator("a").text_content() == card.title
    assert item.locator(".answered span, .text span").text_content() == card.text
    assert item.locator(".completion").text_content() == card.completion
    if view == "cards":
        assert item.locator("[data-tag]").all_text_contents() == list(card.tags)
    assert reader.problems == []
    assert page.title() == "Attention reports"


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        ("tokens", lambda card: card.num_prompt_tokens + card.num_steps),
        ("model", lambda card: card.model),
    ],
)
def test_cards_are_sorted(reader: Reader, sort: str, key: Callable[[Card], object]) -> None:
    reader.page.locator("#filter").fill("page t")
    reader.page.locator("#sort").select_option(sort)
    pages = [card for card in PAGES if card.tags and card.title.startswith("Page")]
    assert titles(reader.page) == [card.title for card in sorted(pages, key=key)][:CARDS_AT_ONCE]  # pyright: ignore


def test_columns_of_the_table_sort_it(reader: Reader) -> None:
    page = reader.page
    page.keyboard.press("t")
    assert column(page, 2) == [card.title for card in PAGES[:CARDS_AT_ONCE]]
    effect = page.locator("[data-sort=effect]")
    effect.click()
    assert set(column(page, 7)[:20]) == {"+4.0"}
    assert page.locator("th[data-column=effect]").get_attribute("aria-sort") == "descending"
    effect.click()
    assert column(page, 7)[0] == "+0.4"
    assert page.evaluate("() => document.activeElement.dataset.sort") == "effect"
    assert reader.address() == {"sort": "effect", "view": "table"}
    assert page.locator("#sort").input_value() == "effect"


def test_thirty_lines_of_the_table_fill_a_screen(new_reader: Callable[..., Reader], index_address: str) -> None:
    reader = new_reader(viewport={"width": 1440, "height": 900})
    page = open_index(reader, f"{index_address}#view=table&tag=t1").page
    bottoms = page.locator("#rows > tr").evaluate_all("(rows) => rows.map((row) => row.getBoundingClientRect().bottom)")
    assert sum(bottom <= 900 for bottom in bottoms) >= 30


def test_choice_is_in_the_address_and_back_undoes_it(reader: Reader, index_address: str) -> None:
    page = reader.page
    page.locator("#filter").fill("page 1")
    page.locator("#cards > li").nth(1).locator("[data-tag]").click()
    page.locator("#model").select_option("small")
    page.locator("#sort").select_option("tokens")
    page.locator("#reverse").click()
    chosen = titles(page)
    expected = {"filter": "page 1", "tag": "t1", "model": "small", "sort": "tokens", "reverse": ""}
    assert reader.address() == expected
    page.go_back()
    assert page.locator("#reverse").get_attribute("aria-pressed") == "false"
    page.go_back()
    page.go_back()
    assert page.locator("#model").input_value() == ""
    assert page.locator("#tag").input_value() == "t1"
    again = open_index(reader, f"{index_address}#filter=page+1&tag=t1&model=small&sort=tokens&reverse=").page
    assert titles(again) == chosen
    assert again.locator("#filter").input_value() == "page 1"


@pytest.mark.parametrize("view", ["cards", "table"])
def test_two_pages_lead_to_their_comparison(reader: Reader, index_address: str, view: str) -> None:
    page = open_index(reader, f"{index_address}#view={view}").page
    boxes = page.locator("#main input[aria-label^=compare]:visible")
    assert page.locator("#compare").is_disabled()
    boxes.nth(0).check()
    boxes.nth(1).check()
    boxes.nth(3).check()  # takes the place of the first
    assert not boxes.nth(0).is_checked()
    page.locator("#compare").click()
    page.wait_for_url("**/pair.html")


def test_ticks_hold_for_cards_and_table(reader: Reader) -> None:
    page = reader.page
    page.locator("#cards input").nth(1).check()
    page.keyboard.press("t")
    page.locator("#rows input").nth(3).check()
    page.keyboard.press("t")
    assert page.locator("#cards input").evaluate_all("(all) => all.flatMap((one, i) => (one.checked ? [i] : []))") == [
        1,
        3,
    ]
    page.locator("#filter").fill("page")
    assert page.locator("#cards input:checked").count() == 2
    assert page.locator("#compare").is_enabled()


def test_two_pages_without_a_comparison_give_the_command(reader: Reader) -> None:
    page = reader.page
    page.keyboard.press("t")
    page.locator("#rows input").nth(2).check()
    page.locator("[data-sort=title]").click()
    page.locator("#rows input").nth(1).check()  # behind the hostile title
    page.locator("#compare").click()
    assert page.locator("#command code").inner_text() == f"reportgen compare page-0 {PAGES[2].slug}"
    page.locator("#rows input").nth(1).uncheck()
    assert not page.locator("#command").is_visible()
    assert page.locator("#compare").is_disabled()


def test_failures_are_filtered_too(reader: Reader) -> None:
    page = reader.page
    assert page.locator("#failures > li:visible").count() == 3
    page.locator("#filter").fill("lost 57 yaml:5")
    assert page.locator("#failures > li:visible").all_inner_texts() == ["Lost 57 prompts.yaml:5 too long; shorten it"]
    assert page.locator("#failed-title").inner_text() == "1 failed"
    page.locator("#filter").fill("")
    page.locator("#model").select_option("tiny")
    assert not page.locator("#failed").is_visible()


def test_nothing_found_is_said(reader: Reader) -> None:
    reader.page.locator("#filter").fill("no such thing")
    assert reader.page.locator("#nothing").inner_text() == "Nothing matches."
    reader.page.locator("#filter").fill("")
    assert not reader.page.locator("#nothing").is_visible()


def test_index_is_used_by_keyboard(reader: Reader) -> None:
    page = reader.page
    keys = page.keyboard
    keys.press("/")
    keys.type("page t")
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
    assert titles(page)[0] == "Page 147"
    keys.press("t")
    keys.press("j")
    assert focused(page) == "Page 147"
    keys.press("/")
    assert page.evaluate("() => getSelection().toString()") == "page t"
    keys.type("page 3")
    page.locator("#sort").select_option("order")
    page.locator("#reverse").click()
    keys.press("j")
    assert focused(page) == "Page 3"
    keys.press("Enter")
    page.wait_for_url("**/page-3.html")


def test_skip_link_leaves_the_choice_alone(reader: Reader) -> None:
    page = reader.page
    page.locator("#filter").fill("page 1")
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main"
    assert reader.address() == {"filter": "page 1"}


def test_theme_is_switched(reader: Reader) -> None:
    color = "() => getComputedStyle(document.body).backgroundColor"
    light = reader.page.evaluate(color)
    reader.page.locator("#theme").click()
    assert reader.page.evaluate(color) != light


def test_without_scripts_every_page_is_a_link(browser: Browser, index_address: str) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(index_address)
        links = page.locator("main li a:visible")
        assert links.all_text_contents() == [card.title for card in PAGES]
        assert page.locator("#failures > li:visible").count() == 3
        assert not page.locator("#search, #more, #theme").first.is_visible()


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["cards", "table"])
def test_nobody_is_kept_out(new_reader, index_address: str, width: int, scheme: str, view: str) -> None:
    reader = new_reader(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page = open_index(reader, f"{index_address}#view={view}").page
    assert no_sideways_scroll(page)
    page.add_script_tag(path=AXE)
    assert page.evaluate(VIOLATIONS) == []
