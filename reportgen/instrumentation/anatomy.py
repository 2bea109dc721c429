"""Find the modules of a network: attention modules, layers, linear maps, modules outside the layers."""

from __future__ import annotations

from collections.abc import Iterator
from operator import is_
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from accelerate.utils import align_module_device
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from reportgen.records.errors import NoEvidence

_NUMBERS = {torch.float32, torch.float64, torch.float16, torch.bfloat16}
"""Dtypes of weights that are not quantized; integer and 8-bit float weights have a separate scale."""


def tolerance_of(dtype: torch.dtype) -> float:
    """Return the accepted rounding difference between two computations, relative to the largest value."""
    return 1e-3 if dtype == torch.float32 else 3e-2


class _Anatomy(NamedTuple):
    """What was found of a network, and its modules at that time, without the network itself."""

    modules: list[nn.Module]
    attention: list[tuple[int, nn.Module]]
    layers: dict[int, nn.Module]


_ANATOMIES: WeakKeyDictionary[PreTrainedModel, _Anatomy] = WeakKeyDictionary()
"""Cache, because finding takes as long as several layers on a short text; it holds while the modules are the same."""


def _anatomy_of(network: PreTrainedModel) -> _Anatomy:
    modules = [module for module in network.modules() if module is not network]
    known = _ANATOMIES.get(network)
    if known is None or len(known.modules) != len(modules) or not all(map(is_, known.modules, modules)):
        attention = _find_attention(network)
        known = _ANATOMIES[network] = _Anatomy(modules, attention, _find_layers(network, attention))
    return known


