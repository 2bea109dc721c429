"""Direct logit attribution: by hand on two networks, and adding up on all families."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from counts import sample
from families import FAMILIES, MIXED, captured, make_network
from tiny import make_gpt2, make_llama, make_tokenizer
from torch import nn
from transformers import PreTrainedModel

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.evidence.kinds.attribution import CONTRASTS, Attribution
from reportgen.instrumentation.observer import LayerTrace
from reportgen.instrumentation.residual import find_added_heads
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.records import Prompt
from reportgen.records.errors import NoEvidence
from reportgen.records.evidence import EVIDENCE_TYPES
from reportgen.records.selection import parse_selection

PROMPT = Prompt(text="The cat ate", max_new_tokens=4)
MEAN = CONTRASTS.index("mean")


def run(network: PreTrainedModel, **changes: Any) -> Capture:
    return capture(wrap_model(network, make_tokenizer(), name="tiny"), replace(PROMPT, **changes))


def attribution_of(made: Capture) -> Attribution:
    assert made.evidence.attribution is not None, made.evidence.missing
    return made.evidence.attribution


def ids_of(made: Capture) -> list[int]:
    return [token.token_id for token in made.tokens]


def total_of(found: Attribution) -> np.ndarray:
    return found.heads.sum((2, 3)) + found.other_parts.sum(2) + found.embedding + found.biases + found.other_heads


def logits_of(network: PreTrainedModel, made: Capture) -> np.ndarray:
    """Return the logits of a plain pass at the steps, in float64."""
    with torch.inference_mode():
        logits = network(torch.tensor([ids_of(made)])).logits[0, made.num_prompt_tokens - 1 : -1]
    return logits.double().numpy()


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - MIXED))
def test_parts_add_up_to_the_logit(family: str) -> None:
    """What a plain pass gives for the chosen token, minus the alternatives, the mean, or a runner-up."""
    network, made = make_network(family), captured(family)
    found = attribution_of(made)
    assert found.withheld == (("",) * len(made.steps),) * len(found.heads)
    assert np.allclose(total_of(found), found.logits, atol=1e-4 * np.abs(found.logits).max())
    assert np.allclose(total_of(found) + found.rounding, found.logits, atol=1e-5 * np.abs(found.logits).max())
    logits = capped = logits_of(network, made)
    cap = getattr(network.config, "final_logit_softcapping", None)
    if cap is not None:
        assert found.note == "Parts of the logit before the model caps it at ±30."
        logits = cap * np.arctanh(capped / cap)
    for step, (row, final) in enumerate(zip(logits, capped, strict=True)):
        chosen = made.tokens[made.num_prompt_tokens + step].token_id
        weights = np.exp(final - final.max())
        weights[chosen] = 0
        weights /= weights.sum()
        runners_up = [row[token.token_id] for token in found.runners_up[step]]
        expected = [row[chosen] - other for other in (weights @ row, row.mean(), *runners_up)]
        assert found.logits[:, step] == pytest.approx(expected, rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "recurrent_gemma", "qwen3_next"])
def test_account_closes_at_the_log_odds(family: str) -> None:
    network, made = make_network(family), captured(family)
    found, logits = attribution_of(made), torch.from_numpy(logits_of(network, made))
    chosen = torch.tensor(ids_of(made)[made.num_prompt_tokens :])[:, None]
    others = logits.scatter(1, chosen, -torch.inf)
    weights = others.softmax(-1)
    assert found.log_odds == pytest.approx((logits.gather(1, chosen)[:, 0] - others.logsumexp(-1)).numpy(), abs=2e-4)
    assert found.entropy == pytest.approx(torch.special.entr(weights).sum(-1).numpy(), abs=1e-5)
    total = total_of(found)[0] + found.rounding[0] + found.soft_cap - found.entropy
    assert total == pytest.approx(found.log_odds, abs=2e-5)
    has_cap = getattr(network.config, "final_logit_softcapping", None) or family == "recurrent_gemma"
    assert (np.abs(found.soft_cap).max() > 0) == bool(has_cap)


def test_effect_is_the_part_times_the_gradient_of_the_log_odds(tiny_llama: LoadedModel) -> None:
    """By autograd, with the scale of the final norm held."""
    made = capture(tiny_llama, PROMPT)
    found, network = attribution_of(made), make_llama()
    reader = _Reader(network)
    with torch.inference_mode():
        network(torch.tensor([ids_of(made)]))
    rows = [made.query_pos_of_step(step) for step in range(len(made.steps))]
    last = reader.given["model.norm"][rows].clone()
    scale = (last.pow(2).mean(-1, keepdim=True) + network.config.rms_norm_eps).rsqrt()
    resid = last.requires_grad_()
    logits = (resid * scale * network.model.norm.weight.detach()) @ network.lm_head.weight.detach().T
    chosen = torch.tensor(ids_of(made)[made.num_prompt_tokens :])[:, None]
    odds = logits.gather(1, chosen)[:, 0] - logits.scatter(1, chosen, -torch.inf).logsumexp(-1)
    (gradient,) = torch.autograd.grad(odds.sum(), resid)
    for layer in range(3):
        mlp = (reader.gave[f"model.layers.{layer}.mlp"][rows] * gradient).sum(-1)
        assert found.other_parts[0, :, layer] == pytest.approx(mlp.tolist(), rel=1e-3, abs=1e-5)
    embedded = (reader.gave["model.embed_tokens"][rows] * gradient).sum(-1)
    assert found.embedding[0] == pytest.approx(embedded.tolist(), rel=1e-3, abs=1e-5)


def test_alternatives_of_a_nearly_certain_token_keep_their_digits() -> None:
    """By p / (1 - p) in float32, the weights would be off by a factor of two."""
    from reportgen.evidence.collectors.alternatives import Alternatives

    logits = torch.tensor([[60.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
    found = Alternatives.of(logits, logits, torch.tensor([0]))
    weights = np.exp([1.0, 0.0, -1.0]) / np.exp([1.0, 0.0, -1.0]).sum()
    assert found.weights[0].tolist() == pytest.approx([0, *weights], rel=1e-12)
    assert float(found.log_odds) == pytest.approx(60 - np.log(np.exp([1.0, 0.0, -1.0]).sum()), rel=1e-12)
    assert float(found.entropy) == pytest.approx(-(weights * np.log(weights)).sum(), rel=1e-12)


def test_tokens_that_a_model_rules_out_are_no_alternatives() -> None:
    from reportgen.evidence.collectors.alternatives import Alternatives

    logits = torch.tensor([[2.0, 1.0, -torch.inf, 0.0]], dtype=torch.float64)
    found = Alternatives.of(logits, logits, torch.tensor([0]))
    assert torch.isfinite(torch.cat([found.logit, found.entropy, found.log_odds])).all()
    assert found.weights[0, 2] == 0


def test_cap_is_found_where_logits_are_far_below_it() -> None:
    """By RecurrentGemma's name for it; without it the logits fit well enough to be taken for uncapped."""
    found = attribution_of(captured("recurrent_gemma"))
    assert found.note == "Parts of the logit before the model caps it at ±30."
    assert np.abs(found.rounding).max() < 1e-5 * np.abs(found.logits).max()


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - MIXED))
def test_what_a_head_wrote_is_the_sum_over_what_it_read(family: str) -> None:
    found = attribution_of(made := captured(family))
    assert found.sources is not None
    assert found.read is not None
    start = 0
    for step in range(len(made.steps)):
        stop = start + made.query_pos_of_step(step) + 1
        assert np.allclose(found.sources[:, :, start:stop].sum(-1), found.heads[0, step], atol=1e-4)
        attention = found.heads[0, step].sum() + found.other_heads[0, step]
        assert found.read[start:stop].sum() == pytest.approx(attention, abs=1e-4)
        start = stop
    assert start == found.sources.shape[-1] == len(found.read)


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
            assert found.heads[MEAN, :, layer, head] == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-4)
        mlp = (reader.gave[f"model.layers.{layer}.mlp"][rows] * direction).sum(-1)
        assert found.other_parts[MEAN, :, layer] == pytest.approx(mlp.tolist(), rel=1e-3, abs=1e-3)
    embedded = (reader.gave["model.embed_tokens"][rows] * direction).sum(-1)
    assert found.embedding[MEAN] == pytest.approx(embedded.tolist(), rel=1e-3, abs=1e-4)
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
    assert found.biases[MEAN] == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-4)


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
    assert np.allclose(selected.read, everything.read, atol=1e-6)  # over all heads, captured or not


