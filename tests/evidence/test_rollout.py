"""Attention rollout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from samples import make_pattern

from reportgen.evidence.collectors.rollout import RolloutCollector
from reportgen.records.errors import NoEvidence


class Text:
    """As much of a run as rollout asks for."""

    def __init__(self, num_tokens: int) -> None:
        self.token_ids = [0] * num_tokens


def roll(*layers: np.ndarray) -> np.ndarray:
    """Multiply layers, given two query rows at a time, with the last rows of a layer first."""
    num_tokens = layers[0].shape[1]
    rollout = RolloutCollector(Text(num_tokens))  # pyright: ignore[reportArgumentType]
    for number, layer in enumerate(layers):
        for first in reversed(range(0, num_tokens, 2)):
            rollout.add(number, first, torch.from_numpy(layer[:, first : first + 2, : first + 2]))
    result = rollout.multiply()
    assert result is not None
    return result.numpy()


def test_a_layer_that_runs_after_a_later_one_is_refused() -> None:
    rollout = RolloutCollector(Text(2))  # pyright: ignore[reportArgumentType]
    for layer in (0, 2):
        rollout.add(layer, 0, torch.eye(2)[None])
    rollout.add(3, 0, torch.eye(2)[None])
    with pytest.raises(NoEvidence, match="its layer 1 runs after layer 3"):
        rollout.add(1, 0, torch.eye(2)[None])


def test_nothing_before_the_first_layer() -> None:
    assert RolloutCollector(Text(3)).finish() is None  # pyright: ignore[reportArgumentType]


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
