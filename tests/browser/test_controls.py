"""Controls, keys and the address: three ways to the same selection."""

from __future__ import annotations

import pytest
from browser.reader import Reader

HERE = {"layer": "1", "head": "1", "query": "2"}


@pytest.fixture
def reader(cat: Reader) -> Reader:
    """The page at layer 1, head 1, query 2, with nothing in focus."""
    cat.page.evaluate("() => document.activeElement.blur()")
    return cat.go("#layer=1&head=1&query=2")


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("j", {"layer": "2"}),
        ("k", {"layer": "0"}),
        ("l", {"head": "2"}),
        ("h", {"head": "0"}),
        ("ArrowRight", {"query": "3"}),
        ("ArrowLeft", {"query": "1"}),
        ("s", {"scale": "linear"}),
        ("f", {"first": "out"}),
        ("w", {"show": "weighted"}),
        ("t", {"words": "on"}),
        ("a", {"lines": "on"}),
        ("m", {"marks": "on"}),
        ("p", {"pin": "1.1"}),
        ("Control+j", {}),
        ("Alt+l", {}),
        ("x", {}),
    ],
)
def test_key_changes_what_it_says(reader: Reader, key: str, changed: dict[str, str]) -> None:
    reader.press(key)
    assert reader.address() == HERE | changed


def test_ends_hold(reader: Reader) -> None:
    reader.press("k", "k", "k", "l", "l", "l", "l")
    assert reader.address() == HERE | {"layer": "0", "head": "3"}


def test_arrows_walk_the_overview_when_it_has_the_focus(reader: Reader) -> None:
    reader.page.locator("#figure-overview").focus()
    reader.press("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowLeft")
    assert reader.address() == HERE | {"head": "2"}


def test_select_keeps_its_keys(reader: Reader) -> None:
    reader.page.locator("#layer").focus()
    reader.press("j")
    assert reader.address() == HERE


def test_buttons_and_lists_select(reader: Reader) -> None:
    reader.page.get_by_role("button", name="next layer").click()
    reader.page.get_by_role("button", name="previous head").click()
    reader.page.get_by_role("button", name="next query position").click()
    assert reader.settle().address() == {"layer": "2", "head": "0", "query": "3"}
    reader.page.locator("#layer").select_option("0")
    reader.page.locator("#head").select_option("3")
    reader.page.locator("#query").fill("1")
    reader.page.locator("#scale").select_option("linear")
    reader.page.locator("#first").select_option("out")
    assert reader.settle().address() == {
        "layer": "0", "head": "3", "query": "1", "scale": "linear", "first": "out",
    }  # fmt: skip


def test_click_on_a_token_selects_it_and_on_a_generated_one_its_step(reader: Reader) -> None:
    tokens = reader.page.locator("#strip .token")
    tokens.nth(1).click()
    assert reader.address()["query"] == "1"
    assert tokens.nth(1).get_attribute("aria-pressed") == "true"
    tokens.nth(6).click()
    assert reader.address()["step"] == "1"
    # Step 1 chose position 6; the row that chose it is that of position 5.
    assert tokens.nth(5).get_attribute("aria-pressed") == "true"
    assert "Step 1 chose “␣And”, 50 %" in reader.page.locator("#sentence").inner_text()


def test_one_token_is_reached_by_tab_and_arrows_carry_the_focus(reader: Reader) -> None:
    assert reader.page.locator("#strip .token[tabindex='0']").count() == 1
    reader.page.locator("#strip .token[tabindex='0']").focus()
    reader.press("ArrowRight", "ArrowRight")
    focused = reader.page.evaluate("() => document.activeElement.dataset.position")
    assert focused == "4"
    assert reader.address()["step"] == "0"


