"""Describe the special features of a model's attention for a page and for ``templates/js/data/kinds.js``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reportgen.captures.record import Capture
from reportgen.pages.encoding import encode_bytes, quantize_sqrt
from reportgen.records import LayerType
from reportgen.records.attention_features import (
    CHUNK,
    DIFFERENTIAL,
    FEATURES,
    GROUPED,
    HYBRID,
    WINDOW,
    AttentionFeature,
)
from reportgen.records.selection import format_ranges


@dataclass(frozen=True)
class TraitView:
    """A feature of the model's attention, and a short text with its numbers for this model."""

    trait: AttentionFeature
    says: str


def describe_layer_types(capture: Capture) -> dict[str, Any]:
    """Return the facts about layers that the page's script reads, as JSON values.

    Returns:
        ``layer_types``: for each captured layer, its differences from a plain layer. ``gaps``: each run of selected
        layers without attention. ``num_heads``: number of heads of a layer, captured or not. ``paired``: whether heads
        form pairs, as in differential attention.
    """
    return {
        "num_heads": capture.model.num_heads,
        "paired": DIFFERENTIAL.name in capture.model.features,
        "layer_types": [_describe(capture.layer_type(layer)) for layer in capture.layers],
        "gaps": [{"layers": [run[0].layer, run[-1].layer], "what": run[0].what} for run in _list_gaps(capture)],
    }


def name_shade(capture: Capture) -> str:
    """Return a description of the hatched cells; empty if no heatmap has any."""
    last = capture.num_tokens - 1
    if not any(capture.layer_type(layer).first_key(last) for layer in capture.layers):
        return ""
    return "in an earlier chunk" if CHUNK.name in capture.model.features else "outside the layer's window"


def name_gaps(capture: Capture) -> str:
    """Return a description of the selected layers that have no attention; empty if there are none."""
    runs = [
        f"{format_ranges(kind.layer for kind in run)}{f' ({run[0].what})' if run[0].what else ''}"
        for run in _list_gaps(capture)
    ]
    return f"Layers without attention: {', '.join(runs)}." if runs else ""


def make_sink_blocks(capture: Capture) -> dict[str, Markup]:
    """Return the block of the weights of learned sinks, codes ``[layer, head, query_pos]``; empty if there are none."""
    if capture.sink_mass is None:
        return {}
    return {"sinks": encode_bytes(quantize_sqrt(capture.sink_mass).tobytes())}


def make_trait_views(capture: Capture) -> list[TraitView]:
    """Return the features of the model's attention, in the order of ``attention_features.FEATURES``."""
    return [
        TraitView(trait, _count_out(capture, trait))
        for name, trait in FEATURES.items()
        if name in capture.model.features
    ]


def make_layer_type_rows(capture: Capture) -> list[tuple[str, str]]:
    """Return the differences between layers, as rows of name and value."""
    layer_types = [kind for kind in capture.layer_types if kind.has_attention]
    without = [kind for kind in capture.layer_types if not kind.has_attention]
    rows = [
        *(
            (
                f"layers with a window of {length}",
                format_ranges(kind.layer for kind in layer_types if kind.window == length),
            )
            for length in _lengths(layer_types, "window")
        ),
        *(
            (f"layers in chunks of {length}", format_ranges(kind.layer for kind in layer_types if kind.chunk == length))
            for length in _lengths(layer_types, "chunk")
        ),
        *(
            (
                f"layers without attention{mixer and ', '}{mixer}",
                format_ranges(k.layer for k in without if k.what == mixer),
            )
            for mixer in dict.fromkeys(kind.what for kind in without)
        ),
        *((f"layer {kind.layer}", kind.note) for kind in layer_types if kind.note),
    ]
    return [(name, value) for name, value in rows if value]


def _describe(kind: LayerType) -> dict[str, Any]:
    values = {"window": kind.window, "chunk": kind.chunk, "has_sink": kind.has_sink, "what": kind.what}
    return {"num_kv_heads": kind.num_kv_heads} | {
        name: value for name, value in (values | {"note": kind.note}).items() if value
    }


def _list_gaps(capture: Capture) -> list[list[LayerType]]:
    """Return the selected layers without attention, in runs of consecutive layers of the same kind."""
    runs: list[list[LayerType]] = []
    if not capture.layer_types:
        return runs
    selected = set(capture.prompt.layers.resolve(capture.model.num_layers))
    for kind in capture.layer_types:
        if kind.has_attention or kind.layer not in selected:
            continue
        if runs and runs[-1][-1].layer == kind.layer - 1 and runs[-1][-1].what == kind.what:
            runs[-1].append(kind)
        else:
            runs.append([kind])
    return runs


def _count_out(capture: Capture, trait: AttentionFeature) -> str:
    layer_types = [kind for kind in capture.layer_types if kind.has_attention]
    if trait == GROUPED:
        counts = sorted({capture.layer_type(kind.layer).num_kv_heads for kind in layer_types})
        noun = "key head" if counts == [1] else "key heads"
        return f"{capture.model.num_heads} query heads on {_join(counts)} {noun}"
    if trait == WINDOW:
        lengths = _lengths(layer_types, "window")
        where = _of_layers(sum(kind.window is not None for kind in layer_types), capture.model.num_layers)
        return f"window{'s' if len(lengths) > 1 else ''} of {_join(lengths)} tokens {where}"
    if trait == CHUNK:
        where = _of_layers(sum(kind.chunk is not None for kind in layer_types), capture.model.num_layers)
        return f"chunks of {_join(_lengths(layer_types, 'chunk'))} tokens {where}"
    without = len(capture.layer_types) - len(layer_types)
    if trait == HYBRID and without:
        return f"no attention {_of_layers(without, capture.model.num_layers)}"
    return trait.title


def _of_layers(count: int, num_layers: int) -> str:
    return "in every layer" if count == num_layers else f"in {count} of {num_layers} layers"


def _lengths(layer_types: Iterable[LayerType], name: str) -> list[int]:
    return sorted({length for kind in layer_types if (length := getattr(kind, name)) is not None})


def _join(numbers: Sequence[int]) -> str:
    return " or ".join(map(str, numbers))
