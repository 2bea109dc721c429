"""Head scores: the map by a score, the chosen head's place among all, the table of all heads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from browser.captures import CAPTURES
from browser.reader import Reader


def test_map_colours_every_head_by_a_score(cat: Reader) -> None:
    cat.go("#layer=1&head=0&step=0&by=previous&scale=linear").look_at("map")
    expected = CAPTURES["cat"].evidence.scores["previous"]
    assert cat.rows("map") == [pytest.approx(row.tolist(), abs=1e-4) for row in expected[::-1]]
    assert cat.page.locator("#map-says").inner_text() == "previous token"
    assert (cat.point_at(1, 0, "map") or "").startswith("L1 H0\nprevious token 1.000")
    cat.click_cell(2, 2, "map")
    assert cat.address() == {"layer": "0", "head": "2", "step": "0", "by": "previous", "scale": "linear"}


def test_choice_of_a_score_is_in_the_address(cat: Reader) -> None:
    cat.go("#layer=1&head=0&step=0").choose("by", "induction")
    assert cat.address()["by"] == "induction"
    assert "by" not in cat.choose("by", "effect").address()


def test_undefined_scores_are_not_drawn(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> None:
    one = new_reader().open(f"{addresses['file']}/one.html#by=sink").look_at("map")
    assert one.rows("map") == [[None, None]]
    assert (one.point_at(0, 0, "map") or "").startswith("L0 H0\nfirst token n/a")
    assert one.problems == []


def test_chosen_head_has_its_scores_and_ranks(cat: Reader) -> None:
    cat.go("#layer=0&head=1&step=0").page.locator("#scores").evaluate("(fold) => (fold.open = true)")
    assert ["previous token", "1.000", "1 of 12"] in cat.table("chosen")
    assert cat.page.locator("#chosen-name").inner_text() == "L0 H1"
    assert cat.page.locator("#chosen-label").inner_text() == "previous-token head, by a score of 0.5 or more"
    cat.go("#layer=0&head=3&step=0")
    assert cat.page.locator("#chosen-label").inner_text() == "no clear type"


def test_listed_head_is_selected_by_a_click_and_the_step_stays(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=2").page.locator("#scores").evaluate("(fold) => (fold.open = true)")
    cat.page.locator("#scores [data-layer='1'][data-head='0']").first.click()
    assert cat.settle().address() == {"layer": "1", "head": "0", "step": "2"}


def test_table_of_all_heads_is_sorted_by_a_click(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0").page.locator("#scores").evaluate("(fold) => (fold.open = true)")
    if not cat.page.locator("#head-scores").is_visible():
        cat.page.locator("#all-heads summary").click()
    rows = cat.page.locator("#head-scores tbody tr")
    first = rows.first.locator("td").first.inner_text
    assert first() == "L0 H0"
    assert rows.count() == 12
    sort = cat.page.locator("#head-scores [data-score=distance]")
    sort.click()
    assert sort.locator("xpath=..").get_attribute("aria-sort") == "descending"
    assert first() == "L0 H2"
    sort.click()
    assert sort.locator("xpath=..").get_attribute("aria-sort") == "ascending"
    assert first() == "L0 H0"
    assert cat.page.locator("#head-scores tr.chosen").inner_text().startswith("L0 H0")
    rows.last.locator("button").click()
    assert cat.settle().page.locator("#head-scores tr.chosen").count() == 1
    assert cat.page.locator("#head-scores tr.chosen").inner_text() == rows.last.inner_text()


def test_module_had_no_problem(cat: Reader) -> None:
    assert cat.problems == []
