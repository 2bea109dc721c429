"""The pass that attention is taken from: one layer at a time, of models of many kinds, checked before it is kept."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from families import make_network
from tiny import make_gpt2, make_llama, make_tokenizer
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
)

from reportgen.build.capture import capture
from reportgen.captures.attention import AttentionResult, CaptureRequest, attend, choose_dtype, find_capture_strategy
from reportgen.instrumentation.strategy import find_strategy
from reportgen.models.model import wrap_model
from reportgen.pages.page import render_page
from reportgen.records import Prompt, SourceLocation
from reportgen.records.errors import CaptureMismatch, PromptError, UnsupportedModel
from reportgen.records.selection import parse_selection

TOKEN_IDS = [5, 9, 5, 200, 31, 7, 9]
HALF_STEP = 2**-11
"""Rounding of float16 below 1, and room for the pass's own float32 rounding."""


def unpack(cells: np.ndarray, length: int) -> np.ndarray:
    """Return a lower triangle ``[cell]`` as ``[query_pos, key_pos]``, by counting rather than by index arrays."""
    pattern, cell = np.zeros((length, length), np.float32), iter(cells)
    for query_pos in range(length):
        for key_pos in range(query_pos + 1):
            pattern[query_pos, key_pos] = next(cell)
    return pattern


def attend_alone(
    network: PreTrainedModel, token_ids: list[int], layers: tuple[int, ...], heads: tuple[int, ...], num_heads: int
) -> AttentionResult:
    """Return what a pass over one text gives."""
    return attend(network, find_capture_strategy(network), [CaptureRequest(token_ids, layers, heads)], num_heads)[0]


def softmax(values: np.ndarray) -> np.ndarray:
    values = np.exp(values - values.max(-1, keepdims=True))
    return values / values.sum(-1, keepdims=True)


