"""Token ids to text: exact, and as a person can see it.

``tokenizer`` is anything with the ``decode`` and ``convert_ids_to_tokens`` of a transformers tokenizer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from reportgen.records import Token

_UNKNOWN = "�"
_LONGEST_CHARACTER = 4
"""Bytes of the longest character in UTF-8, so also the most tokens that one character is split over."""

_VISIBLE = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"}
_UNSEEN = {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp", "Zs"}
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def make_tokens(tokenizer: Any, token_ids: Sequence[int]) -> tuple[Token, ...]:
    """Return the tokens of a sequence.

    Args:
        tokenizer: the one that the ids are of.
        token_ids: the sequence.

    Returns:
        A token for each id; their texts joined are the decoded sequence. A character that is split over tokens is the
        text of the last of them.
    """
    texts = _split_text(tokenizer, list(token_ids))
    return tuple(_make(tokenizer, token_id, text) for token_id, text in zip(token_ids, texts, strict=True))


def make_token(tokenizer: Any, token_id: int) -> Token:
    """Return a token that stands in no sequence: an alternative that was not chosen."""
    text = decode(tokenizer, [token_id])
    # SentencePiece drops the space before the first word of what it decodes.
    if _piece(tokenizer, token_id).startswith("▁") and not text.startswith(" "):
        text = " " + text
    return _make(tokenizer, token_id, "" if text == _UNKNOWN else text)


def decode(tokenizer: Any, token_ids: Sequence[int]) -> str:
    """Return the exact text of ids, special tokens and spaces as they are."""
    return tokenizer.decode(list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def show_text(text: str) -> str:
    """Return a text in which every character can be seen: spaces, line ends, control and direction marks by signs."""
    return "".join(_show_character(character) for character in text)


def _split_text(tokenizer: Any, token_ids: list[int]) -> list[str]:
    """Decode a growing window, since a token's text can depend on the one before it, never on all before it."""
    texts: list[str] = []
    window, done = 0, 0
    for end in range(1, len(token_ids) + 1):
        before = decode(tokenizer, token_ids[window:done])
        text = decode(tokenizer, token_ids[window:end])[len(before) :]
        waiting = end - done
        if text.endswith(_UNKNOWN) and waiting < _LONGEST_CHARACTER and end < len(token_ids):
            texts.append("")
        else:
            texts.append(text)
            window, done = done, end
    return texts


def _make(tokenizer: Any, token_id: int, text: str) -> Token:
    special = token_id in set(tokenizer.all_special_ids)
    return Token(token_id, text, show_text(text) or _show_bytes(_piece(tokenizer, token_id)), special)


def _piece(tokenizer: Any, token_id: int) -> str:
    return tokenizer.convert_ids_to_tokens(token_id) or ""


def _show_character(character: str) -> str:
    if character in _VISIBLE:
        return _VISIBLE[character]
    if unicodedata.category(character) in _UNSEEN:
        return f"⟨U+{ord(character):04X}⟩"
    return character


def _show_bytes(piece: str) -> str:
    """Return the bytes of a piece that is no whole character, as ``⟨F0 9F⟩``."""
    if match := _BYTE_PIECE.fullmatch(piece):
        return f"⟨{match[1].upper()}⟩"
    if piece and all(character in _BYTE_OF for character in piece):
        return "⟨" + " ".join(f"{_BYTE_OF[character]:02X}" for character in piece) + "⟩"
    return show_text(piece) or _UNKNOWN


def _make_byte_alphabet() -> dict[str, int]:
    """Invert the alphabet of byte-level vocabularies: printable Latin-1 bytes are themselves, others start at 256."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTE_OF = _make_byte_alphabet()
