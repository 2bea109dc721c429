"""What is special about a model's attention: found by structure, held against the weights, never claimed too much."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from families import FAMILIES, make_network
from tiny import make_tokenizer
from torch import nn
from transformers import PreTrainedModel

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.instrumentation.anatomy import find_attention
from reportgen.instrumentation.layer_types import confirm_layer_types, detect_layer_types, find_features, has_sink
from reportgen.models.config import describe_config
from reportgen.models.model import wrap_model
from reportgen.records import LayerType, Prompt
from reportgen.records.attention_features import FEATURES

TEXT = "the cat ate the mat and the hat"
_SLIDING_AND_FULL = {
    "num_hidden_layers": 3, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}  # fmt: skip
_LLAMA4 = {
    **FAMILIES["llama"], "num_experts_per_tok": 1, "num_local_experts": 2, "intermediate_size_mlp": 32,
    "attention_chunk_size": 5, "layer_types": ["chunked_attention", "full_attention"], "no_rope_layers": [1, 0],
}  # fmt: skip


def detect(family: str, **changes: Any) -> tuple[tuple[LayerType, ...], tuple[str, ...]]:
    """Return layer types and traits of a family's network."""
    network = make_network(family, **changes)
    info = describe_config(network.config, family)
    layer_types = detect_layer_types(network, info)
    return layer_types, find_features(network, layer_types, info.num_heads)


def run(network: PreTrainedModel, **prompt: Any) -> Capture:
    """Return the capture of the text with nothing generated, and the token that would be next."""
    return capture(wrap_model(network, make_tokenizer(), name="tiny"), Prompt(text=TEXT, max_new_tokens=0, **prompt))


@pytest.mark.parametrize(
    ("family", "changes", "windows"),
    [
        ("llama", {}, (None, None)),
        ("gpt2", {}, (None, None)),
        ("qwen2", {}, (None, None)),
        ("mistral", {}, (8, 8)),
        ("phi3", {"sliding_window": 6}, (6, 6)),
        ("starcoder2", {"sliding_window": 7}, (7, 7)),
        ("gemma2", {}, (8, None)),
        ("gemma3_text", _SLIDING_AND_FULL, (8, None, 8)),
        ("cohere2", _SLIDING_AND_FULL, (8, None, 8)),
        ("olmo3", _SLIDING_AND_FULL, (8, None, 8)),
        ("gpt_oss", {}, (8, None)),
        ("gpt_neo", {}, (None, 8)),
    ],
)
def test_windows_are_those_of_the_weights(
    family: str, changes: dict[str, Any], windows: tuple[int | None, ...]
) -> None:
    """Every query reads the first key inside its window, and none before it."""
    captured = run(make_network(family, **changes))
    assert tuple(kind.window for kind in captured.layer_types) == windows
    assert ("window" in captured.model.features) == any(windows)
    for kind in captured.layer_types:
        weights = captured.triangles[captured.layers.index(kind.layer)].astype(np.float32).max(0)
        pattern = np.zeros((captured.num_tokens, captured.num_tokens))
        pattern[np.tril_indices(captured.num_tokens)] = weights
        for query_pos, row in enumerate(pattern):
            assert np.flatnonzero(row)[0] == kind.first_key(query_pos), (kind, query_pos)


def test_chunks_are_those_of_the_config() -> None:
    FAMILIES["llama4_text"] = _LLAMA4
    try:
        captured = run(make_network("llama4_text"))
    finally:
        del FAMILIES["llama4_text"]
    assert [(kind.window, kind.chunk) for kind in captured.layer_types] == [(None, 5), (None, None)]
    assert "chunk" in captured.model.features
    assert [captured.layer_types[0].first_key(position) for position in (0, 4, 5, 9, 10)] == [0, 0, 5, 5, 10]
    assert captured.attention[0, 0][7, 5] > 0
    assert not captured.attention[0, 0][7, :5].any()
    assert captured.layer_types[0].note == ""


def test_weights_win_over_the_config() -> None:
    """Where a network reads what its config says it cannot see, no window is claimed, and the page can say why."""
    captured = run(make_network("llama"))
    claimed = (LayerType(0, window=4), LayerType(1, chunk=3), LayerType(2, window=4))
    found = confirm_layer_types(claimed, captured.layers, captured.triangles, captured.num_tokens)
    assert [(kind.window, kind.chunk) for kind in found] == [(None, None), (None, None), (4, None)]
    assert found[0].note == "its config says a window of 4 tokens, but its weights reach further back"
    assert found[1].note == "its config says chunks of 3 tokens, but its weights reach further back"
    assert found[2] == claimed[2]


def test_a_window_longer_than_the_text_is_kept() -> None:
    captured = run(make_network("mistral", sliding_window=4096))
    assert {kind.window for kind in captured.layer_types} == {4096}


@pytest.mark.parametrize(
    ("family", "changes", "what"),
    [
        ("jamba", {"num_hidden_layers": 4}, ("Mamba", None, "Mamba", None)),
        ("lfm2", {}, ("convolution", None, "convolution")),
        ("qwen3_next", {}, ("linear attention", "linear attention", "linear attention", None)),
    ],
)
def test_layers_without_attention_are_named(family: str, changes: dict[str, Any], what: tuple[str | None, ...]) -> None:
    layer_types, features = detect(family, **changes)
    assert tuple(None if kind.has_attention else kind.what for kind in layer_types) == what
    assert [kind.layer for kind in layer_types] == list(range(len(what)))
    assert "hybrid" in features


