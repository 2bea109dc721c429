"""Heatmaps of the first window: which rows and columns they show, what stands beside them, and on which scale."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from samples import make_capture, make_random, make_token, with_attribution, withhold

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.attribution import Attribution, list_rows
from reportgen.evidence.opening import Opening, find_opening
from reportgen.pages.panels import (
    MOST_COLUMNS,
    MOST_ROWS,
    MOST_STEPS,
    SHOWN_COLUMNS,
    Label,
    Panel,
    choose_columns,
    find_row_scales,
    make_map_panel,
    make_pattern_panel,
    make_read_panel,
    make_row_panels,
    measure_reads,
    shade_tokens,
)
from reportgen.pages.precision import FULL, Precision, quantize
from reportgen.pages.stills import draw_effects, draw_pattern, draw_weights, shade_effects, shade_weights
from reportgen.pages.views import open_view
from reportgen.records import LayerType, Step
from reportgen.records.evidence import Evidence
from reportgen.records.sentences import format_effect, format_percent, format_weight

RANDOM = make_random()


def kept(weights: np.ndarray, precision: Precision = FULL) -> np.ndarray:
    """Return weights as the page keeps them."""
    codes = quantize(weights, precision)
    return (codes.astype(float) / (2**precision.bits - 1)) ** 2


def texts(labels: list[Label] | tuple[Label, ...]) -> list[str]:
    """Return the texts of labels."""
    return [label.text for label in labels]


def attribution_of(capture: Capture) -> Attribution:
    """Return the attribution of a capture that has one."""
    assert capture.evidence.attribution is not None
    return capture.evidence.attribution


def make_windowed() -> Capture:
    """Return a capture whose layer 0 sees the last two tokens alone, and whose layer 1 sees all."""
    return replace(without_effects(make_random(num_layers=2)), layer_types=(LayerType(0, window=2), LayerType(1)))


def test_what_a_query_cannot_see_is_empty_and_hatched() -> None:
    capture = make_windowed()
    opening = open_view(capture, Opening(0, 0, None, 4, None))
    heads, layers = make_row_panels(capture, opening)
    pattern = make_pattern_panel(capture, opening)
    rows = kept(capture.attention[0, 0])
    rows[~np.tri(len(rows), dtype=bool) | np.tri(len(rows), k=-2, dtype=bool)] = np.nan
    assert pattern.still == draw_weights(rows)
    assert (heads.is_hatched, layers.is_hatched, pattern.is_hatched) == (True, True, True)
    assert [note.position for note in heads.notes if note.position < 3] == []
    assert [shade is None for shade in shade_tokens(capture, opening)] == [True, True, True, False, False]
    of_all = open_view(capture, Opening(1, 0, None, 4, None))
    assert not make_row_panels(capture, of_all)[0].is_hatched
    assert not make_pattern_panel(capture, of_all).is_hatched


def without_effects(capture: Capture) -> Capture:
    """Return a capture without any evidence."""
    return replace(capture, evidence=Evidence())


# What attention read


def test_rows_of_what_was_read_add_up_to_attentions_part() -> None:
    for capture in (RANDOM, make_capture(), make_capture(layers=(0, 2), heads=(1,))):
        attribution = attribution_of(capture)
        assert attribution.read is not None
        for step, (cells, read) in enumerate(zip(list_rows(capture), measure_reads(capture), strict=True)):
            assert read
            attention = attribution.heads[0, step].sum() + attribution.other_heads[0, step]
            assert attribution.read[cells].sum() == pytest.approx(attention, abs=1e-4)
            assert read.attention == pytest.approx(attention, abs=1e-4)
            assert read.mlps == pytest.approx(attribution.other_parts[0, step].sum())


def test_a_step_read_most_through_the_token_with_the_largest_effect_the_first_left_out() -> None:
    read = attribution_of(RANDOM).read
    sources = attribution_of(RANDOM).sources
    assert read is not None
    assert sources is not None
    read = read.copy()
    for cells in list_rows(RANDOM):
        read[cells.start] = 100
    for cells, found in zip(list_rows(RANDOM), measure_reads(with_attribution(RANDOM, read=read)), strict=True):
        assert found
        row = read[cells]
        assert found.key_pos == 1 + max(range(len(row) - 1), key=lambda key: row[key + 1])
        assert found.effect == row[found.key_pos]
        # The head that carried most of it, by a search over all.
        values = {
            (layer, head): sources[layer, head, cells.start + found.key_pos]
            for layer in RANDOM.layers
            for head in RANDOM.heads
        }
        assert found.head == max(values, key=lambda cell: values[cell])
        assert found.through == values[found.head]


def test_the_head_that_carried_most_is_named_by_its_numbers_in_the_model() -> None:
    """Head 0 alone has an effect for the token, the larger the later its layer."""
    capture = make_capture(layers=(3, 7), heads=(0, 2))
    for read in measure_reads(capture):
        assert read
        assert read.head is not None
        assert read.head[1] == 0
        assert read.head[0] in (3, 7)


def test_where_heads_cannot_be_split_by_token_no_head_is_named() -> None:
    reads = measure_reads(with_attribution(RANDOM, sources=None))
    assert [read and read.head for read in reads] == [None] * 8
    assert [read.key_pos for read in reads if read] == [read.key_pos for read in measure_reads(RANDOM) if read]


def test_what_is_not_known_is_none() -> None:
    held = measure_reads(withhold(RANDOM, 0, 3))
    assert [read is None for read in held] == [True, False, False, True, False, False, False, False]
    assert held[1] == measure_reads(RANDOM)[1]
    assert measure_reads(with_attribution(RANDOM, read=None)) == [None] * 8
    assert measure_reads(without_effects(RANDOM)) == [None] * 8
    assert measure_reads(make_capture(generated=())) == []


def test_a_prompt_of_one_token_read_that() -> None:
    (read,) = measure_reads(make_capture(("a",), ("b",)))
    assert read
    assert read.key_pos == 0


def read_panel(capture: Capture, step: int) -> Panel:
    """Return the panel of what attention read around a step."""
    opening = open_view(capture, Opening(0, 0, step, capture.query_pos_of_step(step), 2))
    panel = make_read_panel(capture, opening, measure_reads(capture))
    assert panel
    return panel


@pytest.mark.parametrize(("step", "first"), [(0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (5, 2), (7, 2)])
def test_six_steps_around_the_opening_are_shown(step: int, first: int) -> None:
    panel = read_panel(RANDOM, step)
    assert texts(panel.rows) == [f"␣g{row}" for row in range(first, first + MOST_STEPS)]
    assert [label.selected for label in panel.rows] == [row == step for row in range(first, first + MOST_STEPS)]
    assert (panel.count, panel.still.rows, len(panel.notes)) == (8, 6, 6)
    assert panel.frame == (0, step - first, panel.still.columns, 1)


def test_rows_of_what_was_read_have_a_scale_each_and_the_first_token_goes_beyond_it() -> None:
    read = attribution_of(RANDOM).read
    assert read is not None
    read = read.copy()
    for step, cells in enumerate(list_rows(RANDOM)):
        read[cells] *= 10.0**step
        read[cells.start] = -(10.0 ** (step + 3))
    panel = read_panel(with_attribution(RANDOM, read=read), 2)
    shares = np.full((6, 11), np.nan)
    for row, cells in enumerate(list_rows(RANDOM)[:6]):
        values = read[cells]
        shares[row, : len(values)] = values / np.abs(values[1:]).max()
    assert panel.still == draw_effects(shares, 1)
    assert np.nanmax(np.abs(shares[:, 1:])) == 1


def test_scale_of_a_row_leaves_the_first_token_out_if_there_is_another() -> None:
    rows = np.array([[9, -2, 1, np.nan], [9, 0, 0, np.nan], [-9, np.nan, np.nan, np.nan], [0, 0, 0, 0]])
    assert find_row_scales(rows) == pytest.approx([2, 9, 9, 1e-9])


def test_beside_a_step_stands_what_it_read_and_which_head_carried_most() -> None:
    reads = measure_reads(RANDOM)
    for row, note in enumerate(read_panel(RANDOM, 0).notes):
        read = reads[row]
        assert read
        assert (note.token, note.position) == (RANDOM.tokens[read.key_pos], read.key_pos)
        assert (note.value, note.effect) == (format_effect(read.effect), format_effect(read.through))
        assert note.head == read.head
        assert note.selected == (row == 0)


def test_beside_the_label_of_a_step_stands_its_probability() -> None:
    probs = [0.5, 0.994, 0.004, 0.9, 0.1, 1.0, 0.3, 0.2]
    steps = [
        Step(step.step, replace(step.raw, logprob=math.log(prob)), step.filtered, 0)
        for step, prob in zip(RANDOM.steps, probs, strict=True)
    ]
    panel = read_panel(replace(RANDOM, steps=tuple(steps)), 0)
    assert [label.note for label in panel.rows] == [format_percent(prob) for prob in probs[:6]]
    assert panel.rows[1].note == "99.4 %"


def test_a_withheld_step_has_no_cells_and_says_so() -> None:
    capture = withhold(RANDOM, 1)
    panel = read_panel(capture, 0)
    assert [note.token.shown for note in panel.notes].count("n/a") == 1
    assert (panel.notes[1].token.shown, panel.notes[1].position, panel.notes[1].head) == ("n/a", -1, None)
    read = attribution_of(capture).read
    assert read is not None
    rows = np.full((6, 11), np.nan)
    for row, cells in enumerate(list_rows(capture)[:6]):
        rows[row, : cells.stop - cells.start] = read[cells]
    assert np.isnan(rows[1]).all()
    assert panel.still == draw_effects(rows / find_row_scales(rows)[:, None], 1)


def test_there_is_no_panel_where_there_is_nothing_to_show() -> None:
    for capture in (
        make_random(num_steps=1),
        make_capture(generated=()),
        without_effects(RANDOM),
        with_attribution(RANDOM, read=None),
        withhold(RANDOM, *range(8)),
    ):
        assert make_read_panel(capture, open_view(capture, find_opening(capture)), measure_reads(capture)) is None


def test_of_a_long_text_the_tokens_that_rows_read_most_are_columns() -> None:
    capture = make_random(2, 2, num_prompt_tokens=70, num_steps=7)
    panel = read_panel(capture, 0)
    read = attribution_of(capture).read
    assert read is not None
    rows = np.full((6, 75), np.nan)
    for row, cells in enumerate(list_rows(capture)[:6]):
        rows[row, : cells.stop - cells.start] = read[cells]
    shares = rows / find_row_scales(rows)[:, None]
    sums = np.nansum(np.abs(shares), axis=0)
    columns = sorted(sorted(range(75), key=lambda key: -sums[key])[:SHOWN_COLUMNS])
    assert panel.still == draw_effects(shares[:, columns], 1)
    assert panel.frame == (0, 0, SHOWN_COLUMNS, 1)


# Rows of heads and of layers


def panels_of(
    capture: Capture, layer: int, head: int, step: int | None = 0, key_pos: int | None = 1
) -> dict[str, Panel]:
    """Return both panels of rows."""
    query_pos = capture.num_prompt_tokens - 1 if step is None else capture.query_pos_of_step(step)
    heads, layers = make_row_panels(capture, open_view(capture, Opening(layer, head, step, query_pos, key_pos)))
    return {"heads": heads, "layers": layers}


def test_up_to_sixteen_rows_are_all_shown_heads_in_order_and_layers_from_the_last() -> None:
    panels = panels_of(make_capture(layers=(2, 5, 7), heads=(1, 3)), 5, 3)
    assert texts(panels["heads"].rows) == ["H1", "H3"]
    assert texts(panels["layers"].rows) == ["L7", "L5", "L2"]
    assert [label.selected for label in panels["heads"].rows] == [False, True]
    assert [label.selected for label in panels["layers"].rows] == [False, True, False]
    assert [panel.count for panel in panels.values()] == [2, 3]
    assert [panel.frame for panel in panels.values()] == [(0, 1, 5, 1), (0, 1, 5, 1)]
    everything = panels_of(make_random(MOST_ROWS, 1), 0, 0)["layers"]
    assert (len(everything.rows), everything.count) == (16, 16)


@pytest.mark.parametrize("selected", [0, 7, 19])
def test_of_more_rows_those_with_the_largest_effects_are_shown_and_the_selected_one(selected: int) -> None:
    panel = panels_of(RANDOM, selected, 2, step=3)["layers"]
    effects = np.abs(attribution_of(RANDOM).heads[0, 3, :, 2])
    others = sorted((layer for layer in range(20) if layer != selected), key=lambda layer: -effects[layer])
    expected = sorted([selected, *others[: MOST_ROWS - 1]], reverse=True)
    assert texts(panel.rows) == [f"L{layer}" for layer in expected]
    assert panel.count == 20
    assert panel.frame == (0, expected.index(selected), 9, 1)
    assert [label.selected for label in panel.rows] == [layer == selected for layer in expected]


def test_a_row_with_the_smallest_effect_is_shown_once_it_is_selected() -> None:
    effects = np.abs(attribution_of(RANDOM).heads[0, 0, :, 0])
    smallest = int(effects.argmin())
    largest = int(effects.argmax())
    assert f"L{smallest}" not in texts(panels_of(RANDOM, largest, 0)["layers"].rows)
    assert f"L{smallest}" in texts(panels_of(RANDOM, smallest, 0)["layers"].rows)


@pytest.mark.parametrize("capture", [without_effects(RANDOM), withhold(RANDOM, 3)], ids=["none", "withheld"])
def test_without_effects_rows_are_those_with_the_largest_weights_off_the_first_token(capture: Capture) -> None:
    capture = replace(capture, triangles=capture.triangles.copy())
    query_pos = capture.query_pos_of_step(3)
    row = capture.row(query_pos)
    capture.triangles[4, 2, row] = 0
    capture.triangles[4, 2, row.start] = 1  # all of it on the first token counts for nothing
    weights = [kept(capture.attention[layer, 2, query_pos, : query_pos + 1]) for layer in range(20)]
    others = sorted((layer for layer in range(20) if layer != 9), key=lambda layer: -weights[layer][1:].max())
    expected = sorted([9, *others[: MOST_ROWS - 1]], reverse=True)
    panel = panels_of(capture, 9, 2, step=3)["layers"]
    assert texts(panel.rows) == [f"L{layer}" for layer in expected]
    assert 4 not in expected
    assert {note.effect for note in panel.notes} == {""}


def test_beside_a_row_stand_the_token_read_most_its_weight_and_the_heads_effect() -> None:
    panels = panels_of(RANDOM, 7, 1, step=2)
    query_pos = RANDOM.query_pos_of_step(2)
    cells = {
        "heads": [(7, int(text[1:])) for text in texts(panels["heads"].rows)],
        "layers": [(int(text[1:]), 1) for text in texts(panels["layers"].rows)],
    }
    effects = attribution_of(RANDOM).heads[0, 2]
    for name, panel in panels.items():
        assert len(panel.notes) == len(panel.rows)
        for (layer, head), note in zip(cells[name], panel.notes, strict=True):
            weights = kept(RANDOM.attention[layer, head, query_pos, : query_pos + 1])
            most = int(weights.argmax())
            assert (note.token, note.position) == (RANDOM.tokens[most], most)
            assert note.value == format_weight(weights[most])
            assert note.effect == format_effect(float(effects[layer, head]))
            assert note.head is None
            assert note.selected == ((layer, head) == (7, 1))


def test_both_panels_have_the_same_columns_and_scale() -> None:
    panels = panels_of(RANDOM, 7, 1, step=2, key_pos=3)
    query_pos = RANDOM.query_pos_of_step(2)
    for panel, cells in (
        (panels["heads"], [(7, head) for head in range(3)]),
        (panels["layers"], [(int(text[1:]), 1) for text in texts(panels["layers"].rows)]),
    ):
        rows = [kept(RANDOM.attention[layer, head, query_pos, : query_pos + 1]) for layer, head in cells]
        assert panel.still == draw_weights(np.stack(rows))
        assert texts(panel.columns) == [token.shown for token in RANDOM.tokens[: query_pos + 1]]
        assert [label.selected for label in panel.columns] == [key == 3 for key in range(query_pos + 1)]
        assert {label.note for label in panel.columns} == {""}


def test_up_to_sixty_tokens_are_all_columns() -> None:
    rows = np.random.default_rng(0).random((3, MOST_COLUMNS))
    assert choose_columns(rows).tolist() == list(range(MOST_COLUMNS))


def test_over_sixty_tokens_the_forty_with_the_largest_sums_are_columns_in_their_order() -> None:
    rows = np.random.default_rng(0).random((3, MOST_COLUMNS + 1))
    rows[1, 5:30] = np.nan
    sums = np.nansum(rows, axis=0)
    expected = sorted(sorted(range(MOST_COLUMNS + 1), key=lambda key: -sums[key])[:SHOWN_COLUMNS])
    assert choose_columns(rows).tolist() == expected
    # Of equal sums the earlier token's.
    assert choose_columns(np.ones((2, 100))).tolist() == list(range(SHOWN_COLUMNS))


def test_columns_of_a_long_text_are_chosen_over_the_rows_of_both_panels_and_labelled_with_positions() -> None:
    capture = make_random(20, 3, num_prompt_tokens=80, num_steps=1)
    panels = panels_of(capture, 7, 1)
    query_pos = 79
    shown = {
        "heads": [(7, head) for head in range(3)],
        "layers": [(int(text[1:]), 1) for text in texts(panels["layers"].rows)],
    }
    weights = {
        name: np.stack([kept(capture.attention[layer, head, query_pos]) for layer, head in cells])[:, :80]
        for name, cells in shown.items()
    }
    sums = sum(rows.sum(0) for rows in weights.values())
    columns = sorted(sorted(range(80), key=lambda key: -sums[key])[:SHOWN_COLUMNS])
    for name, panel in panels.items():
        assert panel.still == draw_weights(weights[name][:, columns])
        positions = [int(label.note) for label in panel.columns]
        assert set(positions) <= set(columns)
        assert texts(panel.columns) == [f"␣p{position}" for position in positions]
        # At the middle of their columns, of which there are forty.
        places = [100 * (columns.index(position) + 0.5) / SHOWN_COLUMNS for position in positions]
        assert [label.at for label in panel.columns] == pytest.approx(places, abs=1e-3)


def test_weights_of_the_first_window_are_those_that_the_page_keeps() -> None:
    """Or a number would change once a script draws it."""
    opening = open_view(RANDOM, Opening(7, 1, 2, RANDOM.query_pos_of_step(2), None))
    coarse = Precision(threshold=90)
    rows = [kept(RANDOM.attention[7, head, opening.query_pos, : opening.query_pos + 1], coarse) for head in range(3)]
    assert any((row == 0).any() for row in rows)
    assert make_row_panels(RANDOM, opening, coarse)[0].still == draw_weights(np.stack(rows))
    assert make_pattern_panel(RANDOM, opening, coarse).still == draw_pattern(kept(RANDOM.attention[7, 1], coarse))
    fine = Precision(bits=16)
    assert make_pattern_panel(RANDOM, opening, fine).still == draw_pattern(kept(RANDOM.attention[7, 1], fine))


# Labels


def test_labels_of_columns_are_horizontal_where_they_have_room() -> None:
    assert panels_of(make_capture(("a", "b", "c"), (".",)), 0, 0)["heads"].is_flat
    assert panels_of(make_capture(("a", "incredible", "c"), (".",)), 0, 0)["heads"].is_flat
    assert not panels_of(make_capture(("a", "incredible", "c", "d", "e"), (".",)), 0, 0)["heads"].is_flat
    many = panels_of(make_capture(tuple("abcdefghijklmnopqrstuvwxyz" * 2), (".",)), 0, 0)["heads"]
    assert not many.is_flat


def test_a_long_label_is_cut() -> None:
    panel = panels_of(make_capture(("a", "incomprehensible", "twelve chars"), (".",)), 0, 0)["heads"]
    assert texts(panel.columns) == ["a", "incomprehen…", "twelve␣chars"]


@pytest.mark.parametrize(("n", "stride"), [(3, 1), (28, 1), (29, 2), (56, 2), (60, 5)])
def test_labels_of_columns_are_thinned_to_round_strides(n: int, stride: int) -> None:
    """A panel has 330 pixels, a label needs 11.5: 28 have room."""
    panel = panels_of(make_random(1, 1, num_prompt_tokens=n, num_steps=1), 0, 0)["heads"]
    assert texts(panel.columns) == [f"␣p{position}" for position in range(0, n, stride)]
    places = [100 * (position + 0.5) / n for position in range(0, n, stride)]
    assert [label.at for label in panel.columns] == pytest.approx(places, abs=1e-3)


@pytest.mark.parametrize(("n", "stride"), [(45, 1), (46, 2), (200, 5), (256, 10), (1024, 50)])
def test_labels_of_a_pattern_are_thinned_on_both_sides(n: int, stride: int) -> None:
    """It has 520 pixels: 45 labels have room."""
    capture = make_random(1, 1, num_prompt_tokens=n, num_steps=0)
    panel = make_pattern_panel(capture, open_view(capture, Opening(0, 0, None, n - 1, 0)))
    assert texts(panel.rows) == texts(panel.columns) == [f"␣p{position}" for position in range(0, n, stride)]


# The pattern and the map


def test_a_pattern_frames_the_query_and_marks_what_it_reads() -> None:
    opening = open_view(RANDOM, Opening(7, 1, 2, RANDOM.query_pos_of_step(2), 3))
    panel = make_pattern_panel(RANDOM, opening)
    assert panel.still == draw_pattern(kept(RANDOM.attention[7, 1]))
    assert panel.frame == (0, 7, 8, 1)
    assert [label.text for label in panel.rows if label.selected] == ["␣g1"]
    assert [label.text for label in panel.columns if label.selected] == ["␣p3"]
    assert panel.count == RANDOM.num_tokens
    assert panel.alt.startswith("Attention weights of L7 H1:")


def test_the_map_shows_every_heads_effect_the_last_layer_at_the_top() -> None:
    opening = open_view(RANDOM, Opening(7, 1, 2, RANDOM.query_pos_of_step(2), None))
    panel = make_map_panel(RANDOM, opening)
    effects = attribution_of(RANDOM).heads[0, 2]
    assert panel.still == draw_effects(effects[::-1], float(np.abs(effects).max()))
    assert panel.frame == (1, 12, 1, 1)
    assert [(label.text, label.at) for label in panel.rows] == [
        ("0", 97.5), ("5", 72.5), ("10", 47.5), ("15", 22.5),
    ]  # fmt: skip
    assert texts(panel.columns) == ["0", "1", "2"]


def test_labels_of_the_map_are_the_numbers_in_the_model() -> None:
    capture = make_capture(layers=(2, 5), heads=(1, 3))
    panel = make_map_panel(capture, open_view(capture, Opening(5, 3, 0, 4, None)))
    assert [(label.text, label.at, label.selected) for label in panel.rows] == [("2", 75, False), ("5", 25, True)]
    assert texts(panel.columns) == ["1", "3"]
    assert panel.frame == (1, 0, 1, 1)


@pytest.mark.parametrize("capture", [without_effects(RANDOM), withhold(RANDOM, 2)], ids=["none", "withheld"])
def test_without_effects_the_map_shows_the_largest_weight_off_the_first_token(capture: Capture) -> None:
    query_pos = capture.query_pos_of_step(2)
    largest = [
        [kept(capture.attention[layer, head, query_pos, 1 : query_pos + 1]).max() for head in range(3)]
        for layer in range(20)
    ]
    panel = make_map_panel(capture, open_view(capture, Opening(7, 1, 2, query_pos, None)))
    assert panel.still == draw_weights(np.array(largest)[::-1])
    assert panel.alt == "Largest weight of every head off the first token"


# The text


def test_tokens_are_shaded_by_what_was_read_for_the_opening_token() -> None:
    opening = open_view(RANDOM, Opening(7, 1, 2, RANDOM.query_pos_of_step(2), None))
    read = attribution_of(RANDOM).read
    assert read is not None
    row = read[list_rows(RANDOM)[2]]
    assert shade_tokens(RANDOM, opening) == shade_effects(row, float(np.abs(row[1:]).max()))


@pytest.mark.parametrize("capture", [without_effects(RANDOM), withhold(RANDOM, 2)], ids=["none", "withheld"])
def test_without_effects_tokens_are_shaded_by_the_weights_of_the_opening_head(capture: Capture) -> None:
    query_pos = capture.query_pos_of_step(2)
    weights = kept(capture.attention[7, 1, query_pos, : query_pos + 1])
    assert shade_tokens(capture, open_view(capture, Opening(7, 1, 2, query_pos, None))) == shade_weights(weights)


def test_tokens_without_steps_are_shaded_by_weights() -> None:
    capture = make_capture(generated=())
    opening = open_view(capture, find_opening(capture))
    weights = kept(capture.attention[opening.layer, opening.head, 4])
    assert shade_tokens(capture, opening) == shade_weights(weights)


def test_equal_tokens_are_told_apart_in_no_panel_by_text_alone() -> None:
    """Labels name a position where columns are left out; the position of what is read most stands beside every row."""
    capture = make_capture(("a", "a", "a"), ("b",))
    same = replace(capture, tokens=tuple(make_token("a", 7) for _ in capture.tokens))
    assert {note.position for note in panels_of(same, 0, 0)["heads"].notes} == {0, 1, 2}