def test_rivals_are_the_most_probable_others(tiny_llama: LoadedModel) -> None:
    made = capture(tiny_llama, PROMPT)
    for step, runners_up in zip(made.steps, attribution_of(made).runners_up, strict=True):
        chosen = made.tokens[made.num_prompt_tokens + step.step].token_id
        others = [token.token_id for token, _ in step.raw.alternatives if token.token_id != chosen]
        assert [token.token_id for token in runners_up] == others[:3]


def test_parts_that_do_not_add_up_are_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    """A final norm that is not quite the one that ran: its parts are n/a, and the reason is kept."""
    from reportgen.instrumentation.norms import LinearNorm

    honest = LinearNorm.scales
    monkeypatch.setattr(LinearNorm, "scales", lambda *given: 1.01 * honest(*given))
    found = attribution_of(run(make_llama()))
    assert all("its parts add up only to within " in reason for row in found.withheld for reason in row)
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


def test_without_steps_there_is_none(tiny_gpt2: LoadedModel) -> None:
    evidence = capture(tiny_gpt2, Prompt(text="a" * 256, max_new_tokens=0)).evidence
    assert evidence.attribution is None
    assert evidence.missing["attribution"].startswith("no tokens were generated: the prompt fills the context window")
    assert evidence.value_norms is not None


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_forecast_adds_up_and_has_the_evidence_of_a_generated_token(family: str) -> None:
    network, methods = make_network(family), ("ablation",)
    made = run(network, max_new_tokens=0, evidence=methods)
    assert made.is_forecast
    found = attribution_of(made)
    assert found.withheld == (("",),) * len(found.heads)
    assert total_of(found) == pytest.approx(found.logits, abs=1e-4)
    (row,) = logits_of(network, made)
    assert row.argmax() == made.tokens[-1].token_id
    assert found.logits[MEAN] == pytest.approx([row.max() - row.mean()], abs=1e-3)
    evidence = made.evidence
    assert evidence.lens is not None
    assert evidence.lens.best[-1] == (made.steps[0].raw.alternatives[0][0],)
    assert evidence.lens.best[-1][0].token_id == made.tokens[-1].token_id
    assert evidence.ablations["ablation"].shape == (1, len(made.layers), len(made.heads))
    assert evidence == run(network, max_new_tokens=1, evidence=methods).evidence


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
    assert made.attention[0, 0].shape == (15, 15)
    assert evidence.scores == {}
    # An ablation that failed needs no estimates; no foil and no span was given.
    assert set(evidence.missing) == {*EVIDENCE_TYPES} - {"screening", "foil_ablations", "spans"}
    assert all("RuntimeError: no kernel image" in reason for reason in evidence.missing.values())
    assert (evidence.attribution, evidence.lens, evidence.value_norms, evidence.rollout) == (None,) * 4
    assert evidence.ablations == {}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_has_rounding_as_a_part_of_its_own(dtype: torch.dtype) -> None:
    made = run(make_llama().to(dtype))
    found = attribution_of(made)
    assert found.dtype == str(dtype).removeprefix("torch.")
    shown = np.array([[not reason for reason in row] for row in found.withheld])
    assert shown[0].any()
    assert (np.abs(found.rounding[shown]) > 0).all()
    assert (np.abs(found.rounding) <= np.abs(found.heads).max((2, 3)))[shown].all()
    assert np.allclose((total_of(found) + found.rounding)[shown], found.logits[shown], atol=1e-4)
    assert np.isnan(found.heads[~shown]).all()
    for row in found.withheld:
        for reason in filter(None, row):
            assert re.fullmatch(
                rf"rounding of {found.dtype} is \S+ logits, and the largest effect of a head \S+", reason
            )