def make_lfm2(*layer_types: str) -> Lfm2ForCausalLM:
    """Return a hybrid of convolution and attention layers."""
    torch.manual_seed(0)
    config = Lfm2Config(
        vocab_size=259, hidden_size=16, intermediate_size=32, num_hidden_layers=len(layer_types),
        num_attention_heads=4, num_key_value_heads=2, layer_types=list(layer_types), pad_token_id=0,
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return Lfm2ForCausalLM(config).eval()


def test_weights_are_softmax_of_queries_times_keys() -> None:
    """Of a GPT-2's first layer, computed from its weights with numpy alone."""
    network = make_gpt2()
    weights = {name: value.detach().double().numpy() for name, value in network.named_parameters()}
    positions = range(len(TOKEN_IDS))
    hidden = weights["transformer.wte.weight"][TOKEN_IDS] + weights["transformer.wpe.weight"][positions]
    hidden = (hidden - hidden.mean(-1, keepdims=True)) / np.sqrt(hidden.var(-1, keepdims=True) + 1e-5)
    hidden = hidden * weights["transformer.h.0.ln_1.weight"] + weights["transformer.h.0.ln_1.bias"]
    projected = hidden @ weights["transformer.h.0.attn.c_attn.weight"] + weights["transformer.h.0.attn.c_attn.bias"]
    queries, keys, _ = projected.reshape(len(TOKEN_IDS), 3, 2, 8).transpose(1, 2, 0, 3)  # [head, position, 8]
    products = queries @ keys.transpose(0, 2, 1) / np.sqrt(8)
    expected = softmax(np.where(np.tri(len(TOKEN_IDS)) == 1, products, -np.inf))

    attended = attend_alone(network, TOKEN_IDS, (0,), (0, 1), 2)
    for head in (0, 1):
        found = unpack(attended.triangles[0, head], len(TOKEN_IDS))
        np.testing.assert_allclose(found, expected[head], atol=HALF_STEP)


def test_logits_are_those_of_a_plain_pass() -> None:
    """With the fast attention, and nothing hooked."""
    network = make_llama()
    with torch.inference_mode():
        expected = network(torch.tensor([TOKEN_IDS])).logits[0]
    logits = attend_alone(network, TOKEN_IDS, (0,), (0,), 4).logits
    for rows in (slice(0, 7), slice(2, 5)):
        torch.testing.assert_close(logits.read(rows)[0], expected[rows], atol=1e-4, rtol=1e-4)


def test_layers_keep_their_own_numbers() -> None:
    """In a hybrid, the second set of weights is not layer 1's."""
    network = make_lfm2("conv", "full_attention", "conv", "full_attention")
    attended = attend_alone(network, TOKEN_IDS, (0, 1, 2, 3), (0, 1, 2, 3), 4)
    assert attended.layers == (1, 3)
    network.set_attn_implementation("eager")
    with torch.inference_mode():
        expected = network(torch.tensor([TOKEN_IDS]), output_attentions=True).attentions
    for place in (0, 1):
        found = unpack(attended.triangles[place, 2], len(TOKEN_IDS))
        np.testing.assert_allclose(found, expected[place][0, 2], atol=HALF_STEP)


def test_selected_layers_without_attention_are_passed_over() -> None:
    network = make_lfm2("conv", "full_attention")
    assert attend_alone(network, TOKEN_IDS, (0, 1), (0,), 4).layers == (1,)
    assert attend_alone(network, TOKEN_IDS, (0,), (0,), 4).layers == ()


def test_layers_of_linear_attention_are_passed_over() -> None:
    """They give what they remember where others give weights, and no softmax runs in them, whatever its shape."""
    for length in (4, 7):  # 4 is also how wide a head is: what is remembered has the shape of weights
        attended = attend_alone(make_network("minimax"), TOKEN_IDS[:length], (0, 1, 2, 3), (0,), 4)
        assert attended.layers == (0, 2)
    network = make_network("minimax", layer_types=["linear_attention"] * 4)
    with pytest.raises(UnsupportedModel, match="MiniMaxForCausalLM: none of its modules returns attention"):
        attend_alone(network, TOKEN_IDS, (0, 1, 2, 3), (0,), 4)


@pytest.mark.parametrize("family", ["openai-gpt", "trocr", "xlm"])
def test_modules_that_keep_their_weights_to_themselves_are_asked(family: str) -> None:
    """By keyword, by place, and where the answer is a list; what follows the module does not see the difference."""
    network = make_network(family)
    with torch.inference_mode():
        expected = network(torch.tensor([TOKEN_IDS]), output_attentions=True, use_cache=False)
    attended = attend_alone(network, TOKEN_IDS, (0, 1, 2, 3), (0, 1, 2, 3), 4)
    torch.testing.assert_close(
        attended.logits.read(slice(0, len(TOKEN_IDS)))[0], expected.logits[0], atol=1e-4, rtol=1e-4
    )
    for layer, weights in enumerate(expected.attentions):
        found = unpack(attended.triangles[layer, 2], len(TOKEN_IDS))
        np.testing.assert_allclose(found, weights[0, 2], atol=HALF_STEP)


def test_network_without_attention_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModel, match="Lfm2ForCausalLM: none of its modules returns attention.*; use"):
        attend_alone(make_lfm2("conv", "conv"), TOKEN_IDS, (0, 1), (0,), 4)


def test_capture_without_attention_fails() -> None:
    """Where none of those selected has any, the prompt fails with its place; where no layer has any, the model."""
    hybrid = wrap_model(make_lfm2("conv", "full_attention"), make_tokenizer(), name="hybrid")
    assert capture(hybrid, Prompt(text="abc")).layers == (1,)
    with pytest.raises(PromptError, match=r"^prompts.yaml:6: layers 0 of hybrid have no attention; select others"):
        capture(
            hybrid,
            Prompt(text="abc", layers=parse_selection(0), place=SourceLocation("prompts.yaml", 4, {"layers": 6})),
        )
    without = wrap_model(make_lfm2("conv", "conv"), make_tokenizer(), name="without")
    with pytest.raises(UnsupportedModel, match="Lfm2ForCausalLM"):
        capture(without, Prompt(text="abc"))