def is_close(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    """Return whether two tensors agree within a tolerance relative to the largest value; never true with NaN."""
    difference = (found.float() - expected.float()).abs().max()
    return bool(difference <= tolerance * expected.float().abs().max())


def find_attention(network: PreTrainedModel) -> list[tuple[int, nn.Module]]:
    """Return the attention modules of the decoder, each with its layer number from the module's path.

    Attention modules of image and audio encoders, next to the decoder or nested deeper in it, are left out.
    """
    return _anatomy_of(network).attention


def _find_attention(network: PreTrainedModel) -> list[tuple[int, nn.Module]]:
    declared = tuple(_declared_classes(network))
    candidates = [
        (path, module)
        for path, module in network.named_modules()
        if _number_in(path) is not None
        and (isinstance(module, declared) if declared else type(module).__name__.endswith("Attention"))
    ]
    decoder = network.get_decoder()
    inside = set(decoder.modules()) if isinstance(decoder, nn.Module) else set()
    candidates = [(path, module) for path, module in candidates if module in inside] or candidates
    depth = min((_stack_of(path).count(".") for path, _ in candidates), default=0)
    candidates = [(path, module) for path, module in candidates if _stack_of(path).count(".") == depth]
    modules: set[nn.Module] = {module for _, module in candidates}
    return [(_number_of(network, path, modules), module) for path, module in candidates]


def find_layers(network: PreTrainedModel) -> dict[int, nn.Module]:
    """Return the layers of the residual stream by number: those with attention and their siblings in the module list.

    Empty if the attention modules are not all in one list of layers, or if their numbers differ from those of the list.
    """
    return _anatomy_of(network).layers


def _find_layers(network: PreTrainedModel, numbered: list[tuple[int, nn.Module]]) -> dict[int, nn.Module]:
    attention = {module for _, module in numbered}
    stacks = {_stack_of(path) for path, module in network.named_modules() if module in attention}
    if len(stacks) != 1:
        return {}
    stack = network.get_submodule(stacks.pop())
    layers = {int(name): layer for name, layer in stack.named_children() if name.isdigit()}
    agree = all(module in set(layers[number].modules()) for number, module in numbered if number in layers)
    return layers if agree and len(layers) > max(number for number, _ in numbered) else {}


def has_sink(module: nn.Module) -> bool:
    """Return whether an attention module has a learned sink, which is not a token, so that rows sum to less than 1."""
    return any(getattr(module, name, None) is not None for name in ("sinks", "sink_proj"))


def first_position(network: PreTrainedModel) -> int:
    """Return the position id of the first token; 0 except in RoBERTa-like models, where it is ``padding_idx + 1``."""
    return next(
        (
            (getattr(module, "padding_idx", None) or 0) + 1
            for module in network.modules()
            if hasattr(module, "create_position_ids_from_input_ids")
        ),
        0,
    )


def linear_maps(module: nn.Module) -> list[nn.Module]:
    """Return the linear maps inside a module."""
    return [part for part in module.modules() if isinstance(part, nn.Linear | Conv1D)]


def weight_of(linear: nn.Module) -> torch.Tensor:
    """Return the weight of a linear map as float32 ``[in, out]``, which is the layout of transformers' Conv1D.

    Raises:
        NoEvidence: the weight is quantized or not in memory.
    """
    weight = readable_weight(linear)
    return (weight if isinstance(linear, Conv1D) else weight.T).float()


def readable_weight(linear: nn.Module) -> torch.Tensor:
    """Return the weight of a linear map in the network's dtype and layout; load it first if it is offloaded.

    Raises:
        NoEvidence: the weight is quantized or not in memory.
    """
    weight = _fetch(linear, "weight")
    if not isinstance(weight, torch.Tensor) or weight.dtype not in _NUMBERS:
        raise NoEvidence("its weights are quantised")
    if weight.is_meta:
        raise NoEvidence("its weights are not in memory")
    return weight


def bias_of(linear: nn.Module) -> torch.Tensor | None:
    """Return the bias of a linear map in the network's dtype, loaded if offloaded; ``None`` if it has none."""
    return _fetch(linear, "bias")


def _fetch(module: nn.Module, name: str) -> torch.Tensor | None:
    # accelerate offloads weights that do not fit on the device, and loads them for the duration of a call.
    with align_module_device(module):
        return getattr(module, name, None)


def input_device(network: PreTrainedModel) -> torch.device:
    """Return the device of the input embedding, where token ids must be."""
    return _device_of(network.get_input_embeddings()) or network.device


def output_device(network: PreTrainedModel) -> torch.device:
    """Return the device of the unembedding, where the logits are and evidence is collected."""
    return _device_of(network.get_output_embeddings()) or input_device(network)


def _device_of(module: nn.Module | None) -> torch.device | None:
    """Return the device on which a module computes; ``None`` if it is unknown."""
    weight = getattr(module, "weight", None)
    if isinstance(weight, torch.Tensor) and not weight.is_meta:
        return weight.device
    device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
    return None if device is None else torch.device(device)


def outer_leaves(network: PreTrainedModel) -> list[nn.Module]:
    """Return the leaf modules outside the layers, in the order of their creation.

    Modules next to the layers, or in a parent module of the layers, come last, after those of image and audio encoders.
    """
    layers = find_layers(network).values()
    inside = {part for layer in layers for part in layer.modules()}
    stack = next((path for path, module in network.named_modules() if module in layers), "").rpartition(".")[0]
    leaves = [(path, part) for path, part in network.named_modules() if part not in inside and not any(part.children())]
    return [part for _, part in sorted(leaves, key=lambda leaf: _holds(leaf[0].rpartition(".")[0], stack))]


def _holds(path: str, inner: str) -> bool:
    return path == "" or f"{inner}.".startswith(f"{path}.")


def _number_in(path: str) -> int | None:
    return next((int(part) for part in path.split(".") if part.isdigit()), None)


def _number_of(network: PreTrainedModel, path: str, attention: set[nn.Module]) -> int:
    """Return a layer number; LongCat has several attention modules per layer, and transformers numbers them all."""
    parent, _, last = path.rpartition(".")
    siblings = list(network.get_submodule(parent).children())
    number = _number_in(path) or 0
    in_list = last.isdigit() and _number_in(parent) is not None and attention.issuperset(siblings)
    return number * len(siblings) + int(last) if in_list else number


def _stack_of(path: str) -> str:
    """Return ``model.layers`` for ``model.layers.3.self_attn``; empty if the path has no number."""
    parts = path.split(".")
    numbers = [index for index, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[: numbers[0]]) if numbers else ""


def _declared_classes(network: PreTrainedModel) -> Iterator[type]:
    """Yield the classes that transformers records attention from: a class, a recorder of one, or a list of these."""
    for module in network.modules():
        recorded = getattr(module, "_can_record_outputs", None) or {}
        specs = recorded.get("attentions", [])
        for spec in specs if isinstance(specs, list) else [specs]:
            target = getattr(spec, "target_class", spec)
            if isinstance(target, type):
                yield target