@pytest.mark.parametrize(("dtype", "least"), sample([(torch.bfloat16, 0.9), (torch.float16, 0.97)], 2), ids=str)
def test_half_precision_agrees_with_float32_on_the_largest_heads(
    smollm2: LoadedModel, dtype: torch.dtype, least: float
) -> None:
    """Rank correlation of the twenty heads with the largest effects, and their signs."""
    half = wrap_model(copy.deepcopy(smollm2.network).to(dtype), smollm2.tokenizer, name="half")
    prompt = Prompt(text="When Mary and John went to the store, John gave a drink to", max_new_tokens=1)
    exact, rounded = (attribution_of(capture(model, prompt)).heads[0, 0].ravel() for model in (smollm2, half))
    largest = np.argsort(-np.abs(exact))[:20]
    ranks = [np.argsort(np.argsort(values[largest])) for values in (exact, rounded)]
    assert np.corrcoef(*ranks)[0, 1] > least
    assert (np.sign(exact[largest]) == np.sign(rounded[largest])).all()


def test_float16_that_overflows_is_named_with_what_to_do() -> None:
    trace = LayerTrace(2, torch.ones(1, 4).half(), torch.full((1, 4), torch.inf).half(), ())
    with pytest.raises(NoEvidence, match="overflows float16 in layer 2; load the model with bfloat16 or float32"):
        find_added_heads(trace, torch.ones(1, 4).half())
