"""The second half of a capture: attention weights, taken layer by layer out of one eager forward pass.

Row ``num_prompt_tokens - 1 + step`` of this pass is what ``generate`` saw at that step. One layer's weights are alive
at a time: they are checked, packed, and gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from reportgen.errors import CaptureMismatch, UnsupportedModel
from reportgen.network.kinds import has_sink
from reportgen.network.trace import HeadTrace, Observer, trace

_ROW_SUM_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_HALF_TOLERANCE = 2e-2


@dataclass(frozen=True)
class Attended:
    """What one pass gave.

    Attributes:
        layers: numbers of the layers kept, ascending.
        triangles: ``[layer, head, cell]`` float16, lower triangles row by row.
        logits: ``[position, vocabulary]``.
        sink_mass: what a learned sink took of each row, float32 ``[layer, head, query_pos]``; ``None`` where no layer
            kept has one.
    """

    layers: tuple[int, ...]
    triangles: NDArray[np.float16]
    logits: torch.Tensor
    sink_mass: NDArray[np.float32] | None = None


def attend(
    network: PreTrainedModel,
    token_ids: list[int],
    layers: tuple[int, ...],
    heads: tuple[int, ...],
    num_heads: int,
    observers: Sequence[Observer] = (),
    rows: slice = slice(0, 0),
) -> Attended:
    """Run one forward pass and keep the attention of some layers and heads.

    Args:
        network: in evaluation mode; its attention implementation is put back afterwards.
        token_ids: prompt and generated tokens.
        layers: the layers to keep; those without attention are passed over.
        heads: the heads to keep.
        num_heads: how many heads a layer has.
        observers: who else looks at the pass, each layer's attention after it has been checked.
        rows: positions whose residual stream they want to see.

    Returns:
        Weights and logits.

    Raises:
        UnsupportedModel: no part of the network gives attention weights.
        CaptureMismatch: what a layer gave is not causal attention over these tokens.
    """
    packer = _Packer(layers, heads, num_heads, len(token_ids))
    logits = trace(network, token_ids, rows, (packer, *observers))
    if not packer.seen:
        raise UnsupportedModel(
            f"{type(network).__name__}: no part of it gives attention weights in eager mode; "
            "use a model with softmax attention"
        )
    order = tuple(sorted(packer.kept))
    triangles = np.stack([packer.kept[layer] for layer in order]) if order else np.zeros((0, len(heads), 0), np.float16)
    return Attended(order, triangles, logits, _stack_sinks(packer.sinks, triangles.shape[:2], len(token_ids), order))


class _Packer(Observer):
    """Checks each layer's weights and keeps those that were asked for."""

    def __init__(self, layers: tuple[int, ...], heads: tuple[int, ...], num_heads: int, length: int) -> None:
        self.kept: dict[int, NDArray[np.float16]] = {}
        self.sinks: dict[int, NDArray[np.float32]] = {}
        self.seen: set[int] = set()
        self._layers, self._heads, self._num_heads, self._length = layers, heads, num_heads, length

    def see_heads(self, trace: HeadTrace) -> None:
        layer = trace.layer
        if layer in self.seen:
            raise CaptureMismatch(f"layer {layer}: it gives attention more than once; take a model that does so once")
        self.seen.add(layer)
        if layer in self._layers:
            _check(trace.weights, layer, self._num_heads, self._length, has_sink=has_sink(trace.module))
            chosen = trace.weights[0]
            chosen = chosen if len(self._heads) == self._num_heads else chosen[list(self._heads)]
            self.kept[layer] = _pack(chosen)
            if has_sink(trace.module):
                self.sinks[layer] = _measure_sink(chosen)


def _check(weights: torch.Tensor, layer: int, num_heads: int, length: int, *, has_sink: bool) -> None:
    expected = (1, num_heads, length, length)
    if tuple(weights.shape) != expected:
        raise CaptureMismatch(
            f"layer {layer}: attention has shape {tuple(weights.shape)}, not {expected}; "
            "take a model whose layers are alike"
        )
    full = weights[0].float()
    if not torch.isfinite(full).all():
        raise CaptureMismatch(f"layer {layer}: attention holds NaN or infinity; try --dtype float32")
    if torch.triu(full, diagonal=1).any():
        raise CaptureMismatch(f"layer {layer}: a position attends to a later one; take a causal model")
    sums = full.sum(-1)
    tolerance = _ROW_SUM_TOLERANCE.get(weights.dtype, _HALF_TOLERANCE)
    short = 1.0 if has_sink else tolerance
    if (sums > 1 + tolerance).any() or (sums < 1 - short).any():
        raise CaptureMismatch(
            f"layer {layer}: rows of attention sum to {float(sums.min()):.4f} … {float(sums.max()):.4f}, not to 1; "
            "take a model with softmax attention"
        )


def _measure_sink(weights: torch.Tensor) -> NDArray[np.float32]:
    """What each row of ``[head, query_pos, key_pos]`` lacks to 1, which is what a learned sink took."""
    return (1 - weights.float().sum(-1)).clamp(0, 1).cpu().numpy()


def _stack_sinks(
    sinks: dict[int, NDArray[np.float32]], shape: tuple[int, ...], length: int, layers: tuple[int, ...]
) -> NDArray[np.float32] | None:
    """``[layer, head, query_pos]``; 0 in layers without a sink beside others that have one."""
    nothing = np.zeros((*shape[1:], length), np.float32)
    return np.stack([sinks.get(layer, nothing) for layer in layers]) if sinks else None


def _pack(weights: torch.Tensor) -> NDArray[np.float16]:
    """``[head, query_pos, key_pos]`` to ``[head, cell]``."""
    query_pos, key_pos = torch.tril_indices(*weights.shape[1:], device=weights.device)
    return weights[:, query_pos, key_pos].to(torch.float16).cpu().numpy()
