"""Layers and heads as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reportgen.records.selection import ALL, Selection, parse_selection


@pytest.mark.parametrize(
    ("written", "count", "expected"),
    [
        ("all", 3, (0, 1, 2)),
        (" all ", 2, (0, 1)),
        (0, 1, (0,)),
        ("3", 4, (3,)),
        ("0-4, 20-23", 24, (0, 1, 2, 3, 4, 20, 21, 22, 23)),
        (-1, 12, (11,)),
        ("-1", 12, (11,)),
        ("-3--1", 12, (9, 10, 11)),
        ("10--1", 12, (10, 11)),
        ([2, "0-1", 2], 3, (0, 1, 2)),
        ([5, "all"], 2, (0, 1)),
        ("1,1,0-1", 2, (0, 1)),
    ],
)
def test_resolves(written: str | int | list[str | int], count: int, expected: tuple[int, ...]) -> None:
    assert parse_selection(written).resolve(count) == expected


@pytest.mark.parametrize("written", ["", "a", "1-", "0..4", "1,", "1.5", [], [[]], None, True, 1.0, {}, "0-4-5"])
def test_refuses_what_is_no_selection(written: object) -> None:
    with pytest.raises(ValueError, match="is not a number or range|the list is empty"):
        parse_selection(written)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("12", "there is no 12: the model has 12, 0 to 11"),
        ("-13", "there is no -13: the model has 12, 0 to 11"),
        ("0-12", "there is no 12: the model has 12, 0 to 11"),
        ("-1-0", "the range -1-0 runs backwards"),
    ],
)
def test_names_what_the_model_lacks(written: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_selection(written).resolve(12)
    assert str(caught.value) == message


@pytest.mark.parametrize("written", ["4-2", "-1--3", ["0", "9-8"]])
def test_refuses_what_runs_backwards_in_any_model(written: str | list[str | int]) -> None:
    with pytest.raises(ValueError, match="^the range .* runs backwards$"):
        parse_selection(written)


def test_all_is_the_default() -> None:
    assert Selection() == ALL == parse_selection("all")
    assert str(ALL) == "all"


_NUMBER = st.integers(-999_999, 999_999)


_RANGE = st.tuples(_NUMBER, _NUMBER).map(lambda pair: (min(pair), max(pair)))


@given(st.lists(_RANGE, min_size=1, max_size=5))
def test_text_of_a_selection_reads_back(ranges: list[tuple[int, int]]) -> None:
    selection = Selection(tuple(ranges))
    assert parse_selection(str(selection)) == selection


@given(st.lists(st.integers(-9, 8), min_size=1))
def test_resolved_numbers_ascend_and_exist(numbers: list[int]) -> None:
    chosen = parse_selection(list(numbers)).resolve(9)
    assert list(chosen) == sorted({number % 9 for number in numbers})
