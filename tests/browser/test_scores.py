"""Head scores: the overview by a score, the chosen head's place among all, the table of all heads."""

from __future__ import annotations

import pytest
from browser.captures import CAPTURES
from browser.reader import Reader


def test_overview_colours_every_head_by_a_score(cat: Reader) -> None:
    cat.go("#layer=1&head=0&by=previous").look_at("overview")
    (image,) = cat.ask("data", "overview", "image")["image"]
    assert image["shape"] == [3, 4]
    assert image["values"] == pytest.approx(CAPTURES["cat"].evidence.scores["previous"].ravel().tolist(), abs=1e-4)
    assert cat.page.locator("#overview-note").inner_text() == "Colours from 0 to 1.000; click a head."
    assert cat.hover("overview", 0.5, 1.5) == "L1 H0\nprevious token 1.000"


def test_click_in_the_overview_by_a_score_selects_the_head(cat: Reader) -> None:
    cat.go("#layer=1&head=0&by=previous").look_at("overview").click("overview", 2.5, 0.5)
    assert cat.address() == {"layer": "0", "head": "2", "step": "0", "by": "previous"}


def test_choice_of_a_score_is_in_the_address(cat: Reader) -> None:
    cat.go("#layer=1&head=0")
    cat.page.select_option("#by", "induction")
    assert cat.settle().address()["by"] == "induction"
    cat.page.select_option("#by", "pattern")
    assert "by" not in cat.settle().address()


def test_undefined_scores_are_not_drawn(new_reader, addresses) -> None:
    one = new_reader().open(f"{addresses['file']}/one.html#by=sink").look_at("overview")
    assert one.ask("data", "overview", "image")["image"][0]["values"] == [None, None]
    assert one.hover("overview", 0.5, 0.5) == "L0 H0\nfirst token n/a"
    assert one.problems == []


def test_chosen_head_has_its_scores_and_ranks(cat: Reader) -> None:
    cat.go("#layer=0&head=1")
    rows = [row.split("\t") for row in cat.page.locator("#chosen tbody").inner_text().split("\n")]
    assert ["previous token", "1.000", "1 of 12"] in rows
    assert cat.page.locator("#chosen-label").inner_text() == "previous-token head, by a score of 0.5 or more"
    cat.go("#layer=0&head=3")
    assert "none of 0.5 or more" in cat.page.locator("#chosen-label").inner_text()


def test_listed_head_is_selected_by_a_click_and_the_query_stays(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=2")
    cat.page.locator("[data-layer='1'][data-head='0']").first.click()
    assert cat.settle().address() == {"layer": "1", "head": "0", "step": "2"}


def test_table_of_all_heads_is_sorted_by_a_click(cat: Reader) -> None:
    cat.go("#layer=0&head=0")
    if not cat.page.locator("#heads").is_visible():
        cat.page.locator("#all-heads summary").click()
    rows = cat.page.locator("#heads tbody tr")
    first = rows.first.locator("td").first.inner_text
    assert first() == "L0 H0"
    assert rows.count() == 12
    sort = cat.page.locator("#heads [data-score=distance]")
    sort.click()
    assert sort.locator("xpath=..").get_attribute("aria-sort") == "descending"
    assert first() == "L0 H2"
    sort.click()
    assert sort.locator("xpath=..").get_attribute("aria-sort") == "ascending"
    assert first() == "L0 H0"
    assert cat.page.locator("#heads tr.chosen").inner_text().startswith("L0 H0")
    rows.last.locator("button").click()
    assert cat.settle().page.locator("#heads tr.chosen").count() == 1
    assert cat.page.locator("#heads tr.chosen").inner_text() == rows.last.inner_text()


def test_module_had_no_problem(cat: Reader) -> None:
    assert cat.problems == []
