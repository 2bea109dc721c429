"""Token ids to text: exact, and as a person can see it.

``tokenizer`` is anything with the ``decode`` and ``convert_ids_to_tokens`` of a transformers tokenizer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from reportgen.records import Token

_UNKNOWN = "\ufffd"
"""What decoders write for bytes that are no character."""

_LONGEST_WAIT = 32
"""Tokens after which text that fits nowhere is given out: far more than the four that one character is split over."""

_VISIBLE = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"}
_UNSEEN = {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp", "Zs"}
# Letters and marks that Unicode draws as nothing: joiners, fillers, variation selectors, the empty Braille cell.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
# Bytes that are no character, as Python's "surrogateescape" keeps them.
_LOOSE_BYTES = re.compile("[\udc80-\udcff]+")
_BEGUN_CHARACTER = re.compile("[\udcc2-\udcf4][\udc80-\udcbf]*\\Z")


def make_tokens(tokenizer: Any, token_ids: Sequence[int]) -> tuple[Token, ...]:
    """Return the tokens of a sequence.

    Args:
        tokenizer: the one that the ids are of.
        token_ids: the sequence.

    Returns:
        A token for each id; their texts joined are the decoded sequence. A character that is split over tokens is in
        the text of the last of them.
    """
    texts = _split_text(tokenizer, list(token_ids))
    return tuple(_make(tokenizer, token_id, text) for token_id, text in zip(token_ids, texts, strict=True))


def make_token(tokenizer: Any, token_id: int) -> Token:
    """Return a token that stands in no sequence: an alternative that was not chosen."""
    text = decode(tokenizer, [token_id]).strip(_UNKNOWN)
    # SentencePiece drops the space before the first word of what it decodes.
    if _piece(tokenizer, token_id).startswith("▁") and not text.startswith(" "):
        text = " " + text
    return _make(tokenizer, token_id, text)


def decode(tokenizer: Any, token_ids: Sequence[int]) -> str:
    """Return the exact text of ids, special tokens and spaces as they are."""
    return tokenizer.decode(list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def show_text(text: str) -> str:
    """Return a text in which every character can be seen.

    Spaces and line ends become signs; control, direction and blank characters their numbers; a mark that would join
    the character before it, were there one, stands on a dotted circle.
    """
    shown = "".join(_show_character(character) for character in text)
    return "◌" + shown if shown and unicodedata.category(shown[0]).startswith("M") else shown


def _split_text(tokenizer: Any, token_ids: list[int]) -> list[str]:
    """Cut the decoded whole at the ends of the tokens.

    A token's text can depend on its neighbours, never on all before it, so a short window decoded anew for each token
    tells how far it reaches. What is given out is the whole's own text: joined, it is exact whatever a decoder does.
    """
    whole = decode(tokenizer, token_ids)
    ends = [0]
    window, done, start = 0, 0, 0
    for end in range(1, len(token_ids)):
        before, now, after = (decode(tokenizer, token_ids[window:stop]) for stop in (done, end, end + 1))
        text = now[len(before) :]
        # A character's first bytes look like a wrong one, and so do bytes that are wrong: only the whole tells which.
        # Where the next token adds nothing, it goes on with the same character.
        known = _count_equal(text, whole[start : start + len(text)])
        if known == len(text) and text.endswith(_UNKNOWN) and after == now:
            known -= 1
        ends.append(max(ends[-1], start + known))
        if known == len(text) or end - done >= _LONGEST_WAIT:
            window, done, start = done, end, ends[-1]
    if token_ids:
        ends.append(len(whole))
    return [whole[first:last] for first, last in pairwise(ends)]


def _count_equal(text: str, other: str) -> int:
    """Return how many characters two texts have in common from the start."""
    differing = (place for place, (one, two) in enumerate(zip(text, other, strict=False)) if one != two)
    return next(differing, min(len(text), len(other)))


def _make(tokenizer: Any, token_id: int, text: str) -> Token:
    alone = decode(tokenizer, [token_id])
    special = bool(alone) and not tokenizer.decode([token_id], skip_special_tokens=True)
    return Token(token_id, text, _show_token(text, _piece(tokenizer, token_id)), special)


def _piece(tokenizer: Any, token_id: int) -> str:
    return tokenizer.convert_ids_to_tokens(token_id) or ""


def _show_token(text: str, piece: str) -> str:
    """Return what a person sees of a token: its text, and the bytes of a character that others complete."""
    letters = _bytes_of(piece).decode("utf-8", "surrogateescape")
    if not text.strip(_UNKNOWN):
        return _show_bytes(letters) or show_text(piece.replace("▁", " ")) or _UNKNOWN
    begun = _BEGUN_CHARACTER.search(letters)
    # A piece that is found in its own text is no spelling of bytes.
    return show_text(text) + (_show_bytes(begun[0]) if begun and piece not in text else "")


def _show_character(character: str) -> str:
    if character in _VISIBLE:
        return _VISIBLE[character]
    if unicodedata.category(character) in _UNSEEN or _BLANK.match(character):
        return f"⟨U+{ord(character):04X}⟩"
    return character


def _show_bytes(letters: str) -> str:
    """Return a text with the bytes that are no character as ``⟨F0 9F⟩``."""
    shown, last = "", 0
    for loose in _LOOSE_BYTES.finditer(letters):
        numbers = " ".join(f"{ord(letter) - 0xDC00:02X}" for letter in loose[0])
        shown += f"{show_text(letters[last : loose.start()])}⟨{numbers}⟩"
        last = loose.end()
    return shown + show_text(letters[last:])


def _bytes_of(piece: str) -> bytes:
    """Return the bytes that a piece of a vocabulary spells; none where it spells characters."""
    if match := _BYTE_PIECE.fullmatch(piece):
        return bytes.fromhex(match[1])
    if all(character in _BYTE_OF for character in piece):
        return bytes(_BYTE_OF[character] for character in piece)
    return b""


def _make_byte_alphabet() -> dict[str, int]:
    """Invert the alphabet of byte-level vocabularies: printable Latin-1 bytes are themselves, others start at 256."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTE_OF = _make_byte_alphabet()
