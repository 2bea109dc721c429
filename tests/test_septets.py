"""Bytes as text: all come back, and a parser of HTML sees what was written."""

from __future__ import annotations

from random import Random

import pytest
from html_tree import parse_html
from hypothesis import given
from hypothesis import strategies as st

from reportgen.pages.septets import decode_septets, encode_septets

HARD = [bytes([value]) * count for value in (0, 1, 60, 120, 255) for count in range(10)]
"""Runs of what is replaced, of every length that matters: seven bytes are eight septets."""

MIXED = Random(1).randbytes(70_000)
"""Its last septet, with none after it to stand beside, is not one that is replaced, which would take two bytes."""


@given(st.binary(max_size=300))
def test_bytes_come_back(data: bytes) -> None:
    assert decode_septets(encode_septets(data)) == data


@pytest.mark.parametrize("data", HARD)
def test_runs_come_back(data: bytes) -> None:
    assert decode_septets(encode_septets(data)) == data


def test_text_is_a_seventh_larger_than_bytes() -> None:
    assert len(encode_septets(MIXED).encode()) == 80_000


def test_text_holds_nothing_that_a_parser_changes() -> None:
    text = "".join(encode_septets(data) for data in [*HARD, bytes(range(256)) * 7, MIXED])
    assert not set(text) & set("\0\a\b\t\n\v\f\r\x0e\x0f\x1a\x1b<\x7f")
    assert max(map(ord, text)) < 0x800
    assert parse_html(f'<script type="text/plain">{text}</script>').find("script")[0].text == text
