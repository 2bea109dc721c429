"""Read stills back: which code of a ramp each pixel has."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image


def read_codes(url: str, ramp: Sequence[str]) -> np.ndarray:
    """Return the index of each pixel's colour in a ramp, ``[row, column]``; NaN where nothing is drawn.

    Raises:
        AssertionError: a pixel has a colour that is not in the ramp.
    """
    with Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))) as image:
        pixels = np.array(image.convert("RGBA"))
    codes = {bytes.fromhex(color[1:]): code for code, color in reversed(list(enumerate(ramp)))}
    found = np.full(pixels.shape[:2], np.nan)
    for place in np.ndindex(found.shape):
        *color, alpha = (int(channel) for channel in pixels[place])
        assert alpha in (0, 255)
        if alpha:
            found[place] = codes[bytes(color)]
    return found
