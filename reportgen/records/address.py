"""Addresses of views of a page: the keys behind ``#`` in ``page.html#layer=3&head=7``, and what each can be.

``templates/js/page/state.js`` reads the same keys. It ignores what is wrong; a prompt file says it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from reportgen.records.choices import HEAD_SCORE_NAMES

NUMBERS = ("layer", "head", "step", "query", "key")
"""Keys that are whole numbers from 0."""
SCALES = ("sqrt", "linear", "log")
FIRSTS = ("in", "out", "renormalised")
"""What becomes of the first token as one that is read."""
FOLDABLE = ("steps", "heads", "layers", "columns")
"""What shows only some of its rows or columns at first."""
WORDS: Mapping[str, tuple[str, ...]] = {
    "first": FIRSTS,
    "words": ("on",),
    "lines": ("on",),
    "marks": ("on",),
    "scale": SCALES,
    "by": ("effect", "weight", "pattern", *HEAD_SCORE_NAMES),
    "show": ("weight", "weighted", "attribution"),
    "shading": ("effect", "weight"),
    "layout": ("rows", "patterns"),
}
"""Keys that take one of several words."""
_CONTRAST = r"attribution|attribution-mean|runner-up-\d{1,3}|foil-\d{1,3}"
_SET = r"(all|this|[\d,–-]{1,200})"
_PATTERNS: Mapping[str, tuple[str, str]] = {
    "tokens": (r"\d{1,7}-\d{1,7}", "two positions, such as 2-9"),
    "pin": (r"\d{1,7}\.\d{1,7}", "layer and head, such as 3.7"),
    "over": (rf"(mean|max):{_SET}:{_SET}", "mean or max, layers and heads, such as mean:this:0-3"),
    "all": (rf"({'|'.join(FOLDABLE)})(,({'|'.join(FOLDABLE)}))*", f"some of {', '.join(FOLDABLE)}"),
    "contrast": (_CONTRAST, "attribution, attribution-mean, runner-up-1 or foil-1"),
    "measure": (
        rf"{_CONTRAST}|(mean-)?(ablation|estimate)(-foil-\d{{1,3}})?",
        "attribution, attribution-mean, runner-up-1, foil-1, ablation or mean-ablation",
    ),
}
"""Keys of another form: a pattern, and what is written instead of what does not match."""
KEYS = (*NUMBERS, *WORDS, *_PATTERNS)
"""All keys of an address."""
_NUMBER = re.compile(r"\d{1,7}")
EXAMPLE = "layer=21&head=6&step=0"


def parse_address(text: str) -> dict[str, str]:
    """Return the keys of an address, with their values as text.

    Args:
        text: what stands behind ``#`` in the address of a page, with or without the ``#``; empty for the opening view.

    Raises:
        ValueError: a key is unknown, is there twice, or has a value that it cannot have.
    """
    pairs = parse_qsl(text.removeprefix("#"), keep_blank_values=True)
    if text.removeprefix("#") and not pairs:
        raise ValueError(f"is {_short(text)}; copy it from a page, such as {EXAMPLE}")
    for key, value in pairs:
        if key not in KEYS:
            close = difflib.get_close_matches(key[:100].lower(), KEYS, 1)
            advice = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(KEYS)}"
            raise ValueError(f"has the key {_short(key)}; {advice}")
        if allowed := explain_value(key, value):
            raise ValueError(f"has {key}={_short(value)}; write {allowed}")
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key in found if [other for other, _ in pairs].count(key) > 1)
        raise ValueError(f"has {twice!r} twice; keep one")
    return found


def format_address(values: Mapping[str, str]) -> str:
    """Return keys and values as an address without ``#``."""
    return urlencode(values)


def explain_value(key: str, value: str) -> str:
    """Return what a key of an address can be; empty if the value is that."""
    if key in NUMBERS:
        return "" if _NUMBER.fullmatch(value) else "a whole number from 0"
    if key in WORDS:
        return "" if value in WORDS[key] else " or ".join(WORDS[key])
    pattern, allowed = _PATTERNS[key]
    return "" if re.fullmatch(pattern, value) else allowed


def _short(value: str) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"
