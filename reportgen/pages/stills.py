"""Draw stills: pictures of heatmaps with one pixel a cell, which a page shows before any script runs.

A still is a PNG for the light theme and one for the dark theme. Cells without a value are transparent.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reportgen.pages.encoding import shrink
from reportgen.pages.palettes import DIVERGING, OPENING_PALETTES, PALETTES, SIDES

LARGEST_SIDE = 256
"""Largest number of cells along a side of a pattern's still; longer patterns are pooled by maximum."""

_LIGHT_FROM = 0.18
"""Relative luminance from which text on a colour is black; on darker ones it is white. Both have a contrast of 4.5."""

THUMBNAIL_SIDE = 40
"""Largest number of cells along a side of a thumbnail; larger maps are pooled by the largest absolute value."""
_SHADES = 7
"""Number of shades of each sign in a thumbnail: few, because an index may have thousands of them."""
_ABOVE, _BELOW, _WEIGHT = (0xD2, 0x75, 0x2F), (0x96, 0x6B, 0xC4), (0x3F, 0x86, 0xDA)


_FLOOR = 1e-4
"""On the logarithmic scale, values nearer to 0 look like 0."""
_SCALES = {
    "sqrt": lambda values: np.sqrt(np.clip(values, 0, None)),
    "linear": lambda values: values,
    "log": lambda values: np.log10(np.maximum(values, _FLOOR) / _FLOOR),
}
"""Where a value stands on a scale of weights, as in ``templates/js/data/numbers.js``."""


@dataclass(frozen=True)
class Still:
    """A heatmap as two pictures, ``data:`` URLs of PNGs of ``columns`` by ``rows`` pixels."""

    rows: int
    columns: int
    light: str
    dark: str


def draw_weights(values: NDArray[np.floating], scale: str = "sqrt", largest: float = 1) -> Still:
    """Return the still of weights or other values from 0 on, ``[row, column]``; NaN is empty.

    Args:
        values: the values.
        scale: scale of the colours: ``sqrt``, ``linear`` or ``log``.
        largest: value with the strongest colour; larger values have it too.
    """
    high = _SCALES[scale](np.float64(largest))
    return _draw(np.clip(_SCALES[scale](values) / high, 0, 1) if high else values * 0, _list_palettes())


def draw_shares(values: NDArray[np.floating]) -> Still:
    """Return the still of shares of the largest value, 0 to 1, ``[row, column]``, on a linear scale; NaN is empty."""
    return _draw(values, _list_palettes())


def draw_effects(values: NDArray[np.floating], largest: NDArray[np.floating] | float) -> Still:
    """Return the still of values with a sign, ``[row, column]``, on a linear scale; NaN is empty.

    Args:
        values: effects in logits.
        largest: absolute value with the strongest colour; larger values have it too.
    """
    return _draw((_scale(values, largest) + 1) / 2, list(DIVERGING.values()))


def draw_pattern(pattern: NDArray[np.floating], scale: str = "sqrt") -> Still:
    """Return the still of one head's pattern, ``[query_pos, key_pos]``, at most ``LARGEST_SIDE`` cells along a side."""
    pooled = shrink(pattern, LARGEST_SIDE)
    is_ahead = ~np.tri(len(pooled), dtype=bool)
    return draw_weights(np.where(is_ahead, np.nan, pooled), scale)


def draw_differences(values: NDArray[np.floating], largest: float) -> Still:
    """Return the still of what one side of a comparison has more than the other, ``[row, column]``; NaN is empty.

    Args:
        values: weights of A minus weights of B.
        largest: absolute value with the strongest colour.
    """
    return _draw((_scale(values, largest) + 1) / 2, list(SIDES.values()))


def pool(values: NDArray[np.floating], side: int = LARGEST_SIDE) -> NDArray[np.floating]:
    """Return at most ``side`` rows and columns; each cell is the value farthest from 0 of those that it stands for.

    A cell is NaN only if all of these are.
    """
    for axis in (0, 1):
        length = values.shape[axis]
        if length > side:
            starts = np.arange(side) * length // side
            most, least = (extreme.reduceat(values, starts, axis=axis) for extreme in (np.fmax, np.fmin))
            values = np.where(-least > most, least, most)
    return values


@dataclass(frozen=True)
class Shade:
    """The colour behind a token in the light theme and in the dark one."""

    light: str
    dark: str

    @property
    def classes(self) -> str:
        """Classes of the text on it, where it is not black in the light theme or not white in the dark one."""
        on_dark = ["on-dark-shade"] * (not _is_light(self.light))
        return " ".join([*on_dark, *["on-light-shade"] * _is_light(self.dark)])


