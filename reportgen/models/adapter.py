"""Load peft adapters such as LoRA and merge them into the weights of a network.

A merged network keeps its original module structure, which the evidence code relies on. peft is an optional dependency
and imports torch, so it is imported only when an adapter is requested.
"""

from __future__ import annotations

import importlib.util
import json
import re
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.models.files import check_no_pointers
from reportgen.models.hf_errors import calling_transformers, name_subject
from reportgen.models.hub import cache_if_silent
from reportgen.models.model_source import ADAPTER_CONFIG, find_adapter
from reportgen.models.source import Source
from reportgen.records.errors import ModelError, install_advice

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_WRONG_BASE_MODEL = "size mismatch|not found in the base model|Found missing adapter keys"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_TOKENIZER = "tokenizer_config.json"
_TEMPLATE = "chat_template.jinja"
_SAMPLE = 8
"""Number of tokens on which the logits before and after merging are compared."""
_TOLERANCE = 1e-3
"""Largest accepted difference of these logits, relative to the largest logit; 1e-5 was observed in float32."""


def check_adapter(name: str, model: str) -> None:
    """Check that an adapter exists and can be merged, without reading its weights.

    Args:
        name: a local folder, or a hub name, which may end in ``@revision``.
        model: name of the base model, for error messages.

    Raises:
        ModelNotFound: there is no adapter of that name.
        ModelError: peft is not installed, the adapter's config cannot be read, or adapters of its type cannot be
            merged.
    """
    with _reaching(name, model):
        _read(name, model)


def find_tokenizer(name: str, model: str) -> Source | None:
    """Return the location of an adapter if it has a tokenizer of its own, which it was trained with; else ``None``.

    Args:
        name: name of the adapter, as in ``check_adapter``.
        model: name of the base model, for error messages.

    Raises:
        ModelError: as in ``check_adapter``.
    """
    with _reaching(name, model):
        source, _ = _read(name, model)
        return source if _has_file(source, _TOKENIZER, model, name) else None


def read_chat_template(name: str, model: str) -> str:
    """Return the chat template of an adapter without a tokenizer; empty if it has none.

    Args:
        name: name of the adapter, as in ``check_adapter``.
        model: name of the base model, for error messages.

    Raises:
        ModelError: as in ``check_adapter``.
    """
    from huggingface_hub import hf_hub_download

    with _reaching(name, model):
        source, _ = _read(name, model)
        if not _has_file(source, _TEMPLATE, model, name):
            return ""
        with calling_transformers(model, "chat template", adapter=name):
            path = (
                Path(source.repo, _TEMPLATE)
                if source.is_local
                else Path(hf_hub_download(source.repo, _TEMPLATE, revision=source.revision))
            )
            return path.read_text("utf-8")


def merge_adapter(
    network: PreTrainedModel, name: str, model: str, *, allow_pickle: bool = False, num_tokens: int = 0
) -> PreTrainedModel:
    """Load an adapter and merge it into the weights of a network.

    Args:
        network: the base model; modified in place.
        name: name of the adapter, as in ``check_adapter``.
        model: name of the base model, for error messages.
        allow_pickle: whether pickled adapter weights may be loaded if there are no safetensors.
        num_tokens: number of tokens of the adapter's own tokenizer; a smaller embedding is enlarged to it. 0 leaves
            the embedding as it is.

    Returns:
        The network with the merged weights and without peft modules.

    Raises:
        ModelError: as in ``check_adapter``; or the adapter is broken, was made for another model or cannot be merged.
    """
    with _reaching(name, model):
        return _merge_adapter(network, name, model, allow_pickle, num_tokens)


