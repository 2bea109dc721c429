"""Stills: pixels are the colours of the values, in both themes, and nothing is drawn where there is no value."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from colours import linear_of
from html_tree import parse_html
from numpy.typing import NDArray
from PIL import Image
from samples import make_capture, make_noisy

from reportgen.evidence.opening import find_opening
from reportgen.pages.page import render_page
from reportgen.pages.palettes import DIVERGING, OPENING_PALETTES, PALETTES
from reportgen.pages.stills import (
    LARGEST_SIDE,
    Shade,
    Still,
    draw_effects,
    draw_legend,
    draw_pattern,
    draw_weights,
    encode_png,
    shade_effects,
    shade_weights,
)

NONE = np.nan
RAMPS = {theme: PALETTES[name] for theme, name in OPENING_PALETTES.items()}
Cells = list[list[str]]
"""Colours as ``#rrggbb``, ``[row][column]``; empty where a cell is transparent."""


def read_picture(url: str) -> Cells:
    """Return the colours of a picture in a ``data:`` URL."""
    head, _, data = url.partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGBA"))
    assert set(np.unique(pixels[:, :, 3])) <= {0, 255}
    return [["#" + bytes(pixel[:3]).hex() if pixel[3] else "" for pixel in row] for row in pixels]


def color_all(values: NDArray[np.floating], ramp: tuple[str, ...], low: float, high: float) -> Cells:
    """Return the colours of values by the definition of a ramp, cell by cell."""
    return [
        [
            "" if np.isnan(value) else ramp[round((value - low) / (high - low) * (len(ramp) - 1))].lower()
            for value in row
        ]
        for row in values.tolist()
    ]


def check(still: Still, values: NDArray[np.floating], ramps: dict[str, tuple[str, ...]], low: float) -> None:
    """Check that a still has the colours of values from ``low`` to 1 in both themes."""
    assert (still.rows, still.columns) == values.shape
    assert read_picture(still.light) == color_all(values, ramps["light"], low, 1)
    assert read_picture(still.dark) == color_all(values, ramps["dark"], low, 1)


def test_weights_have_the_colours_of_their_roots() -> None:
    weights = np.array([[0, 0.0001, 0.01, 0.25], [0.5, 0.81, 1, NONE]])
    check(draw_weights(weights), np.sqrt(weights), RAMPS, 0)


def test_every_colour_of_a_ramp_can_stand_beside_cells_without_a_value() -> None:
    """A palette of a PNG has 256 colours, and a ramp of weights has as many."""
    shares = np.append(np.arange(256) / 255, NONE)[None]
    check(draw_weights(shares**2), shares, RAMPS, 0)
    check(draw_weights(shares[:, :-1] ** 2), shares[:, :-1], RAMPS, 0)


def test_effects_have_the_colours_of_their_share_of_the_largest() -> None:
    effects = np.array([[-4, -1, 0], [1, 2, NONE]])
    check(draw_effects(effects, 4), effects / 4, DIVERGING, -1)


def test_effects_beyond_the_largest_have_its_colour() -> None:
    check(draw_effects(np.array([[-9.0, 9, 2]]), 4), np.array([[-1, 1, 0.5]]), DIVERGING, -1)


def test_each_row_of_effects_can_have_a_scale_of_its_own() -> None:
    largest = np.array([[4.0], [1.0]])
    check(draw_effects(np.array([[4.0, -2], [-0.5, 1]]), largest), np.array([[1, -0.5], [-0.5, 1]]), DIVERGING, -1)


def test_nothing_is_in_the_middle_whatever_the_scale() -> None:
    check(draw_effects(np.zeros((1, 2)), 0), np.zeros((1, 2)), DIVERGING, -1)


def test_a_picture_without_any_value_is_transparent() -> None:
    assert read_picture(draw_weights(np.full((2, 3), NONE)).light) == [["", "", ""]] * 2
    assert read_picture(draw_effects(np.full((1, 2), NONE), 1).dark) == [["", ""]]


def test_a_pattern_has_a_pixel_a_cell_and_nothing_ahead() -> None:
    pattern = make_noisy(30).attention[0, 1]
    ahead = np.triu(np.ones((30, 30), bool), 1)
    check(draw_pattern(pattern), np.sqrt(np.where(ahead, NONE, pattern)), RAMPS, 0)