def test_address_opens_its_view(new_reader, addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/cat.html#layer=2&head=3&step=1&scale=linear&first=out")
    assert reader.page.locator("#head-name").inner_text() == "L2 H3"
    assert reader.page.locator("#query").input_value() == str(5 - 1 + 1)
    assert reader.page.locator("#scale").input_value() == "linear"
    assert reader.page.locator("#first").input_value() == "out"


@pytest.mark.parametrize(
    "wrong",
    ["#layer=99&head=-1&query=1000", "#layer=x&head=&step=3", "#%E0%A4%A", "#layer=1.5&scale=cubic&first=maybe"],
)
def test_wrong_address_falls_back(reader: Reader, wrong: str) -> None:
    reader.go(wrong)
    opening = reader.page.evaluate("() => probe && location.hash")
    assert opening == wrong
    reader.press("s", "s", "s")
    assert reader.address()["step"] == "0"
    assert reader.problems == []


def test_back_returns_to_what_was_chosen_before(reader: Reader) -> None:
    reader.page.locator("#layer").select_option("2")
    reader.page.locator("#head").select_option("3")
    reader.settle().page.go_back()
    assert reader.settle().page.locator("#head-name").inner_text() == "L2 H1"
    reader.page.go_back()
    assert reader.settle().page.locator("#head-name").inner_text() == "L1 H1"


def test_held_key_leaves_one_entry_in_the_history(reader: Reader) -> None:
    reader.page.locator("#layer").select_option("2")
    reader.settle().page.evaluate(
        """() => {
          for (let i = 0; i < 300; i++) {
            document.body.dispatchEvent(new KeyboardEvent("keydown", { key: i % 2 ? "h" : "l", bubbles: true }));
          }
        }"""
    )
    reader.settle()
    reader.page.wait_for_timeout(200)
    assert reader.page.evaluate("() => location.hash") == "#layer=2&head=1&query=2"
    reader.page.go_back()  # before the walk
    assert reader.settle().page.evaluate("() => location.hash") == "#layer=2&head=1&query=2"
    reader.page.go_back()  # before the choice
    assert reader.settle().page.evaluate("() => location.hash") == "#layer=1&head=1&query=2"
    assert reader.problems == []


def test_play_goes_through_all_steps_and_stops(reader: Reader) -> None:
    button = reader.page.locator("#play")
    reader.press("Space")
    assert button.inner_text() == "Pause"
    seen = []
    for _ in range(60):
        sentence = reader.page.locator("#sentence").inner_text()
        if "Step" in sentence and sentence not in seen:
            seen.append(sentence)
        if button.inner_text() == "Play":
            break
        reader.page.wait_for_timeout(100)
    assert [sentence.split("Step ")[1][0] for sentence in seen] == ["0", "1", "2"]
    assert button.get_attribute("aria-pressed") == "false"


def test_space_on_a_tool_of_a_figure_is_not_play(reader: Reader) -> None:
    reader.look_at("head").page.evaluate("() => document.activeElement.blur()")
    tool = reader.page.locator("#figure-head .bk-OnOffButton").first
    tool.focus()
    reader.press("Space")
    assert reader.page.locator("#play").inner_text() == "Play"
    assert reader.address()["query"] == HERE["query"]


def test_layers_of_a_figure_are_no_tab_stops(reader: Reader) -> None:
    reader.look_at("head")
    layers = reader.page.locator("#figure-head .bk-events")
    assert layers.count() > 0
    assert {layer.get_attribute("tabindex") for layer in layers.all()} == {"-1"}


def test_play_can_be_paused(reader: Reader) -> None:
    reader.page.locator("#play").click()
    reader.page.locator("#play").click()
    assert reader.page.locator("#play").inner_text() == "Play"


def test_sticky_toolbar_never_covers_what_has_the_focus(reader: Reader) -> None:
    reader.page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
    reader.page.locator("details summary").last.focus()
    for _ in range(12):
        reader.page.keyboard.press("Shift+Tab")
        top, bottom = reader.page.evaluate(
            """() => {
              const bar = document.querySelector(".toolbar");
              const active = document.activeElement;
              if (bar.contains(active) || active === document.body) return [1, 0];
              return [active.getBoundingClientRect().bottom, bar.getBoundingClientRect().bottom];
            }"""
        )
        assert top > bottom


def test_module_had_no_problem(cat: Reader) -> None:
    assert cat.problems == []
