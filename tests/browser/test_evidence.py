"""Evidence on the page: what heatmaps show, what wrote a token, lens, rollout, and what is said where there is none.

In the sample a first token is written from with a quarter of the length of the others. Head ``h`` of layer ``l`` writes
``(step + 1) * (l + 1) * (1 - h)`` tenths of a logit, half of that against each runner-up; an MLP 1, the embedding 2,
biases 0.5 and heads that were not captured -1.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from browser.captures import CAPTURES
from browser.reader import Reader

from reportgen.pages.palettes import DIVERGING, PALETTES

MASKED = "#f1f2f4"
LIGHT = DIVERGING["light"]


def image_of(reader: Reader, figure: str, number: int = 0) -> list[list[float | None]]:
    """Return the rows of an image that a figure shows."""
    image = reader.ask("data", figure, "image")["image"][number]
    rows, columns = image["shape"]
    return [image["values"][row * columns : (row + 1) * columns] for row in range(rows)]


def rows_of(reader: Reader, table: str) -> list[list[str]]:
    """Return the texts of a table's cells."""
    return [row.locator("th, td").all_inner_texts() for row in reader.page.locator(f"#{table} tbody tr").all()]


def test_weighted_attention_is_a_share_of_what_the_row_writes(cat: Reader) -> None:
    cat.go("#layer=0&head=3&query=1&show=weighted").look_at("head")
    assert cat.page.locator("#head-title").inner_text() == "Weighted attention of L0 H3"
    assert image_of(cat, "head")[1][:2] == pytest.approx([0.2**0.5, 0.8**0.5], abs=0.004)
    assert cat.ask("bar", "head")[0] == "share"
    assert cat.hover("head", 1, 1) == "query ␣cat at 1\nkey ␣cat at 1\nweight 0.5\nweighted share 0.8"


