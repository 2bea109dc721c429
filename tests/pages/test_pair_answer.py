"""What a comparison says first, from its own numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samples import make_capture, say

from reportgen.captures.record import Capture
from reportgen.pages.alignment import align, measure_variations
from reportgen.pages.pair_answer import PairRead, find_pair_reads, make_pair_answer
from reportgen.pages.sentences import to_text


def swap_heads(capture: Capture) -> Capture:
    """Return the capture with heads 0 and 1 of every layer changed for one another."""
    return replace(capture, triangles=capture.triangles[:, [1, 0]])


def answer(first: Capture, second: Capture) -> tuple[str, str]:
    """Return the claim and the details as plain text."""
    captures, alignment = (first, second), align(first, second)
    variations = [] if alignment is None else measure_variations(first, second, alignment)
    reads = [] if alignment is None else find_pair_reads(captures, alignment, variations)
    made = make_pair_answer(captures, alignment, variations, reads)
    return to_text(made.claim), to_text(made.details)


def two(prompt: str, generated: str = "", **what: object) -> Capture:
    """Return a capture of one layer: head 0 reads itself, head 1 the token before."""
    return say(prompt, generated, layers=(0,), heads=(0, 1), **what)


def test_shared_ending_is_told_with_the_head_that_reads_it_most_differently() -> None:
    """In A, head 0 reads itself; in B, the token before. From the first aligned token on, all of the weight moves."""
    assert answer(two("abcd", "e"), swap_heads(two("xcd", "e"))) == (
        "The last 2 tokens of the prompts are the same. The head that reads them most differently is L0 H0: at “c” it "
        "reads “c” 1.00 in A and “x” 1.00 in B. After them, A goes on with “e” (50 %), B too (50 %).",
        "On average 100 % of a head’s weight lies elsewhere; 2 of 2 heads move more than a fifth. Tokens before the "
        "shared ending are one column. The next token is the same too, and compared.",
    )


def test_token_that_both_read_is_named_once() -> None:
    first = two("abcd")
    mostly = first.triangles.copy()
    mostly[0, 0] = mostly[0, 0] * np.float16(0.75) + mostly[0, 1] * np.float16(0.25)
    claim, _ = answer(first, replace(first, triangles=mostly))
    assert "it reads “b” 1.00 in A and 0.75 in B." in claim


def test_equal_tokens_are_told_apart_by_position() -> None:
    claim, _ = answer(two("aba"), swap_heads(two("aba")))
    assert "at “b” it reads “b” 1.00 in A and “a” (at 0) 1.00 in B" in claim


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (two("abc"), two("abc"), "Both prompts are the same 3 tokens. Every head reads them alike."),
        (two("abc"), two("axc"), "The prompts differ in one token: “b” in A, “x” in B. Every head reads them alike."),
        (two("abc"), two("xyc"), "The prompts differ in 2 of 3 tokens. Every head reads them alike."),
        (two("abc"), two("ab"), "The texts do not end alike, so no position of one stands for one of the other."),
        (two("abcd", "e"), two("xd", "e"), "The prompts end alike. Every head reads them alike."),
        (
            two("abc"),
            say("abc", layers=(1,), heads=(0, 1)),
            "Both prompts are the same 3 tokens. No head has the same layer and number on both sides",
        ),
    ],
)  # fmt: skip
def test_what_is_compared_is_said(first: Capture, second: Capture, expected: str) -> None:
    assert answer(first, second)[0].startswith(expected)


def test_two_models_are_told() -> None:
    first = two("abc")
    second = replace(first, model=replace(first.model, name="other"))
    claim, details = answer(first, second)
    assert claim.startswith("Two models read the same 3 tokens.")
    assert details.endswith("Heads of two models with the same number have nothing else in common.")
    assert "Two models" not in answer(first, first)[0]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (two("abc", "d"), two("abc", "d"), "A goes on with “d” (50 %), B too (50 %)."),
        (two("abc", "d"), two("abc", "e"), "A goes on with “d” (50 %), B goes on with “e” (50 %)."),
        (two("abc", "d"), two("abc"), "A goes on with “d” (50 %), B was not continued."),
        (two("abc"), two("abc"), "Neither was continued."),
        (
            two("abc", "d", max_new_tokens=0),
            two("abc", "d", max_new_tokens=0),
            "A would go on with “d” (50 %), B would go on with “d” (50 %).",
        ),
    ],
)
def test_continuations_are_told(first: Capture, second: Capture, expected: str) -> None:
    assert answer(first, second)[0].endswith(expected)


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        ((0, 0), "The token that both would write next is"),
        ((0, 1), "The token that B wrote and A would write next is"),
        ((1, 0), "The token that A wrote and B would write next is"),
        ((1, 1), "The next token is"),
    ],
)
def test_common_forecast_is_told_as_what_it_is(most: tuple[int, int], expected: str) -> None:
    first, second = (two("abc", "d", max_new_tokens=count) for count in most)
    assert answer(first, second)[1].endswith(f"{expected} the same too, and compared.")


def test_reads_are_those_where_a_head_differs_most() -> None:
    first, second = make_capture(layers=(0,), heads=(0, 1, 2)), make_capture(layers=(0,), heads=(0, 1, 2))
    moved = second.triangles.copy()
    row = second.row(3)
    moved[0, 2, row.start : row.stop] = [0, 0.25, 0.75, 0]
    second = replace(second, triangles=moved)
    alignment = align(first, second)
    assert alignment
    variations = measure_variations(first, second, alignment)
    assert find_pair_reads((first, second), alignment, variations) == [
        PairRead(0, 2, 0.125, (3, 3), (0, 2), (1.0, 0.75))
    ]