def _merge_adapter(
    network: PreTrainedModel, name: str, model: str, allow_pickle: bool, num_tokens: int
) -> PreTrainedModel:
    source, config = _read(name, model)
    subject = name_subject(model, name)
    if getattr(network, "is_quantized", False):
        raise ModelError(
            f"{subject}: the model's weights are quantised, and an adapter cannot be merged into them without loss; "
            "take the model in full precision"
        )
    if any(weight.is_meta for weight in network.parameters()):
        raise ModelError(
            f"{subject}: the model does not fit the devices, and an adapter cannot be merged into weights that are "
            "loaded for each forward pass; take --dtype bfloat16, or a smaller model"
        )
    if not allow_pickle:
        _check_safetensors(source, model, name)
    import torch

    with calling_transformers(model, "weights", adapter=name), torch.no_grad():
        _enlarge(network, num_tokens)
        adapted = _put_on(network, source, config, subject)
        _check_not_shared(network, subject)
        # Only float32 is compared: in half precision, rounding the merged weights can change logits by half their size.
        expected = _sample(adapted) if network.dtype == torch.float32 else None
        merged = _merge(adapted, subject, config.peft_type.value)
        if expected is not None:
            _check_merged(expected, _sample(merged), subject)
    return merged


def _reaching(name: str, model: str) -> AbstractContextManager[None]:
    """Return a context in which an adapter on the hub is taken from the cache alone if the hub does not answer."""
    source = find_adapter(name, model)
    if source.is_local:
        return nullcontext()
    return cache_if_silent(source.repo, source.revision, ADAPTER_CONFIG, name_subject(model, name))


def _enlarge(network: PreTrainedModel, num_tokens: int) -> None:
    """Add rows to the embedding for the tokens that an adapter brings, as peft's ``AutoPeftModel`` does."""
    import torch

    embedding: Any = network.get_input_embeddings()
    if num_tokens > len(embedding.weight):
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)  # rows that the adapter does not have are drawn at random, each time the same
            network.resize_token_embeddings(num_tokens)


def _read(name: str, model: str) -> tuple[Source, Any]:
    """Return the checked source and config; the revision of a hub source is the commit of that config."""
    subject = name_subject(model, name)
    if importlib.util.find_spec("peft") is None:
        raise ModelError(f"{subject}: adapters need the package peft, which is not installed; {install_advice('peft')}")
    source = find_adapter(name, model)
    if source.is_local:
        check_no_pointers(Path(source.repo), subject, ("adapter_model.safetensors",))
    with calling_transformers(model, "config", adapter=name):
        folder = Path(source.repo) if source.is_local else _fetch_config(source)
        config = _parse(folder, subject)
    if config.is_prompt_learning:
        raise ModelError(
            f"{subject}: {config.peft_type.value} adds virtual tokens to the text instead of changing weights, so it "
            "cannot be merged; take an adapter such as LoRA"
        )
    if config.task_type not in (None, "CAUSAL_LM"):
        raise ModelError(f"{subject}: it was trained for {config.task_type}, not to generate text")
    if source.is_local and not any((folder / file).is_file() for file in _WEIGHTS):
        raise ModelError(f"{subject}: it has no weights; put {_WEIGHTS[0]} next to its {ADAPTER_CONFIG}")
    return (source if source.is_local else replace(source, revision=folder.name)), config


def _check_safetensors(source: Source, model: str, name: str) -> None:
    """Raise if an adapter has only pickled weights."""
    if not _has_file(source, _WEIGHTS[0], model, name):
        raise ModelError(
            f"{name_subject(model, name)}: its weights are pickled Python objects ({_WEIGHTS[1]}), which can carry "
            "code; convert them to safetensors, or, if you trust where they come from, allow them with --allow-pickle"
        )


def _has_file(source: Source, file: str, model: str, name: str) -> bool:
    """Return whether an adapter has a file: in its folder, in the hub's cache, or on the hub if that may be asked."""
    from huggingface_hub import file_exists, is_offline_mode, try_to_load_from_cache

    if source.is_local:
        return Path(source.repo, file).is_file()
    if isinstance(try_to_load_from_cache(source.repo, file, revision=source.revision), str):
        return True
    with calling_transformers(model, "weights", adapter=name):
        return not is_offline_mode() and file_exists(source.repo, file, revision=source.revision)


def _fetch_config(source: Source) -> Path:
    from huggingface_hub import hf_hub_download

    # Files in the cache have the path models--owner--name/snapshots/<commit>/<file>.
    return Path(hf_hub_download(source.repo, ADAPTER_CONFIG, revision=source.revision)).parent


