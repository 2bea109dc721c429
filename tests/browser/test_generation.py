"""The views of generation: what every head and layer read at a step, and what the step chose."""

from __future__ import annotations

import math

import pytest
from browser.reader import Reader

NUM_PROMPT_TOKENS, LAYERS, HEADS = 5, 3, 4


@pytest.mark.parametrize("step", [0, 2])
def test_heads_and_layers_show_the_context_of_the_step(cat: Reader, step: int) -> None:
    context = NUM_PROMPT_TOKENS + step
    cat.go(f"#layer=0&head=1&step={step}").look_at("step_heads")
    (heads,) = cat.ask("data", "step_heads", "image")["image"]
    assert heads["shape"] == [HEADS, context]
    rows = [heads["values"][i * context : (i + 1) * context] for i in range(HEADS)]
    query = context - 1
    assert [row.index(max(row)) for row in rows[:3]] == [query, query - 1, 0]
    assert rows[3] == pytest.approx([(1 / context) ** 0.5] * context, abs=0.003)
    (layers,) = cat.ask("data", "step_layers", "image")["image"]
    assert layers["shape"] == [LAYERS, context]
    # Head 1 reads the token before in layer 0, the first in layer 1, all alike in layer 2.
    assert [layers["values"][i * context] for i in range(LAYERS)] == pytest.approx([0, 1, context**-0.5], abs=0.003)


def test_rows_follow_layer_and_head(cat: Reader) -> None:
    cat.go("#layer=1&head=0&step=0").look_at("step_heads")
    (image,) = cat.ask("data", "step_heads", "image")["image"]
    assert image["values"][:5] == [0, 0, 0, 1, 0]
    assert (
        cat.hover("step_heads", 3, 0)
        == "L1 H0\nquery ␣mat at 4\nkey ␣the at 3\nweight 1\nweighted share 1\nattribution +0.2 logits"
    )
    cat.click("step_heads", 2, 2)
    assert cat.address()["head"] == "2"
    cat.look_at("step_layers").click("step_layers", 1, 2)
    assert cat.address()["layer"] == "2"


def test_line_divides_prompt_and_generated_context(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0").look_at("step_heads")
    assert cat.ask("data", "step_heads", "divider")["xs"] == []
    cat.go("#layer=0&head=0&step=2").look_at("step_heads")
    assert cat.ask("data", "step_heads", "divider")["xs"] == [[4.5, 4.5]]
    cat.look_at("head")
    assert cat.ask("data", "head", "divider")["ys"] == [[4.5, 7.5], [4.5, 4.5]]


def test_bars_are_log_probabilities_and_a_click_selects_the_step(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0").look_at("logprobs")
    bars = cat.ask("data", "logprobs", "bars")
    assert bars["logprob"] == pytest.approx([math.log(0.5)] * 3, abs=1e-4)
    assert bars["color"][0] != bars["color"][1] == bars["color"][2]
    marks = cat.ask("data", "logprobs", "marks")
    assert marks["step"] == [0, 1, 2]
    assert marks["logprob"] == pytest.approx([math.log(0.8)] * 3, abs=1e-4)
    assert cat.ask("labels", "logprobs", "x") == {"0": "0 .", "1": "1 ␣And", "2": "2 ␣the"}
    cat.click("logprobs", 2, -0.1)
    assert cat.address()["step"] == "2"


def test_next_tokens_are_listed_raw_and_after_filters(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=1")
    rows = cat.page.locator("#next tr")
    assert [text.split() for text in rows.all_inner_texts()] == [
        ["␣And", "50", "%", "80", "%"],
        ["␣dog", "25", "%", "20", "%"],
        ["␣hat", "25", "%", "0", "%"],
    ]
    assert rows.nth(0).get_attribute("class") == "chosen"
    assert cat.page.locator("#next-of").inner_text() == "step 1 of 3"
    assert "after sampling filters" in cat.page.locator("#next-note").inner_text()


def test_prompt_tokens_have_probabilities_too(cat: Reader) -> None:
    cat.go("#layer=0&head=0&query=0")
    assert cat.page.locator("#next tr").nth(0).inner_text().split() == ["␣cat", "25", "%"]
    assert "The text goes on with “␣cat”, 25 %" in cat.page.locator("#sentence").inner_text()
    cat.go("#layer=0&head=0&query=7")
    assert "the last token: nothing follows" in cat.page.locator("#sentence").inner_text()
    assert cat.page.locator("#next tr").count() == 0


def test_strongest_keys_stand_beside_the_heatmap(cat: Reader) -> None:
    cat.go("#layer=0&head=1&query=3")
    first = cat.page.locator("#strongest tbody tr").nth(0).inner_text().split()
    assert first == ["␣ate", "2", "1", "1"]


def test_module_had_no_problem(cat: Reader) -> None:
    assert cat.problems == []
