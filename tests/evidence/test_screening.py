"""Screening: estimates are gradients, the heads that they choose are ablated exactly, and the page tells them apart."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES, MIXED, Projections, make_network
from samples import make_capture, make_screened
from tiny import make_llama, make_tokenizer
from torch import nn
from transformers import PreTrainedModel

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.evidence.collectors import ablation, screening
from reportgen.evidence.collectors.screening import Estimates, choose_heads, compare
from reportgen.evidence.kinds.screening import DRAWN, FLAGGED, LARGEST
from reportgen.instrumentation import softened
from reportgen.instrumentation.observer import TracedText
from reportgen.instrumentation.partial_forward import PartialForward
from reportgen.instrumentation.trace import trace
from reportgen.models.model import wrap_model
from reportgen.pages.data_tables import make_tables
from reportgen.records import Prompt
from reportgen.records.selection import parse_selection

PROMPT = Prompt(text="The cat ate", max_new_tokens=4, evidence=("ablation", "mean-ablation"))
NOT_REPLAYED = {"bloom"}
SCREENED = sorted(FAMILIES.keys() - MIXED - NOT_REPLAYED)


def run(network: PreTrainedModel, prompt: Prompt = PROMPT, **changes: object) -> Capture:
    """Capture with some numbers of the two modules changed; without changes, as a small text is: every head exactly."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in changes.items():
            patch.setattr(ablation.Ablator if name == "needs_screen" else screening, name, value)
        return capture(wrap_model(network, make_tokenizer(), name="tiny"), prompt)


def screen(network: PreTrainedModel, prompt: Prompt = PROMPT) -> Capture:
    """Capture with a screen that ablates few heads, as that of a long text."""
    return run(network, prompt, needs_screen=lambda *_: True, NUM_LARGEST=1, NUM_FLAGGED=1, NUM_DRAWN=1)


@cache
def screened(family: str) -> Capture:
    return screen(make_network(family))


def measure(network: PreTrainedModel, made: Capture, projection: nn.Module, head: int, share: float) -> np.ndarray:
    """Return each step's log-probability in float64 with a head's output multiplied by a number."""
    ids = torch.tensor([[token.token_id for token in made.tokens]])
    rows, chosen = slice(made.num_prompt_tokens - 1, -1), ids[0, made.num_prompt_tokens :]

    def hook(_: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        changed = given[0].clone()
        size = changed.shape[-1] // 4
        changed[..., head * size : (head + 1) * size] *= share
        return (changed,)

    handle = projection.register_forward_pre_hook(hook)
    with torch.inference_mode():
        logits = network(ids).logits[0, rows].double()
    handle.remove()
    return logits.log_softmax(-1)[range(len(chosen)), chosen].numpy()


@pytest.mark.parametrize("family", SCREENED)
def test_estimates_are_finite_differences(family: str) -> None:
    network, made, seen = make_network(family), screened(family), Projections()
    trace(network, [TracedText([token.token_id for token in made.tokens], observers=[seen])])
    estimates = made.evidence.screening["estimate"].estimates
    step = 5e-3
    found = np.zeros_like(estimates)
    for row, layer in enumerate(made.layers):
        for head in made.heads:
            less, more = (measure(network, made, seen.found[layer], head, 1 + sign * step) for sign in (-1, 1))
            found[:, row, head] = (less - more) / (2 * step)
    assert np.abs(found).max() > 1e-3
    assert estimates == pytest.approx(found, abs=2e-3 + 2e-2 * float(np.abs(found).max()))


@pytest.mark.parametrize("family", SCREENED)
def test_heads_that_are_ablated_have_the_value_that_they_have_without_a_screen(family: str) -> None:
    exact, made = run(make_network(family)).evidence, screened(family).evidence
    assert exact.screening == {}
    for method, estimate in (("ablation", "estimate"), ("mean-ablation", "mean-estimate")):
        changes, reasons = made.ablations[method], made.screening[estimate].reasons
        assert 0 < (reasons > 0).sum() < reasons.size
        assert changes[:, reasons > 0] == pytest.approx(exact.ablations[method][:, reasons > 0], abs=1e-5)
        assert np.isnan(changes[:, reasons == 0]).all()


def test_where_first_order_is_exact_the_estimates_are_the_ablations() -> None:
    """Heads that write a ten-thousandth leave a change that is almost linear."""
    network = make_llama()
    with torch.no_grad():
        for block in network.model.layers:
            block.self_attn.o_proj.weight.mul_(1e-4)
    exact, made = run(network).evidence, screen(network).evidence
    for method, estimate in (("ablation", "estimate"), ("mean-ablation", "mean-estimate")):
        changes = exact.ablations[method]
        assert np.abs(changes).max() > 1e-4
        assert made.screening[estimate].estimates == pytest.approx(changes, abs=0.01 * float(np.abs(changes).max()))


def test_the_same_text_gives_the_same_screen() -> None:
    assert screen(make_llama()).evidence == screen(make_llama()).evidence


def test_steps_in_parts_have_the_same_estimates() -> None:
    whole = screen(make_llama()).evidence.screening["estimate"].estimates
    parts = run(make_llama(), needs_screen=lambda *_: True, _NUMBERS=1).evidence.screening["estimate"].estimates
    assert parts == pytest.approx(whole, abs=1e-5)


def test_selected_heads_have_the_estimates_that_they_have_among_all() -> None:
    whole = screen(make_llama()).evidence.screening["estimate"].estimates
    some = screen(make_llama(), replace(PROMPT, layers=parse_selection("0,2"), heads=parse_selection("1,3")))
    assert some.evidence.screening["estimate"].estimates == pytest.approx(whole[:, [0, 2]][:, :, [1, 3]], abs=1e-5)


def test_small_texts_are_ablated_whole_and_long_ones_screened(monkeypatch: pytest.MonkeyPatch) -> None:
    """All heads of the network would take 12 heads times two thirds of its layers."""
    network = make_llama()
    made = ablation.Ablator(network, list(range(5, 25)), slice(17, 19), None, None)
    made._partial = PartialForward(network, list(range(5, 25)))
    monkeypatch.setattr(ablation, "NUM_LARGEST", 1)
    monkeypatch.setattr(ablation, "NUM_FLAGGED", 0)
    monkeypatch.setattr(ablation, "NUM_DRAWN", 0)
    work = 8 * 20 * sum(part.numel() for part in network.model.layers.parameters())
    monkeypatch.setattr(ablation, "EXACT_WORK", work)
    assert not made.needs_screen(range(3), 4)
    monkeypatch.setattr(ablation, "EXACT_WORK", work - 1)
    assert made.needs_screen(range(3), 4)
    assert not made.needs_screen(range(2, 3), 4)  # the last layer alone is cheaper to ablate than to estimate


@pytest.mark.parametrize(
    ("family", "reason"),
    [("bloom", "it cannot be run from one of its layers on; every head was ablated instead")],
)
def test_without_estimates_every_head_is_ablated_and_the_reason_told(family: str, reason: str) -> None:
    made, exact = screen(make_network(family)).evidence, run(make_network(family)).evidence
    assert (made.screening, made.ablations.keys()) == ({}, exact.ablations.keys())
    assert all(made.ablations[name] == pytest.approx(exact.ablations[name]) for name in exact.ablations)
    assert made.missing["screening"].endswith(reason)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda inputs: inputs.detach(), "its gradients failed, RuntimeError"),
        (lambda inputs: 0 * inputs + inputs.detach(), "no gradient reaches its heads"),
        (lambda inputs: inputs + (inputs - inputs).abs().sqrt(), "its gradients are not finite"),
    ],
)
def test_networks_without_a_gradient_are_ablated_whole(spoil, reason: str) -> None:
    network = make_llama()
    for block in network.model.layers:
        block.register_forward_hook(lambda _, __, found: spoil(found))
    made = screen(network).evidence
    assert reason in made.missing["screening"]
    assert not np.isnan(made.ablations["ablation"]).any()


