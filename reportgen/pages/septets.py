"""Bytes as text of an HTML file, seven bits to a character; ``templates/js/septets.js`` reads the very same format.

Base64 makes a third more of bytes; this makes a seventh more. The bits of the bytes, highest first, are cut into
septets, and a septet is the ASCII character of its number. A few characters do not come through an HTML parser, or do
harm in a terminal or an editor: such a septet and the one after it are one character of two bytes instead, which costs
nothing; where none comes after it, it is one of the characters from U+0080 on. The idea is base122's (Albertson 2016).

Whoever stores a page as something other than UTF-8 text must keep all of its characters, as for any other page.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_REPLACED = tuple(map(ord, "\0\a\b\t\n\v\f\r\x0e\x0f\x1a\x1b<\x7f"))
"""Null and carriage return are changed by a parser, ``<`` could end the element; the others are a matter of manners."""
_INDEX = np.full(128, -1, np.int16)
_INDEX[list(_REPLACED)] = range(len(_REPLACED))
_PAIRS = 0x100
"""Where characters begin that stand for two septets: 128 for each of those replaced, which is up to U+07FF."""
_ALONE = 0x80
_SHIFTS = np.arange(49, -1, -7, dtype=np.uint64)
"""Of eight septets in seven bytes."""


def encode_septets(data: bytes) -> str:
    """Return bytes as text that a script element of an HTML file can hold as it is."""
    septets = _cut(data)
    begins = _find_pairs(np.flatnonzero(_INDEX[septets] >= 0))
    taken = begins + 1
    characters = septets.astype(np.uint16)
    characters[begins] = _PAIRS + 128 * _INDEX[septets[begins]] + np.append(septets, np.uint8(0))[taken]
    if len(begins) and taken[-1] == len(septets):
        characters[-1], taken = _ALONE + _INDEX[septets[-1]], taken[:-1]
    return np.delete(characters, taken).astype("<u2").tobytes().decode("utf-16-le")


def decode_septets(text: str) -> bytes:
    """Return the bytes of a text that ``encode_septets`` made."""
    septets: list[int] = []
    for character in map(ord, text):
        if character >= _PAIRS:
            septets += divmod(character - _PAIRS, 128)
            septets[-2] = _REPLACED[septets[-2]]
        else:
            septets.append(_REPLACED[character - _ALONE] if character >= _ALONE else character)
    bits = np.unpackbits(np.array(septets, np.uint8)[:, None], axis=1)[:, 1:].ravel()
    return np.packbits(bits[: len(bits) // 8 * 8]).tobytes()


def _cut(data: bytes) -> NDArray[np.uint8]:
    """Return the septets of bytes, zeros behind the last bit."""
    words = np.zeros((-(-len(data) // 7), 8), np.uint8)
    words[:, 1:] = np.frombuffer(data + bytes(-len(data) % 7), np.uint8).reshape(-1, 7)
    septets = words.view(">u8").astype(np.uint64) >> _SHIFTS & np.uint64(127)
    return septets.astype(np.uint8).ravel()[: -(-8 * len(data) // 7)]


def _find_pairs(replaced: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return where pairs begin, of the septets to be replaced: every other one of a run of them, from its first."""
    order = np.arange(len(replaced))
    starts = np.diff(replaced, prepend=-2) != 1
    return replaced[(order - np.maximum.accumulate(np.where(starts, order, 0))) % 2 == 0]
