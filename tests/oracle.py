"""What the numbers of a capture must be: plain sums in float64, by loops over the definitions of docs/numbers.md."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from reportgen.records import LayerType


@dataclass
class ExactRun:
    """One pass of a network in float64, with transformers' own eager attention.

    Attributes:
        attention: weights, ``[layer, head, query_pos, key_pos]``.
        logits: ``[position, vocabulary]``.
        resid: residual stream before each layer, then what the unembedding reads, ``[position, width]`` each.
        given: input of each module, by its path.
        gave: output of each module, by its path.
        network: the network in float64.
    """

    attention: np.ndarray
    logits: np.ndarray
    resid: list[np.ndarray]
    network: PreTrainedModel
    given: dict[str, torch.Tensor] = field(default_factory=dict)
    gave: dict[str, torch.Tensor] = field(default_factory=dict)


def run_exactly(network: PreTrainedModel, token_ids: list[int]) -> ExactRun:
    """Run a copy of a network in float64."""
    exact = copy.deepcopy(network).double()
    exact.set_attn_implementation("eager")
    given: dict[str, torch.Tensor] = {}
    gave: dict[str, torch.Tensor] = {}
    if hasattr(exact, "set_experts_implementation"):
        exact.set_experts_implementation("eager")  # other kernels have no float64
    hooks = [module.register_forward_hook(_note(path, given, gave)) for path, module in exact.named_modules()]
    with torch.inference_mode():
        output: Any = exact(torch.tensor([token_ids]), output_attentions=True, output_hidden_states=True)
    for hook in hooks:
        hook.remove()
    attention = torch.stack([weights[0] for weights in output.attentions]).numpy()
    resid = [state[0].numpy() for state in output.hidden_states]
    return ExactRun(attention, output.logits[0].numpy(), resid, exact, given, gave)


def _note(path: str, given: dict[str, torch.Tensor], gave: dict[str, torch.Tensor]) -> Any:
    def note(_: nn.Module, inputs: Any, output: Any) -> None:
        if inputs and isinstance(inputs[0], torch.Tensor):
            given[path] = inputs[0][0]
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, torch.Tensor):
            gave[path] = first[0] if first.ndim == 3 else first

    return note


def define_scores(
    pattern: np.ndarray, ids: list[int], norms: np.ndarray, layer_type: LayerType, *, has_sink: bool
) -> dict[str, float]:
    """Return the scores of one head."""
    n = len(pattern)
    visible = [range(layer_type.first_key(q), q + 1) for q in range(n)]
    same = [[k for k in range(q) if ids[k] == ids[q]] for q in range(n)]
    duplicates = [[k for k in same[q] if k in visible[q]] for q in range(n)]
    inductions = [[k + 1 for k in same[q] if k + 1 < q and k + 1 in visible[q]] for q in range(n)]
    taken = [1 - sum(pattern[q]) if has_sink else 0 for q in range(n)]
    written = [[pattern[q, k] * norms[k] for k in range(q + 1)] for q in range(n)]
    sees_first = [q for q in range(1, n) if 0 in visible[q]]
    distances = [
        sum(pattern[q, k] * (q - k) for k in range(1, q + 1)) / sum(pattern[q, 1 : q + 1]) for q in range(2, n)
    ]
    entropies = [
        -sum(a * math.log(a) for a in pattern[q] if a) / math.log(len(visible[q]))
        for q in range(n)
        if len(visible[q]) > 1
    ]

    def mean(values: list[float]) -> float:
        return float(np.mean(values)) if values else math.nan

    return {
        "sink": mean([pattern[q, 0] + taken[q] for q in sees_first]),
        "sink_weighted": mean([written[q][0] / sum(written[q]) for q in sees_first]),
        "previous": mean([pattern[q, q - 1] for q in range(1, n) if q - 1 in visible[q]]),
        "duplicate": mean([sum(pattern[q, k] for k in keys) for q, keys in enumerate(duplicates) if keys]),
        "induction": mean([sum(pattern[q, k] for k in keys) for q, keys in enumerate(inductions) if keys]),
        "self": mean([pattern[q, q] for q in range(1, n)]),
        "entropy": mean(entropies),
        "distance": mean([sum(pattern[q, k] * (q - k) for k in range(q + 1)) for q in range(1, n)]),
        "distance_rest": mean(distances),
    }


def define_rollout(attention: np.ndarray) -> np.ndarray:
    """Return the rollout over all layers, ``[query_pos, key_pos]``."""
    rollout = np.eye(attention.shape[-1])
    for layer in attention:
        mixed = (layer.mean(0) + np.eye(len(rollout))) / 2
        rollout = mixed / mixed.sum(-1, keepdims=True) @ rollout
    return rollout


def norms_of(run: ExactRun, layer: int, num_heads: int) -> np.ndarray:
    """Return ``‖v_k W_O‖`` of a Llama's layer, ``[head, key_pos]``."""
    return np.linalg.norm(_written_of(run, layer, num_heads), axis=-1)


def _written_of(run: ExactRun, layer: int, num_heads: int) -> np.ndarray:
    """Return ``v_k W_O`` of each head of a Llama's layer, ``[head, key_pos, width]``."""
    path = f"model.layers.{layer}.self_attn"
    values = run.gave[f"{path}.v_proj"].numpy()
    weight = run.network.get_submodule(f"{path}.o_proj").weight.detach().numpy()  # [width, head * size]
    size = weight.shape[1] // num_heads
    repeats = num_heads * size // values.shape[1]
    by_head = np.repeat(values.reshape(len(values), -1, size), repeats, axis=1)
    return np.einsum("khd,whd->hkw", by_head, weight.reshape(-1, num_heads, size))


def define_effects(run: ExactRun, query_pos: int, token_id: int, foil: int | None = None) -> dict[str, np.ndarray]:
    """Return the effects at one step of a Llama against the alternatives, or against a foil.

    Returns:
        ``sources``, ``[layer, head, key_pos]``; ``other_parts``, ``[layer]``; ``embedding``; and the ``log_odds`` and
        ``entropy`` that close the account.
    """
    logits = run.logits[query_pos]
    weights = np.exp(logits - logits.max())
    weights[token_id] = 0
    weights /= weights.sum()
    if foil is not None:
        weights = np.zeros(len(weights))
        weights[foil] = 1
    unembedding = run.network.get_output_embeddings().weight.detach().numpy()
    last = run.given["model.norm"][query_pos].numpy()
    norm: Any = run.network.get_submodule("model.norm")
    scale = 1 / np.sqrt((last**2).mean() + norm.variance_epsilon)
    direction = scale * norm.weight.detach().numpy() * (unembedding[token_id] - weights @ unembedding)
    num_layers, num_heads = run.attention.shape[:2]
    sources = np.stack(
        [
            run.attention[layer, :, query_pos] * (_written_of(run, layer, num_heads) @ direction)
            for layer in range(num_layers)
        ]
    )
    mlps = [run.gave[f"model.layers.{layer}.mlp"][query_pos].numpy() @ direction for layer in range(num_layers)]
    others = np.delete(logits, token_id)
    log_total = others.max() + np.log(np.exp(others - others.max()).sum())
    shown = weights[weights > 0]
    return {
        "sources": sources[:, :, : query_pos + 1],
        "other_parts": np.array(mlps),
        "embedding": run.resid[0][query_pos] @ direction,
        "log_odds": logits[token_id] - log_total,
        "entropy": -(shown * np.log(shown)).sum(),
    }