def estimates_of(values: list[float], parts: list[float], hidden: list[float] | None = None) -> Estimates:
    arrays = [np.array([[line]], np.float32) for line in (values, parts, hidden or [0.0] * len(values))]
    return Estimates(*arrays[:2], arrays[2][0])


def test_heads_are_chosen_for_large_estimates_for_parts_that_cancel_and_by_lot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, count in (("NUM_LARGEST", 2), ("NUM_FLAGGED", 1), ("NUM_DRAWN", 0)):
        monkeypatch.setattr(screening, name, count)
    made = estimates_of([0.1, -3, 0.2, 2, 0], [0.2, 3, 7, 2, 5])
    assert choose_heads(made, [1, 2]).tolist() == [[0, LARGEST, FLAGGED, LARGEST, 0]]
    saturated = estimates_of([0.1, -3, 0.2, 2, 0], [0.2, 3, 1, 2, 1], [0.25, 9, 0.9, 0, math.nan])
    assert choose_heads(saturated, [1, 2]).tolist() == [[FLAGGED, LARGEST, 0, LARGEST, 0]]
    assert choose_heads(replace(saturated, hidden=0 * saturated.hidden), [1, 2])[0, 0] == 0
    quiet = estimates_of([0.1, -3, 0.2, 2, 0], [0.2, 3, 1.9, 2, 1])
    assert choose_heads(quiet, [1, 2]).tolist() == [[0, LARGEST, 0, LARGEST, 0]]
    monkeypatch.setattr(screening, "NUM_DRAWN", 3)
    drawn = [choose_heads(quiet, [text]) & DRAWN for text in range(8)]
    assert [int((some > 0).sum()) for some in drawn] == [3] * 8
    assert len({some.tobytes() for some in drawn}) > 1


