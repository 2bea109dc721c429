"""Perceptually uniform colour maps for weights, one for the light and one for the dark theme.

They are made in OKLab (Ottosson 2020, "A perceptual color space for image processing"): lightness changes in equal
steps, so that equal differences of weight look equally large. Each begins at the colour of the page around it, so that
an empty cell never looks stronger than a small weight.

Signed values use a diverging colour map from purple to orange, with the colour of the page in the middle. Colours at
the same distance from the middle are equally light. Blue is for weights alone. The two sides of a comparison are ochre
and teal, which readers with any kind of colour blindness tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from bokeh.palettes import Cividis256, Magma256, Viridis256
from numpy.typing import NDArray

_OKLAB_TO_CONE = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_CONE_TO_LINEAR_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def make_blues(start: float = 0.985, end: float = 0.28, count: int = 256) -> tuple[str, ...]:
    """Return a colour map from nearly grey to blue in equal steps of OKLab lightness.

    Args:
        start: OKLab lightness of the smallest value.
        end: OKLab lightness of the largest value.
        count: number of colours.

    Returns:
        Colours as ``#rrggbb``, smallest value first.
    """
    along = np.linspace(0, 1, count)
    lightness = start + (end - start) * along
    chroma = 0.105 * np.sin(np.pi * along**0.9) + 0.05 * along
    hue = np.deg2rad(248 + 14 * along)
    oklab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
    return _to_hex(oklab)


@dataclass(frozen=True)
class Arm:
    """Colours of one sign: their hue in degrees, the largest chroma, and what of it is lost towards the end."""

    hue: float
    chroma: float
    loss: float = 0


EFFECT_ARMS = Arm(305, 0.16, 0.02), Arm(50, 0.16, 0.02)
"""Purple and orange."""

SIDE_ARMS = Arm(75, 0.12), Arm(200, 0.08)
"""Ochre for the second side of a comparison, and teal for the first one."""


def make_diverging(middle: float, end: float, arms: tuple[Arm, Arm] = EFFECT_ARMS, count: int = 255) -> tuple[str, ...]:
    """Return a diverging colour map through nearly grey, in equal steps of OKLab lightness.

    Args:
        middle: OKLab lightness of the middle.
        end: OKLab lightness of both ends.
        arms: colours of negative and of positive values.
        count: number of colours; odd, so that one colour is exactly the middle.

    Returns:
        Colours as ``#rrggbb``, from the most negative value to the most positive one.
    """
    along = np.linspace(-1, 1, count)
    distance = np.abs(along)
    lightness = middle + (end - middle) * distance
    hue, largest, loss = (
        np.where(along < 0, getattr(arms[0], name), getattr(arms[1], name)) for name in ("hue", "chroma", "loss")
    )
    chroma = 0.006 + largest * np.sin(np.pi / 2 * distance) - loss * distance**3
    hue = np.deg2rad(hue)
    return _to_hex(np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1))


def _to_hex(oklab: NDArray[np.float64]) -> tuple[str, ...]:
    return tuple("#" + bytes(colour).hex() for colour in _to_srgb(oklab))


def _to_srgb(oklab: NDArray[np.float64]) -> NDArray[np.uint8]:
    linear = np.clip(((oklab @ _OKLAB_TO_CONE.T) ** 3) @ _CONE_TO_LINEAR_RGB.T, 0, 1)
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * gamma).astype(np.uint8)


PALETTES: dict[str, tuple[str, ...]] = {
    "blues": make_blues(),
    "night": make_blues(0.222, 0.93),
    "magma": tuple(Magma256),
    "viridis": tuple(Viridis256),
    "cividis": tuple(Cividis256),
}
"""Colour maps that a page offers, 256 colours each, from the smallest weight to the largest."""

OPENING_PALETTES = {"light": "blues", "dark": "night"}
"""Colour map of weights that each theme begins with."""

DIVERGING: dict[str, tuple[str, ...]] = {"light": make_diverging(0.985, 0.46), "dark": make_diverging(0.222, 0.8)}
"""Colour maps of signed values by theme, 255 colours each, from the most negative value to the most positive one."""

SIDES: dict[str, tuple[str, ...]] = {
    "light": make_diverging(0.985, 0.46, SIDE_ARMS),
    "dark": make_diverging(0.222, 0.8, SIDE_ARMS),
}
"""Colour maps of the difference between the sides of a comparison, from more in B to more in A. ``theme.css`` has the
ends."""


def describe_ramps(ramps: Mapping[str, Sequence[str]]) -> dict[str, list[list[int]]]:
    """Return colour maps for the page's script: for red, green and blue, the differences between successive colours.

    The first difference of each is from 0.
    """
    return {
        name: np.diff([list(bytes.fromhex(colour[1:])) for colour in ramp], axis=0, prepend=0).T.tolist()
        for name, ramp in ramps.items()
    }