@pytest.mark.parametrize(
    ("family", "changes", "expected"),
    [
        ("llama", {}, 2),
        ("llama", {"num_key_value_heads": 4}, 4),
        ("gpt2", {}, 4),
        ("gpt_bigcode", {}, 1),
        ("falcon", {}, 1),
        ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}, 2),
        ("deepseek_v3", {}, 4),
        ("jamba", {}, 2),
    ],
)
def test_key_heads_are_those_of_the_modules(family: str, changes: dict[str, Any], expected: int) -> None:
    layer_types, features = detect(family, **changes)
    assert {kind.num_kv_heads for kind in layer_types if kind.has_attention} == {expected}
    assert ("grouped" in features) == (expected < 4)


def test_heads_of_a_group_read_the_same_keys() -> None:
    """Head h uses key head h // (H / K): what it is given is what that part of the key projection makes."""
    network = make_network("llama")
    attention = dict(find_attention(network))[0]
    assert isinstance(attention.k_proj, nn.Linear)
    before = run(network)
    with torch.no_grad():
        attention.k_proj.weight[4:] += 1  # key head 1 alone
    after = run(network)
    prompt = slice(before.num_prompt_tokens)  # the token that would be next may be another one
    changed = [
        not np.array_equal(before.attention[0, head][prompt, prompt], after.attention[0, head][prompt, prompt])
        for head in range(4)
    ]
    assert changed == [False, False, True, True]


@pytest.mark.parametrize(
    ("family", "changes", "expected"),
    [
        ("gpt2", {}, ()),
        ("llama", {}, ("grouped",)),
        ("gpt_oss", {}, ("grouped", "window", "sink")),
        ("deepseek_v3", {}, ("latent",)),
        ("bloom", {}, ("alibi",)),
        ("mpt", {}, ("alibi",)),
        ("falcon", {}, ("grouped",)),
        ("falcon", {"alibi": True}, ("grouped", "alibi")),
        ("gemma2", {}, ("grouped", "window", "soft-cap")),
        ("gemma3_text", {}, ("grouped", "window")),
        ("diffllama", {}, ("grouped", "differential")),
        ("lfm2", {}, ("grouped", "hybrid")),
    ],
)
def test_traits_of_families(family: str, changes: dict[str, Any], expected: tuple[str, ...]) -> None:
    _, features = detect(family, **changes)
    assert features == expected
    assert set(features) <= set(FEATURES)


def test_sink_takes_what_a_row_lacks() -> None:
    """Against the weights of the same pass with output_attentions, in float32."""
    network = make_network("gpt_oss")
    captured = run(network, heads=[1, 3])
    token_ids = [token.token_id for token in captured.tokens]
    network.set_attn_implementation("eager")
    with torch.inference_mode():
        attentions = network(torch.tensor([token_ids]), output_attentions=True).attentions
    assert captured.sink_mass is not None
    assert captured.sink_mass.dtype == np.float32
    for row, layer in enumerate(captured.layers):
        expected = 1 - attentions[layer][0, [1, 3]].sum(-1).numpy()
        np.testing.assert_allclose(captured.sink_mass[row], expected, atol=1e-6)
    assert captured.sink_mass.max() > 0.3
    assert all(kind.has_sink for kind in captured.layer_types)


def test_without_a_sink_nothing_is_taken() -> None:
    captured = run(make_network("llama"))
    assert captured.sink_mass is None
    assert not any(kind.has_sink for kind in captured.layer_types)


def test_a_sink_that_is_switched_off_is_none() -> None:
    """MiMo's modules have the attribute in every layer, and a parameter in some."""
    module = nn.Module()
    assert not has_sink(module)
    module.sinks = None
    assert not has_sink(module)
    module.sinks = nn.Parameter(torch.zeros(2))
    assert has_sink(module)


def test_what_differential_heads_write_is_the_difference_that_the_page_names() -> None:
    """(a[h] − λ · a[h + H/2]) · v, up to the norm and the factor that follow."""
    network = make_network("diffllama")
    captured = run(network)
    attention: Any = dict(find_attention(network))[1]
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        attention.v_proj.register_forward_hook(lambda *given: seen.update(values=given[2][0])),
        attention.groupnorm.register_forward_pre_hook(lambda _, given: seen.update(mixed=given[0][0])),
    ]
    with torch.inference_mode():
        network(torch.tensor([[token.token_id for token in captured.tokens]]))
    for hook in hooks:
        hook.remove()
    lambda_1, lambda_2 = (
        torch.exp((getattr(attention, f"lambda_q{i}") * getattr(attention, f"lambda_k{i}")).sum()) for i in (1, 2)
    )
    share = float(lambda_1 - lambda_2 + attention.lambda_init)
    for head in (0, 1):
        difference = captured.attention[1, head] - share * captured.attention[1, head + 2]
        # Both halves of the values go to every pair: [query_pos, 2 * head_dim].
        expected = difference @ seen["values"].numpy()
        np.testing.assert_allclose(seen["mixed"][:, head].numpy(), expected, atol=0.02)


def test_kinds_default_to_those_of_the_model() -> None:
    captured = replace(run(make_network("llama")), layer_types=())
    assert captured.layer_type(1) == LayerType(1, num_kv_heads=2)