def test_attribution_is_drawn_for_the_rows_of_steps_on_both_sides_of_zero(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=0&show=attribution").look_at("head")
    assert cat.page.locator("#head-title").inner_text() == "Attribution of L0 H3"
    rows = image_of(cat, "head")
    assert [row[0] is None for row in rows] == [True] * 4 + [False] * 3 + [True]
    # Head 3 reads all alike, and writes -0.2 at step 0 and -0.6 at step 2.
    assert rows[6][:7] == pytest.approx([-((0.6 / 7) ** 0.5)] * 7, rel=0.02)
    assert rows[4][:5] == pytest.approx([-((0.2 / 5) ** 0.5)] * 5, rel=0.02)
    assert cat.ask("color", "head", 0, 6) == LIGHT[0]
    assert cat.ask("color", "head", 0, 3) == MASKED
    unit, labels = cat.ask("bar", "head")
    assert (unit, labels[0], labels[2], labels[4]) == ("logits", "−0.087", "0", "+0.087")
    assert cat.hover("head", 2, 4).endswith("weight 0.2\nweighted share 0.24\nattribution −0.041 logits")


def test_what_is_for_the_token_is_blue_and_zero_in_the_middle(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0&show=attribution&scale=linear").look_at("head")
    assert cat.ask("color", "head", 6, 6) == LIGHT[-1]
    assert cat.ask("color", "head", 4, 6) == LIGHT[127]


def test_dark_has_a_ramp_of_its_own(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader(color_scheme="dark").open(f"{addresses['file']}/cat.html#layer=0&head=0&show=attribution")
    reader.look_at("head")
    assert reader.ask("palette", "head") == list(DIVERGING["dark"])


def test_first_token_can_be_left_out_of_everything_that_is_shown(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=0&show=weighted&first=out").look_at("head")
    assert image_of(cat, "head")[1][:2] == [None, pytest.approx(0.8**0.5, abs=0.004)]
    assert cat.ask("color", "head", 1, 1) == PALETTES["blues"][255]
    cat.go("#layer=0&head=2&step=0&show=attribution&first=out")
    # Head 2 reads the first token alone.
    assert {value for row in image_of(cat, "head") for value in row if value} == set()
    assert image_of(cat, "head")[4][0] is None


def test_switch_key_and_address_agree(cat: Reader) -> None:
    cat.go("#layer=0&head=3&query=1")
    cat.page.evaluate("() => document.activeElement.blur()")
    seen = [cat.press("w").address().get("show") for _ in range(3)]
    assert seen == ["weighted", "attribution", None]
    cat.page.get_by_text("weighted attention", exact=True).click()
    assert cat.settle().address()["show"] == "weighted"
    cat.page.keyboard.press("ArrowRight")
    assert cat.settle().address()["show"] == "attribution"
    assert cat.page.locator("#show-attribution").is_checked()


def test_tiles_show_what_the_head_shows_and_say_so(cat: Reader) -> None:
    cat.go("#layer=1&head=0&step=0&show=attribution").look_at("layer_tiles")
    # Layer 1's head 2 reads all alike and writes -0.2 at step 0; its head 3 reads itself and writes -1.2 at step 2.
    assert image_of(cat, "layer_tiles", 2)[4][:5] == pytest.approx([-(0.04**0.5)] * 5, rel=0.02)
    assert image_of(cat, "layer_tiles", 3)[6][6] == pytest.approx(-(1.2**0.5), rel=0.01)
    assert "Shown: attribution, −1.2 to +1.2 logits." in cat.page.locator("[data-says=layer_tiles]").inner_text()
    cat.go("#layer=1&head=0&step=0&show=weighted").look_at("head_tiles")
    assert "Shown: weighted share, 0 to 1." in cat.page.locator("[data-says=head_tiles]").inner_text()
    assert "weighted share" in (cat.hover("head_tiles", 1.01, 0.9) or "")


def test_rows_of_a_step_show_what_the_head_shows(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=0&show=attribution").look_at("step_heads")
    assert image_of(cat, "step_heads")[3] == pytest.approx([-(0.04**0.5)] * 5, rel=0.02)
    assert "attribution, −0.1 to +0.1 logits" in cat.page.locator("[data-says=step_heads]").inner_text()
    cat.go("#layer=0&head=3&query=2&show=attribution")
    assert image_of(cat, "step_heads") == [[None] * 3] * 4
    cat.go("#layer=0&head=3&step=0&show=weighted")
    assert image_of(cat, "step_heads")[3][0] == pytest.approx((0.25 / 4.25) ** 0.5, abs=0.004)


def test_text_is_shaded_by_what_is_shown(cat: Reader) -> None:
    weights = "(tokens) => tokens.map((one) => Number(one.style.getPropertyValue('--weight')))"
    tokens = cat.page.locator("#strip .token")
    cat.go("#layer=0&head=3&query=1&show=weighted")
    assert tokens.evaluate_all(weights)[:3] == [0.45, 0.89, 0]
    assert "weighted attention of the selected query" in cat.page.locator("#text-title ~ .hint").inner_text()
    cat.go("#layer=0&head=3&step=0&show=attribution")
    assert tokens.evaluate_all(weights) == [1] * 5 + [0] * 3
    assert cat.page.locator("#strip .against").count() == 5
    cat.go("#layer=0&head=3&query=1&show=attribution")
    assert tokens.evaluate_all(weights) == [0] * 8


def test_strongest_keys_are_sorted_by_what_is_shown(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=0&show=weighted")
    assert rows_of(cat, "strongest")[0] == ["␣cat", "1", "0.2", "0.24", "−0.041"]
    assert rows_of(cat, "strongest")[4] == ["The", "0", "0.2", "0.059", "−0.041"]
    cat.go("#layer=0&head=3&step=0&show=attribution")
    assert rows_of(cat, "strongest")[0] == ["The", "0", "0.2", "0.059", "−0.041"]
    cat.go("#layer=0&head=3&query=1&show=attribution")
    assert rows_of(cat, "strongest")[0] == ["The", "0", "0.5", "0.2", ""]
    assert "by weight" in cat.page.locator("#strongest-of").inner_text()


def test_grid_shows_heads_and_mlps_of_the_step(cat: Reader) -> None:
    cat.go("#layer=2&head=3&step=1&scale=linear").look_at("grid")
    expected = [[0.2 * (layer + 1) * (1 - head) for head in range(4)] for layer in range(3)]
    assert image_of(cat, "grid") == [pytest.approx(row, abs=1e-4) for row in expected]
    assert image_of(cat, "grid", 1) == [[1], [1], [1]]
    assert cat.ask("color", "grid", 3.5, 2.5) == LIGHT[0]
    assert cat.ask("labels", "grid", "x")["5"] == "MLP"
    frame = {key: column[0] for key, column in cat.ask("data", "grid", "frame").items()}
    assert frame == {"left": 3, "right": 4, "top": 2, "bottom": 3}
    assert cat.ask("bar", "grid")[0] == "logits"
    assert cat.page.locator("#wrote-of").inner_text() == "step 1: “␣And” against the alternatives, by their probability"


def test_grid_names_what_is_under_the_pointer_and_a_click_selects_a_head(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=1").look_at("grid")
    assert cat.hover("grid", 3.5, 2.5) == "L2 H3\n−1.200 logits"
    assert cat.hover("grid", 5, 1.5) == "L1 MLP\n+1.000 logits"
    assert cat.hover("grid", 4.25, 1.5) is None
    cat.click("grid", 5, 1.5)
    assert cat.address() == {"layer": "0", "head": "0", "step": "1"}
    cat.click("grid", 3.5, 2.5)
    assert cat.address() == {"layer": "2", "head": "3", "step": "1"}


def test_strongest_parts_are_listed_and_jump(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0").look_at("grid")
    most, least = (rows_of(cat, name) for name in ("most", "least"))
    assert [row[0] for row in most] == ["L0 MLP", "L1 MLP", "L2 MLP", "L2 H0", "L1 H0", "L0 H0"]
    assert [row[2] for row in most] == ["+1.000"] * 3 + ["+0.300", "+0.200", "+0.100"]
    assert least[0] == ["L2 H3", "", "−0.600"]
    cat.page.locator("#least button").first.click()
    assert cat.settle().address() == {"layer": "2", "head": "3", "step": "0"}


def test_parts_are_added_up_beside_what_the_model_gave(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0").look_at("grid")
    assert rows_of(cat, "sum") == [
        ["heads", "−1.200"],
        ["MLPs of all layers", "+3.000"],
        ["embedding", "+2.000"],
        ["biases", "+0.500"],
        ["rounding of float32", "0.000"],
        ["the model's logit, less the mean of the alternatives", "+4.300"],
        ["less the entropy of the alternatives", "−2.000"],
        ["log-odds of the token, in nats", "+2.300"],
    ]


def test_measure_is_chosen_and_named_by_its_token(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=1").look_at("grid")
    options = cat.page.locator("#measure option").all_inner_texts()
    assert options == [
        "effect against the alternatives",
        "effect against the vocabulary's mean",
        "effect against “␣dog”",
        "effect against “␣hat”",
        "ablation, head set to zero",
    ]
    cat.page.locator("#measure").select_option("runner-up-2")
    assert cat.settle().address()["measure"] == "runner-up-2"
    assert cat.hover("grid", 3.5, 2.5) == "L2 H3\n−0.600 logits"
    assert "less that of “␣hat”" in cat.page.locator("#sum").inner_text()
    cat.page.locator("#measure").select_option("attribution")
    assert "measure" not in cat.settle().address()


def test_ablation_has_heads_alone_and_no_sum(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=1&measure=ablation").look_at("grid")
    assert cat.ask("images", "grid") == 1
    assert cat.ask("bar", "grid")[0] == "nats"
    assert cat.hover("grid", 3.5, 0.5) == "L0 H3\n−0.600 nats"
    assert cat.hover("grid", 1.5, 0.5) == "L0 H1\n−0.200 nats"
    assert rows_of(cat, "most") == []
    assert rows_of(cat, "least")[0][0] == "L0 H3"
    assert cat.page.locator("#least-title").inner_text() == "Less probable without"
    assert cat.page.locator("#sum").is_hidden()


def test_query_that_is_no_step_has_nothing_that_wrote_it(cat: Reader) -> None:
    cat.go("#layer=0&head=0&query=1").look_at("grid")
    assert cat.page.locator("#wrote-of").inner_text() == "The selected query is not a step; select one."
    assert image_of(cat, "grid") == [[None] * 4] * 3
    assert cat.page.locator("#sum").is_hidden()
    assert cat.hover("grid", 0.5, 0.5) == "L0 H0\nn/a logits"
    cat.look_at("lens")
    assert cat.page.locator("#lens-layers").is_hidden()


def test_withheld_step_draws_nothing_and_says_why(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/withheld.html#layer=0&head=3&step=1&show=attribution")
    reader.look_at("grid")
    said = "n/a: its parts add up only to within 2.1e-02 of the largest"
    assert reader.page.locator("#wrote-of").inner_text() == said
    assert image_of(reader, "grid") == [[None] * 4] * 3
    assert (rows_of(reader, "most"), reader.page.locator("#sum").is_hidden()) == ([], True)
    reader.look_at("head")
    assert [row[0] is None for row in image_of(reader, "head")[4:7]] == [False, True, False]
    reader.go("#layer=0&head=3&step=2").look_at("grid")
    assert reader.page.locator("#sum").is_visible()
    assert reader.problems == []


def test_lens_shows_the_chosen_token_after_each_layer(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=1&scale=linear").look_at("lens")
    assert image_of(cat, "lens") == [pytest.approx([p] * 3, abs=1e-4) for p in (0.25, 0.5, 0.75)]
    assert cat.hover("lens", 1.5, 0.5) == "after layer 0, step 1\nbest “␣dog”, 75 %\nchosen “␣And”, 25 %, rank 3"
    frame = {key: column[0] for key, column in cat.ask("data", "lens", "frame").items()}
    assert frame == {"left": 1, "right": 2, "top": 0, "bottom": 3}
    assert rows_of(cat, "lens-layers")[2] == ["2", "␣And", "75 %", "75 %", "1"]
    assert cat.page.locator("#lens-of").inner_text() == "“␣And” at step 1: the best from layer 2 on"
    assert cat.page.locator("#lens-layers .chosen").inner_text().startswith("2")
    cat.click("lens", 2.5, 1.5)
    assert cat.address()["step"] == "2"


def test_rollout_is_a_heatmap_like_a_heads(cat: Reader) -> None:
    cat.go("#layer=0&head=0&query=3").look_at("rollout")
    assert image_of(cat, "rollout")[3][:4] == pytest.approx([0.5] * 4, abs=0.004)
    assert cat.hover("rollout", 2, 3) == "query ␣the at 3\nkey ␣ate at 2\nrollout 0.25"
    assert rows_of(cat, "rollout-keys")[0] == ["The", "0", "0.25"]
    cat.click("rollout", 1, 2)
    assert cat.address()["query"] == "2"


def test_overview_is_coloured_by_what_heads_wrote_at_the_step(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=1&by=attribution&scale=linear").look_at("overview")
    assert image_of(cat, "overview")[2] == pytest.approx([0.6, 0, -0.6, -1.2], abs=1e-4)
    assert cat.page.locator("#overview-note").inner_text() == "Step 1: −1.2 to +1.2 logits; click a head."
    assert cat.hover("overview", 3.5, 2.5) == "L2 H3\n−1.200 logits"
    cat.go("#layer=0&head=0&query=1&by=ablation")
    assert cat.page.locator("#overview-note").inner_text() == "Known for steps alone; select one."
    cat.go("#layer=0&head=0&step=1")
    assert cat.page.locator("#overview-note").inner_text() == "Colours: weight 0 to 1; click a head."


def test_question_mark_explains_and_escape_closes(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=1")
    button = cat.page.get_by_role("button", name="What is logit lens?")
    button.focus()
    cat.page.keyboard.press("Enter")
    answer = cat.page.locator("#help-lens")
    assert "if it stopped there" in answer.inner_text()
    assert answer.is_visible()
    cat.page.keyboard.press("Escape")
    assert answer.is_hidden()


def test_layers_that_were_not_captured_are_in_the_sum_alone(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/selected.html#layer=5&head=3&step=0").look_at("grid")
    assert image_of(reader, "grid", 1) == [[1], [1], [1]]
    assert list(reader.ask("labels", "grid", "y").values()) == ["2", "5", "7"]
    assert ["MLPs of all layers", "+8.000"] in rows_of(reader, "sum")
    assert reader.problems == []


def test_without_steps_weighted_attention_is_left(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/plain.html#layer=0&head=3&query=1&show=attribution")
    assert "show" not in reader.press("w", "w").address()
    assert reader.press("w").address()["show"] == "weighted"
    assert reader.page.locator("#figure-grid, #figure-lens").count() == 0
    reader.look_at("rollout")
    assert reader.problems == []


def test_one_token_has_its_share_and_its_rollout(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/one.html#show=weighted").look_at("head")
    assert image_of(reader, "head") == [[1]]
    assert reader.look_at("rollout").hover("rollout", 0, 0) == "query Hello at 0\nkey Hello at 0\nrollout 1"
    assert reader.problems == []


def test_page_without_evidence_works_and_says_why(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/bare.html#layer=0&head=3&step=0&show=weighted").look_at("head")
    assert reader.press("w").address() == {"layer": "0", "head": "3", "step": "0"}
    assert rows_of(reader, "strongest")[0] == ["The", "0", "0.2"]
    assert reader.hover("head", 1, 1) == "query ␣cat at 1\nkey ␣cat at 1\nweight 0.5"
    text = reader.page.locator("main").inner_text()
    for kind in ("Weighted attention", "Attribution", "Logit lens", "Attention rollout"):
        assert f"{kind}: not available for TinyForCausalLM" in text
    assert reader.problems == []


def test_module_had_no_problem(cat: Reader) -> None:
    assert cat.problems == []


def test_entropy_has_the_heads_of_the_layer_as_rows(cat: Reader) -> None:
    entropy = CAPTURES["cat"].evidence.entropy
    cat.go("#layer=0&head=0&query=3&scale=linear").look_at("entropy")
    (image,) = cat.ask("data", "entropy", "image")["image"]
    assert image["values"] == pytest.approx(entropy[0].ravel().tolist(), abs=1e-3)
    tip = cat.hover("entropy", 4, 3)
    assert tip == f"L0 H3, query “{CAPTURES['cat'].tokens[4].shown}” at 4\n{entropy[0, 3, 4]:.2g} nats"
    state = cat.click("entropy", 2, 3).address()
    assert (state["layer"], state["head"], state["query"]) == ("0", "3", "2")
