"""Read the config, tokenizer and weights at a source with transformers, and check them."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from reportgen.models.config import check_attention, check_loadable, check_quantisation
from reportgen.models.files import NO_TOKENIZER, check_sentencepiece
from reportgen.models.hf_errors import calling_transformers, name_subject, without_bars
from reportgen.models.source import Source
from reportgen.records.errors import ModelError

_NO_ADAPTER_FOLDER = ".reportgen-looks-for-no-adapter-here"


def read_config(name: str, source: Source, *, trust_remote_code: bool = False) -> PretrainedConfig:
    """Read the config of a model.

    Args:
        name: name of the model, for error messages.
        source: where it is.
        trust_remote_code: whether Python code that comes with the model may run.

    Raises:
        UnsupportedModel: the model is not a causal language model with attention heads.
        ModelError: the config cannot be read.
    """
    with calling_transformers(name):
        config = AutoConfig.from_pretrained(source.repo, trust_remote_code=trust_remote_code, **source.arguments())
    check_loadable(config, name)
    check_attention(config, name)
    check_quantisation(config, name)
    # The config may name a kernel that is not installed, and attention is captured with other implementations.
    config._attn_implementation = None
    return config


def read_network(
    name: str, source: Source, config: PretrainedConfig, *, allow_pickle: bool = False, **settings: Any
) -> PreTrainedModel:
    """Read the weights of a model.

    Args:
        name: name of the model, for error messages.
        source: where it is.
        config: its config.
        allow_pickle: whether pickled weights may be read if there are no safetensors.
        **settings: further arguments of ``from_pretrained``, such as ``dtype`` and ``device_map``.

    Raises:
        ModelError: the weights cannot be read, some are missing, or some have no place in the network.
    """
    if not allow_pickle and not source.gguf_file:
        settings["use_safetensors"] = True
    # Standard error is discarded only if nothing is downloaded, so that the hub's progress bars stay visible. A GGUF
    # file was downloaded with its config; some quantisers print progress bars of their own.
    silent = source.gguf_file or (source.is_local and is_quantised(config))
    with calling_transformers(name, "weights"), without_bars() if silent else nullcontext():
        network, report = AutoModelForCausalLM.from_pretrained(  # pyright: ignore[reportGeneralTypeIssues]
            source.repo,
            config=config,
            weights_only=True,
            output_loading_info=True,
            # If peft is installed, transformers would load an adapter in the model's folder without merging it.
            adapter_kwargs={"subfolder": _NO_ADAPTER_FOLDER},
            **settings,
            **source.arguments(),
        )
    # transformers initializes missing weights with random numbers and does not fail.
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"model {name!r}: {len(missing)} of the weights of {type(network).__name__} are missing, the first "
            f"{missing[0]!r}; get the whole model, or one that was saved with its language-model head"
        )
    _check_unused(network, report["unexpected_keys"], name)
    if source.gguf_file and all(weight.is_floating_point() for weight in network.parameters()):
        # The weights are dequantised now, but transformers still marks them as quantised.
        vars(network).update(hf_quantizer=None, is_quantized=False)
    return network


def _check_unused(network: PreTrainedModel, unexpected: Collection[str], name: str) -> None:
    """Check that the weights that a network leaves unused do not belong to its own modules.

    A second head or an image encoder, which are modules of their own beside the network's, change nothing.
    """
    modules = {path for path, _ in network.named_modules()}
    outer = {path for path, module in network.named_modules() if module is network or module is network.base_model}
    owners = {key: _find_owner(key, modules, network.base_model_prefix) for key in unexpected}
    inner = sorted(key for key, owner in owners.items() if owner not in outer)
    # A quantiser keeps further numbers in the layers, so that only whole layers are known to be unused.
    if is_quantised(network.config):
        inner = [key for key in inner if isinstance(network.get_submodule(owners[key]), nn.ModuleList)]
    if inner:
        raise ModelError(
            f"model {name!r}: {len(inner)} of its weights have no place in the {type(network).__name__} that its "
            f"config.json describes, the first {inner[0]!r}; correct the config, or get the whole model again"
        )


def _find_owner(key: str, modules: Collection[str], prefix: str) -> str:
    """Return the innermost module of a network that a weight's name begins with.

    The names of weights that were saved without a language-model head lack the prefix of the base model.
    """
    parts = key.split(".")[:-1]
    paths = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((path for short in paths for path in (short, f"{prefix}.{short}") if path in modules), "")


def read_tokenizer(
    name: str, source: Source, config: PretrainedConfig, *, trust_remote_code: bool = False, adapter: str = ""
) -> PreTrainedTokenizerBase:
    """Read the tokenizer of a model, or of an adapter.

    Args:
        name: name of the model, for error messages.
        source: where the tokenizer is.
        config: config of the model.
        trust_remote_code: whether Python code that comes with the model may run.
        adapter: name of the adapter that the tokenizer belongs to, for error messages; empty for the model's own.

    Raises:
        ModelError: there is no tokenizer, or it cannot be read.
    """
    subject = name_subject(name, adapter)
    try:
        with calling_transformers(name, "tokenizer", adapter=adapter):
            if source.is_converted:
                # The class of a family, such as Qwen2's, would split texts in another way than the GGUF file says.
                tokenizer = PreTrainedTokenizerFast.from_pretrained(source.repo)
            else:
                tokenizer = AutoTokenizer.from_pretrained(
                    source.repo, config=config, trust_remote_code=trust_remote_code, **source.arguments()
                )
    except ModelError:
        if folder := _folder_of(source):  # transformers may name another package than the one that is missing
            check_sentencepiece(folder, subject)
        raise
    # Some tokenizers are empty instead of failing when their files are missing.
    if tokenizer.vocab_size == 0:
        raise ModelError(f"{subject}: {NO_TOKENIZER}")
    return tokenizer


def _folder_of(source: Source) -> Path | None:
    """Return the local folder of a source, or the one in the hub's cache; ``None`` if it is not cached."""
    if source.is_local:
        return Path(source.repo)
    path = try_to_load_from_cache(source.repo, "config.json", revision=source.revision)
    return Path(path).parent if isinstance(path, str) else None


def is_quantised(config: PretrainedConfig) -> bool:
    """Return whether a config says that the weights are quantised."""
    return getattr(config, "quantization_config", None) is not None
