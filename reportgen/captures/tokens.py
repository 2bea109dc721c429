"""Convert token ids to exact text, and to text for display.

``tokenizer`` is any object with the methods ``decode`` and ``convert_ids_to_tokens`` of a transformers tokenizer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

from reportgen.records import Token

_UNKNOWN = "\ufffd"
"""Replacement character, which decoders return for bytes that are not valid UTF-8."""

_LONGEST_WAIT = 32
"""Maximum number of tokens to wait for the rest of a character; one character spans at most four."""

_VISIBLE = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"}
_INVISIBLE = {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp", "Zs"}
# Letters and marks without a glyph: joiners, fillers, variation selectors, the empty Braille cell.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
# Bytes that are not valid UTF-8, as Python's error handler "surrogateescape" represents them.
_LOOSE_BYTES = re.compile("[\udc80-\udcff]+")
_BEGUN_CHARACTER = re.compile("[\udcc2-\udcf4][\udc80-\udcbf]*\\Z")


def make_tokens(tokenizer: Any, token_ids: Sequence[int]) -> tuple[Token, ...]:
    """Return the tokens of a sequence.

    Args:
        tokenizer: the tokenizer that the ids belong to.
        token_ids: ids of the sequence.

    Returns:
        A token for each id; their joined texts are the decoded sequence. A character that is split over several tokens
        is in the text of the last of them.
    """
    texts = _split_text(tokenizer, list(token_ids))
    make = cache(lambda token_id, text: _make(tokenizer, token_id, text))  # tokens repeat in a text
    pieces = [_piece(tokenizer, token_id) for token_id in token_ids]
    return tuple(
        replace(make(token_id, text), goes_on=_goes_on(text, piece, following))
        for token_id, text, piece, following in zip(token_ids, texts, pieces, [*pieces, ""][1:], strict=True)
    )


def make_token(tokenizer: Any, token_id: int) -> Token:
    """Return a token outside of a sequence, such as an alternative that was not chosen."""
    text = decode(tokenizer, [token_id]).strip(_UNKNOWN)
    # SentencePiece drops the space before the first word of a decoded text.
    if _piece(tokenizer, token_id).startswith("▁") and not text.startswith(" "):
        text = " " + text
    return _make(tokenizer, token_id, text)


def decode(tokenizer: Any, token_ids: Sequence[int]) -> str:
    """Return the exact text of ids, including special tokens and spaces."""
    return tokenizer.decode(list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def show_text(text: str) -> str:
    """Return a text with visible replacements for invisible characters.

    Spaces and line ends become symbols; control, direction and blank characters become their code points. A combining
    mark at the start is shown on a dotted circle.
    """
    shown = "".join(_show_character(character) for character in text)
    return "◌" + shown if shown and unicodedata.category(shown[0]).startswith("M") else shown


def _split_text(tokenizer: Any, token_ids: list[int]) -> list[str]:
    """Split the decoded sequence at the ends of its tokens.

    The text of a token can depend on its neighbours, but not on the whole text before it. A short window is therefore
    decoded for each token to find where its text ends. The returned texts are slices of the decoded sequence, so that
    joining them is exact for every decoder.
    """
    whole = decode(tokenizer, token_ids)
    read = cache(lambda *part: decode(tokenizer, part))
    ends = [0]
    window, done, start = 0, 0, 0
    for end in range(1, len(token_ids)):
        before, now = (read(*token_ids[window:stop]) for stop in (done, end))
        text = now[len(before) :]
        # Incomplete and invalid characters both decode to U+FFFD; only the decoded sequence distinguishes them.
        # If the next token adds no text, it continues the same character.
        known = _count_equal(text, whole[start : start + len(text)])
        if known == len(text) and text.endswith(_UNKNOWN) and read(*token_ids[window : end + 1]) == now:
            known -= 1
        ends.append(max(ends[-1], start + known))
        # Some decoders leave the bytes of an incomplete character out; the next window must not begin inside of one.
        whole_characters = known == len(text) > 0 and not _begun(text, _piece(tokenizer, token_ids[end - 1]))
        if whole_characters or end - done >= _LONGEST_WAIT:
            window, done, start = done, end, ends[-1]
    if token_ids:
        ends.append(len(whole))
    return [whole[first:last] for first, last in pairwise(ends)]


def _count_equal(text: str, other: str) -> int:
    """Return the length of the common prefix of two texts."""
    differing = (index for index, (left, right) in enumerate(zip(text, other, strict=False)) if left != right)
    return next(differing, min(len(text), len(other)))


def _make(tokenizer: Any, token_id: int, text: str) -> Token:
    alone = decode(tokenizer, [token_id])
    special = bool(alone) and not tokenizer.decode([token_id], skip_special_tokens=True)
    shown = _show_token(text, _piece(tokenizer, token_id)) or f"⟨id {token_id}⟩"
    return Token(token_id, text, shown, special)


def _piece(tokenizer: Any, token_id: int) -> str:
    """Return the vocabulary entry of an id; empty if the tokenizer does not know the id."""
    try:
        return tokenizer.convert_ids_to_tokens(token_id) or ""
    except (IndexError, KeyError, ValueError):  # some tokenizers refuse such an id
        return ""


def _show_token(text: str, piece: str) -> str:
    """Return a token's text for display, with the bytes of a character that later tokens complete."""
    if not text.strip(_UNKNOWN):
        return _show_bytes(_letters_of(piece)) or show_text(piece.replace("▁", " "))
    return show_text(text) + _show_bytes(_begun(text, piece))


