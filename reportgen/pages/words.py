"""Group tokens into words."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from reportgen.records import Token

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
"""Scripts that are written without spaces between words, as prefixes of the Unicode names of their letters."""


def find_words(tokens: Sequence[Token], num_prompt_tokens: int) -> list[int]:
    """Return the position at which each word begins.

    A word is a run of tokens without white space between them. A special token is a word of its own, and the first
    generated token begins a word. Punctuation is separated from letters and digits, except an apostrophe as in
    ``don't``. In scripts without spaces each token is a word, because finding words would need a dictionary.

    Args:
        tokens: tokens of the prompt and the generation.
        num_prompt_tokens: number of tokens of the prompt.
    """
    return [position for position in range(len(tokens)) if _begins(tokens, position, num_prompt_tokens)]


def _begins(tokens: Sequence[Token], position: int, num_prompt_tokens: int) -> bool:
    if position in {0, num_prompt_tokens}:
        return True
    before, token = tokens[position - 1], tokens[position]
    if before.special or token.special:
        return True
    if not token.text or not before.text:
        return False  # part of a character that another token completes
    last, first = before.text[-1], token.text[0]
    return last.isspace() or first.isspace() or _is_unspaced(first) or _is_word(last) != _is_word(first)


def _is_word(character: str) -> bool:
    """Return whether a character is a letter, mark, digit or apostrophe."""
    return character in "'’\ufffd" or unicodedata.category(character)[0] in "LMN"


def _is_unspaced(character: str) -> bool:
    return unicodedata.name(character, "").startswith(_UNSPACED)
