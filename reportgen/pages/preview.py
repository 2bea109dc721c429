"""Draw the preview picture of a page for link previews: the map of all heads, and beside it what the card says."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import cache

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from reportgen.pages.cards import Card
from reportgen.pages.links import PREVIEW_SIZE
from reportgen.pages.templates import GENERATOR

_MARGIN = 48
_MAP_SIZE = (320, PREVIEW_SIZE[1] - 2 * _MARGIN)
_GAP = 18
_INK, _MUTED, _LINE, _WRITTEN = "#17191c", "#59616b", "#e2e4e8", "#0e7a6e"
"""Colours of the light theme, as in ``templates/css/theme.css``."""
_BLOCKS = (("title", 56, _INK, 2), ("text", 36, _MUTED, 3), ("completion", 44, _WRITTEN, 2), ("said", 33, _INK, 3))
"""What stands beside the map: name, size of the type in pixels, colour and largest number of lines."""


def draw_preview(card: Card) -> bytes:
    """Return the preview of the page of a prompt or a comparison.

    Args:
        card: card of the page. Its thumbnail is enlarged; a text is left out if the font has not all of its characters.

    Returns:
        A PNG of ``PREVIEW_SIZE`` pixels, whose metadata names reportgen as the software.
    """
    picture = Image.new("RGB", PREVIEW_SIZE, "white")
    if card.thumbnail:
        _paste_map(picture, card.thumbnail)
    said = {
        "title": card.title if card.compares else card.own_title,
        "text": " | ".join(card.compares) or card.text,
        "completion": card.completion,
        "said": _write(card.said),
    }
    draw, x, y = ImageDraw.Draw(picture), _MAP_SIZE[0] + 2 * _MARGIN, _MARGIN - 8
    for name, size, color, most in _BLOCKS:
        lines = _wrap(said[name], size, most)
        for line in lines:
            draw.text((x, y), line, color, _get_font(size))
            y += round(1.25 * size)
        y += _GAP * bool(lines)
    for line in _wrap(card.model, 28, 1):
        draw.text((x, PREVIEW_SIZE[1] - _MARGIN), line, _MUTED, _get_font(28), anchor="ls")
    file, info = io.BytesIO(), PngInfo()
    info.add_text("Software", GENERATOR)
    picture.quantize(64, dither=Image.Dither.NONE).save(file, "png", optimize=True, pnginfo=info)
    return file.getvalue()


def _paste_map(picture: Image.Image, thumbnail: str) -> None:
    with Image.open(io.BytesIO(base64.b64decode(thumbnail.partition(",")[2]))) as small:
        enlarged = small.convert("RGBA").resize(_MAP_SIZE, Image.Resampling.NEAREST)
    picture.paste(enlarged, (_MARGIN, _MARGIN), enlarged)
    left, top, right, bottom = _MARGIN, _MARGIN, _MARGIN + _MAP_SIZE[0], _MARGIN + _MAP_SIZE[1]
    ImageDraw.Draw(picture).rectangle((left - 2, top - 2, right + 1, bottom + 1), outline=_LINE, width=2)


def _write(said: Sequence[str | Sequence[object]]) -> str:
    """Return the sentence of a card as text, without positions; a token that the font lacks is ``…``."""
    parts = []
    for part in said:
        match part:
            case str():
                parts.append(part)
            case ["head", layer, head]:
                parts.append(f"L{layer} H{head}")
            case ["token", str(shown), *_]:
                token = shown.replace("␣", " ").strip()
                parts.append(f"“{token if _can_draw(token) else '…'}”")
            case [_, text]:
                parts.append(str(text))
    return "".join(parts)


def _wrap(text: str, size: int, most: int) -> list[str]:
    """Return a text as lines that fit beside the map, at most so many; none if the font cannot draw it."""
    font, width = _get_font(size), PREVIEW_SIZE[0] - _MAP_SIZE[0] - 3 * _MARGIN
    if not _can_draw(text):
        return []
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    lines = [_cut(one, font, width) for one in [*lines, line] if one]
    return lines if len(lines) <= most else [*lines[: most - 1], _cut(f"{lines[most - 1]} …", font, width)]


def _cut(line: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    while font.getlength(line) > width:
        line = f"{line.removesuffix('…')[:-1].rstrip()}…"
    return line


@cache
def _get_font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font that Pillow brings along, so that every machine draws the same picture."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


def _can_draw(text: str) -> bool:
    return all(_has_glyph(character) for character in set(text))


@cache
def _has_glyph(character: str) -> bool:
    mask, missing = (bytes(_get_font(33).getmask(one)) for one in (character, "\U0010fffd"))  # pyright: ignore[reportArgumentType]
    return character.isspace() or mask != missing
