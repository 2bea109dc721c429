"""The summary of a page's heads as the last block of the page, from which ``heads.html`` is made.

The block stands last, so that a page shows its first window without it and a site finds it without reading the page.
It holds a line of JSON with the fields of ``HeadSummary``, then the float16 numbers ``[number, layer, head]``: first
the high bytes of all of them, then the low bytes, because high bytes repeat.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reportgen.evidence.head_summary import HeadSummary
from reportgen.pages.encoding import encode_bytes


def encode_summary(summary: HeadSummary) -> Markup:
    """Return a summary as a block."""
    fields = asdict(replace(summary, numbers={})) | {"numbers": list(summary.numbers)}
    header = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    values = [summary.numbers[name] for name in summary.numbers]
    return encode_bytes(header.encode("utf-8") + b"\n" + pack_halves(np.array(values, np.float16)))


def decode_summary(block: bytes) -> HeadSummary:
    """Return the summary in a block.

    Raises:
        ValueError: the block is not one that ``encode_summary`` wrote.
    """
    try:
        header, _, packed = zlib.decompress(base64.b64decode(block, validate=True)).partition(b"\n")
        fields: Mapping[str, Any] = json.loads(header)
        layers, heads, names = tuple(fields["layers"]), tuple(fields["heads"]), fields["numbers"]
        values = _unpack_halves(packed).reshape(len(names), len(layers), len(heads))
        numbers = dict(zip(names, values, strict=True))
        return HeadSummary(**{**fields, "layers": layers, "heads": heads, "numbers": numbers})
    except (ValueError, TypeError, KeyError, zlib.error) as error:
        raise ValueError(f"no summary of heads: {error}") from error


def pack_halves(values: NDArray[np.float16]) -> bytes:
    """Return the high bytes of numbers and then their low bytes."""
    codes = values.astype("<f2").view("<u2").ravel()
    return (codes >> 8).astype(np.uint8).tobytes() + codes.astype(np.uint8).tobytes()


def _unpack_halves(packed: bytes) -> NDArray[np.float16]:
    high, low = np.frombuffer(packed, np.uint8).reshape(2, -1).astype(np.uint16)
    return (high << 8 | low).view(np.float16)
