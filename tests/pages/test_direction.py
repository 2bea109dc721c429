"""A text runs as most of its letters do."""

from __future__ import annotations

import pytest
from samples import make_token

from reportgen.pages.direction import find_direction


@pytest.mark.parametrize(
    ("texts", "direction"),
    [
        (("The", " cat"), "ltr"),
        (("ירושלים", " היא", " עיר"), "rtl"),
        (("مرحبا", " 123", "!"), "rtl"),
        (("<s>", "user", "\n", "كيف حالك اليوم؟"), "rtl"),
        (("What", " does", " שלום", " mean", "?"), "ltr"),
        (("1", "+", "2"), "ltr"),
        ((), "ltr"),
    ],
)
def test_direction_of_a_text(texts: tuple[str, ...], direction: str) -> None:
    assert find_direction([make_token(text, special=text == "<s>") for text in texts]) == direction