@pytest.mark.parametrize("n", [LARGEST_SIDE, LARGEST_SIDE + 1, 300, 777, 1024])
def test_a_long_pattern_is_pooled_by_maximum(n: int) -> None:
    pattern = np.tril(np.random.default_rng(n).random((n, n)) ** 8)
    side = min(n, LARGEST_SIDE)
    bounds = [i * n // side for i in range(side + 1)]
    pooled = np.full((side, side), NONE)
    for row in range(side):
        for column in range(row + 1):
            cells = pattern[bounds[row] : bounds[row + 1], bounds[column] : bounds[column + 1]]
            pooled[row, column] = cells.max()
    assert pooled[-1, -1] == pattern[bounds[-2] :, bounds[-2] :].max()
    check(draw_pattern(pattern), np.sqrt(pooled), RAMPS, 0)


def test_one_strong_cell_in_a_long_pattern_is_not_lost() -> None:
    pattern = np.zeros((1024, 1024))
    pattern[1000, 517] = 1
    found = read_picture(draw_pattern(pattern).light)
    strong = RAMPS["light"][-1]
    assert [(row, column) for row in range(256) for column in range(256) if found[row][column] == strong] == [
        (250, 129)
    ]


def test_the_page_has_the_pixels_of_its_data() -> None:
    """The picture of the first window in the HTML itself, against the capture."""
    capture = make_capture()
    opening = find_opening(capture)
    (figure,) = parse_html(render_page(capture)).find(id="figure-head")
    (source,), (picture,) = figure.find("source"), figure.find("img")
    assert source.attributes["media"] == "(prefers-color-scheme: dark)"
    codes = np.rint(255 * np.sqrt(capture.attention[opening.layer, opening.head]))
    shares = np.where(np.tri(8, dtype=bool), codes / 255, NONE)
    for url, theme in ((picture.attributes["src"], "light"), (source.attributes["srcset"], "dark")):
        assert read_picture(url) == color_all(shares, RAMPS[theme], 0, 1)


def check_shades(shades: list[Shade | None], still: Still) -> None:
    """Check that shades are the colours of a still of one row."""
    for url, theme in ((still.light, "light"), (still.dark, "dark")):
        assert [shade and getattr(shade, theme).lower() for shade in shades] == [
            one or None for one in read_picture(url)[0]
        ]


def test_shades_of_weights_are_the_colours_of_stills() -> None:
    weights = np.array([0, 0.04, 0.29, 0.31, 1, NONE])
    check_shades(shade_weights(weights), draw_weights(weights[None]))


def test_shades_of_effects_are_the_colours_of_stills() -> None:
    effects = np.array([-2, -1.2, -1, 0, 1, 1.2, 9, NONE])
    check_shades(shade_effects(effects, 2), draw_effects(effects[None], 2))


@pytest.mark.parametrize(
    "shades",
    [shade_weights((np.arange(256) / 255) ** 2), shade_effects(np.linspace(-1, 1, 255), 1)],
    ids=["weights", "effects"],
)
def test_text_on_every_shade_is_legible(shades: list[Shade | None]) -> None:
    """It is black in the light theme and white in the dark one, unless a class says otherwise."""
    for shade in shades:
        assert shade
        classes = shade.classes.split()
        for ground, white in ((shade.light, "on-dark-shade" in classes), (shade.dark, "on-light-shade" not in classes)):
            (luminance,) = linear_of((ground,)) @ np.array([0.2126, 0.7152, 0.0722])
            assert (1.05 / (luminance + 0.05) if white else (luminance + 0.05) / 0.05) >= 4.5, ground


@pytest.mark.parametrize(("signed", "ramps"), [(False, RAMPS), (True, DIVERGING)])
def test_a_legend_goes_through_its_ramp_from_end_to_end(signed: bool, ramps: dict[str, tuple[str, ...]]) -> None:
    still = draw_legend(signed=signed)
    for url, theme in ((still.light, "light"), (still.dark, "dark")):
        (row,) = read_picture(url)
        places = [[color.lower() for color in ramps[theme]].index(color) for color in row]
        assert len(row) == still.columns == 64
        assert (places[0], places[-1]) == (0, len(ramps[theme]) - 1)
        # In equal steps: the scale's name says how values stand on it.
        assert set(np.diff(places)) == {4} or max(np.diff(places)) - min(np.diff(places)) == 1


def test_same_values_give_the_same_bytes_and_small_ones() -> None:
    weights = make_noisy(30).attention[0, 1]
    assert draw_pattern(weights) == draw_pattern(weights.copy())
    assert len(draw_pattern(weights).light) < 2_500


def test_pictures_are_read_back_as_they_were() -> None:
    picture = Image.new("RGB", (2, 1), "#112233")
    assert read_picture(encode_png(picture)) == [["#112233", "#112233"]]
