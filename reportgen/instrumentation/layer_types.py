"""Detect the type of each layer and special features of the attention, from the modules or from the config.

Window sizes in a config are not always used by the code; ``confirm_layer_types`` checks them against the captured
weights.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from reportgen.instrumentation.anatomy import find_attention, find_layers, has_sink
from reportgen.records import LayerType, ModelInfo
from reportgen.records.attention_features import (
    ALIBI,
    CHUNK,
    DIFFERENTIAL,
    GROUPED,
    HYBRID,
    LATENT,
    SINK,
    SOFT_CAP,
    WINDOW,
)

_MIXERS = {
    r"mamba": "Mamba",
    r"short_?conv|^conv ": "convolution",
    r"delta_?net|linear_?att|lightning": "linear attention",
    r"recurrent|rg_?lru": "recurrence",
}
"""Token mixers other than attention, by a regex that matches the name and the class of a layer's submodule."""
_LAYER_TYPES = {
    "mamba": "Mamba",
    "conv": "convolution",
    "linear_attention": "linear attention",
    "recurrent": "recurrence",
    "mlp": "MLP alone",
    "moe": "experts alone",
}
"""Names of layers without attention, by the layer types in configs."""
_SLIDING = "sliding"
_CHUNKED = "chunked_attention"
_ALIBI_BUILDERS = ("build_alibi_tensor", "build_mpt_alibi_tensor")


def detect_layer_types(network: PreTrainedModel, info: ModelInfo) -> tuple[LayerType, ...]:
    """Return the type of every layer, in order, according to the modules and the config.

    Args:
        network: the network.
        info: information about the model, of which the numbers of layers and heads are used.
    """
    modules: dict[int, list[nn.Module]] = {}
    for layer, module in find_attention(network):
        modules.setdefault(layer, []).append(module)
    layers, text = find_layers(network), network.config.get_text_config(decoder=True)
    numbers = sorted({*range(info.num_layers), *modules})
    return tuple(_detect(layer, modules.get(layer, []), layers.get(layer), text, info) for layer in numbers)


def confirm_layer_types(
    layer_types: Sequence[LayerType], layers: Sequence[int], attention: NDArray[Any], num_tokens: int
) -> tuple[LayerType, ...]:
    """Return the layer types, without the windows and chunks that the attention weights contradict.

    Args:
        layer_types: layer types according to the modules and the config.
        layers: numbers of the captured layers.
        attention: attention weights or codes of the captured layers, ``[layer, head, cell]``.
        num_tokens: number of positions.
    """
    confirmed = []
    for kind in layer_types:
        if kind.layer in layers and _reaches_out(kind, attention[layers.index(kind.layer)], num_tokens):
            span = f"a window of {kind.window}" if kind.chunk is None else f"chunks of {kind.chunk}"
            note = f"its config says {span} tokens, but its weights reach further back"
            kind = replace(kind, window=None, chunk=None, note=note)
        confirmed.append(kind)
    return tuple(confirmed)


def _reaches_out(kind: LayerType, attention: NDArray[Any], num_tokens: int) -> bool:
    """Return whether any query has weight on a key before its window; ``attention`` is ``[head, cell]``."""
    if kind.window is None and kind.chunk is None:
        return False
    firsts = ((position, kind.first_key(position)) for position in range(num_tokens))
    starts = ((position * (position + 1) // 2, first) for position, first in firsts if first)
    return any(attention[:, start : start + first].any() for start, first in starts)


def find_features(network: PreTrainedModel, layer_types: Sequence[LayerType], num_heads: int) -> tuple[str, ...]:
    """Return the names of the attention features of a network, as in ``attention_features.FEATURES``."""
    modules = [module for _, module in find_attention(network)]
    has_alibi = getattr(network.config, "alibi", False) is True
    features = {
        GROUPED: any(0 < kind.num_kv_heads < num_heads for kind in layer_types),
        WINDOW: any(kind.window is not None for kind in layer_types),
        CHUNK: any(kind.chunk is not None for kind in layer_types),
        SINK: any(kind.has_sink for kind in layer_types),
        HYBRID: any(not kind.has_attention or kind.what for kind in layer_types),
        LATENT: any(hasattr(module, "kv_lora_rank") for module in modules),
        ALIBI: has_alibi or any(hasattr(network.base_model, name) for name in _ALIBI_BUILDERS),
        SOFT_CAP: any(getattr(module, "attn_logit_softcapping", None) is not None for module in modules),
        DIFFERENTIAL: any(hasattr(module, "lambda_q1") for module in modules),
    }
    return tuple(feature.name for feature, is_present in features.items() if is_present)


def _detect(
    number: int, modules: Sequence[nn.Module], layer: nn.Module | None, text: Any, info: ModelInfo
) -> LayerType:
    mixer = _name_mixer(layer, modules)
    if not modules:
        names = (_entry(text, key, number) for key in ("layers_block_type", "layer_types"))
        mixer = mixer or next((_LAYER_TYPES[name] for name in names if name in _LAYER_TYPES), "")
        return LayerType(number, has_attention=False, what=mixer)
    window, chunk = _find_window(number, modules, text)
    return LayerType(
        number,
        num_kv_heads=_count_kv_heads(modules, info),
        window=window,
        chunk=chunk,
        has_sink=any(map(has_sink, modules)),
        what=mixer,
    )


def _count_kv_heads(modules: Sequence[nn.Module], info: ModelInfo) -> int:
    """Return the number of key/value heads of a layer from its modules if known, or from the model.

    The modules are preferred because layers may differ.
    """
    for module in modules:
        groups: Any = getattr(module, "num_key_value_groups", None)
        if isinstance(groups, int) and groups > 0:
            return info.num_heads // groups
    return info.num_kv_heads


def _find_window(number: int, modules: Sequence[nn.Module], text: Any) -> tuple[int | None, int | None]:
    """Return the window and the chunk size of a layer; at most one of them is set."""
    kind = _entry(text, "layer_types", number)
    if kind == _CHUNKED:
        return None, _length(text, "attention_chunk_size", number)
    config_window = _length(text, "sliding_window", number)
    for module in modules:
        if getattr(module, "attention_type", None) == "local":
            return _length(text, "window_size", number), None
        if hasattr(module, "sliding_window"):
            window = _as_length(module.sliding_window)
            # Some modules store a window that is larger by one than that of the config, which defines the mask.
            return (None if window is None else min(window, config_window or window)), None
    if kind is not None:
        return (config_window if _SLIDING in kind else None), None
    return (None if getattr(text, "use_sliding_window", None) is False else config_window), None


def _name_mixer(layer: nn.Module | None, modules: Sequence[nn.Module]) -> str:
    """Return the name of a layer's token mixer other than attention; empty if no known one was found."""
    for name, part in () if layer is None else layer.named_children():
        for pattern, mixer in _MIXERS.items():
            if part not in modules and re.search(pattern, f"{name} {type(part).__name__}", re.IGNORECASE):
                return mixer
    return ""


def _entry(text: Any, key: str, number: int) -> str | None:
    values = getattr(text, key, None)
    return values[number] if isinstance(values, list | tuple) and number < len(values) else None


def _length(text: Any, key: str, number: int) -> int | None:
    try:
        return _as_length(getattr(text, key, None))
    except RuntimeError:  # raised by transformers for a key whose value differs by layer
        return _as_length(getattr(text.per_layer_config[number], key, None))


def _as_length(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
