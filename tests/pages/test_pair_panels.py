"""The heatmaps of a comparison's first window: every pixel of the stills is what the page's data say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samples import make_capture, make_noisy, say
from stills import read_codes

from reportgen.captures.record import Capture
from reportgen.pages.alignment import Alignment, align, measure_variations
from reportgen.pages.pair_answer import find_pair_reads
from reportgen.pages.pair_panels import (
    BEFORE,
    PairOpening,
    find_pair_opening,
    list_axes,
    make_pair_panels,
    make_variation_map,
    tabulate_variations,
)
from reportgen.pages.palettes import PALETTES, SIDES
from reportgen.pages.panels import round_weights
from reportgen.pages.precision import FULL
from reportgen.pages.stills import pool


def make_pair(lengths: tuple[int, int] = (20, 20)) -> tuple[Capture, Capture]:
    """Return two captures with random weights whose texts end alike."""
    first, second = make_noisy(lengths[0]), make_noisy(lengths[1], seed=9)
    shift = first.num_prompt_tokens - second.num_prompt_tokens
    tokens = tuple(replace(token, shown=f"s{i + shift}") for i, token in enumerate(second.tokens))
    return replace(first, tokens=tuple(replace(token, shown=f"s{i}") for i, token in enumerate(first.tokens))), replace(
        second, tokens=tokens
    )


def open_pair(captures: tuple[Capture, Capture]) -> tuple[Alignment | None, PairOpening]:
    alignment = align(*captures)
    variations = [] if alignment is None else measure_variations(*captures, alignment)
    reads = [] if alignment is None else find_pair_reads(captures, alignment, variations)
    return alignment, find_pair_opening(captures, reads)


def aligned_weights(capture: Capture, head: tuple[int, int], start: int, length: int, before: bool) -> np.ndarray:
    """Return what a panel must show, cell by cell."""
    pattern = round_weights(capture.attention[*head], FULL)
    rows = np.full((length, length + before), np.nan)
    for i in range(length):
        if before:
            rows[i, 0] = pattern[start + i, :start].sum()
        for k in range(i + 1):
            rows[i, k + before] = pattern[start + i, start + k]
    return rows


@pytest.mark.parametrize("lengths", [(20, 20), (20, 12), (12, 20)])
@pytest.mark.parametrize(("theme", "palette"), [("light", "blues"), ("dark", "night")])
def test_every_pixel_is_its_weight(lengths: tuple[int, int], theme: str, palette: str) -> None:
    captures = make_pair(lengths)
    alignment, opening = open_pair(captures)
    assert alignment
    assert alignment.length == min(lengths)
    before = lengths[0] != lengths[1]
    made = make_pair_panels(captures, alignment, opening)
    expected = [
        aligned_weights(capture, head, start, alignment.length, before)
        for capture, head, start in zip(captures, opening.heads, alignment.starts, strict=True)
    ]
    for name, weights in zip("ab", expected, strict=True):
        codes = read_codes(getattr(made.panels[name].still, theme), PALETTES[palette])
        assert (np.isnan(codes) == np.isnan(weights)).all()
        assert np.nanmax(np.abs(codes - 255 * np.sqrt(np.clip(weights, 0, 1)))) <= 0.51
    difference = expected[0] - expected[1]
    assert made.largest == pytest.approx(np.nanmax(np.abs(difference)))
    codes = read_codes(getattr(made.panels["difference"].still, theme), SIDES[theme])
    assert (np.isnan(codes) == np.isnan(difference)).all()
    # Colours next to the middle are so alike that some are equal.
    assert np.nanmax(np.abs(codes - 127 * (1 + difference / made.largest))) <= 1.51


def test_map_is_the_total_variation_of_every_head() -> None:
    captures = make_pair()
    alignment, opening = open_pair(captures)
    assert alignment
    variations = measure_variations(*captures, alignment)
    panel = make_variation_map(captures, variations, opening)
    assert panel
    values = tabulate_variations([0, 1, 4], [0, 1, 2, 3], variations)[::-1]
    codes = read_codes(panel.still.light, PALETTES["blues"])
    assert np.abs(codes - 255 * values / values.max()).max() <= 0.51
    assert panel.frame == (opening.head, 2 - [0, 1, 4].index(opening.layer), 1, 1)
    assert [label.text for label in panel.rows] == ["0", "1", "4"]


def test_map_leaves_out_what_one_side_lacks() -> None:
    captures = say("abc", layers=(0, 1), heads=(0, 1)), say("xyz", layers=(1, 2), heads=(1, 3))
    alignment, opening = open_pair(captures)
    assert alignment
    panel = make_variation_map(captures, measure_variations(*captures, alignment), opening)
    assert panel
    codes = read_codes(panel.still.light, PALETTES["blues"])
    assert codes.shape == (3, 3)
    assert np.isnan(codes).sum() == 8
    assert make_variation_map(captures, [], opening) is None


def test_axes_name_what_stands_before() -> None:
    captures = say("abcd"), say("xcd")
    alignment, opening = open_pair(captures)
    made = make_pair_panels(captures, alignment, opening)
    for panel in made.panels.values():
        assert [label.text for label in panel.columns] == [BEFORE, "c", "d"]
        assert [label.text for label in panel.rows] == ["c", "d"]


def test_tokens_that_differ_are_both_named() -> None:
    captures = say("abc"), say("axc")
    made = make_pair_panels(captures, *open_pair(captures))
    assert [label.text for label in made.panels["a"].rows] == ["a", "b", "c"]
    assert [label.text for label in made.panels["b"].rows] == ["a", "x", "c"]
    assert [label.text for label in made.panels["difference"].rows] == ["a", "b | x", "c"]


def test_texts_with_nothing_in_common_are_shown_whole() -> None:
    captures = say("abc", "d"), say("xy")
    alignment, opening = open_pair(captures)
    assert alignment is None
    assert [axis.length for axis in list_axes(captures, None)] == [4, 2]
    made = make_pair_panels(captures, None, opening)
    assert list(made.panels) == ["a", "b"]
    assert made.largest == 0
    assert opening.queries == (2, 1)


def test_comparison_opens_where_the_head_that_differs_most_differs_most() -> None:
    first, second = make_pair()
    alignment, opening = open_pair((first, second))
    assert alignment
    best = measure_variations(first, second, alignment)[0]
    assert (opening.layer, opening.head) == (best.layer, best.head)
    assert opening.heads == ((best.layer, best.head),) * 2
    rows = first.attention[best.layer, best.head] - second.attention[best.layer, best.head]
    assert opening.queries == (np.abs(rows).sum(1).argmax(),) * 2


def test_side_that_lacks_the_opening_head_shows_the_nearest() -> None:
    first, second = make_capture(), make_capture(layers=(4, 9), heads=(2,))
    _, opening = open_pair((first, second))
    assert opening.heads[0] == (opening.layer, opening.head)
    assert opening.heads[1] == (4, 2)


def test_long_patterns_are_pooled_by_what_is_farthest_from_0() -> None:
    drawn = np.random.default_rng(3).normal(size=(70, 71))
    drawn[5] = np.nan
    pooled = pool(drawn, 10)
    assert pooled.shape == (10, 10)
    for row in range(10):
        for column in range(10):
            cells = drawn[row * 7 : row * 7 + 7, column * 71 // 10 : (column + 1) * 71 // 10]
            assert np.abs(pooled[row, column]) == np.nanmax(np.abs(cells))
            assert pooled[row, column] in cells
    assert pool(drawn, 71) is drawn
    assert np.isnan(pool(np.full((4, 4), np.nan), 2)).all()