def _begun(text: str, piece: str) -> str:
    """Return the bytes, as surrogates, of a character that a token begins and does not complete."""
    begun = _BEGUN_CHARACTER.search(_letters_of(piece))
    # A piece that is part of its own text consists of characters, not of bytes.
    return begun[0] if begun and piece not in text else ""


def _goes_on(text: str, piece: str, following: str) -> bool:
    """Return whether a token ends inside a character that the token of the following piece continues."""
    within = not text and _LOOSE_BYTES.fullmatch(_letters_of(piece))
    return bool(_begun(text, piece) or within) and 0x80 <= next(iter(_bytes_of(following)), 0) < 0xC0


def _letters_of(piece: str) -> str:
    return _bytes_of(piece).decode("utf-8", "surrogateescape")


def _show_character(character: str) -> str:
    if character in _VISIBLE:
        return _VISIBLE[character]
    if unicodedata.category(character) in _INVISIBLE or _BLANK.match(character):
        return f"⟨U+{ord(character):04X}⟩"
    return character


def _show_bytes(letters: str) -> str:
    """Return a text for display, with bytes that are not valid UTF-8 as ``⟨F0 9F⟩``."""
    shown, last = "", 0
    for loose in _LOOSE_BYTES.finditer(letters):
        numbers = " ".join(f"{ord(letter) - 0xDC00:02X}" for letter in loose[0])
        shown += f"{show_text(letters[last : loose.start()])}⟨{numbers}⟩"
        last = loose.end()
    return shown + show_text(letters[last:])


def _bytes_of(piece: str) -> bytes:
    """Return the bytes that a vocabulary entry represents; empty if it consists of characters."""
    if match := _BYTE_PIECE.fullmatch(piece):
        return bytes.fromhex(match[1])
    if all(character in _BYTE_OF for character in piece):
        return bytes(_BYTE_OF[character] for character in piece)
    if len(piece) == 1 and ord(piece) < 256:
        return bytes([ord(piece)])  # ByT5 writes each byte as the character of the same number
    return b""


def _make_byte_alphabet() -> dict[str, int]:
    """Return the bytes of the characters of GPT-2's byte-level BPE: printable Latin-1 as is, others from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTE_OF = _make_byte_alphabet()
