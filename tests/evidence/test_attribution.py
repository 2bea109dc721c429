"""Direct logit attribution: by hand on two networks, and adding up on all families."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from families import FAMILIES, captured, make_network
from tiny import make_gpt2, make_llama, make_tokenizer
from torch import nn
from transformers import PreTrainedModel

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.evidence.kinds.attribution import Attribution
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.records import Prompt
from reportgen.records.evidence import EVIDENCE_TYPES
from reportgen.records.selection import parse_selection

PROMPT = Prompt(text="The cat ate", max_new_tokens=4)
MIXED = {"bitnet", "diffllama"}
"""Families that norm or subtract heads before the output projection."""


def run(network: PreTrainedModel, **changes: Any) -> Capture:
    return capture(wrap_model(network, make_tokenizer(), name="tiny"), replace(PROMPT, **changes))


def attribution_of(made: Capture) -> Attribution:
    assert made.evidence.attribution is not None, made.evidence.missing
    return made.evidence.attribution


def ids_of(made: Capture) -> list[int]:
    return [token.token_id for token in made.tokens]


def total_of(found: Attribution) -> np.ndarray:
    return found.heads.sum((2, 3)) + found.other_parts.sum(2) + found.embedding + found.biases + found.other_heads


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - MIXED))
def test_parts_add_up_to_the_logit(family: str) -> None:
    """What a plain pass gives for the chosen token, minus the mean over the vocabulary or minus a rival."""
    network, made = make_network(family), captured(family)
    found = attribution_of(made)
    assert found.residuals.max() < 1e-4
    assert np.allclose(total_of(found), found.logits, atol=1e-3 * np.abs(found.logits).max())
    with torch.inference_mode():
        logits = network(torch.tensor([ids_of(made)])).logits[0, made.num_prompt_tokens - 1 : -1].numpy()
    cap = getattr(network.config, "final_logit_softcapping", None)
    if cap is not None:
        assert found.note == "Parts of the logit before the model caps it at ±30."
        logits = cap * np.arctanh(logits / cap)
    for step, row in enumerate(logits):
        chosen = row[made.tokens[made.num_prompt_tokens + step].token_id]
        runners_up = [row[token.token_id] for token in found.runners_up[step]]
        expected = [chosen - row.mean(), *(chosen - rival for rival in runners_up)]
        assert found.logits[:, step] == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_cap_is_found_where_logits_are_far_below_it() -> None:
    """By RecurrentGemma's name for it; without it the logits fit well enough to be taken for uncapped."""
    found = attribution_of(captured("recurrent_gemma"))
    assert found.note == "Parts of the logit before the model caps it at ±30."
    assert found.residuals.max() < 1e-5


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - MIXED))
def test_what_a_head_wrote_is_the_sum_over_what_it_read(family: str) -> None:
    found = attribution_of(made := captured(family))
    assert found.sources is not None
    start = 0
    for step in range(len(made.steps)):
        stop = start + made.query_pos_of_step(step) + 1
        assert np.allclose(found.sources[:, :, start:stop].sum(-1), found.heads[0, step], atol=1e-4)
        start = stop
    assert start == found.sources.shape[-1]


@pytest.mark.parametrize("family", sorted(MIXED))
def test_heads_that_cannot_be_told_apart_are_refused_with_the_reason(family: str) -> None:
    evidence = captured(family).evidence
    assert evidence.attribution is None
    name = type(make_network(family)).__name__
    assert evidence.missing["attribution"] == (
        f"not available for {name}: its heads are mixed with one another or normed before the output projection"
    )
    assert evidence.lens is not None
    assert evidence.rollout is not None


def test_gated_heads_are_attributed_through_their_gates() -> None:
    evidence = captured("qwen3_next").evidence
    assert evidence.attribution is not None
    assert evidence.value_norms is None
    assert "gated" in evidence.missing["value_norms"]


class _Reader:
    """Reads, at some positions, what modules of a network were given and gave."""

    def __init__(self, network: nn.Module) -> None:
        self.given: dict[str, torch.Tensor] = {}
        self.gave: dict[str, torch.Tensor] = {}
        for path, module in network.named_modules():
            module.register_forward_hook(self._note(path))

    def _note(self, path: str) -> Callable[..., None]:
        def note(_: nn.Module, given: Any, gave: Any) -> None:
            if given and isinstance(given[0], torch.Tensor):
                self.given[path] = given[0][0]
            self.gave[path] = gave[0] if isinstance(gave, torch.Tensor) else gave[0][0]

        return note


def test_llama_by_hand(tiny_llama: LoadedModel) -> None:
    """Every head's part, from its slice of the output projection and the final norm's weight and scale."""
    made = capture(tiny_llama, PROMPT)
    found = attribution_of(made)
    network = make_llama()
    reader = _Reader(network)
    with torch.inference_mode():
        network(torch.tensor([ids_of(made)]))
    rows = [made.query_pos_of_step(step) for step in range(len(made.steps))]
    chosen = ids_of(made)[made.num_prompt_tokens :]
    unembedding = network.lm_head.weight.detach()
    last = reader.given["model.norm"][rows]
    scale = (last.pow(2).mean(-1, keepdim=True) + network.config.rms_norm_eps).rsqrt()
    direction = scale * network.model.norm.weight.detach() * (unembedding[chosen] - unembedding.mean(0))
    for layer in range(3):
        projection = network.model.layers[layer].self_attn.o_proj
        mixed = reader.given[f"model.layers.{layer}.self_attn.o_proj"][rows]
        for head in range(4):
            part = slice(4 * head, 4 * head + 4)
            written = mixed[:, part] @ projection.weight[:, part].T
            expected = (written * direction).sum(-1)
            assert found.heads[0, :, layer, head] == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-4)
        mlp = (reader.gave[f"model.layers.{layer}.mlp"][rows] * direction).sum(-1)
        assert found.other_parts[0, :, layer] == pytest.approx(mlp.tolist(), rel=1e-3, abs=1e-3)
    embedded = (reader.gave["model.embed_tokens"][rows] * direction).sum(-1)
    assert found.embedding[0] == pytest.approx(embedded.tolist(), rel=1e-3, abs=1e-4)
    assert np.abs(found.biases).max() == 0


