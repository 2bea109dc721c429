"""The picture that stands for a page where somebody links to it.

It is drawn from the capture alone, in a font that Pillow carries along, so that the same capture gives the same picture
on every machine. That font has Latin letters only: a title in others is left out, since it stands beside the picture
in every card of a link.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from reportgen.captures.record import Capture
from reportgen.evidence.definitions import find_opening_head
from reportgen.pages.compare import nearest, shade_both
from reportgen.pages.links import PREVIEW_SIZE
from reportgen.pages.palettes import PALETTES
from reportgen.pages.payload import shrink
from reportgen.pages.templates import GENERATOR
from reportgen.records import Comparison

_PAPER, _INK, _MUTED, _LINE = "#101317", "#eceef0", "#a2abb5", "#2e343c"
"""The dark theme's colours."""
_MARGIN, _GAP, _SIDE = 60, 24, 344
"""Around all, between heatmaps, and the height of a heatmap, in pixels."""
_WIDTH = PREVIEW_SIZE[0] - 2 * _MARGIN
_DIMMEST = 28
"""Colour of no weight, in the palette: what a query does not read is set off from what it cannot read."""
_TITLES = ((64, 1), (54, 2), (46, 2))
"""Size of letters and most lines, of which a title takes the first that holds it."""
_CELLS = 24
"""Most cells along a side of one head's picture among all heads."""
_FONT_HAS = frozenset(map(chr, range(32, 127))) | frozenset("·±«»‘’“”…")
_LOOKS_LIKE = str.maketrans({"–": "-", "—": "-", "−": "-", "×": "x", "↵": " ", "␣": " "})


@dataclass(frozen=True)
class _Panel:
    """A picture and what it shows, in words."""

    picture: Image.Image
    caption: str


def draw_preview(capture: Capture) -> bytes:
    """Return the preview of a page: all heads of all layers, and beside them, where there is room, the opening head.

    Returns:
        A PNG of ``PREVIEW_SIZE`` pixels.
    """
    layers, heads = _count(len(capture.layers), "layer"), _count(len(capture.heads), "head")
    all_heads = _Panel(
        _draw_heads(capture), f"{layers} from left to right, {heads} from top to bottom; first token left out"
    )
    panels = (all_heads,)
    if all_heads.picture.width + _GAP + _SIDE <= _WIDTH:
        layer, head = find_opening_head(capture)
        panels = (_Panel(_paint(_shade(capture, layer, head), _SIDE), f"layer {layer}, head {head}"), all_heads)
    tokens = f"{_count(capture.num_prompt_tokens, 'prompt token')}, {len(capture.steps)} generated"
    return _compose(capture.prompt.title, capture.model.title, tokens, panels)


def draw_pair_preview(comparison: Comparison, first: Capture, second: Capture) -> bytes:
    """Return the preview of two prompts side by side: one head of both, and the mean of all heads, A below B.

    Returns:
        As ``draw_preview``.
    """
    opening = find_opening_head(first)
    places = [(nearest(side.layers, opening[0]), nearest(side.heads, opening[1])) for side in (first, second)]
    panels = [
        _Panel(_paint(_shade(side, *place), _SIDE), f"{name}: layer {place[0]}, head {place[1]}")
        for name, side, place in zip("AB", (first, second), places, strict=True)
    ]
    panels.append(_Panel(_paint(shade_both(first, second), _SIDE, whole=True), "all heads: A below, B above"))
    models = " and ".join(dict.fromkeys(side.model.title for side in (first, second)))
    return _compose(comparison.title, models, "side by side", panels)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _compose(title: str, model: str, facts: str, panels: Sequence[_Panel]) -> bytes:
    picture = Image.new("RGB", PREVIEW_SIZE, _PAPER)
    draw = ImageDraw.Draw(picture)
    lines, size = _fit(_spell(title) or _spell(model) or "Attention")
    top = 44
    for line in lines:
        draw.text((_MARGIN, top), line, _INK, _font(size))
        top += round(size * 1.14)
    draw.text((_MARGIN, top + 8), _cut(_spell(f"{model} · {facts}"), _WIDTH, 26), _MUTED, _font(26))
    left, bottom = _MARGIN, PREVIEW_SIZE[1] - 62
    for panel in panels:
        picture.paste(panel.picture, (left, bottom - panel.picture.height))
        room = _MARGIN + _WIDTH - left if panel is panels[-1] else panel.picture.width
        draw.text((left, bottom + 14), _cut(_spell(panel.caption), room, 22), _MUTED, _font(22))
        left += panel.picture.width + _GAP
    return _encode(picture)


