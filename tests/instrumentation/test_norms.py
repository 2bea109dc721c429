"""Norms found by probing, and held at the scale of a run."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.models.cohere.modeling_cohere import CohereLayerNorm
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.nemotron.modeling_nemotron import NemotronLayerNorm1P
from transformers.models.olmo.modeling_olmo import OlmoLayerNorm

from reportgen.instrumentation.norms import LinearNorm

WIDTH = 16
NORMS = {
    "LayerNorm": (lambda: nn.LayerNorm(WIDTH), True),
    "LayerNorm without bias": (lambda: nn.LayerNorm(WIDTH, bias=False), True),
    "RMSNorm": (lambda: LlamaRMSNorm(WIDTH), False),
    "RMSNorm kept as its distance from 1": (lambda: GemmaRMSNorm(WIDTH), False),
    "LayerNorm kept as its distance from 1": (lambda: NemotronLayerNorm1P(WIDTH), True),
    "LayerNorm without weight": (lambda: OlmoLayerNorm(WIDTH), True),
    "LayerNorm over the last axis alone": (lambda: CohereLayerNorm(WIDTH), True),
}


def make_norm(name: str) -> nn.Module:
    torch.manual_seed(0)
    norm = NORMS[name][0]()
    for parameter in norm.parameters():
        nn.init.normal_(parameter, 0.7, 0.4)
    return norm.eval().requires_grad_(False)


@pytest.mark.parametrize("name", NORMS)
def test_norm_is_linear_at_its_scale(name: str) -> None:
    """With the scale of each row held, it gives back what it gave, and directions go through it backwards."""
    module = make_norm(name)
    norm = LinearNorm.probe(module, WIDTH, torch.zeros(1))
    assert norm is not None
    assert norm.centers is NORMS[name][1]
    rows = 3 * torch.randn(5, WIDTH) + 1
    outputs = module(rows[None])[0]
    scales = norm.scales(rows, outputs)
    assert scales is not None
    direction = torch.randn(WIDTH)
    through = scales * (rows @ norm.pull_back(direction)) + norm.bias @ direction
    torch.testing.assert_close(through, outputs @ direction, rtol=1e-4, atol=1e-4)


def test_outputs_of_another_norm_have_no_scale() -> None:
    norm = LinearNorm.probe(make_norm("RMSNorm"), WIDTH, torch.zeros(1))
    assert norm is not None
    rows = torch.randn(5, WIDTH)
    assert norm.scales(rows, make_norm("LayerNorm")(rows)) is None


@pytest.mark.parametrize(
    "module",
    [nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Identity(), nn.Embedding(4, WIDTH), nn.LayerNorm(8), nn.Linear(WIDTH, 3)],
    ids=str,
)
def test_what_is_no_norm_is_none(module: nn.Module) -> None:
    assert LinearNorm.probe(module, WIDTH, torch.zeros(1)) is None


def test_norm_in_half_precision() -> None:
    module = make_norm("RMSNorm").bfloat16()
    norm = LinearNorm.probe(module, WIDTH, torch.zeros(1, dtype=torch.bfloat16))
    assert norm is not None
    rows = torch.randn(5, WIDTH).bfloat16()
    assert norm.scales(rows, module(rows)) is not None
