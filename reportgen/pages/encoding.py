"""Encode arrays and JSON as the compact blocks in a page; ``templates/js/data/payload.js`` decodes them.

The content of a block is deflated (zlib format, RFC 1950) and encoded in base64. It is either UTF-8 text (JSON or a
script), or *codes* of attention weights, as defined in ``reportgen.captures.quantization``. Lower triangles of codes
are packed as described in ``triangles``.

Text is deflated with libdeflate, which finds repeated text better than zlib. Codes hardly ever repeat, except that many
are 0, and each repetition of three or four codes costs more than the codes themselves. So codes are deflated with
zlib's strategy for runs of equal bytes, which is 6 % smaller and takes half as long at 256 tokens.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import deflate
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reportgen.captures.quantization import quantize_sqrt
from reportgen.captures.record import Capture
from reportgen.evidence.kinds.scaling import encode_roots
from reportgen.pages.precision import FULL, Precision, quantize
from reportgen.pages.triangles import pack_triangles
from reportgen.records import Prediction
from reportgen.records.json_values import describe_token, list_numbers, shorten

THUMBNAIL_SIDE = 24
"""Maximum number of cells along a side of one head's picture in the map of all heads."""
_OWN_OVERVIEW = 64
"""Number of tokens up to which a page has no overview block: the layers are then hardly larger, and the page's
script makes the pictures from them."""

_LEVELS = (10, 6)
"""Compression levels of libdeflate for text, and for text that is too long for the first. Level 12 would make text
0.5 % smaller in twice the time; level 6 makes it a tenth larger in a tenth of the time."""
_LONG = 1 << 17
"""Minimum number of bytes of text that is too long for the first level."""
_MEMORY_LEVEL = 6
"""zlib's setting for the length of deflate's own blocks, each with a table of bit lengths: 4,096 codes. Longer ones
make a page of 41 tokens larger, by up to 5 % of its weights, and one of 512 tokens 0.4 % smaller."""


def encode_bytes(data: bytes, *, patient: bool = False) -> Markup:
    """Return bytes as a block.

    Args:
        data: content of the block.
        patient: whether to use the strongest compression, whatever the size of the data.
    """
    level = _LEVELS[len(data) >= _LONG and not patient]
    return Markup(b64encode(deflate.zlib_compress(data, level)).decode("ascii"))


def encode_codes(data: bytes) -> Markup:
    """Return bytes that hardly ever repeat as a block; there may be runs of equal bytes."""
    return Markup(b64encode(_deflate_codes(data)).decode("ascii"))


def _deflate_codes(data: bytes) -> bytes:
    deflater = zlib.compressobj(memLevel=_MEMORY_LEVEL, strategy=zlib.Z_RLE)
    return deflater.compress(data) + deflater.flush()


def encode_json(value: Any) -> Markup:
    """Return a JSON value as a block; keys keep their order.

    Raises:
        ValueError: the value contains NaN or an infinity, which JSON cannot represent.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return encode_bytes(text.encode("utf-8"))


def encode_layer(capture: Capture, layer: int, precision: Precision = FULL) -> Markup:
    """Return the block of one layer: the codes of the lower triangle of each captured head."""
    return _encode_triangles(capture.triangles[capture.layers.index(layer)], precision)


def encode_pattern(capture: Capture, layer: int, head: int, precision: Precision = FULL) -> Markup:
    """Return the block of one head: the codes of its lower triangle."""
    return _encode_triangles(capture.triangles[capture.layers.index(layer), capture.heads.index(head)][None], precision)


def encode_rows(capture: Capture, query_pos: int, precision: Precision = FULL) -> Markup:
    """Return the block of one query: the codes of its row in each captured head, ``[layer, head, key_pos]``.

    Codes of 16 bits are little-endian.
    """
    codes = quantize(capture.triangles[:, :, capture.row(query_pos)], precision)
    return encode_bytes(codes.astype(codes.dtype.newbyteorder("<"), copy=False).tobytes())


def encode_row_sums(sums: Mapping[str, NDArray[np.float32]]) -> dict[str, Markup]:
    """Return the blocks of sums over rows, by name.

    Args:
        sums: numbers from 0 to 1 by name, each ``[layer, head, query_pos]``.

    Returns:
        Blocks of little-endian 16-bit numbers, 65535 times the square root of each sum.
    """
    return {f"row-{name}": encode_bytes(encode_roots(values).tobytes()) for name, values in sums.items()}


def measure_triangles(triangles: NDArray[Any], precision: Precision) -> int:
    """Return the size in bytes of a block of triangles, ``[head, cell]``."""
    return len(_deflate_codes(_pack(triangles, precision))) * 4 // 3


def _encode_triangles(triangles: NDArray[Any], precision: Precision) -> Markup:
    return encode_codes(_pack(triangles, precision))


def _pack(triangles: NDArray[Any], precision: Precision) -> bytes:
    """Return packed codes; of 16-bit codes the high bytes are packed, and the low bytes follow unchanged."""
    codes = quantize(triangles, precision)
    if precision.bits == 8:
        return pack_triangles(codes)
    return pack_triangles((codes >> 8).astype(np.uint8)) + codes.astype(np.uint8).tobytes()


def thumbnail_side(num_tokens: int) -> int:
    """Return the side length in cells of one head's picture in the map of all heads."""
    return min(num_tokens, THUMBNAIL_SIDE)