def shade_weights(values: NDArray[np.floating]) -> list[Shade | None]:
    """Return the colour of each weight; ``None`` for NaN."""
    return _shade(np.sqrt(np.clip(values, 0, 1)), _list_palettes())


def shade_effects(values: NDArray[np.floating], largest: float) -> list[Shade | None]:
    """Return the colour of each effect, ``None`` for NaN; ``largest`` as in ``draw_effects``."""
    return _shade((_scale(values, largest) + 1) / 2, list(DIVERGING.values()))


def draw_legend(*, signed: bool, sides: bool = False) -> Still:
    """Return a row of all colours of a ramp, from its lowest value to its highest.

    Args:
        signed: whether the ramp is that of effects, or of the difference of two sides, instead of that of weights.
        sides: whether it is that of the difference.
    """
    along = np.linspace(-1, 1, 64)[None] if signed else np.linspace(0, 1, 64)[None] ** 2
    if sides:
        return draw_differences(along, 1)
    return draw_effects(along, 1) if signed else draw_weights(along)


def draw_thumbnail(shares: NDArray[np.floating], *, signed: bool) -> str:
    """Return a small picture of a map, which one background fits as well as another: cells are clear where they are 0.

    Args:
        shares: shares of the strongest colour, -1 to 1, ``[row, column]``; NaN counts as 0.
        signed: whether these are effects, orange above 0 and purple below, and not weights, which are blue.

    Returns:
        A PNG of one pixel a cell, less than 2 KB, as a ``data:`` URL.
    """
    pooled = pool(np.clip(np.nan_to_num(shares), -1, 1), THUMBNAIL_SIDE)
    image = Image.fromarray((np.rint(pooled * _SHADES) + _SHADES).astype(np.uint8)).convert("P")
    above = _ABOVE if signed else _WEIGHT
    image.putpalette([*_BELOW * _SHADES, *above * (_SHADES + 1)])
    alphas = bytes(abs(level) * 255 // _SHADES for level in range(-_SHADES, _SHADES + 1))
    return encode_png(image, bits=4, transparency=alphas)


def encode_png(image: Image.Image, **options: object) -> str:
    """Return a picture as a PNG in a ``data:`` URL."""
    file = io.BytesIO()
    image.save(file, "png", optimize=True, **options)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _list_palettes() -> list[Sequence[str]]:
    return [PALETTES[name] for name in OPENING_PALETTES.values()]


def _scale(values: NDArray[np.floating], largest: NDArray[np.floating] | float) -> NDArray[np.floating]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values == 0, 0, np.clip(values / largest, -1, 1))


def _shade(shares: NDArray[np.floating], ramps: Sequence[Sequence[str]]) -> list[Shade | None]:
    codes = np.rint(np.nan_to_num(shares) * (len(ramps[0]) - 1)).astype(int)
    return [
        None if np.isnan(share) else Shade(ramps[0][int(code)], ramps[1][int(code)])
        for share, code in zip(shares, codes, strict=True)
    ]


def _is_light(color: str) -> bool:
    """Return whether the relative luminance of a colour, ``#rrggbb``, asks for black text (WCAG 2)."""
    shares = np.frombuffer(bytes.fromhex(color[1:]), np.uint8) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return bool(linear @ [0.2126, 0.7152, 0.0722] >= _LIGHT_FROM)


def _draw(shares: NDArray[np.floating], ramps: Sequence[Sequence[str]]) -> Still:
    """Return the still of shares from 0 to 1 of the length of each theme's ramp."""
    rows, columns = shares.shape
    light, dark = (_paint(shares, ramp) for ramp in ramps)
    return Still(rows, columns, light, dark)


def _paint(shares: NDArray[np.floating], ramp: Sequence[str]) -> str:
    is_empty = np.isnan(shares)
    codes = np.rint(np.where(is_empty, 0, shares) * (len(ramp) - 1)).astype(np.uint8)
    colors = np.frombuffer(bytes.fromhex("".join(color[1:] for color in ramp)), np.uint8).reshape(-1, 3)
    free = np.setdiff1d(np.arange(256), codes)
    if is_empty.any() and not len(free):
        pixels = np.dstack([colors[codes], np.where(is_empty, 0, 255).astype(np.uint8)])
        return encode_png(Image.fromarray(pixels))
    options = {}
    if is_empty.any():
        codes[is_empty] = free[0]
        options["transparency"] = int(free[0])
    image = Image.fromarray(codes).convert("P")
    image.putpalette(colors.tobytes())
    return encode_png(image, **options)
