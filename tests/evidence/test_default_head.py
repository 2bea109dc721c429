"""The head that a page opens on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samples import make_capture, make_pattern

from reportgen.captures.record import Capture
from reportgen.evidence.default_head import find_default_head


def with_patterns(capture: Capture, *patterns: np.ndarray) -> Capture:
    """Return the capture with these patterns, head after head, as its one layer."""
    cells = np.tril_indices(capture.num_tokens)
    return replace(capture, triangles=np.array([[pattern[cells] for pattern in patterns]], np.float16))


@pytest.mark.parametrize(("layers", "heads", "opening"), [((0,), (0, 1, 2, 3), (0, 3)), ((2, 5), (1, 3), (2, 1))])
def test_it_opens_on_the_head_that_reads_all_alike(
    layers: tuple[int, ...], heads: tuple[int, ...], opening: tuple[int, int]
) -> None:
    """The others read the first token, the query itself or the token before it."""
    assert find_default_head(make_capture(layers=layers, heads=heads)) == opening


def test_planted_induction_head_is_found() -> None:
    """In ``a b c d a b c d`` the second half reads what came after the same token before, three back."""
    capture = make_capture(tuple("abcdabcd"), (), layers=(4,), heads=(0, 1, 2))
    induction = make_pattern("first", 8)
    induction[4:, 0] = 0
    induction[range(4, 8), range(1, 5)] = 1
    uniform = make_pattern("uniform", 8)
    assert find_default_head(with_patterns(capture, make_pattern("self", 8), uniform, induction)) == (4, 2)


@pytest.mark.parametrize("kind", ["spread", "stripe"])
def test_a_head_with_an_aim_is_preferred(kind: str) -> None:
    """To one that reads all keys alike, and to one where all queries read the same key."""
    capture = make_capture(tuple("abcdef"), (), layers=(0,), heads=(0, 1))
    aimed, stripe = make_pattern("first", 6), make_pattern("first", 6)
    for query_pos in range(3, 6):
        aimed[query_pos, [0, query_pos - 2]] = 0.5
        stripe[query_pos, [0, 1]] = 0, 1
    other = make_pattern("uniform", 6) if kind == "spread" else stripe
    assert find_default_head(with_patterns(capture, other, aimed)) == (0, 1)


def test_the_first_head_wins_among_equals() -> None:
    capture = make_capture(layers=(3,), heads=(2, 6))
    uniform = make_pattern("uniform", 8)
    assert find_default_head(with_patterns(capture, uniform, uniform)) == (3, 2)


@pytest.mark.parametrize("texts", ["a", "ab", "abc", "abcd"])
def test_short_prompt_opens_on_the_first_head(texts: str) -> None:
    assert find_default_head(make_capture(tuple(texts), (), layers=(4, 5), heads=(0, 3))) == (4, 0)


def test_from_five_tokens_on_there_is_a_choice() -> None:
    capture = make_capture(tuple("abcde"), (), layers=(0,), heads=(0, 1))
    other = make_pattern("self", 5)
    other[4] = [0, 0, 1, 0, 0]
    other[3] = [0, 1, 0, 0, 0]
    assert find_default_head(with_patterns(capture, make_pattern("self", 5), other)) == (0, 1)
