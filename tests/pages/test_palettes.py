"""Colour ramps: equal steps of weight are equal steps of lightness."""

from __future__ import annotations

import re

import numpy as np
import pytest
from colours import BLIND, linear_of, oklab_of

from reportgen.pages.palettes import DIVERGING, OPENING_PALETTES, PALETTES, SIDES, make_blues
from reportgen.paths import find_templates


def lightness_of(colours: tuple[str, ...]) -> np.ndarray:
    """Return OKLab lightness, by the forward formulas of Ottosson 2020: sRGB, linear, cones, cube root, L."""
    return oklab_of(linear_of(colours))[:, 0]


# What is left of linear RGB without cones for long waves and for middle ones (Machado 2009, severity 1).


def test_lightness_of_white_and_black() -> None:
    assert lightness_of(("#ffffff", "#000000")) == pytest.approx([1, 0], abs=1e-4)


@pytest.mark.parametrize("name", PALETTES)
def test_palette_has_a_colour_for_each_code(name: str) -> None:
    assert len(PALETTES[name]) == 256
    assert all(re.fullmatch("#[0-9a-fA-F]{6}", colour) for colour in PALETTES[name])


@pytest.mark.parametrize("name", PALETTES)
def test_lightness_goes_one_way(name: str) -> None:
    steps = np.diff(lightness_of(PALETTES[name]))
    # Eight bits a channel move lightness by up to 0.002.
    assert (steps < 0.002).all() if name == "blues" else (steps > -0.002).all()


@pytest.mark.parametrize(("name", "start", "end"), [("blues", 0.985, 0.28), ("night", 0.222, 0.93)])
def test_blues_go_from_paper_to_blue_in_equal_steps(name: str, start: float, end: float) -> None:
    lightness = lightness_of(PALETTES[name])
    assert lightness == pytest.approx(np.linspace(start, end, 256), abs=0.005)
    red, _, blue = bytes.fromhex(PALETTES[name][128][1:])
    assert blue > 2 * red


@pytest.mark.parametrize("theme", OPENING_PALETTES)
def test_nothing_has_the_colour_of_the_page(theme: str) -> None:
    """Of a theme's own colour maps: an empty cell, which shows the card, never looks stronger than a small weight."""
    css = (find_templates() / "css" / "theme.css").read_text("utf-8")
    light, dark = re.search(r"--card: light-dark\((#\w{6}), (#\w{6})\)", css).groups()  # pyright: ignore
    card = lightness_of((light if theme == "light" else dark,))[0]
    for ramp in (PALETTES[OPENING_PALETTES[theme]], DIVERGING[theme][127:]):
        away = np.abs(lightness_of(ramp) - card)
        assert away[0] < 0.02
        assert (np.diff(away) > -0.003).all()


def test_ramps_of_other_lengths_have_the_same_ends() -> None:
    three = make_blues(count=3)
    assert len(three) == 3
    assert (three[0], three[-1]) == (PALETTES["blues"][0], PALETTES["blues"][-1])


@pytest.mark.parametrize(("theme", "middle"), [("light", 0.985), ("dark", 0.222)])
def test_both_arms_leave_the_middle_in_equal_steps(theme: str, middle: float) -> None:
    lightness = lightness_of(DIVERGING[theme])
    assert len(lightness) == 255
    assert lightness[127] == pytest.approx(middle, abs=0.01)
    assert lightness[:127] == pytest.approx(lightness[:127:-1], abs=0.03)
    away = np.diff(lightness[127:])
    assert (away < 0.002).all() if theme == "light" else (away > -0.002).all()


@pytest.mark.parametrize("theme", DIVERGING)
def test_against_is_purple_and_for_is_orange(theme: str) -> None:
    """Blue is for weights alone."""
    against, middle, towards = (bytes.fromhex(DIVERGING[theme][i][1:]) for i in (0, 127, 254))
    assert against[2] > against[0] > against[1]
    assert towards[0] > towards[1] > towards[2]
    assert max(middle) - min(middle) < 12


@pytest.mark.parametrize("name", PALETTES)
@pytest.mark.parametrize("eyes", BLIND)
def test_lightness_goes_one_way_for_colour_blind_readers(name: str, eyes: str) -> None:
    steps = np.diff(oklab_of(linear_of(PALETTES[name]) @ BLIND[eyes].T)[:, 0])
    assert (steps < 0.002).all() if name == "blues" else (steps > -0.002).all()


@pytest.mark.parametrize("name", PALETTES)
def test_grey_paper_keeps_the_order(name: str) -> None:
    """Luminance is what a printer without colours, or a copier, leaves."""
    luminance = linear_of(PALETTES[name]) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) < 0).all() if name == "blues" else (np.diff(luminance) > -0.001).all()
    assert max(luminance) > 0.75
    assert min(luminance) < 0.03


@pytest.mark.parametrize("theme", DIVERGING)
@pytest.mark.parametrize("eyes", BLIND)
def test_colour_blind_readers_tell_for_from_against(theme: str, eyes: str) -> None:
    colours = oklab_of(linear_of(DIVERGING[theme]) @ BLIND[eyes].T)
    apart = np.linalg.norm(colours[:127] - colours[:127:-1], axis=1)
    # From an eighth of the scale on, and ever better to its half.
    assert (apart[:112] > 0.035).all()
    assert apart[64] > 0.13
    away = np.diff(colours[127:, 0])
    assert (away < 0.002).all() if theme == "light" else (away > -0.002).all()


@pytest.mark.parametrize("theme", DIVERGING)
def test_grey_paper_keeps_how_much_is_for_or_against(theme: str) -> None:
    """Not which of the two: signs stand in the tables, and dots and stripes mark what is against."""
    luminance = linear_of(DIVERGING[theme]) @ np.array([0.2126, 0.7152, 0.0722])
    for arm in (luminance[127:], luminance[127::-1]):
        assert (np.diff(arm) < 0).all() if theme == "light" else (np.diff(arm) > 0).all()


@pytest.mark.parametrize(("theme", "middle", "end"), [("light", 0.985, 0.46), ("dark", 0.222, 0.8)])
def test_both_sides_leave_the_middle_in_equal_steps(theme: str, middle: float, end: float) -> None:
    lightness = lightness_of(SIDES[theme])
    assert len(lightness) == 255
    assert lightness[127:] == pytest.approx(np.linspace(middle, end, 128), abs=0.012)
    assert lightness[:127] == pytest.approx(lightness[:127:-1], abs=0.006)


@pytest.mark.parametrize("theme", SIDES)
@pytest.mark.parametrize("eyes", [None, *BLIND])
def test_everybody_tells_the_sides_apart(theme: str, eyes: str | None) -> None:
    linear = linear_of(SIDES[theme])
    colours = oklab_of(linear @ BLIND[eyes].T if eyes else linear)
    apart = np.linalg.norm(colours[:127] - colours[:127:-1], axis=1)
    # From an eighth of the scale on, and ever better to its half.
    assert (apart[:112] > 0.033).all()
    assert apart[64] > 0.105


@pytest.mark.parametrize(("theme", "at"), [("light", 0), ("dark", 1)])
def test_ends_are_the_colours_of_the_sides(theme: str, at: int) -> None:
    style = (find_templates() / "css" / "theme.css").read_text("utf-8")
    named = [re.search(rf"--side-{side}: light-dark\((#\w+), (#\w+)\)", style) for side in "ba"]
    assert [found and found.groups()[at] for found in named] == [SIDES[theme][0], SIDES[theme][-1]]
