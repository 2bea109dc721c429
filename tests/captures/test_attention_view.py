"""Attention of a capture, indexed by the model's own numbers."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from samples import make_capture, make_noisy, make_pattern

from reportgen.captures.quantization import dequantize_sqrt, quantize_sqrt

PART = make_capture(layers=(2, 5), heads=(1, 3))
NOISY = make_noisy(9)
"""Layers 0, 1 and 4 of a model with five, heads 0 to 3."""


def unpack(stored: np.ndarray, num_tokens: int) -> np.ndarray:
    """Return the weights of ``[layer, head, cell]`` as ``[layer, head, query_pos, key_pos]``, cell by cell."""
    weights = np.zeros((*stored.shape[:2], num_tokens, num_tokens), np.float32)
    cell = 0
    for query_pos in range(num_tokens):
        for key_pos in range(query_pos + 1):
            weights[:, :, query_pos, key_pos] = stored[:, :, cell]
            cell += 1
    return weights


def test_a_pattern_is_square_and_causal() -> None:
    pattern = make_capture(("a", "b"), ("c",), layers=(2, 5), heads=(1, 3)).attention[2, 1]
    assert pattern.dtype == np.float32
    assert pattern == pytest.approx(np.array([[1, 0, 0], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]]), abs=1e-3)


@pytest.mark.parametrize(
    ("layer", "head", "kind"),
    [(2, 1, "uniform"), (2, 3, "previous"), (5, 1, "first"), (5, 3, "self"), (-1, -3, "first")],
)
def test_numbers_are_those_of_the_model(layer: int, head: int, kind: str) -> None:
    assert np.allclose(PART.attention[layer, head], make_pattern(kind, 8), atol=1e-3)


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (..., np.s_[:]),
        (np.s_[:], np.s_[:]),
        (4, np.s_[2]),
        (-1, np.s_[2]),
        (np.int64(1), np.s_[1]),
        (np.s_[1:], np.s_[1:]),
        (np.s_[-4:], np.s_[1:]),
        (np.s_[2:99], np.s_[2:]),
        (np.s_[::-1], np.s_[::-1]),
        (np.s_[3:3], np.s_[0:0]),
        ([4, 0], np.s_[[2, 0]]),
        (range(2), np.s_[[0, 1]]),
        (np.array([-1, 1]), np.s_[[2, 1]]),
        ((1, 2), np.s_[1, 2]),
        ((1, 2, 5), np.s_[1, 2, 5]),
        ((1, 2, 5, 3), np.s_[1, 2, 5, 3]),
        ((1, 2, 3, 5), np.s_[1, 2, 3, 5]),
        ((np.s_[:], 2, -1), np.s_[:, 2, -1]),
        ((np.s_[:], np.s_[1:3], np.s_[2:7:2], np.s_[:4]), np.s_[:, 1:3, 2:7:2, :4]),
        ((4, ..., 0), np.s_[2, :, :, 0]),
        ((..., 5, np.s_[:6]), np.s_[:, :, 5, :6]),
        ((0, 1, [8, 2]), np.s_[0, 1, [8, 2]]),
        ((0, np.s_[:], [8, 2], -1), np.s_[0, :, [8, 2], -1]),
    ],
)
@pytest.mark.parametrize("codes", [False, True])
def test_an_index_selects_what_it_selects_in_an_array(index: Any, rows: Any, codes: bool) -> None:
    capture = replace(NOISY, triangles=quantize_sqrt(NOISY.triangles)) if codes else NOISY
    expected = unpack(dequantize_sqrt(capture.triangles), capture.num_tokens)[rows]
    if isinstance(index, tuple) and len(index) == 4 and isinstance(index[2], list):
        expected = expected.T  # numpy puts the list's axis first; here each index applies to its own axis
    found = capture.attention[index]
    assert found.dtype == np.float32
    assert np.shape(found) == np.shape(expected)
    assert np.array_equal(found, expected)


def test_each_of_several_lists_applies_to_its_own_axis() -> None:
    whole = unpack(NOISY.triangles, NOISY.num_tokens)
    assert np.array_equal(NOISY.attention[[4, 0], [1, 2, 3]], whole[np.ix_([2, 0], [1, 2, 3])])


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (0, "layer 0 was not captured; the captured ones are 2, 5"),
        ((2, 0), "head 0 was not captured; the captured ones are 1, 3"),
        ((-2, 1), "layer 4 was not captured; the captured ones are 2, 5"),
        ([2, 3], "layer 3 was not captured"),
        (np.s_[3:5], "layer 3 was not captured"),
        (6, "there is no layer 6: the model has 6, 0 to 5"),
        (-7, "there is no layer -7: the model has 6, 0 to 5"),
        ((2, 4), "there is no head 4: the model has 4, 0 to 3"),
        ((2, 1, 8), "there is no query position 8: the text has 8, 0 to 7"),
        ((2, 1, 0, [3, -9]), "there is no key position -9: the text has 8, 0 to 7"),
        ((2, 1, 0, 0, 0), "attention has 4 axes, layer, head, query_pos and key_pos; got the index"),
        ((..., 1, ...), "attention has 4 axes"),
    ],
)
def test_what_is_not_there_is_an_error_that_says_what_is(index: Any, message: str) -> None:
    with pytest.raises(IndexError, match=f"^{message}"):
        _ = PART.attention[index]


@pytest.mark.parametrize("index", ["2", 2.0, None, True, [True, False], [[2, 5]], (2, 1, np.array([0.5]))])
def test_an_index_of_another_type_is_refused(index: Any) -> None:
    with pytest.raises(TypeError, match="position: the index must be a number|layer: the index must be a number"):
        _ = PART.attention[index]


def test_numpy_and_torch_take_it() -> None:
    whole = PART.attention[...]
    assert PART.attention.shape == whole.shape == (2, 2, 8, 8)
    assert np.array_equal(np.asarray(PART.attention), whole)
    assert np.asarray(PART.attention, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="leave out copy=False"):
        np.array(PART.attention, copy=False)
    assert torch.equal(torch.from_numpy(PART.attention[5, 3]), torch.eye(8))
    assert len(PART.attention) == 2
    assert all(np.array_equal(layer, weights) for layer, weights in zip(PART.attention, whole, strict=True))


def test_its_repr_is_one_short_line() -> None:
    assert repr(PART.attention) == "<attention of 2 layers × 2 heads × 8 tokens, float32>"


def test_one_head_of_a_large_capture_is_converted_alone() -> None:
    large = make_capture(tuple("abcd" * 64), (), layers=tuple(range(12)), heads=tuple(range(12)))
    size = 256 * 256 * 4
    for index in ((3, 4), np.s_[:, :, -1]):
        tracemalloc.start()
        _ = large.attention[index]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * size  # all heads take 144 times this size
