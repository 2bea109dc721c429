"""What stands where in a network: attention modules, layers, linear maps, norms outside the layers."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import torch
from accelerate.utils import align_module_device
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from reportgen.records.errors import NoEvidence

_NUMBERS = {torch.float32, torch.float64, torch.float16, torch.bfloat16}
"""Formats in which a weight is what it says; integers, and floats of 8 bits, have their scale elsewhere."""


def tolerance_of(dtype: torch.dtype) -> float:
    """Return how far, relative to the largest value, two ways to work out the same may be apart by rounding."""
    return 1e-3 if dtype == torch.float32 else 3e-2


_ATTENTION: WeakKeyDictionary[PreTrainedModel, list[tuple[int, nn.Module]]] = WeakKeyDictionary()
_LAYERS: WeakKeyDictionary[PreTrainedModel, dict[int, nn.Module]] = WeakKeyDictionary()
"""What was found before: a walk through all modules takes as long as a short text takes in some layers."""


def is_close(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    """Say whether two ways to work out the same agree, relative to the largest value; NaN agrees with nothing."""
    furthest = (found.float() - expected.float()).abs().max()
    return bool(furthest <= tolerance * expected.float().abs().max())


def find_attention(network: PreTrainedModel) -> list[tuple[int, nn.Module]]:
    """Return the attention modules with the numbers of their layers, as the modules' own paths give them.

    Those of encoders for pictures and sounds, which stand beside the decoder or deeper inside of it, are left out.
    """
    if network not in _ATTENTION:
        _ATTENTION[network] = _find_attention(network)
    return _ATTENTION[network]


def _find_attention(network: PreTrainedModel) -> list[tuple[int, nn.Module]]:
    declared = tuple(_declared_classes(network))
    found = [
        (path, module)
        for path, module in network.named_modules()
        if _number_in(path) is not None
        and (isinstance(module, declared) if declared else type(module).__name__.endswith("Attention"))
    ]
    decoder = network.get_decoder()
    inside = set(decoder.modules()) if isinstance(decoder, nn.Module) else set()
    found = [(path, module) for path, module in found if module in inside] or found
    depth = min((_stack_of(path).count(".") for path, _ in found), default=0)
    found = [(path, module) for path, module in found if _stack_of(path).count(".") == depth]
    modules: set[nn.Module] = {module for _, module in found}
    return [(_number_of(network, path, modules), module) for path, module in found]


def find_layers(network: PreTrainedModel) -> dict[int, nn.Module]:
    """Return the layers that the residual stream passes through, by number: those with attention and their siblings.

    Empty where the attention modules do not stand in one list of layers, or where they are numbered otherwise.
    """
    if network not in _LAYERS:
        _LAYERS[network] = _find_layers(network)
    return _LAYERS[network]


def _find_layers(network: PreTrainedModel) -> dict[int, nn.Module]:
    found = find_attention(network)
    attention = {module for _, module in found}
    stacks = {_stack_of(path) for path, module in network.named_modules() if module in attention}
    if len(stacks) != 1:
        return {}
    stack = network.get_submodule(stacks.pop())
    layers = {int(name): layer for name, layer in stack.named_children() if name.isdigit()}
    agree = all(module in set(layers[number].modules()) for number, module in found if number in layers)
    return layers if agree and len(layers) > max(number for number, _ in found) else {}


def has_sink(module: nn.Module) -> bool:
    """Say whether an attention module may put weight on a sink, which is no token, so that rows sum to less than 1."""
    return any(getattr(module, name, None) is not None for name in ("sinks", "sink_proj"))


def first_position(network: PreTrainedModel) -> int:
    """Return the position of the first token; RoBERTa and its kin begin behind that of their padding token."""
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
    """Return the weight of a linear map as float32 ``[in, out]``; transformers' Conv1D keeps it that way round.

    Raises:
        NoEvidence: it cannot be read.
    """
    weight = readable_weight(linear)
    return (weight if isinstance(linear, Conv1D) else weight.T).float()


def readable_weight(linear: nn.Module) -> torch.Tensor:
    """Return the weight of a linear map as the network keeps it, fetched where it does not fit the device.

    Raises:
        NoEvidence: it is not in memory, or what is kept is not the numbers that the map multiplies with.
    """
    weight = _fetch(linear, "weight")
    if not isinstance(weight, torch.Tensor) or weight.dtype not in _NUMBERS:
        raise NoEvidence("its weights are quantised")
    if weight.is_meta:
        raise NoEvidence("its weights are not in memory")
    return weight


def bias_of(linear: nn.Module) -> torch.Tensor | None:
    """Return the bias of a linear map as the network keeps it, fetched likewise; ``None`` where it has none."""
    return _fetch(linear, "bias")


def _fetch(module: nn.Module, name: str) -> torch.Tensor | None:
    # accelerate keeps what does not fit the device elsewhere, and brings it for the time of a call.
    with align_module_device(module):
        return getattr(module, name, None)


def input_device(network: PreTrainedModel) -> torch.device:
    """Return where token ids have to be: with the embedding, in a network that is spread over several devices."""
    return _device_of(network.get_input_embeddings()) or network.device


def output_device(network: PreTrainedModel) -> torch.device:
    """Return where logits are made, and where evidence is brought together."""
    return _device_of(network.get_output_embeddings()) or input_device(network)


def _device_of(module: nn.Module | None) -> torch.device | None:
    """Where a module computes; ``None`` where that is not known."""
    weight = getattr(module, "weight", None)
    if isinstance(weight, torch.Tensor) and not weight.is_meta:
        return weight.device
    device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
    return None if device is None else torch.device(device)


def outer_leaves(network: PreTrainedModel) -> list[nn.Module]:
    """Return the modules without parts that stand outside the layers, in the order in which they were made.

    Those that stand beside the layers or around them come last, behind those of encoders for pictures and sounds.
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
    """The number of a layer; LongCat's hold a list of attention modules each, which transformers counts through."""
    parent, _, last = path.rpartition(".")
    siblings = list(network.get_submodule(parent).children())
    number = _number_in(path) or 0
    in_list = last.isdigit() and _number_in(parent) is not None and attention.issuperset(siblings)
    return number * len(siblings) + int(last) if in_list else number


def _stack_of(path: str) -> str:
    """``model.layers.3.self_attn`` to ``model.layers``; empty where no number is in it."""
    parts = path.split(".")
    numbers = [place for place, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[: numbers[0]]) if numbers else ""


def _declared_classes(network: PreTrainedModel) -> Iterator[type]:
    """The classes that transformers itself records attention from: a class, a recorder of one, or a list of those."""
    for module in network.modules():
        recorded = getattr(module, "_can_record_outputs", None) or {}
        specs = recorded.get("attentions", [])
        for spec in specs if isinstance(specs, list) else [specs]:
            target = getattr(spec, "target_class", spec)
            if isinstance(target, type):
                yield target
