"""Which way a network is watched, and that both ways show the same."""

from __future__ import annotations

import pytest
import torch
from families import FAMILIES, make_network
from tiny import make_gpt2, make_llama
from torch import nn

from reportgen.instrumentation.logits import run_pass
from reportgen.instrumentation.observer import HeadTrace, Observer, RowTrace, TracedText
from reportgen.instrumentation.strategy import find_strategy
from reportgen.records.errors import CaptureMismatch

TOKEN_IDS = [5, 9, 5, 200, 31, 7, 9, 12, 44, 3, 9, 5, 77, 80]
SHORT = TOKEN_IDS[3:9]

EAGER = {
    "bloom", "diffllama", "gemma2", "gpt_neo", "gpt_oss", "mpt", "xglm",
}  # fmt: skip
"""Families whose weights are not those of a call of torch's fast attention: they make none, or do more than it knows,
such as a soft cap or a learned sink. Eager attention gives theirs."""


class Keeper(Observer):
    """Keeps all rows of all layers."""

    def __init__(self) -> None:
        self.layers: dict[int, torch.Tensor] = {}
        self.shapes: dict[int, tuple[int, ...]] = {}

    def see_heads(self, trace: HeadTrace) -> None:
        self.shapes[trace.layer] = trace.shape
        self.layers[trace.layer] = trace.weights.new_zeros(trace.shape)

    def see_rows(self, trace: RowTrace) -> None:
        num_rows, num_keys = trace.weights.shape[1:]
        self.layers[trace.layer][:, trace.first : trace.first + num_rows, :num_keys] = trace.weights


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_both_ways_show_the_same(family: str) -> None:
    """Weights of eager attention and those that are worked out, logits at once and in parts."""
    network = make_network(family)
    route = find_strategy(network)
    assert route.fast == (family not in EAGER)
    ways = [Keeper(), Keeper()]
    whole = run_pass(network, [TracedText(TOKEN_IDS, observers=[ways[0]])])[0]
    read = run_pass(
        network, [TracedText(TOKEN_IDS, observers=[ways[1]])], fast=route.fast, chunked_logits=route.chunked_logits
    )[0]
    assert tuple(ways[0].layers) == tuple(ways[1].layers) == route.layers
    for layer in route.layers:
        torch.testing.assert_close(ways[1].layers[layer], ways[0].layers[layer], atol=2e-5, rtol=1e-4)
    rows = slice(4, 9)
    for found, expected in zip(read.read(rows), whole.read(rows), strict=True):
        assert found is not None
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_texts_that_run_together_see_what_they_see_alone(family: str) -> None:
    network = make_network(family)
    route = find_strategy(network)
    together, alone = [Keeper(), Keeper()], [Keeper(), Keeper()]
    texts = (TOKEN_IDS, SHORT)
    pairs = zip(texts, together, strict=True)
    logits = run_pass(
        network,
        [TracedText(text, observers=[keeper]) for text, keeper in pairs],
        fast=route.fast,
        chunked_logits=route.chunked_logits,
    )
    for place, (text, keeper) in enumerate(zip(texts, alone, strict=True)):
        own = run_pass(
            network, [TracedText(text, observers=[keeper])], fast=route.fast, chunked_logits=route.chunked_logits
        )[0]
        assert together[place].shapes == keeper.shapes
        for layer in route.layers:
            torch.testing.assert_close(together[place].layers[layer], keeper.layers[layer], atol=1e-6, rtol=1e-5)
        rows = slice(0, len(text))
        torch.testing.assert_close(logits[place].read(rows)[0], own.read(rows)[0], atol=1e-5, rtol=1e-5)


def test_route_is_found_once_for_each_network() -> None:
    network = make_llama()
    assert find_strategy(network) is find_strategy(network)
    assert find_strategy(make_llama()) is not find_strategy(network)


def test_fast_attention_that_eager_attention_contradicts_is_not_used() -> None:
    """Whatever the reason: here, weights that are not what the values are multiplied with."""
    network = make_llama()
    network.model.layers[1].self_attn.register_forward_hook(
        lambda _, __, output: (output[0], None if output[1] is None else output[1] * 0.9)
    )
    assert not find_strategy(network).fast


def test_weights_must_give_what_the_fast_attention_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_gpt2()
    monkeypatch.setattr(
        "reportgen.instrumentation.attention_weights.SdpaWeights.values",
        property(lambda weighing: 1.5 * weighing.value),
    )
    with pytest.raises(CaptureMismatch, match=r"computed from queries and keys differ by 50.0% from .*; load"):
        run_pass(network, [TracedText(TOKEN_IDS)], fast=True)


def test_unembedding_is_left_as_it_was() -> None:
    network = make_llama()
    route = find_strategy(network)
    read = run_pass(network, [TracedText(TOKEN_IDS)], fast=route.fast, chunked_logits=True)[0]
    read.read(slice(0, 2))
    assert "forward" not in vars(network.model)
    assert not [part for part in network.modules() if part._forward_hooks or part._forward_pre_hooks]
    assert isinstance(network.get_output_embeddings(), nn.Linear)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_factor_of_the_scores_is_found_in_every_precision(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_llama().to(dtype)
    monkeypatch.setattr(
        "reportgen.instrumentation.attention_weights.SdpaWeights.scale", property(lambda _: 0.7), raising=False
    )
    monkeypatch.setattr("reportgen.instrumentation.attention_weights.SdpaWeights.__init__", _take_all_but_scale)
    strategy = find_strategy(network)
    assert not strategy.fast
    assert not strategy.one_pass


def _take_all_but_scale(
    self: object, query: object, key: object, value: object, mask: object, is_causal: bool, _: float
) -> None:
    vars(self).update(query=query, key=key, value=value, mask=mask, is_causal=is_causal)