def shrink(pattern: NDArray[Any], side: int) -> NDArray[Any]:
    """Downsample a pattern to at most ``side`` cells along each axis by taking the maximum of each group of cells.

    NaN counts only if a whole group has no number.

    Args:
        pattern: weights or codes, ``[query_pos, key_pos]``.
        side: side length of the result in cells; a pattern that is not larger is returned unchanged.

    Returns:
        ``[side, side]``; cell ``(i, j)`` covers the positions from ``i * n // side`` up to ``(i + 1) * n // side``.
    """
    length = len(pattern)
    if length <= side:
        return pattern
    starts = np.arange(side) * length // side
    return np.fmax.reduceat(np.fmax.reduceat(pattern, starts, axis=0), starts, axis=1)


def has_overview(capture: Capture) -> bool:
    """Return whether a page has an overview block, in addition to the layers that it is made from."""
    return capture.num_tokens > _OWN_OVERVIEW


def encode_overview(capture: Capture) -> Markup:
    """Return the overview block: a small picture of every head, for the map of all heads.

    Returns:
        Codes ``[layer, head, row, column]`` with ``thumbnail_side`` rows and columns, and zeros above the diagonal.
    """
    num_tokens, side = capture.num_tokens, thumbnail_side(capture.num_tokens)
    codes = np.zeros((*capture.triangles.shape[:2], side, side), np.uint8)
    starts = [cell * num_tokens // side for cell in range(side + 1)]
    for row, (first, end) in enumerate(pairwise(starts)):
        strongest = np.zeros((*capture.triangles.shape[:2], end), np.uint8)
        for query_pos in range(first, end):
            seen = strongest[..., : query_pos + 1]
            np.maximum(seen, quantize_sqrt(capture.triangles[..., capture.row(query_pos)]), out=seen)
        codes[..., row, : row + 1] = np.maximum.reduceat(strongest, starts[: row + 1], axis=-1)
    return encode_bytes(codes.tobytes())


def describe_capture(capture: Capture, precision: Precision = FULL) -> dict[str, Any]:
    """Return the facts about a capture that the page's script reads, as JSON values.

    Returns:
        Layers, heads, whether these are all of the model, tokens as ``[token_id, shown, special]``, the prediction of
        each prompt token after the first, whether the token of the one step was not generated but would be next
        (``is_forecast``), ``raw`` and ``filtered`` predictions of each step (``filtered`` is null with beam search),
        and ``scores`` by name, ``[layer][head]``, null if undefined.
    """
    return {
        "layers": list(capture.layers),
        "heads": list(capture.heads),
        "has_all_heads": capture.has_all_heads,
        "num_prompt_tokens": capture.num_prompt_tokens,
        "thumbnail_side": thumbnail_side(capture.num_tokens),
        "has_overview": has_overview(capture),
        "precision": precision.bits,
        "min_weight": shorten(precision.min_weight),
        "tokens": [describe_token(token) for token in capture.tokens],
        "prompt_predictions": [_describe_prediction(prediction) for prediction in capture.prompt_predictions],
        "is_forecast": capture.is_forecast,
        "steps": [
            {"raw": _describe_prediction(step.raw), "filtered": step.filtered and _describe_prediction(step.filtered)}
            for step in capture.steps
        ],
        "scores": {name: list_numbers(scores) for name, scores in capture.evidence.scores.items()},
    }


def _describe_prediction(prediction: Prediction) -> dict[str, Any]:
    return {
        "logprob": shorten(prediction.logprob),
        "rank": prediction.rank,
        "entropy": shorten(prediction.entropy),
        "alternatives": [[token.token_id, token.shown, shorten(logprob)] for token, logprob in prediction.alternatives],
    }
