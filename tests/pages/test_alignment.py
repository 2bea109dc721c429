"""Which positions of two captures stand for one another, and how far their heads are apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samples import make_capture, say

from reportgen.pages.alignment import Alignment, Variation, align, measure_variations, slim


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # Equally long prompts stand beside one another, whatever they say; what is generated as long as it is the same.
        (("abc", "de"), ("xyz", "de"), Alignment((0, 0), 5, True)),
        (("abc", "de"), ("abc", "dx"), Alignment((0, 0), 4, True)),
        (("abc", "d"), ("abc", "def"), Alignment((0, 0), 4, True)),
        # Others have their ends in common.
        (("abcd", "ef"), ("xd", "ef"), Alignment((3, 1), 3, False)),
        (("xd", "ef"), ("abcd", "eg"), Alignment((1, 3), 2, False)),
        (("bcd", ""), ("abcd", ""), Alignment((0, 1), 3, False)),
        # Not where they end otherwise, whatever comes after, nor a single token.
        (("abc", "de"), ("ab", "de"), None),
        (("abcd", "e"), ("xd", "f"), None),
        (("a", ""), ("b", ""), None),
    ],
)
def test_positions_stand_for_one_another(
    first: tuple[str, str], second: tuple[str, str], expected: Alignment | None
) -> None:
    assert align(say(*first), say(*second)) == expected


def test_forecast_stands_beside_the_first_generated_token() -> None:
    forecast = say("abc", "d", max_new_tokens=0)
    assert align(forecast, forecast) == Alignment((0, 0), 4, True)
    assert align(forecast, say("abc", "de")) == Alignment((0, 0), 4, True)
    assert align(forecast, say("abc", "ed")) == Alignment((0, 0), 3, True)


def test_tokens_are_the_same_where_they_look_the_same() -> None:
    """Another model numbers them otherwise."""
    first, second = say("abcd", "e"), say("xcd", "e")
    other = replace(second, tokens=tuple(replace(token, token_id=token.token_id + 900) for token in second.tokens))
    assert align(first, other) == align(first, second) == Alignment((2, 1), 3, False)


def test_total_variation_is_the_share_of_weight_that_lies_elsewhere() -> None:
    """Layer 0: head 0 reads itself, 1 the token before, 2 the first; in layer 1 each does what the next does in 0."""
    first = say("abcd", layers=(0,), heads=(0, 1, 2))
    # The same pattern for all but head 0, which now reads the token before.
    triangles = first.triangles.copy()
    triangles[0, 0] = triangles[0, 1]
    second = replace(first, triangles=triangles)
    alignment = align(first, second)
    assert alignment
    # The first token can read nothing but itself: three rows of four differ by all of their weight.
    assert measure_variations(first, second, alignment) == [
        Variation(0, 0, 0.75, 1), Variation(0, 1, 0.0, 0), Variation(0, 2, 0.0, 0)
    ]  # fmt: skip


def test_keys_before_the_common_text_count_as_one() -> None:
    """A head that reads the first token reads no aligned key, in whichever place that token is."""
    first, second = say("abcd", layers=(0,), heads=(2,)), say("xyzcd", layers=(0,), heads=(2,))
    alignment = align(first, second)
    assert alignment == Alignment((2, 3), 2, False)
    assert measure_variations(first, second, alignment) == [Variation(0, 2, 0.0, 0)]
    reader = say("xyzcd", layers=(0,), heads=(0,))
    moved = replace(reader, heads=(2,), model=first.model)
    assert measure_variations(first, moved, alignment) == [Variation(0, 2, 1.0, 0)]


def test_learned_sink_counts_as_a_place() -> None:
    """Rows that sum to less than 1 leave the rest to the sink; sides may have one, both or neither."""
    first = say("abcd", layers=(0, 1), heads=(0, 3))
    shape = 2, 2, first.num_tokens
    sinks = np.zeros(shape, np.float32)
    sinks[1, 0] = 0.75
    taken = first.triangles.copy()
    taken[1, 0] *= np.float16(0.25)
    second = replace(first, triangles=taken, sink_mass=sinks)
    alignment = align(first, second)
    assert alignment
    found = {(one.layer, one.head): one.total_variation for one in measure_variations(first, second, alignment)}
    assert found == pytest.approx({(1, 0): 0.75, (0, 0): 0, (0, 3): 0, (1, 3): 0}, abs=1e-6)
    half = replace(second, sink_mass=np.where(np.arange(4) < 2, sinks, 0.25).astype(np.float32))
    half_found = {(one.layer, one.head): one.total_variation for one in measure_variations(second, half, alignment)}
    assert half_found == pytest.approx({(1, 0): 0.125, (0, 0): 0.0625, (0, 3): 0.0625, (1, 3): 0.0625})


def test_sink_of_the_aligned_queries_counts() -> None:
    first, second = say("abcd", layers=(0,), heads=(2,)), say("xyzcd", layers=(0,), heads=(2,))
    sinks = np.zeros((1, 1, 5), np.float32)
    sinks[0, 0, 4] = 0.5  # the last of the two aligned queries
    alignment = align(first, second)
    assert alignment == Alignment((2, 3), 2, False)
    (found,) = measure_variations(first, replace(second, sink_mass=sinks), alignment)
    assert found.total_variation == pytest.approx(0.125)


def test_distances_are_of_heads_that_both_sides_have() -> None:
    first, second = say("abc", layers=(0, 1), heads=(0, 1)), say("xyz", layers=(1, 2), heads=(1, 3))
    alignment = align(first, second)
    assert alignment
    assert [(one.layer, one.head) for one in measure_variations(first, second, alignment)] == [(1, 1)]


def test_slim_capture_keeps_what_a_comparison_shows() -> None:
    capture = make_capture()
    assert slim(capture, 16).triangles is capture.triangles
    kept = slim(capture, 8)
    assert kept.triangles.dtype == np.uint8
    assert kept.triangles.nbytes * 2 == capture.triangles.nbytes
    assert kept.evidence.scores is capture.evidence.scores
    assert (kept.evidence.lens, kept.evidence.ablations) == (capture.evidence.lens, capture.evidence.ablations)
    assert kept.evidence.attribution.heads is capture.evidence.attribution.heads
    assert (kept.evidence.attribution.sources, kept.evidence.attribution.read) == (None, None)
    assert (kept.evidence.value_norms, kept.evidence.rollout) == (None, None)
    assert np.abs(kept.attention[1, 3] - capture.attention[1, 3]).max() < 0.004
