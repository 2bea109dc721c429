"""Controls, keys and the address: three ways to the same selection."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from browser.reader import Reader

HERE = {"layer": "1", "head": "1", "step": "0", "query": "2"}
OPENING = {"layer": "1", "head": "0", "step": "1"}


@pytest.fixture
def reader(cat: Reader) -> Reader:
    """The page at layer 1, head 1, position 2, with nothing in focus."""
    cat.page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
    return cat.go("#layer=1&head=1&step=0&query=2")


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
        ("r", {"layout": "patterns"}),
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


def test_steps_are_walked_by_keys_and_take_their_position_along(reader: Reader) -> None:
    assert reader.press("n").address() == {"layer": "1", "head": "1", "step": "1"}
    assert reader.press("n", "n").address()["step"] == "2"
    assert reader.page.locator("#step-name").inner_text() == "3 of 3"
    assert reader.page.locator("#query-name").inner_text() == "␣And6"
    assert reader.press("b").address() == {"layer": "1", "head": "1", "step": "1"}


def test_position_that_wrote_a_token_takes_its_step_along(reader: Reader) -> None:
    assert reader.press("ArrowRight", "ArrowRight", "ArrowRight").address() == {"layer": "1", "head": "1", "step": "1"}
    # Nothing follows the last token: the step stays.
    assert reader.press("ArrowRight", "ArrowRight").address() == HERE | {"step": "2", "query": "7"}


@pytest.mark.parametrize(
    ("figure", "keys", "changed"),
    [
        ("map", ("ArrowUp",), {"layer": "2"}),
        ("map", ("ArrowDown", "ArrowRight", "ArrowRight"), {"layer": "0", "head": "3"}),
        ("map", ("ArrowLeft",), {"head": "0"}),
        ("effect", ("ArrowUp", "ArrowRight"), {"layer": "2", "head": "2"}),
        ("heads", ("ArrowDown",), {"head": "2"}),
        ("heads", ("ArrowUp", "ArrowRight"), {"head": "0", "query": "3"}),
        ("layers", ("ArrowUp",), {"layer": "2"}),
        ("layers", ("ArrowDown",), {"layer": "0"}),
        ("head", ("ArrowDown",), {"query": "3"}),
        ("head", ("ArrowUp", "ArrowUp"), {"query": "0"}),
        ("read", ("ArrowDown",), {"step": "1", "query": None}),
    ],
)
def test_arrows_walk_the_figure_in_focus(
    reader: Reader, figure: str, keys: tuple[str, ...], changed: dict[str, str | None]
) -> None:
    reader.page.locator(f"#figure-{figure}").focus()
    reader.press(*keys)
    expected = {name: value for name, value in (HERE | changed).items() if value is not None}
    assert reader.address() == expected


def test_field_keeps_its_keys(reader: Reader) -> None:
    reader.page.locator("#measure").focus()
    reader.press("j")
    assert reader.address() == HERE


def test_buttons_and_lists_select(reader: Reader) -> None:
    reader.page.get_by_role("button", name="next token").click()
    assert reader.settle().address() == {"layer": "1", "head": "1", "step": "1"}
    reader.page.get_by_role("button", name="previous token").click()
    reader.choose("scale", "linear").choose("first", "out").choose("shading", "weight").choose("by", "weight")
    assert reader.address() == {
        "layer": "1", "head": "1", "step": "0", "scale": "linear", "first": "out", "shading": "weight", "by": "weight",
    }  # fmt: skip
    reader.choose("contrast", "runner-up-1")
    assert (reader.address()["contrast"], reader.address()["measure"]) == ("runner-up-1", "runner-up-1")


def test_head_and_token_of_the_sentence_select(reader: Reader) -> None:
    reader.go("#layer=0&head=3&step=1").page.locator("#claim .chip").click()
    assert reader.settle().address() == {"layer": "1", "head": "0", "step": "1"}
    reader.page.locator("#claim .tok", has_text="␣mat").click()
    assert reader.settle().address() == {"layer": "1", "head": "0", "step": "1", "key": "4"}
    assert reader.ask("selected", "heads", "columns") == "␣mat"
    assert reader.page.locator("#strip .key").inner_text() == "␣mat"


def test_click_on_a_word_of_the_prompt_keeps_the_step(reader: Reader) -> None:
    reader.go("#layer=1&head=1&step=1")
    tokens = reader.page.locator("#strip .token")
    claim = reader.page.locator("#claim").inner_text()
    tokens.nth(1).click()
    assert reader.settle().address() == {"layer": "1", "head": "1", "step": "1", "query": "1"}
    assert reader.page.locator("#strip .from").inner_text() == "␣cat"
    assert reader.page.locator("#strip .now").inner_text() == "␣And"
    assert reader.page.locator("#query-says").inner_text() == "reading at"
    # Effects stay those on the token of the step.
    assert reader.page.locator("#claim").inner_text() == claim
    assert reader.look_at("effect").rows("effect")[0] == pytest.approx([0.6, 0, -0.6, -1.2], abs=1e-4)
    assert reader.page.locator("#effect-of").text_content() == "␣And"
    assert reader.ask("frames", "read") == [[0, 1, 7, 1]]


def test_click_on_a_generated_token_selects_its_step(reader: Reader) -> None:
    reader.page.locator("#strip .token").nth(6).click()
    assert reader.settle().address() == {"layer": "1", "head": "1", "step": "1"}
    # The token of step 1 stands at 6; the position that chose it is 5.
    assert reader.page.locator("#strip .from").get_attribute("data-position") == "5"
    assert reader.page.locator("#claim").inner_text().startswith("The model wrote ␣And (50 %).")


def test_one_token_is_reached_by_tab_and_arrows_carry_the_focus(reader: Reader) -> None:
    assert reader.page.locator("#strip .token[tabindex='0']").count() == 1
    reader.page.locator("#strip .token[tabindex='0']").focus()
    reader.press("ArrowRight", "ArrowRight")
    assert reader.page.evaluate("() => document.activeElement.dataset.position") == "4"
    reader.page.locator("#strip .token").nth(4).press("Enter")
    assert reader.settle().address() == {"layer": "1", "head": "1", "step": "0"}


def test_address_opens_its_view(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> None:
    reader = new_reader().open(f"{addresses['file']}/cat.html#layer=2&head=3&step=1&scale=linear&first=out&key=2")
    assert reader.page.locator("#head-name").inner_text() == "L2 H3 ▾"
    assert reader.page.locator("#query-name").inner_text() == ".5"
    assert reader.page.locator("#step-name").inner_text() == "2 of 3"
    assert reader.page.locator("#scale").input_value() == "linear"
    assert reader.page.locator("#first").input_value() == "out"
    assert reader.ask("selected", "heads", "columns") == "␣ate"
    assert reader.problems == []


def test_page_opens_on_the_largest_effect_through_one_token(
    new_reader: Callable[..., Reader], addresses: dict[str, str]
) -> None:
    reader = new_reader().open(f"{addresses['file']}/cat.html")
    assert reader.address() == {}
    assert reader.press("s").address() == OPENING | {"key": "4", "scale": "linear"}


@pytest.mark.parametrize(
    "wrong",
    ["#layer=99&head=-1&query=1000", "#layer=x&head=&step=3", "#%E0%A4%A", "#layer=1.5&scale=cubic&first=maybe"],
)
def test_wrong_address_falls_back(reader: Reader, wrong: str) -> None:
    reader.go(wrong)
    assert reader.page.evaluate("() => location.hash") == wrong
    reader.press("s", "s", "s")
    assert reader.address() == OPENING | {"key": "4"}
    assert reader.problems == []


def test_back_returns_to_what_was_chosen_before(reader: Reader) -> None:
    reader.click_cell(2, 3, "map")
    assert reader.page.locator("#head-name").inner_text() == "L0 H3 ▾"
    reader.click_cell(0, 2, "map")
    reader.page.go_back()
    assert reader.settle().page.locator("#head-name").inner_text() == "L0 H3 ▾"
    assert reader.ask("frames", "map") == [[3, 2, 1, 1]]
    reader.page.go_back()
    assert reader.settle().page.locator("#head-name").inner_text() == "L1 H1 ▾"


def test_held_key_leaves_one_entry_in_the_history(reader: Reader) -> None:
    reader.click_cell(0, 1, "map").page.evaluate(
        """() => {
          for (let i = 0; i < 300; i++) {
            document.body.dispatchEvent(new KeyboardEvent("keydown", { key: i % 2 ? "h" : "l", bubbles: true }));
          }
        }"""
    )
    reader.settle()
    reader.page.wait_for_timeout(200)
    hash_of = "() => location.hash"
    assert reader.page.evaluate(hash_of) == "#layer=2&head=1&step=0&query=2"
    reader.page.go_back()  # before the walk
    assert reader.settle().page.evaluate(hash_of) == "#layer=2&head=1&step=0&query=2"
    reader.page.go_back()  # before the choice
    assert reader.settle().page.evaluate(hash_of) == "#layer=1&head=1&step=0&query=2"
    assert reader.problems == []


def test_play_goes_through_all_steps_and_stops(reader: Reader) -> None:
    button = reader.page.locator("#play")
    reader.go("#layer=1&head=1&step=0").press("Space")
    assert button.get_attribute("aria-pressed") == "true"
    claims = []
    for _ in range(60):
        claim = reader.page.locator("#claim").inner_text()
        claims += [claim] if claim not in claims else []
        if button.get_attribute("aria-pressed") == "false":
            break
        reader.page.wait_for_timeout(100)
    assert [claim.split()[3] for claim in claims] == [".", "␣And", "␣the7"]
    assert reader.settle().address()["step"] == "2"


def test_play_can_be_paused(reader: Reader) -> None:
    button = reader.page.locator("#play")
    button.click()
    button.click()
    assert button.get_attribute("aria-pressed") == "false"


def test_layers_of_a_figure_are_no_tab_stops(reader: Reader) -> None:
    layers = reader.look_at("head").page.locator("#figure-head .bk-events")
    assert layers.count() > 0
    assert {layer.get_attribute("tabindex") for layer in layers.all()} == {"-1"}


def test_bar_never_covers_what_has_the_focus(reader: Reader) -> None:
    reader.page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
    reader.page.locator("details summary").last.focus()
    for _ in range(16):
        reader.page.keyboard.press("Shift+Tab")
        bottom, edge = reader.page.evaluate(
            """() => {
              const bar = document.querySelector(".bar");
              const active = document.activeElement;
              if (bar.contains(active) || active === document.body) return [1, 0];
              return [active.getBoundingClientRect().bottom, bar.getBoundingClientRect().bottom];
            }"""
        )
        assert bottom > edge


def test_contents_lead_to_a_section_and_keep_the_selection(reader: Reader) -> None:
    reader.page.locator(".rail nav a[href='#effect']").click()
    top = reader.settle().page.locator("#effect").evaluate("(one) => one.getBoundingClientRect().top")
    bar = reader.page.locator(".bar").evaluate("(one) => one.getBoundingClientRect().bottom")
    assert bar <= top < 450
    assert reader.address() == HERE
    reader.page.locator(".rail nav a[href='#made']").click()
    assert reader.page.locator("#made").get_attribute("open") is not None


def test_contents_mark_the_section_at_the_top(reader: Reader) -> None:
    current = reader.page.locator(".rail nav [aria-current=true]")
    reader.page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    reader.settle()
    assert current.all_inner_texts() == ["Answer"]
    reader.page.locator(".rail nav a[href='#effect']").click()
    reader.page.locator(".rail nav a[href='#effect'][aria-current=true]").wait_for()


def test_module_had_no_problem(cat: Reader) -> None:
    assert cat.problems == []
