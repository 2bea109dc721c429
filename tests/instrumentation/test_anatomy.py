"""What stands where in a network, told by structure."""

from __future__ import annotations

import pytest
from families import make_network

from reportgen.instrumentation.anatomy import find_attention, find_layers, has_sink
from reportgen.instrumentation.unembedding import Unembedding


@pytest.mark.parametrize(
    ("family", "stack", "norm"),
    [
        ("gemma3", "model.language_model.layers", "model.language_model.norm"),
        ("got_ocr2", "model.language_model.layers", "model.language_model.norm"),  # its tower is as deep inside
        ("phi4_multimodal", "model.layers", "model.norm"),  # whose encoders stand inside the decoder
        ("git", "git.encoder.layer", None),
        ("bart", "model.decoder.layers", None),
        ("gpt2", "transformer.h", "transformer.ln_f"),
    ],
)
def test_encoders_of_pictures_and_sounds_are_left_out(family: str, stack: str, norm: str | None) -> None:
    """Text passes through the decoder alone; its norm is the last one, whatever else has norms."""
    network = make_network(family)
    layers = network.get_submodule(stack)
    assert list(find_layers(network).values()) == list(layers.children())
    inside = set(layers.modules())
    assert {number for number, _ in find_attention(network)} == set(range(len(list(layers.children()))))
    assert all(module in inside for _, module in find_attention(network))
    if norm:
        assert Unembedding.find(network).norm_module is network.get_submodule(norm)


@pytest.mark.parametrize(("family", "sinks"), [("gpt_oss", {True}), ("inkling2_text", {True}), ("llama", {False})])
def test_sinks_are_found(family: str, sinks: set[bool]) -> None:
    assert {has_sink(module) for _, module in find_attention(make_network(family))} == sinks


def test_layers_without_the_sink_of_others_have_none() -> None:
    """MiMo's full layers carry the name of a sink, and nothing under it."""
    network = make_network("mimo_v2_flash")
    types = network.config.layer_types
    found = {number: has_sink(module) for number, module in find_attention(network)}
    assert found == {number: kind == "sliding_attention" for number, kind in enumerate(types)}
    assert len(set(types)) == 2


def test_layers_with_several_attention_modules_are_counted_through() -> None:
    """As transformers counts LongCat's, which have two each, so that none of them stands for a layer of the stream."""
    network = make_network("longcat_flash")
    found = find_attention(network)
    assert [number for number, _ in found] == [0, 1, 2, 3]
    assert [module.layer_idx for _, module in found] == [0, 1, 2, 3]
    assert find_layers(network) == {}
