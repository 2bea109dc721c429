"""Draw the preview picture of a page for link previews: its enlarged thumbnail."""

from __future__ import annotations

import base64
import io

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from reportgen.pages.cards import Card
from reportgen.pages.links import PREVIEW_SIZE
from reportgen.pages.palettes import PALETTES
from reportgen.pages.templates import GENERATOR

_MARGIN = 35
"""Margin above and below the thumbnail in pixels."""


def draw_preview(card: Card) -> bytes:
    """Return the preview of the page of a prompt or a comparison.

    Args:
        card: card of the page; its thumbnail is placed in the centre.

    Returns:
        A PNG of ``PREVIEW_SIZE`` pixels, whose metadata names reportgen as the software.
    """
    width, height = PREVIEW_SIZE
    side = height - 2 * _MARGIN
    with Image.open(io.BytesIO(base64.b64decode(card.thumbnail.partition(",")[2]))) as thumbnail:
        enlarged = thumbnail.convert("RGB").resize((side, side), Image.Resampling.NEAREST)
    picture = Image.new("RGB", PREVIEW_SIZE, PALETTES["blues"][0])  # the colour of weight 0
    picture.paste(enlarged, ((width - side) // 2, _MARGIN))
    file, info = io.BytesIO(), PngInfo()
    info.add_text("Software", GENERATOR)
    picture.quantize(dither=Image.Dither.NONE).save(file, "png", optimize=True, pnginfo=info)
    return file.getvalue()
