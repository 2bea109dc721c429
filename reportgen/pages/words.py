"""Group tokens into words."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from reportgen.captures.tokens import show_text
from reportgen.records import Token

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
"""Scripts that are written without spaces between words, as prefixes of the Unicode names of their letters."""

_JOINERS = "\u00ad\u200c\u200d\u2060"
"""Soft hyphen, zero-width (non-)joiner and word joiner: characters inside of a word or of an emoji."""


def find_words(tokens: Sequence[Token], num_prompt_tokens: int) -> list[int]:
    """Return the position at which each word begins.

    A word is a run of tokens without white space between them. A special token is a word of its own, and the first
    generated token begins a word. Punctuation is separated from letters and digits, except an apostrophe as in
    ``don't``. In scripts without spaces each token is a word, because finding words would need a dictionary. No word
    begins inside of a character: a token that has its first bytes stands for the whole character.

    Args:
        tokens: tokens of the prompt and the generation.
        num_prompt_tokens: number of tokens of the prompt.
    """
    following = _find_first_characters(tokens)
    return [
        position
        for position, first in enumerate(following)
        if position in {0, num_prompt_tokens} or _begins(tokens[position - 1], tokens[position], first)
    ]


def label_words(tokens: Sequence[Token], starts: Sequence[int]) -> list[str]:
    """Return the text of each word for display.

    The label is made from the joined text of the tokens, so that a character over several tokens is shown as itself. A
    token that has no text and is no part of a character is shown as it is alone.

    Args:
        tokens: tokens of the prompt and the generation.
        starts: position at which each word begins.
    """
    return [_label(tokens[start:end]) for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True)]


def _label(word: Sequence[Token]) -> str:
    whole = next((end for end in range(len(word), 0, -1) if word[end - 1].text and not word[end - 1].goes_on), 0)
    label, text = "", ""
    for token in word[:whole]:
        text += token.text
        if not token.text and not token.goes_on:
            label, text = label + show_text(text) + token.shown, ""
    return label + show_text(text) + "".join(token.shown for token in word[whole:])


def _find_first_characters(tokens: Sequence[Token]) -> list[str]:
    """Return the first character that each token begins, which may be in the text of a later token."""
    first, found = "", []
    for token in reversed(tokens):
        first = token.text[:1] or ("" if token.special else first)
        found.append(first)
    return found[::-1]


def _begins(before: Token, token: Token, first: str) -> bool:
    """Return whether a word begins with a token whose first character is ``first``."""
    if before.special or token.special:
        return True
    if before.goes_on or not before.text or not first:
        return False  # inside of a character
    last = before.text[-1]
    if last.isspace() or first.isspace():
        return True
    if last in _JOINERS or first in _JOINERS or unicodedata.category(first)[0] == "M":
        return False
    return _is_unspaced(last) or _is_unspaced(first) or _is_word(last) != _is_word(first)


def _is_word(character: str) -> bool:
    """Return whether a character is a letter, mark, digit or apostrophe."""
    return character in "'’\ufffd" or unicodedata.category(character)[0] in "LMN"


def _is_unspaced(character: str) -> bool:
    return unicodedata.name(character, "").startswith(_UNSPACED)