def _parse(folder: Path, subject: str) -> Any:
    from peft import PeftConfig, PeftType

    try:
        content = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8"))
    except ValueError as error:
        raise ModelError(
            f"{subject}: its {ADAPTER_CONFIG} is not valid JSON; repair it or get the adapter again"
        ) from error
    kind = content.get("peft_type") if isinstance(content, Mapping) else None
    if kind not in PeftType.__members__:
        raise ModelError(
            f"{subject}: the installed peft does not know the adapter type in its {ADAPTER_CONFIG}, {kind!r}; a "
            "newer version may"
        )
    return PeftConfig.from_pretrained(str(folder))


def _put_on(network: PreTrainedModel, source: Source, config: Any, subject: str) -> Any:
    """Return the network wrapped by peft, with the adapter loaded but not merged."""
    from peft import PeftModel

    options: dict[str, Any] = {"revision": source.revision} if source.revision else {}
    try:
        with warnings.catch_warnings():
            # peft only warns about missing weights, and fills them with zeros or random numbers.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            adapted: Any = PeftModel.from_pretrained(network, source.repo, config=config, **options)
    except (RuntimeError, ValueError, UserWarning) as error:
        if not re.search(_WRONG_BASE_MODEL, str(error)):
            raise
        shapes = re.search(r"size mismatch for (\S+): .*?(\[[\d, ]*\]).*?(\[[\d, ]*\])", str(error), re.DOTALL)
        problem = "its weights do not fit this one" + (
            f", {shapes[1]} has the shape {shapes[2]} and not {shapes[3]}" if shapes else ""
        )
        raise ModelError(f"{subject}: it was made for another model: {problem}; {_advise_base(config)}") from error
    # from_pretrained ignores weights of layers that the network lacks; only load_adapter reports them.
    unused = adapted.load_adapter(source.repo, "default", **options).unexpected_keys
    # peft saves a resized embedding that was trained twice, and reads the copy of the other name.
    saved = {name for name, module in adapted.named_modules() if hasattr(module, "modules_to_save")}
    unused = [key for key in unused if key.partition(".modules_to_save.")[0] not in saved]
    if unused:
        problem = f"{len(unused)} of its weights have no place in this one, the first {unused[0]!r}"
        raise ModelError(f"{subject}: it was made for another model: {problem}; {_advise_base(config)}")
    return adapted


def _advise_base(config: Any) -> str:
    base = config.base_model_name_or_path
    return f"it says that it was trained on {base!r}" if base else "name the model that it was trained on"


def _merge(adapted: Any, subject: str, kind: str) -> PreTrainedModel:
    if not hasattr(adapted.base_model, "merge_and_unload"):
        raise ModelError(
            f"{subject}: {kind} cannot be merged into the weights of a model; take an adapter such as LoRA"
        )
    return adapted.merge_and_unload(safe_merge=True)


def _sample(network: Any) -> torch.Tensor:
    import torch

    weight = network.get_input_embeddings().weight
    token_ids = torch.arange(min(_SAMPLE, len(weight)), device=weight.device)
    return network(input_ids=token_ids[None]).logits


def _check_not_shared(network: PreTrainedModel, subject: str) -> None:
    """Raise if an adapter changes only one of two modules with tied weights: merging would change both."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    embeddings = network.get_input_embeddings(), network.get_output_embeddings()
    weights = [getattr(embedding, "weight", None) for embedding in embeddings]
    if weights[0] is weights[1] and any(isinstance(embedding, BaseTunerLayer) for embedding in embeddings):
        raise ModelError(
            f"{subject}: it changes the embedding or the unembedding, which share their weights in this model, so it "
            "cannot be merged; take an adapter that does not change them"
        )


def _check_merged(expected: torch.Tensor, merged: torch.Tensor, subject: str) -> None:
    """Raise if merging changed the logits of the network."""
    distance = float((expected - merged).abs().max() / expected.abs().max())
    if not distance <= _TOLERANCE:
        raise ModelError(
            f"{subject}: merging it changes the logits by {distance:.2g} of the largest, more than {_TOLERANCE:g}; "
            "take an adapter of another type"
        )