def test_sliding_window_leaves_far_keys_at_zero() -> None:
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=259, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=3,
    )  # fmt: skip
    attended = attend_alone(MistralForCausalLM(config).eval(), TOKEN_IDS, (0, 1), (0, 1, 2, 3), 4)
    pattern = unpack(attended.triangles[1, 3], len(TOKEN_IDS))
    assert not np.tril(pattern, -3).any()
    np.testing.assert_allclose(pattern.sum(-1), 1, atol=1e-3)


def test_rows_of_models_with_a_learned_sink_may_fall_short() -> None:
    """Only theirs: the rest of the mass lies on the sink, which is no token."""
    torch.manual_seed(0)
    config = GptOssConfig(
        vocab_size=259, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, num_local_experts=2, num_experts_per_tok=1,
    )  # fmt: skip
    attended = attend_alone(GptOssForCausalLM(config).eval(), TOKEN_IDS, (0, 1), (0, 1, 2, 3), 4)
    sums = unpack(attended.triangles[0, 0], len(TOKEN_IDS)).sum(-1)
    assert (sums < 0.99).all()
    assert (sums > 0).all()


def test_network_that_takes_no_positions() -> None:
    """BLOOM knows positions by distance alone; code that came with a model may take nothing that it does not use."""

    class Strict(BloomForCausalLM):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, use_cache: bool = True) -> object:
            return super().forward(input_ids, attention_mask=attention_mask, use_cache=use_cache)

    torch.manual_seed(0)
    network = Strict(BloomConfig(vocab_size=259, hidden_size=16, n_layer=2, n_head=4)).eval()
    attended = attend_alone(network, TOKEN_IDS, (0, 1), (3,), 4)
    assert attended.layers == (0, 1)
    np.testing.assert_allclose(unpack(attended.triangles[1, 0], len(TOKEN_IDS)).sum(-1), 1, atol=1e-3)


class Largest(TorchDispatchMode):
    """The largest tensor of numbers that anything made."""

    cells = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.is_floating_point():
            self.cells = max(self.cells, made.numel())
        return made


def test_no_layer_is_ever_whole() -> None:
    """Where the fast attention runs, its weights are worked out a few rows at a time."""
    network, token_ids = make_network("llama", max_position_embeddings=1024, vocab_size=6000), [*range(3, 259)] * 4
    find_strategy(network)
    with Largest() as largest:
        attended = attend_alone(network, token_ids, (0, 1), (0, 1, 2, 3), 4)
    assert largest.cells <= 4 * 1024 * 1024 // 8
    network.set_attn_implementation("eager")
    with torch.inference_mode():
        expected = network(torch.tensor([token_ids]), output_attentions=True).attentions
    rows, columns = np.tril_indices(1024)
    for layer in range(2):
        found = np.zeros((1024, 1024), np.float32)
        found[rows, columns] = attended.triangles[layer, 1]
        np.testing.assert_allclose(found, expected[layer][0, 1], atol=HALF_STEP)


def test_one_layer_is_alive_at_a_time() -> None:
    """Where attention is eager, the weights of a layer are gone before that layer goes on."""
    network = make_network("gemma2")
    assert not find_strategy(network).fast
    alive: list[weakref.ref[torch.Tensor]] = []
    left_over = []
    for layer in network.model.layers:
        layer.mlp.register_forward_pre_hook(lambda *_: left_over.append(sum(ref() is not None for ref in alive)))
        layer.self_attn.register_forward_hook(lambda _module, _inputs, output: alive.append(weakref.ref(output[1])))
    attend_alone(network, TOKEN_IDS, (0, 1), (0,), 4)
    assert len(alive) == 2
    assert left_over == [0, 0]


