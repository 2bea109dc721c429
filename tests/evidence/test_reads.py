"""The largest effects of heads through single tokens, against all cells looked at one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samples import make_capture

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.attribution import list_rows
from reportgen.evidence.reads import Read, find_reads


def with_sources(capture: Capture, sources: np.ndarray | None) -> Capture:
    attribution = replace(capture.evidence.attribution, sources=sources)
    return replace(capture, evidence=capture.evidence.replace(attribution=attribution))


def draw(seed: int, **what: object) -> Capture:
    capture = make_capture(**what)  # pyright: ignore[reportArgumentType]
    shape = capture.evidence.attribution.sources.shape
    drawn = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return with_sources(capture, np.where(np.abs(drawn) < 0.1, np.float32(np.nan), drawn))


def list_all(capture: Capture, keys: np.ndarray, step: int, sign: int) -> list[Read]:
    """Return all reads of a step with this sign, sorted by their effects."""
    query_pos = capture.query_pos_of_step(step)
    cells = capture.evidence.attribution.sources[:, :, list_rows(capture)[step]]
    found = [
        Read(layer, head, key_pos, float(capture.attention[layer, head, query_pos, key_pos]), float(effect))
        for row, layer in enumerate(capture.layers)
        for column, head in enumerate(capture.heads)
        for key_pos, effect in enumerate(cells[row, column])
        if 0 < key_pos < query_pos and keys[key_pos] and sign * effect > 0
    ]
    return sorted(found, key=lambda read: -sign * read.effect)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("layers", [(0, 3), (1,)])
def test_they_are_the_largest_of_all(seed: int, sign: int, layers: tuple[int, ...]) -> None:
    """Also where fewer heads are kept than reads are looked for."""
    capture = draw(seed, layers=layers, heads=(1, 2, 4))
    keys = np.random.default_rng(seed).random(capture.num_tokens) < 0.7
    found = find_reads(capture, keys, 4, sign)
    assert found == [tuple(list_all(capture, keys, step, sign)[:4]) for step in range(len(capture.steps))]
    assert any(found)


def test_equal_effects_come_in_the_order_of_heads_and_tokens() -> None:
    capture = make_capture(layers=(0,), heads=(0, 1))
    ones = with_sources(capture, np.ones_like(capture.evidence.attribution.sources))
    reads = find_reads(ones, np.ones(8, bool), 4)[0]
    assert [(read.head, read.key_pos) for read in reads] == [(0, 1), (0, 2), (0, 3), (1, 1)]


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0])
def test_there_may_be_none(value: float) -> None:
    capture = make_capture()
    filled = with_sources(capture, np.full_like(capture.evidence.attribution.sources, value))
    assert find_reads(filled, np.ones(8, bool), 4) == [(), (), ()]
    assert find_reads(draw(0), np.zeros(8, bool), 4) == [(), (), ()]


def test_without_sources_or_steps_there_are_none() -> None:
    assert find_reads(with_sources(make_capture(), None), np.ones(8, bool), 4) == [(), (), ()]
    assert find_reads(make_capture(("a", "b"), ()), np.ones(2, bool), 4) == []


def test_one_token_has_nothing_before_it_to_read() -> None:
    capture = draw(1, texts=("a",), generated=("b", "c", "d"))
    assert [len(reads) for reads in find_reads(capture, np.ones(4, bool), 99)][:2] == [0, 0]
