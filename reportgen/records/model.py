"""Facts about a model and about each of its layers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a model that pages show.

    Attributes:
        name: name of the model, as the user wrote it.
        revision: commit of a hub model; empty for a folder, a file or a model passed from Python.
        architecture: class name in transformers.
        num_layers: number of layers, with or without attention.
        num_heads: number of query heads per layer.
        num_kv_heads: number of key/value heads per layer; fewer than ``num_heads`` if heads share them.
        context_window: maximum number of positions; ``None`` if the config states no maximum.
        num_parameters: number of parameters; ``None`` if only the config has been read.
        dtype: dtype of the weights, such as ``float32``, and the quantisation method; empty if only the config has been
            read.
        device: devices of the weights, such as ``cpu`` or ``cuda:0, cuda:1``; empty if only the config has been read.
        adapter: name of the merged adapter, as the user wrote it; empty for none.
        adapter_tokenizer: whether the tokenizer and the chat template are those that came with the adapter.
        adapter_revision: commit of an adapter of the hub; empty for a folder.
        load_options: options of the command line that load it again, except those of its device and dtype.
        is_in_memory: whether the network was passed from Python, so that its name cannot be loaded.
        features: special features of the attention, by the names of ``attention_features.FEATURES``; empty if the
            network has not run yet.
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
    adapter_tokenizer: bool = False
    adapter_revision: str = ""
    load_options: tuple[str, ...] = ()
    is_in_memory: bool = False
    features: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Name of the model, followed by that of its adapter if it has one."""
        return name_with_adapter(self.name, self.adapter)


def name_with_adapter(model: str, adapter: str) -> str:
    """Return a model's name, followed by that of its adapter if it has one."""
    return f"{model} + {adapter}" if adapter else model


def public_name(name: str) -> str:
    """Return the name of a model or an adapter as pages show it: of a path, which can name a person, the last part.

    Args:
        name: the name as the user wrote it.

    Returns:
        The last part of a path; other names unchanged, such as ``owner/name@revision``.
    """
    whole = name.replace("\\", "/")
    # A hub name has at most one slash before the name of a file.
    is_path = whole.startswith(("/", "~", ".")) or whole[1:3] == ":/" or "\\" in name
    if not is_path:
        repo = whole.partition(":")[0]
        is_path = repo.count("/") > 1 or repo.endswith("/") or (repo.lower().endswith(".gguf") and ":" not in whole)
    if not is_path:
        return name
    # Of ``folder:file.gguf``, both last parts.
    drive, rest = (whole[:2], whole[2:]) if whole[1:3] == ":/" else ("", whole)
    parts = [part.rstrip("/").rpartition("/")[2] for part in rest.split(":")]
    return ":".join(parts) or drive or name


@dataclass(frozen=True)
class LayerType:
    """Type of one layer of a model: the keys that its queries can see, and its mixer other than attention.

    Attributes:
        layer: number of the layer.
        has_attention: whether the layer has attention heads.
        num_kv_heads: number of key/value heads; 0 if the layer has none, or if the number is known only for the model.
        window: number of tokens that a query sees, including itself; ``None`` if it sees all earlier tokens.
        chunk: length in tokens of the chunks to which attention is limited; ``None`` if there are none.
        has_sink: whether a learned sink, which is not a token, takes part of the weight of each row.
        what: mixer other than attention in this layer, such as ``Mamba``; empty if there is none or it is unknown.
        note: reason why a value in the model's config is ignored; usually empty.
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
        """Return the first key position that a query can see."""
        of_window = 0 if self.window is None else max(0, query_pos - self.window + 1)
        of_chunk = 0 if self.chunk is None else query_pos // self.chunk * self.chunk
        return max(of_window, of_chunk)
