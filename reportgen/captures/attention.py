"""The second half of a capture: attention weights, taken layer by layer out of one eager forward pass.

Row ``num_prompt_tokens - 1 + step`` of this pass is what ``generate`` saw at that step. One layer's weights are alive
at a time: a hook packs them and puts an empty tensor in their place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from reportgen.errors import CaptureMismatch, UnsupportedModel
from reportgen.evidence.head_scores import HeadMeasurer

_ROW_SUM_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_HALF_TOLERANCE = 2e-2


@dataclass(frozen=True)
class Attended:
    """What one pass gave.

    Attributes:
        layers: numbers of the layers kept, ascending.
        triangles: ``[layer, head, cell]`` float16, lower triangles row by row.
        scores: of the heads, by name, ``[layer, head]`` float32 each; NaN where one is undefined.
        logits: ``[position, vocabulary]``.
    """

    layers: tuple[int, ...]
    triangles: NDArray[np.float16]
    scores: dict[str, NDArray[np.float32]]
    logits: torch.Tensor


def attend(
    network: PreTrainedModel, token_ids: list[int], layers: tuple[int, ...], heads: tuple[int, ...], num_heads: int
) -> Attended:
    """Run one forward pass and keep the attention of some layers and heads.

    Args:
        network: in evaluation mode; its attention implementation is put back afterwards.
        token_ids: prompt and generated tokens.
        layers: the layers to keep; those without attention are passed over.
        heads: the heads to keep.
        num_heads: how many heads a layer has.

    Returns:
        Weights and logits.

    Raises:
        UnsupportedModel: no part of the network gives attention weights.
        CaptureMismatch: what a layer gave is not causal attention over these tokens.
    """
    kept: dict[int, NDArray[np.float16]] = {}
    scores: dict[int, dict[str, NDArray[np.float32]]] = {}
    measurer = HeadMeasurer(token_ids, network.device)
    seen: set[int] = set()

    def take(layer: int, module: nn.Module, weights: torch.Tensor) -> None:
        if layer in seen:
            raise CaptureMismatch(f"layer {layer}: it gives attention more than once; take a model that does so once")
        seen.add(layer)
        if layer in layers:
            has_sink = hasattr(module, "sinks")
            _check(weights, layer, num_heads, len(token_ids), has_sink=has_sink)
            chosen = weights[0] if len(heads) == num_heads else weights[0, list(heads)]
            kept[layer] = _pack(chosen)
            scores[layer] = measurer.measure(chosen, has_sink=has_sink)

    with torch.inference_mode(), _eager(network), _hooks(network, take):
        logits = network(**_inputs(network, token_ids)).logits[0]
    if not seen:
        raise UnsupportedModel(
            f"{type(network).__name__}: no part of it gives attention weights in eager mode; "
            "use a model with softmax attention"
        )
    order = tuple(sorted(kept))
    triangles = np.stack([kept[layer] for layer in order]) if order else np.zeros((0, len(heads), 0), np.float16)
    names = scores[order[0]] if order else ()
    by_name = {name: np.stack([scores[layer][name] for layer in order]) for name in names}
    return Attended(order, triangles, by_name, logits)


def _inputs(network: PreTrainedModel, token_ids: list[int]) -> dict[str, Any]:
    input_ids = torch.tensor([token_ids], device=network.device)
    inputs: dict[str, Any] = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "use_cache": False}
    # Models that know positions by distance alone, such as BLOOM, do not take them.
    if "position_ids" in inspect.signature(network.forward).parameters:
        inputs["position_ids"] = torch.arange(len(token_ids), device=network.device)[None]
    return inputs


@contextmanager
def _eager(network: PreTrainedModel) -> Iterator[None]:
    """Only eager attention computes weights that can be handed out."""
    usual: Any = network.config._attn_implementation
    try:
        network.set_attn_implementation("eager")
        yield
    finally:
        network.set_attn_implementation(usual)


@contextmanager
def _hooks(network: PreTrainedModel, take: Callable[[int, nn.Module, torch.Tensor], None]) -> Iterator[None]:
    with ExitStack() as stack:
        for layer, module in _find_attention(network):

            def hook(module: nn.Module, _: Any, output: Any, layer: int = layer) -> Any:
                if not isinstance(output, tuple):
                    return output
                for part in filter(_is_attention, output):
                    take(layer, module, part)
                # Nobody reads them further on; emptied, they do not pile up over the layers.
                return tuple(part.new_empty(0) if _is_attention(part) else part for part in output)

            stack.callback(module.register_forward_hook(hook).remove)
        yield


def _is_attention(part: Any) -> bool:
    return isinstance(part, torch.Tensor) and part.ndim == 4


def _find_attention(network: PreTrainedModel) -> list[tuple[int, nn.Module]]:
    """Return the attention modules with the numbers of their layers, as the modules' own paths give them."""
    declared = tuple(_declared_classes(network))
    found = []
    for path, module in network.named_modules():
        numbers = [int(part) for part in path.split(".") if part.isdigit()]
        is_attention = isinstance(module, declared) if declared else type(module).__name__.endswith("Attention")
        if is_attention and numbers:
            found.append((numbers[0], module))
    return found


def _declared_classes(network: PreTrainedModel) -> Iterator[type]:
    """The classes that transformers itself records attention from: a class, a recorder of one, or a list of those."""
    for module in network.modules():
        recorded = getattr(module, "_can_record_outputs", None) or {}
        specs = recorded.get("attentions", [])
        for spec in specs if isinstance(specs, list) else [specs]:
            target = getattr(spec, "target_class", spec)
            if isinstance(target, type):
                yield target


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


def _pack(weights: torch.Tensor) -> NDArray[np.float16]:
    """``[head, query_pos, key_pos]`` to ``[head, cell]``."""
    query_pos, key_pos = torch.tril_indices(*weights.shape[1:], device=weights.device)
    return weights[:, query_pos, key_pos].to(torch.float16).cpu().numpy()
