"""Ablation: equal to a plain loop of forward passes, and telling on a real model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from families import FAMILIES, MIXED, Projections, captured, make_network, without_head
from tiny import make_gpt2, make_llama, make_tokenizer
from torch import nn
from transformers import PreTrainedModel

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.evidence.collectors import reruns
from reportgen.instrumentation.observer import TracedText
from reportgen.instrumentation.partial_forward import PartialForward
from reportgen.instrumentation.trace import trace
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.records import Prompt

PROMPT = Prompt(text="The cat ate", max_new_tokens=3, evidence=("ablation",))


def ablate(network: PreTrainedModel, prompt: Prompt = PROMPT) -> Capture:
    return capture(wrap_model(network, make_tokenizer(), name="tiny"), prompt)


def loop(network: PreTrainedModel, projections: list[nn.Module], made: Capture, method: str) -> np.ndarray:
    """One whole pass for each head, its slice of the projection's input set to zero or to its mean: the definition."""
    ids = torch.tensor([[token.token_id for token in made.tokens]])
    rows = slice(made.num_prompt_tokens - 1, -1)
    chosen = ids[0, made.num_prompt_tokens :]

    def logprobs() -> np.ndarray:
        with torch.inference_mode():
            return network(ids).logits[0, rows].log_softmax(-1)[range(len(chosen)), chosen].numpy()

    usual = logprobs()
    changes = np.zeros((len(chosen), len(projections), len(made.heads)))
    for layer, projection in enumerate(projections):
        for head in made.heads:
            with without_head(projection, head, len(made.heads), method):
                changes[:, layer, head] = logprobs() - usual
    return changes


@pytest.mark.parametrize("method", ["ablation", "mean-ablation"])
@pytest.mark.parametrize("make", [make_llama, make_gpt2])
def test_it_equals_a_plain_loop_of_passes(make, method: str) -> None:
    network = make()
    made = ablate(network, replace(PROMPT, evidence=(method,)))
    blocks = network.model.layers if make is make_llama else network.transformer.h
    projections = [block.self_attn.o_proj if make is make_llama else block.attn.c_proj for block in blocks]
    expected = loop(network, projections, made, method)
    assert np.abs(expected).max() > 0.1
    assert made.evidence.ablations[method] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - MIXED))
def test_starting_at_the_heads_layer_equals_whole_passes(family: str) -> None:
    network, made, seen = make_network(family), captured(family), Projections()
    trace(network, [TracedText([token.token_id for token in made.tokens], observers=[seen])])
    whole = loop(network, [seen.found[layer] for layer in made.layers], made, "ablation")
    assert np.abs(whole).max() > 1e-3
    assert made.evidence.ablations["ablation"] == pytest.approx(whole, abs=1e-4)


def test_replay_runs_only_the_layers_from_the_one_asked_for() -> None:
    network = make_llama()
    with torch.inference_mode():
        replay = PartialForward(network, [5, 9, 5, 200])
        ran: list[int] = []
        for layer, block in enumerate(network.model.layers):
            block.register_forward_hook(lambda *_, layer=layer: ran.append(layer))
        again = replay.run(1, 3)
        hidden = network(torch.tensor([[5, 9, 5, 200]]), output_hidden_states=True).hidden_states
    assert ran[:2] == [1, 2]
    torch.testing.assert_close(network.model.norm(again), hidden[-1].expand(3, -1, -1), atol=1e-5, rtol=1e-5)


def test_a_network_that_cannot_be_replayed_is_run_whole() -> None:
    """BLOOM's positions are made for one text and all heads, and cannot be widened to several."""
    network = make_network("bloom")
    made = ablate(network)
    projections = [block.self_attention.dense for block in network.transformer.h]
    expected = loop(network, projections, made, "ablation")
    assert made.evidence.ablations["ablation"] == pytest.approx(expected, abs=1e-4)


def test_heads_in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = ablate(make_llama()).evidence.ablations["ablation"]
    monkeypatch.setattr(reruns, "_POSITIONS", 1)
    assert ablate(make_llama()).evidence.ablations["ablation"] == pytest.approx(wide, abs=1e-5)


def test_selected_heads_alone_are_taken_out(tiny_llama: LoadedModel) -> None:
    from reportgen.records.selection import parse_selection

    everything = capture(tiny_llama, PROMPT).evidence.ablations["ablation"]
    some = capture(tiny_llama, replace(PROMPT, layers=parse_selection("0,2"), heads=parse_selection("1,3")))
    assert some.evidence.ablations["ablation"] == pytest.approx(everything[:, [0, 2]][:, :, [1, 3]], abs=1e-5)


def test_progress_is_told_with_an_estimate_before_the_first_head(tiny_llama: LoadedModel) -> None:
    said: list[tuple[int, int, float]] = []
    capture(tiny_llama, PROMPT, lambda *state: said.append(state))
    assert [state[:2] for state in said] == [(0, 12), (8, 12), (12, 12)]
    assert said[0][2] > 0
    assert said[-1][2] == 0


def test_nothing_is_ablated_unasked(tiny_llama: LoadedModel) -> None:
    assert capture(tiny_llama, replace(PROMPT, evidence=())).evidence.ablations == {}


def test_without_steps_the_reason_is_told(tiny_gpt2: LoadedModel) -> None:
    evidence = capture(tiny_gpt2, replace(PROMPT, text="a" * 256, max_new_tokens=0)).evidence
    reason = "no tokens were generated: the prompt fills the context window of 256 tokens"
    assert (evidence.ablations, evidence.missing["ablations"]) == ({}, reason)


def test_mixed_heads_are_not_ablated() -> None:
    evidence = captured("diffllama").evidence
    assert evidence.ablations == {}
    assert "mixed with one another" in evidence.missing["ablations"]


def test_network_is_left_as_it_was(tiny_llama: LoadedModel) -> None:
    hooks = [len(module._forward_pre_hooks) for module in tiny_llama.network.modules()]
    capture(tiny_llama, PROMPT)
    assert [len(module._forward_pre_hooks) for module in tiny_llama.network.modules()] == hooks


@pytest.mark.full
def test_real_induction_head_matters_more_than_the_median_head(smollm2: LoadedModel) -> None:
    """Random tokens said twice: the repeated half is what the best induction head is for."""
    from reportgen.evidence.collectors.ablation import Ablator

    random = np.random.default_rng(0)
    ids = random.integers(1000, 40000, 24).tolist()
    text = str(smollm2.tokenizer.decode(ids))
    made = capture(smollm2, Prompt(text=text * 2, max_new_tokens=0))
    induction = made.evidence.scores["induction"]
    layer, head = (int(place) for place in np.unravel_index(np.nanargmax(induction), induction.shape))
    tokens = [token.token_id for token in made.tokens[: made.num_prompt_tokens]]
    half = len(tokens) // 2
    rows = slice(half, len(tokens) - 1)
    blocks = smollm2.network.model.layers
    layers = sorted({0, 15, 29, layer})
    projections = {number: blocks[number].self_attn.o_proj for number in layers}
    with torch.inference_mode():
        ablator = Ablator(smollm2.network, tokens, rows, None, None)
        changes = ablator.ablate(projections, range(9), 9, "ablation", lambda *_: None).mean(0)
    assert induction[layer, head] > 0.5
    assert changes[layers.index(layer), head] < np.median(changes) - 0.05
