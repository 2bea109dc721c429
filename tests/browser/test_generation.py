"""What attention read for each generated token, what the step chose, and the sentence that says it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from browser.captures import CAPTURES
from browser.reader import Reader

from reportgen.pages.answer import make_answers

NUM_PROMPT_TOKENS, NUM_STEPS = 5, 3


def read_of(step: int) -> np.ndarray:
    """Return what attention read for a step, by token read, as the capture has it."""
    attribution = CAPTURES["cat"].evidence.attribution
    assert attribution is not None
    assert attribution.read is not None
    lengths = [NUM_PROMPT_TOKENS + one for one in range(step + 1)]
    return attribution.read[sum(lengths[:-1]) : sum(lengths)]


def test_rows_are_shares_of_the_largest_and_what_is_not_written_is_empty(cat: Reader) -> None:
    rows = cat.go("#layer=0&head=0&step=0").look_at("read").rows("read")
    for step in range(NUM_STEPS):
        expected, context = read_of(step), NUM_PROMPT_TOKENS + step
        expected = np.clip(expected / abs(expected[1:]).max(), -1, 1)
        assert rows[step][:context] == pytest.approx(expected.tolist(), abs=1e-4)
        assert rows[step][context:] == [None] * (NUM_STEPS - 1 - step)
    assert cat.ask("limits", "read") == [-1, 1]


def test_row_of_the_page_adds_up_to_attentions_part(cat: Reader) -> None:
    """From the page's own data: the row of the figure's table against the sum that the page lists."""
    for step in range(NUM_STEPS):
        cat.go(f"#layer=0&head=0&step={step}").look_at("effect")
        row = cat.page.evaluate(
            """async (step) => {
              const bytes = await reportgen.blocks.readBytes("read");
              const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
              const lengths = Array.from({ length: step + 1 }, (_, i) => 5 + i);
              const end = lengths.reduce((a, b) => a + b);
              return [...all.subarray(end - lengths.at(-1), end)];
            }""",
            step,
        )
        (heads,) = [value for name, value in cat.table("sum") if name == "heads"]
        attention = float(heads.replace("−", "-"))
        assert sum(row) == pytest.approx(attention, abs=1e-3)
        assert f"attention −{abs(attention):.1f}" in cat.page.locator("#details").inner_text()


def test_row_selects_the_step_and_a_cell_the_token_read(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0").look_at("read")
    assert cat.ask("labels", "read", "rows") == [".", "␣And", "␣the"]
    assert cat.ask("places", "read", "rows") == ["50 %"] * 3
    tip = cat.point_at(1, 3, "read")
    value = read_of(1)[3]
    assert tip
    assert tip.startswith("from . at 5\nreads ␣the at 3\n")
    assert f"through attention −{abs(value):.2f} logits for “␣And”" in tip
    cat.click_cell(1, 3, "read")
    assert cat.address() == {"layer": "0", "head": "0", "step": "1", "key": "3"}
    assert cat.ask("frames", "read") == [[0, 1, 7, 1]]
    assert cat.ask("selected", "heads", "columns") == "␣the"
    cat.click_cell(0, 6, "read")
    assert cat.address() == {"layer": "0", "head": "0", "step": "0"}


def test_notes_name_the_token_and_the_head_and_select_it(
    new_reader: Callable[..., Reader], addresses: dict[str, str]
) -> None:
    reader = new_reader().open(f"{addresses['file']}/many.html#layer=0&head=5&step=3").look_at("read")
    capture = CAPTURES["many"]
    attribution = capture.evidence.attribution
    assert attribution is not None
    assert attribution.read is not None
    assert attribution.sources is not None
    notes = reader.ask("notes", "read")
    for row, step in enumerate(range(1, 7)):
        start = sum(NUM_PROMPT_TOKENS + one for one in range(step))
        values = attribution.read[start : start + NUM_PROMPT_TOKENS + step]
        key = int(values[1:].argmax()) + 1
        layer, head = divmod(int(attribution.sources[:, :, start + key].argmax()), 18)
        assert notes[row][:2] == [capture.tokens[key].shown, str(key)]
        assert notes[row][3:5] == [f"L{layer}", f"H{head}"]
    chip = reader.page.locator("#figure-read .notes .chip").first
    layer, head = (chip.get_attribute(f"data-{name}") for name in ("layer", "head"))
    chip.click()
    assert reader.settle().address() == {"layer": layer, "head": head, "step": "3"}
    assert reader.problems == []


def test_six_steps_around_the_selected_one_are_shown_or_all(
    new_reader: Callable[..., Reader], addresses: dict[str, str]
) -> None:
    reader = new_reader().open(f"{addresses['file']}/many.html#layer=0&head=5&step=0").look_at("read")
    assert reader.ask("labels", "read", "rows") == [f"␣g{step}" for step in range(6)]
    reader.press("n", "n", "n", "n", "n", "n")
    assert reader.ask("labels", "read", "rows") == [f"␣g{step}" for step in range(2, 8)]
    assert reader.ask("selected", "read", "rows") == "␣g6"
    reader.page.locator("[data-all=steps]").click()
    assert reader.settle().ask("labels", "read", "rows") == [f"␣g{step}" for step in range(8)]
    assert reader.address()["all"] == "steps"
    assert reader.problems == []


def test_sentence_follows_the_step(cat: Reader) -> None:
    answers = make_answers(CAPTURES["cat"])
    for step in range(NUM_STEPS):
        claim = cat.go(f"#layer=0&head=3&step={step}").page.locator("#claim").inner_text()
        written = CAPTURES["cat"].tokens[NUM_PROMPT_TOKENS + step].shown
        assert claim.startswith(f"The model wrote {written}")
        best = answers[step].best
        assert best is not None
        assert f"L{best.layer} H{best.head} reads {CAPTURES['cat'].tokens[best.key_pos].shown}" in claim
        assert f"+{best.effect:.1f} logits" in claim
        account = answers[step].account
        assert account is not None
        details = cat.page.locator("#details").inner_text()
        assert f"In all +{account.total:.1f}: attention −{abs(account.attention):.1f}" in details
    assert len({answer.claim for answer in answers}) == NUM_STEPS


def test_titles_of_folds_follow_the_step(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> None:
    reader = new_reader().open(f"{addresses['file']}/cat.html#layer=0&head=0&step=0")
    titles = []
    for step in range(NUM_STEPS):
        reader.go(f"#layer=0&head=0&step={step}")
        titles.append([title.inner_text() for title in reader.page.locator("details.fold summary h2").all()])
    lens = [one[0] for one in titles]
    assert lens == [f"Logit lens: {token} is best from layer 2 on" for token in (".", "␣And", "␣the7")]
    average = [next(title for title in one if title.startswith("Average")) for one in titles]
    assert len(set(average)) == NUM_STEPS
    assert not any(fold.get_attribute("open") for fold in reader.page.locator("details.fold").all())


def test_next_tokens_are_listed_raw_and_after_filters(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=1")
    rows = cat.page.locator("#next tr")
    assert [text.split() for text in rows.all_inner_texts()] == [
        ["␣And", "50", "%", "80", "%"],
        ["␣dog", "25", "%", "20", "%"],
        ["␣hat", "25", "%", "0", "%"],
    ]
    assert rows.nth(0).get_attribute("class") == "chosen"
    assert cat.page.locator("#next-of").inner_text() == "token 2 of 3"
    note = cat.page.locator("#next-note").inner_text()
    assert note == "About 2.0 equally likely tokens (entropy 0.69 nats). Thin bars: after sampling filters."


def test_prompt_tokens_have_probabilities_too(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0&query=0")
    assert cat.page.locator("#next tr").nth(0).inner_text().split() == ["␣cat", "25", "%"]
    assert cat.page.locator("#next-of").inner_text() == "in the prompt"
    cat.go("#layer=0&head=0&step=2&query=7")
    assert cat.page.locator("#next-of").inner_text() == "nothing follows"
    assert cat.page.locator("#next tr").count() == 0


def test_tokens_read_most_stand_beside_the_panels(cat: Reader) -> None:
    cat.go("#layer=0&head=1&step=0&query=3")
    assert cat.table("strongest")[0][:3] == ["␣ate", "2", "1"]
    assert cat.page.locator("#strongest-of").inner_text() == "from “␣the”"


def test_forecast_says_what_would_come_next(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> None:
    reader = new_reader().open(f"{addresses['file']}/forecast.html")
    assert reader.page.locator("#claim").inner_text().startswith("The model would write next ␣sat (50 %).")
    assert reader.page.locator("#strip .forecast").inner_text() == "␣sat"
    assert "nothing written" in reader.page.locator("#controls").inner_text()
    assert reader.page.locator("#play, #step-name, #figure-read").count() == 0
    assert reader.look_at("effect").rows("effect")[0] == pytest.approx([0.3, 0, -0.3, -0.6], abs=1e-4)
    assert reader.page.locator("#next-of").inner_text() == "would be written"
    assert reader.ask("notes", "heads")[0][3] == "+0.2"
    assert reader.problems == []


def test_module_had_no_problem(cat: Reader) -> None:
    assert cat.problems == []
