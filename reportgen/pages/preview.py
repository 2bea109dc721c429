"""The picture that stands for a page in cards of links: its thumbnail, enlarged."""

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
"""Pixels above and below the thumbnail."""


def draw_preview(card: Card) -> bytes:
    """Return the preview of a page, of a prompt or a comparison.

    Args:
        card: of the page; its thumbnail stands in the middle.

    Returns:
        A PNG of ``PREVIEW_SIZE`` pixels, which says that reportgen made it.
    """
    width, height = PREVIEW_SIZE
    side = height - 2 * _MARGIN
    with Image.open(io.BytesIO(base64.b64decode(card.thumbnail.partition(",")[2]))) as thumbnail:
        enlarged = thumbnail.convert("RGB").resize((side, side), Image.Resampling.NEAREST)
    picture = Image.new("RGB", PREVIEW_SIZE, PALETTES["blues"][0])  # the colour of no weight
    picture.paste(enlarged, ((width - side) // 2, _MARGIN))
    file, info = io.BytesIO(), PngInfo()
    info.add_text("Software", GENERATOR)
    picture.quantize(dither=Image.Dither.NONE).save(file, "png", optimize=True, pnginfo=info)
    return file.getvalue()
