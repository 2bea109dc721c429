"""Evidence on the page: what patterns show, effects on a token, lens, rollout, and what is said where there is none.

In the sample a first token is written from with a quarter of the length of the others. Head ``h`` of layer ``l`` adds
``(step + 1) * (l + 1) * (1 - h)`` tenths of a logit, half of that against each runner-up; an MLP 1, the embedding 2,
biases 0.5 and heads that were not captured -1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from browser.captures import CAPTURES
from browser.reader import Reader
from samples import make_capture, make_screened, with_foil

from reportgen.pages.page import render_page
from reportgen.pages.palettes import DIVERGING

LIGHT = DIVERGING["light"]


def test_weight_times_value_is_a_share_of_what_the_row_writes(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=0&query=1&show=weighted").look_at("head")
    assert cat.rows("head")[1][:2] == pytest.approx([0.2**0.5, 0.8**0.5], abs=0.004)
    assert cat.page.locator("#show-weighted").is_checked()
    assert cat.point_at(1, 1) == "L0 H3\nfrom ␣cat at 1\nreads ␣cat at 1\nweight 0.5\nweight × value 0.8"


def test_effects_are_drawn_for_the_rows_of_steps_on_both_sides_of_zero(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=0&show=attribution").look_at("head")
    rows = cat.rows("head")
    assert [row[0] is None for row in rows] == [True] * 4 + [False] * 3 + [True]
    # Head 3 reads all alike, and writes -0.2 at step 0 and -0.6 at step 2; effects are linear.
    assert rows[6][:7] == pytest.approx([-0.6 / 7] * 7, rel=0.03)
    assert rows[4][:5] == pytest.approx([-0.2 / 5] * 5, rel=0.02)
    assert cat.ask("color", "head", 0.5, 6.5) == LIGHT[0]
    assert cat.ask("color", "head", 0.5, 3.5) == ""
    assert cat.ask("limits", "head") == pytest.approx([-0.6 / 7, 0.6 / 7], rel=0.03)
    assert (cat.point_at(4, 2) or "").endswith("weight 0.2\nweight × value 0.24\neffect −0.04 logits")
    assert "rows of tokens behind the prompt alone" in cat.page.locator("#head-hint").inner_text()


def test_what_is_for_the_token_is_orange_and_zero_in_the_middle(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0&show=attribution").look_at("head")
    assert cat.ask("color", "head", 6.5, 6.5) == LIGHT[-1]
    assert cat.ask("color", "head", 4.5, 6.5) == LIGHT[127]


def test_dark_has_ramps_of_its_own(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> None:
    reader = new_reader(color_scheme="dark").open(f"{addresses['file']}/cat.html#layer=0&head=0&show=attribution")
    reader.look_at("head")
    assert reader.ask("palette", "head") == list(DIVERGING["dark"])


def test_first_token_can_be_left_out_of_everything_that_is_shown(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=0&show=weighted&first=out").look_at("head")
    assert cat.rows("head")[1][:2] == [None, pytest.approx(0.8**0.5, abs=0.004)]
    assert cat.ask("limits", "head") == [0, 1]
    assert [row[0] for row in cat.rows("heads")] == [None] * 4
    cat.go("#layer=0&head=2&step=0&show=attribution&first=out")
    # Head 2 reads the first token alone.
    assert {value for row in cat.rows("head") for value in row if value} == set()
    assert cat.rows("head")[4][0] is None


def test_switch_key_and_address_agree(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=0&query=1").look_at("head")
    cat.page.evaluate("() => document.activeElement.blur()")
    seen = [cat.press("w").address().get("show") for _ in range(3)]
    assert seen == ["weighted", "attribution", None]
    cat.page.locator("label[for=show-weighted]").click()
    assert cat.settle().address()["show"] == "weighted"
    cat.page.keyboard.press("ArrowRight")
    assert cat.settle().address()["show"] == "attribution"
    assert cat.page.locator("#show-attribution").is_checked()


def test_patterns_of_panels_show_what_the_pattern_shows(cat: Reader) -> None:
    cat.go("#layer=1&head=0&step=0&show=attribution&layout=patterns").look_at("heads")
    # Layer 1's head 2 reads all alike and writes -0.2 at step 0; its head 3 reads itself and writes -1.2 at step 2.
    assert cat.rows("heads", 2)[4][:5] == pytest.approx([-0.04] * 5, rel=0.02)
    assert cat.rows("heads", 3)[6][6] == pytest.approx(-1.2, rel=0.01)
    assert cat.ask("limits", "heads") == pytest.approx([-1.2, 1.2], rel=0.01)
    cat.go("#layer=1&head=0&step=0&show=weighted&layout=patterns")
    assert cat.ask("limits", "heads") == [0, 1]


def test_tokens_read_most_are_sorted_by_what_is_shown(cat: Reader) -> None:
    cat.go("#layer=0&head=3&step=0&show=weighted")
    assert cat.table("strongest")[0] == ["␣cat", "1", "0.2", "0.24", "−0.04"]
    assert cat.table("strongest")[4] == ["The", "0", "0.2", "0.059", "−0.04"]
    cat.go("#layer=0&head=3&step=0&show=attribution")
    assert cat.table("strongest")[0] == ["The", "0", "0.2", "0.059", "−0.04"]
    cat.go("#layer=0&head=3&step=0&query=1&show=attribution")
    assert cat.table("strongest")[0] == ["The", "0", "0.5", "0.2", ""]


def test_grid_shows_heads_and_mlps_of_the_step(cat: Reader) -> None:
    cat.go("#layer=2&head=3&step=1").look_at("effect")
    expected = [[0.2 * (layer + 1) * (1 - head) for head in range(4)] for layer in (2, 1, 0)]
    assert cat.rows("effect") == [pytest.approx(row, abs=1e-4) for row in expected]
    assert cat.rows("effect", 1) == [[1], [1], [1]]
    assert cat.ask("color", "effect", 3.5, 0.5) == LIGHT[0]
    assert cat.ask("labels", "effect", "columns") == ["0", "1", "2", "3", "MLP"]
    assert cat.ask("frames", "effect") == [[3, 0, 1, 1]]
    assert cat.page.locator("#effect-title").inner_text() == "Effect on the token ␣And"
    assert cat.page.locator("#effect-says").inner_text() == (
        "Effect of whole heads and MLPs on “␣And”, in logits, against its alternatives, by their probability."
    )


def test_grid_names_what_is_under_the_pointer_and_a_click_selects_a_head(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=1").look_at("effect")
    assert cat.point_at(0, 3, "effect") == "L2 H3\n−1.200 logits"
    assert cat.hover("effect", 5, 1.5) == "L1 MLP\n+1.000 logits"
    assert cat.hover("effect", 4.25, 1.5) is None
    cat.click("effect", 5, 1.5)
    assert cat.address() == {"layer": "0", "head": "0", "step": "1"}
    cat.click_cell(0, 3, "effect")
    assert cat.address() == {"layer": "2", "head": "3", "step": "1"}


def test_strongest_parts_are_listed_and_select(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0").look_at("effect")
    most, least = (cat.table(name) for name in ("most", "least"))
    assert [row[0] for row in most] == ["L0 MLP", "L1 MLP", "L2 MLP", "L2 H0", "L1 H0", "L0 H0"]
    assert [row[2] for row in most] == ["+1.000"] * 3 + ["+0.300", "+0.200", "+0.100"]
    assert least[0] == ["L2 H3", "", "−0.600"]
    cat.page.locator("#least button").first.click()
    assert cat.settle().address() == {"layer": "2", "head": "3", "step": "0"}


def test_parts_are_added_up_beside_what_the_model_gave(cat: Reader) -> None:
    sum_ = cat.go("#layer=0&head=0&step=0").look_at("effect").table("sum")
    assert sum_ == [
        ["heads", "−1.200"],
        ["MLPs of all layers", "+3.000"],
        ["embedding", "+2.000"],
        ["biases", "+0.500"],
        ["rounding of float32", "0.000"],
        ["the token’s logit minus the mean of the alternatives", "+4.300"],
        ["less the entropy of the alternatives", "−2.000"],
        ["log-odds of the token, in nats", "+2.300"],
    ]
    values = [float(value.replace("−", "-")) for _, value in sum_]
    assert sum(values[:5]) == pytest.approx(values[5], abs=0.002)
    assert sum(values[5:7]) == pytest.approx(values[7], abs=0.002)
    assert sum(value for row in cat.rows("effect") for value in row if value) == pytest.approx(values[0], abs=1e-3)
    assert sum(row[0] or 0 for row in cat.rows("effect", 1)) == pytest.approx(values[1], abs=1e-3)


def test_measure_is_chosen_and_named_by_its_token(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=1").look_at("effect")
    assert cat.page.locator("#measure option").all_inner_texts() == [
        "against the alternatives",
        "against the mean of the vocabulary",
        "against “␣dog”",
        "against “␣hat”",
        "ablation, head set to zero",
    ]
    cat.page.locator("#measure").select_option("runner-up-2")
    assert cat.settle().address()["measure"] == "runner-up-2"
    assert cat.point_at(0, 3, "effect") == "L2 H3\n−0.600 logits"
    assert "minus that of “␣hat”" in cat.page.locator("#sum").inner_text()
    cat.page.locator("#measure").select_option("attribution")
    assert "measure" not in cat.settle().address()


def test_contrast_of_the_menu_holds_for_panels_map_and_grid(cat: Reader) -> None:
    cat.go("#layer=1&head=0&step=1").choose("contrast", "runner-up-1").look_at("effect")
    assert cat.rows("effect")[0] == pytest.approx([0.3, 0, -0.3, -0.6], abs=1e-4)
    assert cat.rows("map")[0] == pytest.approx([0.3, 0, -0.3, -0.6], abs=1e-4)
    assert [note[3] for note in cat.ask("notes", "heads")] == ["+0.2", "0.0", "−0.2", "−0.4"]
    cat.choose("contrast", "attribution")
    assert [note[3] for note in cat.ask("notes", "heads")] == ["+0.4", "0.0", "−0.4", "−0.8"]


def test_effects_are_over_the_foil_at_its_step_and_over_the_alternatives_elsewhere(
    new_reader: Callable[..., Reader], tmp_path: Path
) -> None:
    """In the sample every effect over the foil is half of that over the alternatives."""
    (tmp_path / "foil.html").write_text(render_page(with_foil(make_capture(slug="foil"))), encoding="utf-8")
    reader = new_reader().open(f"{(tmp_path / 'foil.html').as_uri()}#layer=0&head=3&step=0").look_at("effect")
    half = [[0.05 * (layer + 1) * (1 - head) for head in range(4)] for layer in (2, 1, 0)]
    assert reader.rows("effect") == [pytest.approx(row, abs=1e-4) for row in half]
    assert reader.rows("map") == [pytest.approx(row, abs=1e-4) for row in half]
    says = "Effect of whole heads and MLPs on “.”, in logits, against “␣dog”."
    assert reader.page.locator("#effect-says").inner_text() == says
    assert reader.page.locator("#map-says").inner_text() == "effect on . over ␣dog"
    assert reader.page.locator("#sum .total th").inner_text() == "the token’s logit minus that of “␣dog”"
    assert reader.page.locator("#contrast").input_value() == "foil-1"
    reader.go("#layer=0&head=3&step=0&show=attribution").look_at("head")
    rows = reader.rows("head")  # head 3 reads all alike, -0.1 over the foil; the other steps are over the alternatives
    assert rows[4][:5] == pytest.approx([-0.1 / 5] * 5, rel=0.03)
    assert rows[6][:7] == pytest.approx([-0.6 / 7] * 7, rel=0.03)
    reader.go("#layer=0&head=3&step=1").look_at("effect")
    assert reader.rows("effect")[0] == pytest.approx([0.6 * (1 - head) for head in range(4)], abs=1e-4)
    assert "against its alternatives" in reader.page.locator("#effect-says").inner_text()
    reader.go("#layer=0&head=3&step=0&contrast=attribution&measure=attribution").look_at("effect")
    assert reader.rows("effect") == [pytest.approx([2 * value for value in row], abs=1e-4) for row in half]
    lens = reader.look_at("lens").page.locator("#lens-layers tbody tr td:last-child").all_inner_texts()
    assert lens == ["+1.00"] * len(lens)
    reader.go("#layer=0&head=3&step=0&measure=ablation-foil-1").look_at("effect")
    assert reader.rows("effect")[0] == pytest.approx([-0.05 * head for head in range(4)], abs=1e-4)
    assert "minus that of “␣dog” without a head" in reader.page.locator("#effect-says").inner_text()


def test_ablation_has_heads_alone_and_no_sum(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=1&measure=ablation").look_at("effect")
    assert len(cat.ask("images", "effect")) == 1
    assert cat.ask("labels", "effect", "columns") == ["0", "1", "2", "3"]
    assert cat.point_at(2, 3, "effect") == "L0 H3\n−0.600 nats"
    assert cat.point_at(2, 1, "effect") == "L0 H1\n−0.200 nats"
    assert cat.table("most") == []
    assert cat.table("least")[0][0] == "L0 H3"
    assert cat.page.locator("#least-title").inner_text() == "Less probable without"
    assert cat.page.locator("#sum").is_hidden()


def test_screened_ablation_shows_estimates_beside_it_and_how_well_they_agree(
    new_reader: Callable[..., Reader], tmp_path: Path
) -> None:
    page = tmp_path / "screened.html"
    page.write_text(render_page(replace(make_capture(), evidence=make_screened())), "utf-8")
    reader = new_reader().open(f"{page.as_uri()}#layer=0&head=0&step=1&measure=ablation").look_at("effect")
    agreement = "rank correlation 0.50; 1 of the 1 largest ablations are among the 1 largest estimates."
    assert reader.rows("effect")[2] == [0, None, pytest.approx(-0.4, abs=1e-4), pytest.approx(-0.6, abs=1e-4)]
    assert reader.rows("effect")[0] == [None, pytest.approx(-0.2, abs=1e-4), None, None]
    assert reader.point_at(2, 1, "effect") == "L0 H1\nnot measured\nfirst-order estimate −0.250 nats"
    assert reader.point_at(2, 3, "effect") == "L0 H3\nablation −0.600 nats\nfirst-order estimate −0.750 nats"
    says = reader.page.locator("#effect-says").inner_text()
    assert says.startswith("Change of the log-probability of")
    assert says.endswith(agreement)
    assert reader.page.locator("#least-title").inner_text() == "Less probable without"
    reader.page.locator("#measure").select_option("estimate")
    reader.settle()
    assert reader.rows("effect")[2] == [0, *(pytest.approx(value, abs=1e-4) for value in (-0.25, -0.5, -0.75))]
    says = reader.page.locator("#effect-says").inner_text()
    assert says.startswith("Estimated, not measured change of the log-probability of")
    assert says.endswith(agreement)
    assert reader.page.locator("#least-title").inner_text() == "Less probable without, by estimate"


def test_withheld_step_draws_nothing_and_says_why(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> None:
    reader = new_reader().open(f"{addresses['file']}/withheld.html#layer=0&head=3&step=1&show=attribution")
    reader.look_at("effect")
    reason = "its parts add up only to within 2.1e-02 of the largest"
    assert reader.page.locator("#effect-says").inner_text() == f"n/a: {reason}"
    assert reason in reader.page.locator("#details").inner_text()
    assert reader.rows("effect") == [[None] * 4] * 3
    assert (reader.table("most"), reader.page.locator("#sum").is_hidden()) == ([], True)
    assert [len(note) for note in reader.ask("notes", "heads")] == [3] * 4
    assert reader.look_at("read").ask("notes", "read")[1] == ["n/a"]
    reader.look_at("head")
    assert [row[0] is None for row in reader.rows("head")[4:7]] == [False, True, False]
    reader.go("#layer=0&head=3&step=2").look_at("effect")
    assert reader.page.locator("#sum").is_visible()
    assert reader.problems == []


def test_lens_shows_the_written_token_after_each_layer(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=1&scale=linear").look_at("lens")
    assert cat.rows("lens") == [pytest.approx([p] * 3, abs=1e-4) for p in (0.75, 0.5, 0.25)]
    assert cat.point_at(2, 1, "lens") == "after layer 0\nbest “␣dog”, 75 %\nwritten “␣And”, 25 %, rank 3"
    assert cat.ask("frames", "lens") == [[1, 0, 1, 3]]
    assert cat.table("lens-layers")[0] == ["2", "␣And", "75 %", "75 %", "1"]
    assert cat.page.locator("#lens-layers .chosen").inner_text().startswith("2")
    cat.click_cell(1, 2, "lens")
    assert cat.address()["step"] == "2"


def test_rollout_is_a_heatmap_like_a_heads(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=0&query=3").look_at("rollout")
    assert cat.rows("rollout")[3][:4] == pytest.approx([0.5] * 4, abs=0.004)
    assert cat.point_at(3, 2, "rollout") == "from ␣the at 3\nreads ␣ate at 2\nrollout 0.25"
    assert cat.table("rollout-keys")[0] == ["The", "0", "0.25"]
    cat.click_cell(2, 1, "rollout")
    assert cat.address()["query"] == "2"


def test_entropy_has_the_heads_of_the_layer_as_rows(cat: Reader) -> None:
    entropy = CAPTURES["cat"].evidence.entropy
    cat.go("#layer=0&head=0&step=0&query=3").look_at("entropy")
    assert cat.rows("entropy") == [pytest.approx(row.tolist(), abs=1e-3) for row in entropy[0]]
    assert cat.point_at(3, 4, "entropy") == f"L0 H3\nfrom ␣mat at 4\n{entropy[0, 3, 4]:.2g} nats"
    state = cat.click_cell(3, 2, "entropy").address()
    assert (state["layer"], state["head"], state["query"]) == ("0", "3", "2")


def test_question_mark_explains_and_escape_closes(cat: Reader) -> None:
    cat.go("#layer=0&head=0&step=1").look_at("lens")
    cat.page.locator("#lens .help").focus()
    cat.page.keyboard.press("Enter")
    answer = cat.page.locator("#help-lens")
    assert "if it stopped there" in answer.inner_text()
    assert answer.is_visible()
    cat.page.keyboard.press("Escape")
    assert answer.is_hidden()


def test_layers_that_were_not_captured_are_in_the_sum_alone(
    new_reader: Callable[..., Reader], addresses: dict[str, str]
) -> None:
    reader = new_reader().open(f"{addresses['file']}/selected.html#layer=5&head=3&step=0").look_at("effect")
    assert reader.rows("effect", 1) == [[1], [1], [1]]
    assert reader.ask("labels", "effect", "rows") == ["7", "5", "2"]
    assert ["MLPs of all layers", "+8.000"] in reader.table("sum")
    assert ["heads not shown", "−1.000"] in reader.table("sum")
    assert reader.problems == []


def test_without_steps_weight_times_value_is_left(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> None:
    reader = new_reader().open(f"{addresses['file']}/plain.html#layer=0&head=3&query=1&show=attribution")
    assert "show" not in reader.press("w", "w").address()
    assert reader.press("w").address()["show"] == "weighted"
    assert reader.page.locator("#figure-effect, #figure-lens, #figure-read, #play").count() == 0
    claim = reader.page.locator("#claim").inner_text()
    assert claim.startswith("Nothing was generated after this text of 5 tokens.")
    assert reader.ask("notes", "heads")[3] == ["The", "0", "0.50"]
    assert reader.page.locator("#map-says").inner_text() == "largest weight"
    reader.look_at("rollout")
    assert reader.problems == []


def test_one_token_has_its_share_and_its_rollout(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> None:
    reader = new_reader().open(f"{addresses['file']}/one.html#show=weighted").look_at("head")
    assert reader.rows("head") == [[1]]
    tip = reader.look_at("rollout").point_at(0, 0, "rollout")
    assert tip == "from Hello at 0\nreads Hello at 0\nrollout 1"
    assert reader.problems == []


def test_page_without_evidence_works_and_says_why(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> None:
    reader = new_reader().open(f"{addresses['file']}/bare.html#layer=0&head=3&step=0&show=weighted").look_at("head")
    assert reader.press("w").address() == {"layer": "0", "head": "3", "step": "0"}
    assert reader.table("strongest")[0] == ["The", "0", "0.2"]
    assert reader.ask("notes", "heads")[3] == ["The", "0", "0.20"]
    assert reader.point_at(1, 1) == "L0 H3\nfrom ␣cat at 1\nreads ␣cat at 1\nweight 0.5"
    line = reader.page.locator(".unmeasured").inner_text()
    assert line.startswith("Not on this page: ")
    assert line.count("not available for TinyForCausalLM: its heads were not found") == 1
    assert line.endswith("; predictions of the prompt’s tokens (left out by “without”).")
    assert reader.go("layer=0&head=3&query=1").page.locator("#next-of").inner_text() == "left out by “without”"
    assert "singles out one token most" in reader.page.locator("#claim").inner_text()
    assert reader.page.locator("#effect, #read, #lens, #rollout").count() == 0
    assert reader.problems == []


def test_module_had_no_problem(cat: Reader) -> None:
    assert cat.problems == []