def test_weights_over_two_gigabytes_are_kept_as_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page shows no more of them anyway."""
    assert choose_dtype(30, 9, 2048) is np.float16
    assert choose_dtype(30, 9, 4096) is np.uint8
    assert choose_dtype(3, 9, 4096) is np.float16
    model = wrap_model(make_llama(), make_tokenizer(), name="tiny")
    wide = capture(model, Prompt(text="abcabc"))
    monkeypatch.setattr("reportgen.captures.attention._WIDE_BYTES", 100)
    narrow = capture(model, Prompt(text="abcabc"))
    assert (wide.triangles.dtype, narrow.triangles.dtype) == (np.float16, np.uint8)
    assert narrow.triangles.nbytes * 2 == wide.triangles.nbytes
    assert np.abs(wide.attention[2, 1] - narrow.attention[2, 1]).max() < 0.004
    assert narrow.evidence.scores["sink"].tolist() == wide.evidence.scores["sink"].tolist()
    assert render_page(narrow).startswith("<!doctype html>")


def test_network_is_left_as_it_was() -> None:
    network = make_llama()
    attend_alone(network, TOKEN_IDS, (0,), (0,), 4)
    assert network.config._attn_implementation == "sdpa"
    assert not [module for module in network.modules() if module._forward_hooks]


def test_parts_that_refuse_what_the_whole_uses_are_left_as_they_were() -> None:
    """Gemma 4's encoder of sounds is eager alone, the rest is not."""
    network = make_network("gemma4")

    def implementations() -> dict[str, str]:
        parts = [(path, part) for path, part in network.named_modules() if isinstance(part, PreTrainedModel)]
        return {path: part.config._attn_implementation for path, part in parts}

    before = implementations()
    assert set(before.values()) == {"sdpa", "eager"}
    attend_alone(network, TOKEN_IDS, (0,), (0,), 4)
    assert implementations() == before


def spoil(network: PreTrainedModel, change: Callable[[torch.Tensor], torch.Tensor]) -> PreTrainedModel:
    """Make layer 1 give other weights than it has."""
    attention = network.get_submodule("model.layers.1.self_attn")
    attention.register_forward_hook(lambda _module, _inputs, output: (output[0], change(output[1])))
    return network


def set_cell(value: float, query_pos: int, key_pos: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a change of one weight of head 2."""

    def change(weights: torch.Tensor) -> torch.Tensor:
        weights = weights.clone()
        weights[0, 2, query_pos, key_pos] = value
        return weights

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights[:, :3], r"shape \(3, 7, 7\), not \(4, 7, 7\)"),
        (lambda weights: weights[:, :, -1:], r"shape \(4, 1, 7\), not \(4, 7, 7\)"),
        (set_cell(float("nan"), 3, 1), "NaN or infinity"),
        (set_cell(float("inf"), 3, 1), "NaN or infinity"),
        (set_cell(0.01, 3, 4), "a later one"),
        (set_cell(0.0, 0, 0), "rows of attention sum to 0.0000 … 1.0000"),
        (lambda weights: weights * 1.01, "rows of attention sum to 1.0100 … 1.0100"),
    ],
)
def test_what_is_not_causal_attention_is_refused(change: Callable, message: str) -> None:
    """By the number of the layer, with advice; the network is left as it was."""
    network = spoil(make_llama(), change)
    with pytest.raises(CaptureMismatch, match=f"^layer 1: .*{message}.*; (use|try) "):
        attend_alone(network, TOKEN_IDS, (0, 1, 2), (0,), 4)
    assert network.config._attn_implementation == "sdpa"
    assert [len(module._forward_hooks) for module in network.modules() if module._forward_hooks] == [1]


def test_layers_that_share_one_attention_are_refused() -> None:
    """They could not be told apart."""
    network = make_llama()
    layers: nn.ModuleList = network.model.layers
    layers[2].self_attn = layers[1].self_attn
    with pytest.raises(CaptureMismatch, match="layer 1: it returned attention more than once; use"):
        attend_alone(network, TOKEN_IDS, (0, 1, 2), (0,), 4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rows_in_half_precision_are_accepted(dtype: torch.dtype) -> None:
    """Their sums are off by more than those of float32."""
    attended = attend_alone(make_llama().to(dtype), [*TOKEN_IDS] * 20, (0, 1, 2), (0, 1, 2, 3), 4)
    assert attended.layers == (0, 1, 2)
