"""Perceptually uniform colour ramps for weights, one that starts at paper white and one that starts at night black.

The light ramp is made in OKLab (Ottosson 2020, "A perceptual color space for image processing"): lightness falls in
equal steps, so that equal differences of weight look equally large. The dark one is matplotlib's magma, which has that
property and ships with Bokeh.

What can be for or against something is drawn on a ramp with two arms, rose and blue, from paper white or night black in
the middle; at the same distance from it both arms are equally light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def make_blues(count: int = 256) -> tuple[str, ...]:
    """Return a ramp from near white to deep blue, equal steps of OKLab lightness.

    Args:
        count: how many colours.

    Returns:
        Colours as ``#rrggbb``, lightest first.
    """
    along = np.linspace(0, 1, count)
    lightness = 0.985 - 0.705 * along
    chroma = 0.105 * np.sin(np.pi * along**0.9) + 0.05 * along
    hue = np.deg2rad(248 + 14 * along)
    oklab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
    return _to_hex(oklab)


def make_diverging(middle: float, end: float, count: int = 255) -> tuple[str, ...]:
    """Return a ramp from rose over a nearly grey middle to blue, equal steps of OKLab lightness on both arms.

    Args:
        middle: lightness of the middle.
        end: lightness of both ends.
        count: how many colours; odd, so that one is the middle's.

    Returns:
        Colours as ``#rrggbb``, what is most against first.
    """
    along = np.linspace(-1, 1, count)
    far = np.abs(along)
    lightness = middle + (end - middle) * far
    chroma = 0.006 + 0.16 * np.sin(np.pi / 2 * far) - 0.02 * far**3
    hue = np.deg2rad(np.where(along < 0, 12, 255))
    return _to_hex(np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1))


def _to_hex(oklab: NDArray[np.float64]) -> tuple[str, ...]:
    return tuple("#" + bytes(colour).hex() for colour in _to_srgb(oklab))


def _to_srgb(oklab: NDArray[np.float64]) -> NDArray[np.uint8]:
    linear = np.clip(((oklab @ _OKLAB_TO_CONE.T) ** 3) @ _CONE_TO_LINEAR_RGB.T, 0, 1)
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * gamma).astype(np.uint8)


PALETTES: dict[str, tuple[str, ...]] = {
    "blues": make_blues(),
    "magma": tuple(Magma256),
    "viridis": tuple(Viridis256),
    "cividis": tuple(Cividis256),
}
"""The ramps that a page offers, 256 colours each, weakest first."""

DIVERGING: dict[str, tuple[str, ...]] = {"light": make_diverging(0.985, 0.44), "dark": make_diverging(0.16, 0.78)}
"""The ramps of values with a sign, by theme, 255 colours each, what is most against first."""


def describe_ramps(ramps: Mapping[str, Sequence[str]]) -> dict[str, list[list[int]]]:
    """Return ramps as the page's script reads them: of red, green and blue the steps from colour to colour, from 0."""
    return {
        name: np.diff([list(bytes.fromhex(colour[1:])) for colour in ramp], axis=0, prepend=0).T.tolist()
        for name, ramp in ramps.items()
    }