def test_biases_and_centering_of_gpt2(tiny_gpt2: LoadedModel) -> None:
    """A LayerNorm takes the mean away from the direction too, and its bias has a part of its own."""
    network = make_gpt2()
    nn.init.normal_(network.transformer.ln_f.bias, std=0.5)
    for block in network.transformer.h:
        nn.init.normal_(block.attn.c_proj.bias, std=0.5)
    made = run(network)
    found = attribution_of(made)
    reader = _Reader(network)
    with torch.inference_mode():
        network(torch.tensor([ids_of(made)]))
    rows = [made.query_pos_of_step(step) for step in range(len(made.steps))]
    chosen = ids_of(made)[made.num_prompt_tokens :]
    unembedding, norm = network.lm_head.weight.detach(), network.transformer.ln_f
    last = reader.given["transformer.ln_f"][rows]
    direction = unembedding[chosen] - unembedding.mean(0)
    back = direction * norm.weight.detach() / (last.var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    back = back - back.mean(-1, keepdim=True)
    biases = torch.stack([block.attn.c_proj.bias.detach() for block in network.transformer.h]).sum(0)
    expected = (biases * back).sum(-1) + (norm.bias.detach() * direction).sum(-1)
    assert found.biases[0] == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-4)


def test_selected_heads_keep_their_parts_and_the_others_are_summed(tiny_llama: LoadedModel) -> None:
    everything = attribution_of(capture(tiny_llama, PROMPT))
    some = replace(PROMPT, layers=parse_selection("0,2"), heads=parse_selection("1,3"))
    selected = attribution_of(capture(tiny_llama, some))
    assert np.allclose(selected.heads, everything.heads[:, :, [0, 2]][..., [1, 3]], atol=1e-6)
    assert np.allclose(total_of(selected), total_of(everything), atol=1e-4)
    assert np.allclose(everything.other_heads, 0, atol=1e-5)
    assert selected.other_parts.shape[2] == 3
    assert selected.sources is not None
    assert selected.sources.shape[:2] == (2, 2)


def test_rivals_are_the_most_probable_others(tiny_llama: LoadedModel) -> None:
    made = capture(tiny_llama, PROMPT)
    for step, runners_up in zip(made.steps, attribution_of(made).runners_up, strict=True):
        chosen = made.tokens[made.num_prompt_tokens + step.step].token_id
        others = [token.token_id for token, _ in step.raw.alternatives if token.token_id != chosen]
        assert [token.token_id for token in runners_up] == others[:3]


def test_parts_that_do_not_add_up_are_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    """A final norm that is not quite the one that ran: its parts are n/a, the distance is kept."""
    from reportgen.instrumentation.norms import LinearNorm

    honest = LinearNorm.scales
    monkeypatch.setattr(LinearNorm, "scales", lambda *given: 1.01 * honest(*given))
    found = attribution_of(run(make_llama()))
    assert (found.residuals > 1e-3).all()
    assert np.isnan(found.heads).all()
    assert np.isnan(found.logits).all()
    assert found.sources is not None
    assert np.isnan(found.sources).all()


def test_layer_that_adds_something_else_is_refused() -> None:
    """Its heads' part is multiplied on the way by something that differs by dimension."""
    network = make_llama()
    attention = network.model.layers[1].self_attn
    factors = torch.linspace(0.5, 2, 16)
    attention.register_forward_hook(lambda _, __, output: (output[0] * factors, *output[1:]))
    made = run(network)
    assert made.evidence.attribution is None
    assert made.evidence.missing["attribution"] == (
        "not available for LlamaForCausalLM: layer 1 does not add the output of its heads to the residual stream"
    )


def test_without_steps_there_is_none(tiny_llama: LoadedModel) -> None:
    evidence = capture(tiny_llama, replace(PROMPT, max_new_tokens=0)).evidence
    assert evidence.attribution is None
    assert evidence.missing["attribution"] == "no tokens were generated"
    assert evidence.value_norms is not None


def test_capture_is_never_lost_for_its_evidence(tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel image")

    for name in ("split_heads", "measure_value_norms"):
        monkeypatch.setattr(f"reportgen.evidence.traced_run.{name}", fail)
    monkeypatch.setattr("reportgen.evidence.collectors.lens.read_lens", fail)
    monkeypatch.setattr("reportgen.evidence.collectors.rollout.RolloutCollector.add", fail)
    monkeypatch.setattr("reportgen.evidence.collectors.entropy.EntropyCollector.see_rows", fail)
    made = capture(tiny_llama, replace(PROMPT, evidence=("ablation",)))
    evidence = made.evidence
    assert made.pattern(0, 0).shape == (15, 15)
    assert evidence.scores == {}
    assert set(evidence.missing) == {*EVIDENCE_TYPES}
    assert all("RuntimeError: no kernel image" in reason for reason in evidence.missing.values())
    assert (evidence.attribution, evidence.lens, evidence.value_norms, evidence.rollout) == (None,) * 4
    assert evidence.ablations == {}


def test_half_precision_says_how_far_it_is_off() -> None:
    """Rounding in bfloat16 is far above the limit, so the numbers are withheld rather than shown."""
    found = attribution_of(run(make_llama().bfloat16()))
    assert (found.residuals > 0).all()
    assert np.isnan(found.heads[0, found.residuals > 1e-3]).all()
