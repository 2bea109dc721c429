"""Attention rollout."""

from __future__ import annotations

import numpy as np
import torch
from samples import make_pattern

from reportgen.evidence.rollout import Rollout


def roll(*layers: np.ndarray) -> np.ndarray:
    rollout = Rollout()
    for layer in layers:
        for first in reversed(range(0, layer.shape[1], 2)):  # in parts, as in a capture
            rollout.add(first, torch.from_numpy(layer[:, first : first + 2, : first + 2]))
    result = rollout.result()
    assert result is not None
    return result.numpy()


def test_nothing_before_the_first_layer() -> None:
    assert Rollout().result() is None


def test_heads_that_read_themselves_change_nothing() -> None:
    assert np.array_equal(roll(*[make_pattern("self", 4)[None]] * 3), np.eye(4))


def test_two_layers_of_a_previous_token_head_by_hand() -> None:
    """Half stays, half comes from the token before; after two layers a quarter is from two back."""
    rolled = roll(*[make_pattern("previous", 4)[None]] * 2)
    assert np.allclose(rolled[3], [0, 1 / 4, 1 / 2, 1 / 4])
    assert np.allclose(rolled[1], [3 / 4, 1 / 4, 0, 0])


def test_it_averages_heads_and_multiplies_layers_as_defined() -> None:
    random = np.random.default_rng(0)
    layers = np.tril(random.random((3, 2, 5, 5)))
    layers /= layers.sum(-1, keepdims=True)
    expected = np.eye(5)
    for layer in layers:
        expected = (0.5 * (layer.mean(0) + np.eye(5))) @ expected
    assert np.allclose(roll(*layers), expected, atol=1e-6)


def test_rows_sum_to_one_where_a_sink_takes_some() -> None:
    assert np.allclose(roll(make_pattern("uniform", 4)[None] * 0.3).sum(-1), 1)
