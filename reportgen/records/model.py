"""What is known of a model, and of each of its layers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelInfo:
    """What a page says about its model.

    Attributes:
        name: the name that the user gave.
        revision: commit of a hub model; empty for a folder, a file or a model made by hand.
        architecture: class name in transformers.
        num_layers: all layers, with attention or without.
        num_heads: query heads of a layer.
        num_kv_heads: key/value heads of a layer; fewer than ``num_heads`` where they are shared.
        context_window: most positions that the model takes; ``None`` where it states no bound.
        num_parameters: count of weights; ``None`` as long as only the config is known.
        dtype: of the weights, as ``float32``, and what quantised them; empty as long as only the config is known.
        device: where the weights are, as ``cpu`` or ``cuda:0, cuda:1``; empty as long as only the config is known.
        adapter: the name that the user gave to the adapter merged into it; empty for none.
        features: what a reader must know about its attention, by the names of ``attention_features.FEATURES``; empty
            as long as the network has not run.
    """

    name: str
    revision: str
    architecture: str
    num_layers: int
    num_heads: int
    num_kv_heads: int
    context_window: int | None
    num_parameters: int | None = None
    dtype: str = ""
    device: str = ""
    adapter: str = ""
    features: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Model and adapter in words."""
        return name_with_adapter(self.name, self.adapter)


def name_with_adapter(model: str, adapter: str) -> str:
    """Return how a model and what is put on it are called together."""
    return f"{model} + {adapter}" if adapter else model


@dataclass(frozen=True)
class LayerType:
    """What one layer of a model is, as far as a reader of its attention must know.

    Attributes:
        layer: its number.
        has_attention: whether it has heads at all.
        num_kv_heads: its key/value heads; 0 where it has none, or only those of the model are known.
        window: how many tokens a query sees, itself the last of them; ``None`` where it sees all.
        chunk: length of the pieces of text that no query sees beyond; ``None`` where there are none.
        has_sink: whether a learned sink takes a part of each row, which no token gets.
        what: what else passes tokens on in this layer, such as ``Mamba``; empty where there is nothing or it is not
            known.
        note: why something that the model's config says is not believed; mostly empty.
    """

    layer: int
    has_attention: bool = True
    num_kv_heads: int = 0
    window: int | None = None
    chunk: int | None = None
    has_sink: bool = False
    what: str = ""
    note: str = ""

    def first_key(self, query_pos: int) -> int:
        """Return the first position that a query can see."""
        of_window = 0 if self.window is None else max(0, query_pos - self.window + 1)
        of_chunk = 0 if self.chunk is None else query_pos // self.chunk * self.chunk
        return max(of_window, of_chunk)
