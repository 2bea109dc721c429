"""Heads taken apart, and the lengths of what they write."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from families import FAMILIES, MIXED, make_network
from tiny import make_tokenizer

from reportgen.build.capture import capture
from reportgen.evidence.collectors.weighted import weighted_sink
from reportgen.instrumentation.heads import measure_value_norms, split_heads
from reportgen.instrumentation.observer import HeadTrace, Observer, TracedText
from reportgen.instrumentation.trace import trace
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.records import Prompt
from reportgen.records.errors import NoEvidence

TOKEN_IDS = [5, 9, 5, 200, 31, 7, 9, 12]
ROWS = slice(2, 7)
GATED = {"qwen3_next"}


class Keeper(Observer):
    """Keeps what it sees, and takes the heads apart at once."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[HeadTrace, object]] = {}

    def see_heads(self, trace: HeadTrace) -> None:
        self.seen[trace.layer] = trace, split_heads(trace)


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - MIXED))
def test_heads_and_bias_add_up_to_what_the_projection_gave(family: str) -> None:
    keeper = Keeper()
    trace(make_network(family), [TracedText(TOKEN_IDS, ROWS, [keeper])])
    assert keeper.seen
    for seen, split in keeper.seen.values():
        written = torch.einsum("hrs,hsw->rw", split.outputs, split.weight) + split.bias
        torch.testing.assert_close(written, seen.attn_out, rtol=1e-4, atol=1e-4)
        mixture = seen.weights @ split.values
        gated = mixture if split.gates is None else mixture * split.gates
        torch.testing.assert_close(gated, split.outputs, rtol=1e-4, atol=1e-4)
        assert (split.gates is None) == (family not in GATED)


@pytest.mark.parametrize("family", sorted(MIXED))
def test_mixed_heads_are_refused(family: str) -> None:
    with pytest.raises(NoEvidence, match="mixed with one another or normed"):
        trace(make_network(family), [TracedText(TOKEN_IDS, ROWS, [Keeper()])])


@pytest.mark.parametrize("family", ["bert", "git"])
def test_heads_without_a_map_behind_them_are_refused(family: str) -> None:
    """BERT's projection stands in another module; the last map of its attention makes values."""
    with pytest.raises(NoEvidence, match="no linear map follows its heads"):
        trace(make_network(family), [TracedText(TOKEN_IDS, ROWS, [Keeper()])])


class Scaled(torch.nn.Linear):
    """A linear map whose weight is kept apart from its scale, as in formats of 8 bits."""

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(given, self.weight.float() / 64)


def test_projection_whose_weight_does_not_say_what_it_does_is_refused() -> None:
    """A capture goes on; what stands on the weights is n/a, and never off by the scale."""
    network = make_network("llama")
    attention = network.model.layers[1].self_attn
    for dtype, reason in (
        (torch.float32, "its output projection does more than multiply by its weight"),
        (torch.float8_e4m3fn, "its weights are quantised"),
        (torch.int8, "its weights are quantised"),
    ):
        weight = (64 * make_network("llama").model.layers[1].self_attn.o_proj.weight).to(dtype)
        attention.o_proj = Scaled(weight.shape[1], weight.shape[0], bias=False)
        attention.o_proj.weight = torch.nn.Parameter(weight, requires_grad=False)
        with pytest.raises(NoEvidence, match=reason):
            trace(network, [TracedText(TOKEN_IDS, ROWS, [Keeper()])])
        captured = capture(wrap_model(network, make_tokenizer()), Prompt(text="abc", max_new_tokens=2))
        assert set(captured.evidence.missing) == {"attribution", "value_norms"}
        assert all(reason in missing for missing in captured.evidence.missing.values())
        assert captured.evidence.lens is not None


def test_grouped_heads_share_their_values(tiny_llama: LoadedModel) -> None:
    keeper = Keeper()
    trace(tiny_llama.network, [TracedText(TOKEN_IDS, ROWS, [keeper])])
    values = keeper.seen[0][1].values
    assert torch.equal(values[0], values[1])
    assert torch.equal(values[2], values[3])
    assert not torch.equal(values[1], values[2])


@pytest.mark.parametrize("family", ["llama", "gpt2", "deepseek_v3", "bloom"])
def test_norms_are_lengths_of_what_is_written(family: str) -> None:
    """With every value multiplied out, which the measure avoids."""
    keeper = Keeper()
    trace(make_network(family), [TracedText(TOKEN_IDS, ROWS, [keeper])])
    for _, split in keeper.seen.values():
        expected = (split.values @ split.weight).norm(dim=-1)
        torch.testing.assert_close(measure_value_norms(split), expected, rtol=1e-4, atol=1e-5)


def test_values_of_length_zero_have_norm_zero_and_no_share() -> None:
    network = make_network("llama")
    with torch.no_grad():
        network.model.layers[0].self_attn.v_proj.weight.zero_()
    captured = capture(wrap_model(network, make_tokenizer(), name="zero"), Prompt(text="abc", max_new_tokens=2))
    assert captured.evidence.value_norms is not None
    assert (captured.evidence.value_norms[0] == 0).all()
    assert np.isnan(captured.evidence.scores["sink_weighted"][0]).all()
    assert not np.isnan(captured.evidence.scores["sink_weighted"][1]).any()


def test_weighted_sink_is_a_share_of_the_row() -> None:
    weights = torch.tensor([[[0.5, 0.5, 0], [0.5, 0.25, 0.25]]])
    assert float(weighted_sink(weights, torch.tensor([[1.0, 3, 1]])).sum()) == pytest.approx(1 / 4 + 1 / 3)


def test_first_token_is_read_much_and_writes_little_on_the_real_model(smollm2: LoadedModel) -> None:
    captured = capture(smollm2, Prompt(text="The cat ate the mat. And then sat on a rat.", max_new_tokens=0))
    scores = captured.evidence.scores
    assert scores["sink_weighted"].mean() < 0.75 * scores["sink"].mean()