def _encode(picture: Image.Image) -> bytes:
    file, info = io.BytesIO(), PngInfo()
    info.add_text("Software", GENERATOR)
    picture.quantize(128, dither=Image.Dither.NONE).save(file, "png", optimize=True, pnginfo=info)
    return file.getvalue()


def _draw_heads(capture: Capture) -> Image.Image:
    """Draw all heads as small pictures, layers from left to right and heads from top to bottom."""
    columns, rows = len(capture.layers), len(capture.heads)
    pitch = max(1, min(_WIDTH // columns, _SIDE // rows))
    gap = 2 if pitch > 11 else int(pitch > 3)
    picture = Image.new("RGB", (columns * pitch - gap, rows * pitch - gap), _PAPER)
    for column, layer in enumerate(capture.layers):
        for row, head in enumerate(capture.heads):
            small = _paint(shrink(_shade(capture, layer, head), _CELLS), pitch - gap)
            picture.paste(small, (column * pitch, row * pitch))
    return picture


def _shade(capture: Capture, layer: int, head: int) -> NDArray[np.float32]:
    """Return a pattern as shades from 0 to 1: square roots, the first token left out where there is another."""
    pattern = capture.pattern(layer, head)
    if capture.num_tokens > 1:
        pattern[:, 0] = 0
    return np.sqrt(shrink(pattern, _SIDE))


def _paint(shade: NDArray[np.float32], side: int, *, whole: bool = False) -> Image.Image:
    """Return shades as a square of so many pixels; above the diagonal is paper, unless the square is whole."""
    colors = np.array([ImageColor.getrgb(color) for color in PALETTES["magma"]], np.uint8)[_DIMMEST:]
    cells = colors[np.rint((len(colors) - 1) * shade).astype(int)]
    if not whole:
        cells[~np.tri(len(shade), dtype=bool)] = ImageColor.getrgb(_PAPER)
    resample = Image.Resampling.NEAREST if len(shade) <= side else Image.Resampling.BOX
    return Image.fromarray(cells).resize((side, side), resample)


def _spell(text: str) -> str:
    """Return a text in the letters that the font has; the empty text where little would be left of it."""
    folded = unicodedata.normalize("NFKD", text.translate(_LOOKS_LIKE))
    plain = "".join(character for character in folded if not unicodedata.combining(character))
    kept = "".join(character if character in _FONT_HAS else " " for character in plain)
    return " ".join(kept.split()) if _count_letters(kept) * 2 >= _count_letters(plain) else ""


def _count_letters(text: Iterable[str]) -> int:
    return sum(character.isalnum() for character in text)


def _fit(title: str) -> tuple[list[str], int]:
    """Return the lines of a title and the size of its letters."""
    for size, most in _TITLES:
        lines = _wrap(title, size)
        if len(lines) <= most:
            break
    return [*lines[: most - 1], _cut(" ".join(lines[most - 1 :]), _WIDTH, size)], size


def _wrap(text: str, size: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and _font(size).getlength(f"{lines[-1]} {word}") <= _WIDTH:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(_cut(word, _WIDTH, size))
    return lines


def _cut(text: str, width: int, size: int) -> str:
    """Return a text that is no wider than so many pixels."""
    text, whole = text[:400], text
    if _font(size).getlength(text) <= width and text == whole:
        return text
    while text and _font(size).getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # with a size it is one
    return font
