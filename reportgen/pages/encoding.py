"""Encode arrays and JSON as the compact blocks in a page; ``templates/js/payload.js`` decodes them.

The content of a block is deflated (zlib format, RFC 1950) and encoded in base64. It is either UTF-8 text (JSON or a
script), or *codes* of attention weights, as defined in ``reportgen.captures.quantization``. Lower triangles of codes
are packed as described in ``triangles``.
"""

from __future__ import annotations

import json
from base64 import b64encode
from bisect import bisect_right
from collections.abc import Iterable, Mapping
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

_LEVELS = (12, 10, 6)
"""Compression levels for small, larger and the largest blocks. Level 12 makes codes 4 % to 9 % smaller than level 6 and
takes at least eight times as long. Level 10 saves half to two thirds as much, in a tenth to a half of that time."""
_SIZES = (3 << 13, 1 << 17)
"""Minimum number of bytes of a larger block, and of one of the largest."""


def encode_bytes(data: bytes, *, patient: bool = False) -> Markup:
    """Return bytes as a block.

    Args:
        data: content of the block.
        patient: whether to use the strongest compression, whatever the size of the data.
    """
    level = _LEVELS[0 if patient else bisect_right(_SIZES, len(data))]
    return Markup(b64encode(deflate.zlib_compress(data, level)).decode("ascii"))


def encode_json(value: Any) -> Markup:
    """Return a JSON value as a block; keys keep their order.

    Raises:
        ValueError: the value contains NaN or an infinity, which JSON cannot represent.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return encode_bytes(text.encode("utf-8"))


def encode_layer(capture: Capture, layer: int, precision: Precision = FULL) -> Markup:
    """Return the block of one layer: the codes of the lower triangle of each captured head."""
    return _encode_triangles(capture.attention[capture.layers.index(layer)], precision)


def encode_pattern(capture: Capture, layer: int, head: int, precision: Precision = FULL) -> Markup:
    """Return the block of one head: the codes of its lower triangle."""
    return _encode_triangles(capture.attention[capture.layers.index(layer), capture.heads.index(head)][None], precision)


def encode_row_sums(sums: Mapping[str, NDArray[np.float32]]) -> dict[str, Markup]:
    """Return the blocks of sums over rows, by name.

    Args:
        sums: numbers from 0 to 1 by name, each ``[layer, head, query_pos]``.

    Returns:
        Blocks of little-endian 16-bit numbers, 65535 times the square root of each sum.
    """
    return {f"row-{name}": encode_bytes(encode_roots(values).tobytes()) for name, values in sums.items()}


def measure_triangles(triangles: Iterable[NDArray[Any]], precision: Precision) -> int:
    """Return the approximate size in bytes of a block of triangles, each ``[cell]``."""
    return len(deflate.zlib_compress(_pack(triangles, precision), _LEVELS[-1])) * 4 // 3


def _encode_triangles(triangles: Iterable[NDArray[Any]], precision: Precision) -> Markup:
    return encode_bytes(_pack(triangles, precision))


def _pack(triangles: Iterable[NDArray[Any]], precision: Precision) -> bytes:
    """Return packed codes; of 16-bit codes the high bytes are packed, and the low bytes follow unchanged."""
    # A generator, because all codes at once would take much memory.
    codes = (quantize(triangle, precision) for triangle in triangles)
    if precision.bits == 8:
        return pack_triangles(codes)
    fine = list(codes)
    high = pack_triangles((triangle >> 8).astype(np.uint8) for triangle in fine)
    return high + b"".join(triangle.astype(np.uint8).tobytes() for triangle in fine)


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
    side = thumbnail_side(capture.num_tokens)
    patterns = [shrink(capture.pattern(layer, head), side) for layer in capture.layers for head in capture.heads]
    return encode_bytes(quantize_sqrt(np.stack(patterns)).tobytes())


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
