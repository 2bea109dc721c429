"""The page of a series in a browser: a head and a member are chosen, and the pattern is that of the capture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from browser.reader import Reader
from browser.test_everyone import DESKTOP, PHONE, violations
from browser.test_reading import no_sideways_scroll
from playwright.sync_api import Browser
from samples import make_series

from reportgen.pages.cards import make_card
from reportgen.pages.page import render_page
from reportgen.pages.series import draw_series, make_series_card, measure_changes, measure_series, rank_heads
from reportgen.records import Comparison
from reportgen.site.site import Site

MEMBERS = make_series(4, num_prompt_tokens=(6, 6, 9, 6))
SERIES = measure_series(Comparison(("a", "b", "c", "d"), "Four steps", "steps"), MEMBERS)
SHADES = """() => {
  const canvas = document.querySelector("#figure-pattern .still canvas");
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  return [width, height, Array.from({ length: width * height }, (_, cell) =>
    data[4 * cell + 3] ? data[4 * cell] + data[4 * cell + 1] + data[4 * cell + 2] : null)];
}"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = Site(tmp_path_factory.mktemp("series")).open()
    for capture in MEMBERS:
        site.write_page(capture.prompt.slug, render_page(capture))
    site.write_page("steps", draw_series(SERIES)[0])
    site.write_index([*map(make_card, MEMBERS), make_series_card(SERIES)])
    return site.root


def open_series(reader: Reader, root: Path, address: str = "") -> Reader:
    """Open the page and wait until it answers."""
    reader.page.goto("about:blank")
    reader.page.goto(f"{(root / 'steps.html').as_uri()}{address}")
    reader.page.locator("html[data-ready]").wait_for(state="attached")
    return reader


def check_pattern(reader: Reader, member: int, layer: int, head: int) -> None:
    """Check that the pattern has the shape of the member's text, and that larger weights are darker."""
    capture = MEMBERS[member]
    title = f"L{layer} H{head} in {'ABCD'[member]} {SERIES.names[member]}"
    reader.page.locator("#chosen-title").get_by_text(title, exact=True).wait_for()
    width, height, shades = reader.page.evaluate(SHADES)
    assert (width, height) == (capture.num_tokens, capture.num_tokens)
    weights = np.asarray(capture.attention[layer, head], float)
    drawn = np.array([np.nan if shade is None else shade for shade in shades]).reshape(weights.shape)
    assert np.array_equal(np.isnan(drawn), ~np.tri(len(weights), dtype=bool))
    cells = np.tril_indices(len(weights))
    order = np.argsort(weights[cells], kind="stable")
    assert (np.diff(drawn[cells][order]) <= 1).all()
    labels = reader.page.locator("#figure-pattern .rows span").all_text_contents()
    assert labels == [token.shown for token in capture.tokens]


def test_head_and_member_are_chosen_and_the_address_holds_them(new_reader: Callable[..., Reader], root: Path) -> None:
    reader = open_series(new_reader(**DESKTOP), root)
    page = reader.page
    layer, head = SERIES.heads[rank_heads(SERIES.numbers[page.locator("#number").input_value()])[0]]
    check_pattern(reader, 0, layer, head)
    page.locator("#member").focus()
    for member in (1, 2):
        page.keyboard.press("ArrowRight")
        check_pattern(reader, member, layer, head)
    page.locator('#rows [data-head="7"]').click()
    check_pattern(reader, 2, *SERIES.heads[7])
    page.select_option("#number", "effect")
    page.locator("#lines-effect").wait_for(state="visible")
    check_pattern(reader, 2, *SERIES.heads[7])
    assert page.locator("svg.lines:visible").count() == 1
    values = SERIES.numbers["effect"]
    first = page.locator("#rows tr").first
    order = rank_heads(values)
    expected = [float(measure_changes(values)[order[0]]), *values[:, order[0]].tolist()]
    texts = [text.replace("−", "-") for text in first.locator("td").all_text_contents()]
    assert [float(text) for text in texts] == pytest.approx(expected, abs=0.006)
    link = page.locator("#member-page").get_attribute("href")
    assert link == f"c.html#layer={SERIES.heads[7][0]}&head={SERIES.heads[7][1]}"
    page.wait_for_timeout(200)  # walks are written a little later
    address = page.url.partition("#")[2]
    other = open_series(new_reader(**DESKTOP), root, f"#{address}")
    check_pattern(other, 2, *SERIES.heads[7])
    assert other.page.locator("#number").input_value() == "effect"
    assert reader.problems == other.problems == []


def test_table_is_sorted_by_any_member_and_the_series_plays(new_reader: Callable[..., Reader], root: Path) -> None:
    reader = open_series(new_reader(**DESKTOP), root)
    page = reader.page
    values = SERIES.numbers[page.locator("#number").input_value()][1]
    page.locator('[data-sort="1"]').click()
    page.locator('[data-column="1"][aria-sort="descending"]').wait_for()
    names = page.locator("#rows .chip").all_text_contents()
    known = [place for place in np.argsort(-values, kind="stable") if not np.isnan(values[place])]
    assert names[: len(known)] == ["L{} H{}".format(*SERIES.heads[place]) for place in known]
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press(" ")
    page.locator('#play[aria-pressed="true"]').wait_for()
    page.locator("#member-name").get_by_text(f"B {SERIES.names[1]}").wait_for()
    page.locator("#play").click()
    assert page.locator("#play").get_attribute("aria-pressed") == "false"
    assert reader.problems == []


def test_line_of_a_head_that_changes_little_is_drawn_too(new_reader: Callable[..., Reader], root: Path) -> None:
    reader = open_series(new_reader(**DESKTOP), root)
    page = reader.page
    name = page.locator("#number").input_value()
    least = rank_heads(SERIES.numbers[name])[-1]
    page.locator(f'#rows [data-head="{least}"]').click()
    label = page.locator(f"#lines-{name} g.chosen:not([data-head]) text")
    label.get_by_text("L{} H{}".format(*SERIES.heads[least])).wait_for()
    path = page.locator(f"#lines-{name} g.chosen:not([data-head]) path").get_attribute("d") or ""
    assert path.count("L") == len(MEMBERS) - 1


@pytest.mark.parametrize(("scheme", "device"), [("dark", PHONE), ("light", DESKTOP)], ids=["phone", "desktop"])
def test_axe_finds_nothing_and_nothing_is_too_wide(
    new_reader: Callable[..., Reader], root: Path, scheme: str, device: dict[str, object]
) -> None:
    reader = open_series(new_reader(bypass_csp=True, color_scheme=scheme, **device), root, "#member=2")
    reader.page.locator("details").evaluate_all("(found) => found.forEach((one) => { one.open = true; })")
    assert violations(reader) == []
    assert no_sideways_scroll(reader.page)
    assert reader.problems == []


def test_without_scripts_the_sentence_lines_and_table_stand(browser: Browser, root: Path) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((root / "steps.html").as_uri())
        assert page.locator(".change-said").inner_text().startswith(f"From {SERIES.names[0]} to {SERIES.names[-1]}, L")
        assert page.locator("svg.lines:visible").count() == 1
        assert page.locator("#rows tr").count() == 10
        assert page.locator("#figure-pattern .still img").is_visible()
        assert page.locator("#choice").is_hidden()
        page.goto((root / "index.html").as_uri())
        card = page.locator(".card", has=page.get_by_role("link", name="Four steps"))
        assert "series" in card.locator("h2").inner_text()
        assert card.locator(".sides b").all_text_contents() == list("ABCD")
