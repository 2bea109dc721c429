"""Parts of sentences and the formats of their numbers."""

from __future__ import annotations

import math

import pytest

from reportgen.records.sentences import (
    HeadPart,
    TokenPart,
    format_effect,
    format_percent,
    format_weight,
    make_sentence,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.84, "+2.8"), (-0.61, "−0.6"), (-0.04, "0.0"), (0.04, "0.0"), (0, "0.0"), (-12.5, "−12.5"), (math.nan, "n/a")],
)
def test_effects_have_a_sign_and_one_decimal(value: float, text: str) -> None:
    assert format_effect(value) == text


def test_weights_have_two_decimals() -> None:
    assert [format_weight(weight) for weight in (0.896, 1, 0)] == ["0.90", "1.00", "0.00"]


@pytest.mark.parametrize(
    ("prob", "text"),
    [
        (0.7731, "77 %"), (0.0951, "10 %"), (0.01, "1 %"), (0.0095, "1 %"), (0.004, "0.4 %"), (0.00012, "0.01 %"),
        (0.00001, "<0.01 %"), (0, "0 %"), (1, "100 %"), (0.9899, "99 %"), (0.991, "99.1 %"), (0.9997, "99.97 %"),
        (0.99999, ">99.99 %"),
    ],
)  # fmt: skip
def test_probabilities_are_never_rounded_to_none_or_certainty(prob: float, text: str) -> None:
    assert format_percent(prob) == text


def test_neighbouring_texts_become_one() -> None:
    token, head = TokenPart("a", 1), HeadPart(2, 3)
    assert make_sentence("x", "", ("y", token), (), "", token, head, "z", ("!",)) == ("xy", token, token, head, "z!")