def test_agreement_is_of_the_drawn_heads_alone() -> None:
    values = np.array([[[1, -2, 3, -4, 50, 6]], [[0, 0, 0, 0, 0, 0]]], np.float32)
    changes = np.array([[[0, 0, 0, 0, 0, np.nan]], [[-1, 2, -4, 3, 0, np.nan]]], np.float32)
    reasons = np.array([[DRAWN, DRAWN | LARGEST, DRAWN, DRAWN, LARGEST, 0]], np.uint8)
    estimates = Estimates(values, values, np.zeros_like(values[0]))
    found = compare(estimates, reasons, changes)
    assert found.correlation == pytest.approx(0.8)  # ranks 1 2 3 4 and 1 2 4 3
    assert (found.found, found.sought) == (2, 2)
    equal = compare(estimates, reasons, np.zeros_like(changes))
    assert math.isnan(equal.correlation)


def test_rank_correlation_shares_ranks_between_equal_values() -> None:
    first, second = np.array([1, 2, 2, 3]), np.array([4, 5, 6, 7])
    assert screening._correlate(first, second) == pytest.approx(np.corrcoef([1, 2.5, 2.5, 4], [1, 2, 3, 4])[0, 1])


def test_a_screen_survives_its_file(tmp_path: Path) -> None:
    made = screen(make_llama())
    made.save(tmp_path / "a.safetensors")
    assert Capture.load(tmp_path / "a.safetensors").evidence == made.evidence


def test_tables_leave_out_what_was_not_measured_and_say_why_heads_were() -> None:
    tables = make_tables(replace(make_capture(), evidence=make_screened()))
    changes, table = tables["ablation"]["logprob_change"], tables["estimate"]
    assert [value is None for value in changes[:12]] == [not because for because in table["ablated_because"][:12]]
    assert table["ablated_because"][:4] == ["largest, drawn", "", "flagged", "drawn"]
    assert table["logprob_change_estimate"][:4] == pytest.approx([0, -0.125, -0.25, -0.375])
    assert "logprob_change" not in table


def test_estimates_are_never_called_ablation() -> None:
    from reportgen.evidence.kinds.screening import ESTIMATES

    assert not any("ablation" in text for kind in ESTIMATES for text in (kind.name, kind.title, kind.definition))


def test_page_has_both_maps_and_their_agreement() -> None:
    from reportgen.pages.evidence_blocks import describe_evidence, list_grids

    made = replace(make_capture(), evidence=make_screened())
    assert list(list_grids(made)) == [
        "attribution",
        "attribution-mean",
        "runner-up-1",
        "runner-up-2",
        "ablation",
        "estimate",
    ]
    described = describe_evidence(made)["screening"]
    assert described.keys() == {"ablation", "estimate"}
    assert described["ablation"] == described["estimate"]
    assert described["ablation"]["says"] == (
        "5 of 12 heads were ablated: those with the largest estimates, those whose estimate is doubtful, and 3 drawn "
        "by lot; the others are n/a. Estimate and ablation of the drawn heads: rank correlation 0.50; 1 of the 1 "
        "largest ablations are among the 1 largest estimates."
    )


def make_saturated() -> PreTrainedModel:
    """Return a network in which head 1 of the first layer decides alone which tokens the second layer attends to.

    It writes into one dimension of the residual stream, which only the queries of the second layer read. They turn it
    into scores so large that every row has all weight on one token, so that the derivative by the head's output is 0.
    """
    network, alone = make_llama(), 5
    with torch.no_grad():
        network.model.embed_tokens.weight[:, alone] = 0
        network.lm_head.weight[:, alone] = 0
        for number, block in enumerate(network.model.layers):
            attention, mlp = block.self_attn, block.mlp
            for reader in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj):
                reader.weight[:, alone] = 0
            mlp.down_proj.weight[alone] = 0
            attention.o_proj.weight[alone] = 0
            if number == 0:
                attention.o_proj.weight[:, 4:8] = 0
                attention.o_proj.weight[alone, 4:8] = 0.05
            if number == 1:
                attention.q_proj.weight[:, alone] = 4000
    return network


def test_head_behind_a_saturated_softmax_is_flagged_and_ablated(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = run(make_saturated()).evidence.ablations["ablation"][:, 0, 1]
    counts = {"NUM_LARGEST": 6, "NUM_FLAGGED": 3, "NUM_DRAWN": 0}
    made = run(make_saturated(), needs_screen=lambda *_: True, **counts).evidence
    estimates = made.screening["estimate"].estimates[:, 0, 1]
    assert np.abs(exact).max() > 0.5
    assert np.abs(estimates).max() < 0.01 * np.abs(exact).max()
    assert made.screening["estimate"].reasons[0, 1] & FLAGGED
    assert made.ablations["ablation"][:, 0, 1] == pytest.approx(exact, abs=1e-5)
    monkeypatch.setattr(softened, "_APART", np.inf)  # the derivative as it is
    made = run(make_saturated(), needs_screen=lambda *_: True, **counts).evidence
    assert made.screening["estimate"].reasons[0, 1] == 0


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "mistral", "falcon"])
def test_softened_layers_have_the_same_values(family: str) -> None:
    network = make_network(family)
    ids = torch.tensor([[5, 9, 5, 200, 31, 7, 9, 12, 44, 3]])
    with torch.no_grad():
        usual = network(ids).logits
        with softened.Softened():
            assert network(ids).logits == pytest.approx(usual, abs=1e-4)
