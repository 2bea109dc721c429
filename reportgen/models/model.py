"""Load a model and its tokenizer by name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from reportgen.models.adapter import find_tokenizer, merge_adapter, read_chat_template
from reportgen.models.bundled import BUNDLED
from reportgen.models.config import (
    check_attention,
    check_causal,
    describe_config,
)
from reportgen.models.conversion import convert_once, drop_damaged, find_conversion
from reportgen.models.files import check_no_pointer, check_no_pointers, check_tokenizer_files, check_weight_files
from reportgen.models.gguf_header import check_gguf
from reportgen.models.hf_errors import calling_transformers, name_subject, without_bars
from reportgen.models.hub import cache_if_silent, say_once
from reportgen.models.model_source import ADAPTER_CONFIG, find_adapter, find_shadowed, find_source, suggest
from reportgen.models.reading import is_quantised, read_config, read_network, read_tokenizer
from reportgen.models.source import Source
from reportgen.records import DEVICE_MAPS, ModelInfo
from reportgen.records.errors import ModelError, ModelNotFound, WrongSetting

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_T = TypeVar("_T")


@dataclass(frozen=True, repr=False)
class LoadedModel:
    """A model that prompts can run on.

    Attributes:
        network: the network, in evaluation mode.
        tokenizer: its tokenizer, with a padding token.
        info: facts about the model that pages show.
    """

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    info: ModelInfo

    def __repr__(self) -> str:
        info = self.info
        size = f"{info.num_layers} layers × {info.num_heads} heads, {info.dtype} on {info.device}"
        return f"<LoadedModel {info.title}, {size}>"


def load_model_info(name: str, *, trust_remote_code: bool = False) -> ModelInfo:
    """Read the facts in a model's config, without its weights; a bundled model need not be downloaded.

    Args:
        name: name of the model, as in ``load_model``.
        trust_remote_code: whether Python code that comes with the model may run.

    Returns:
        The facts in the config; those that need the weights are missing.

    Raises:
        ModelNotFound: there is no model of that name.
        UnsupportedModel: the model is not a causal language model with attention heads.
        ModelError: the config cannot be read, or a local folder lacks files that loading needs.
    """
    if name in BUNDLED:
        return BUNDLED[name].info
    source, _, config = _reaching(name, lambda: _find(name, trust_remote_code))
    return describe_config(config, name, source.revision or "")


def check_weights(name: str, *, allow_pickle: bool = False) -> None:
    """Check that the weights of a model in a local folder are there, without reading them.

    Args:
        name: name of the model, as in ``load_model``; nothing is checked for other models than local folders.
        allow_pickle: whether pickled weights may be loaded.

    Raises:
        ModelNotFound: there is no model of that name.
        ModelError: the folder has no weights, only pickled ones, or not all files of them.
    """
    if name in BUNDLED:
        return
    source = find_source(name)
    if source.is_local and source.gguf_file is None:
        check_weight_files(Path(source.repo), name_subject(name), allow_pickle=allow_pickle)


def load_outline(name: str, *, adapter: str = "", trust_remote_code: bool = False) -> LoadedModel:
    """Load a model's tokenizer and the shapes of its weights, without the weights, to encode prompts.

    Args:
        name: name of the model, as in ``load_model``.
        adapter: the adapter, as in ``load_model``.
        trust_remote_code: whether Python code that comes with the model may run.

    Returns:
        The model, with its network on torch's meta device.

    Raises:
        ModelError: as in ``load_model``, as far as it can be known without the weights.
    """

    def read() -> tuple[Source, PretrainedConfig, PreTrainedTokenizerBase, Any]:
        source, files, config = _find(name, trust_remote_code)
        tokenizer = read_tokenizer(name, files, config, trust_remote_code=trust_remote_code)
        with calling_transformers(name), torch.device("meta"):
            network = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
        return source, config, tokenizer, network

    source, config, tokenizer, network = _reaching(name, read)
    if adapter:
        is_own, tokenizer = _choose_tokenizer(tokenizer, adapter, name, config, trust_remote_code)
        if is_own and len(tokenizer) > network.get_input_embeddings().weight.shape[0]:
            network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return LoadedModel(network, tokenizer, describe_config(config, name, source.revision or ""))


def load_model(
    name: str,
    *,
    adapter: str = "",
    device: str = "auto",
    device_map: str = "",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> LoadedModel:
    """Load a model and its tokenizer; download them first if they are not on this machine.

    Args:
        name: the name of a bundled model such as ``smollm2-135m``, a local folder, a ``.gguf`` file,
            ``repo:file.gguf``, or a hub name; a hub name may end in ``@revision``.
        adapter: a peft adapter to merge into the weights: a local folder or a hub name; empty for none.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` for the first available of cuda, mps and cpu.
        device_map: ``auto``, ``balanced`` or ``sequential`` spreads the model over all devices, as in accelerate.
        dtype: ``float32``, ``bfloat16``, ``float16``, or ``auto``: float32 on the CPU; on other devices, and for
            quantised models, the dtype of the checkpoint.
        trust_remote_code: whether Python code that comes with the model may run.
        allow_pickle: whether pickled weights may be loaded, with torch's restricted unpickler, without safetensors.

    Returns:
        The model, with transformers' default attention implementation.

    Raises:
        ModelError: the model cannot be used, as ``ModelNotFound`` if there is none of that name, or as
            ``UnsupportedModel`` if it is not a causal language model with attention heads; the message gives advice.
    """
    check_settings(device, dtype, device_map)
    chosen_device = _choose_device(device)

    def read() -> tuple[Source, PretrainedConfig, PreTrainedTokenizerBase, PreTrainedModel]:
        source, files, config = _find(name, trust_remote_code, convert_to="float32" if dtype == "auto" else dtype)
        check_weights(name, allow_pickle=allow_pickle)
        tokenizer = read_tokenizer(name, files, config, trust_remote_code=trust_remote_code)
        # Some quantisers do not allow moving the network, so it is created on its device.
        placement = device_map or ({"": chosen_device} if is_quantised(config) else None)
        settings: dict[str, Any] = {"dtype": _choose_dtype(dtype, chosen_device, config), "device_map": placement}
        settings |= {"allow_pickle": allow_pickle, "trust_remote_code": trust_remote_code}
        network = read_network(name, files, config, **settings)
        _prepare(network, config, name, None if placement else chosen_device)
        return source, config, tokenizer, network

    source, config, tokenizer, network = _reaching(name, read)
    is_own = False
    if adapter:
        is_own, tokenizer = _choose_tokenizer(tokenizer, adapter, name, config, trust_remote_code)
        size = len(tokenizer) if is_own else 0
        network = merge_adapter(network, adapter, name, allow_pickle=allow_pickle, num_tokens=size)
    loaded = wrap_model(network, tokenizer, name=name)
    options = _list_load_options(device_map, trust_remote_code, allow_pickle)
    info = replace(loaded.info, revision=source.revision or "", load_options=options, is_in_memory=False)
    return replace(loaded, info=_name_adapter(info, adapter, is_own) if adapter else info)


def _prepare(network: PreTrainedModel, config: PretrainedConfig, name: str, device: torch.device | None) -> None:
    """Unpack quantized weights, and move the network to a device, unless it is in its place."""
    with calling_transformers(name, "weights"):
        if is_quantised(config):
            _unpack(network)
        if device is not None:
            network.to(device)  # pyright: ignore[reportArgumentType] (transformers hides the signature)


def _name_adapter(info: ModelInfo, adapter: str, has_own_tokenizer: bool) -> ModelInfo:
    """Return the facts with those of a merged adapter, of which one of the hub is in the cache."""
    source = find_adapter(adapter, info.name)
    commit = "" if source.is_local else _commit_of(source, ADAPTER_CONFIG) or ""
    return replace(info, adapter=adapter, adapter_revision=commit, adapter_tokenizer=has_own_tokenizer)


def _list_load_options(device_map: str, trust_remote_code: bool, allow_pickle: bool) -> tuple[str, ...]:
    options = {
        f"--device-map {device_map}": bool(device_map),
        "--trust-remote-code": trust_remote_code,
        "--allow-pickle": allow_pickle,
    }
    return tuple(option for option, is_given in options.items() if is_given)


def check_settings(device: str, dtype: str, device_map: str = "") -> None:
    """Check the device, dtype and device map before a model is loaded.

    Args:
        device: as in ``load_model``.
        dtype: as in ``load_model``.
        device_map: as in ``load_model``.

    Raises:
        WrongSetting: the device does not exist on this machine, the dtype or device map is unknown, or both a device
            and a device map are given.
    """
    if device_map and device_map not in DEVICE_MAPS:
        raise WrongSetting(f"unknown device map {device_map!r}; write {', '.join(DEVICE_MAPS)}")
    if device_map and device != "auto":
        raise WrongSetting(f"device {device!r}: the device map {device_map!r} uses all devices; keep one of the two")
    _choose_device(device)
    if dtype != "auto" and dtype not in _DTYPES:
        raise WrongSetting(f"unknown dtype {dtype!r}; write auto, {', '.join(_DTYPES)}")


def wrap_model(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str = "") -> LoadedModel:
    """Make a ``LoadedModel`` from a network and a tokenizer that are already in memory.

    The network is set to evaluation mode, and a tokenizer without a padding token gets one.

    Args:
        network: a causal language model.
        tokenizer: its tokenizer.
        name: name of the model on pages; by default the path it was loaded from, or its class.

    Returns:
        The loaded model; it holds the network and the tokenizer themselves, not copies.

    Raises:
        UnsupportedModel: the network is not a causal language model with attention heads.
    """
    name = name or network.name_or_path or type(network).__name__
    check_attention(network.config, name)
    check_causal(network, name)
    network.eval()
    _forget_lengths(network)
    _set_padding(network, tokenizer)
    info = replace(
        describe_config(network.config, name),
        architecture=type(network).__name__,
        num_parameters=network.num_parameters(),
        dtype=_describe_dtype(network),
        device=_devices_of(network),
        is_in_memory=True,
    )
    return LoadedModel(network, tokenizer, info)


def _forget_lengths(network: PreTrainedModel) -> None:
    """Make dynamic rotary positions depend on the length of the current text alone.

    transformers keeps the frequencies of the longest text so far, so that numbers would depend on the texts before.
    """
    for module in network.modules():
        is_dynamic = "dynamic" in str(getattr(module, "rope_type", "")) and hasattr(module, "original_max_seq_len")
        if is_dynamic and _forget_length not in module._forward_pre_hooks.values():
            module.register_forward_pre_hook(_forget_length)


def _forget_length(module: nn.Module, _: object) -> None:
    for name in [name for name in dir(module) if name.endswith("max_seq_len_cached")]:
        setattr(module, name, module.original_max_seq_len)
    for name in [name for name in dir(module) if name.endswith("original_inv_freq")]:
        current = name.replace("original_inv_freq", "inv_freq")
        original: Any = getattr(module, name)
        setattr(module, current, original.to(getattr(module, current).device))


def _describe_dtype(network: PreTrainedModel) -> str:
    """Return the dtype of the weights, followed by the quantisation method if there is one."""
    dtype, quantised = str(network.dtype).removeprefix("torch."), getattr(network.config, "quantization_config", None)
    method = quantised.get("quant_method") if isinstance(quantised, dict) else getattr(quantised, "quant_method", None)
    # The weights of a GGUF file are dequantised when they are read.
    return dtype if method in (None, "gguf") else f"{dtype}, quantised by {getattr(method, 'value', method)}"


def _devices_of(network: PreTrainedModel) -> str:
    """Return the devices that hold the weights, in the order of the weights."""
    devices = dict.fromkeys(str(weight.device) for weight in network.parameters())
    # Weights that do not fit on the devices are offloaded to memory or disk and loaded for each forward pass.
    return ", ".join("offloaded" if device == "meta" else device for device in devices)


def _reaching(name: str, read: Callable[[], _T]) -> _T:
    """Call a function that reads a model, from the cache alone if the hub does not answer.

    If it fails because the conversion of a GGUF file is damaged, it is called again without that conversion.
    """
    source = find_source(name)
    known_file = source.gguf_file or "config.json"
    context = (
        nullcontext()
        if source.is_local
        else cache_if_silent(source.repo, source.revision, known_file, name_subject(name))
    )
    with context:
        try:
            return read()
        except ModelError:
            if not drop_damaged(name):
                raise
            return read()


def _find(name: str, trust_remote_code: bool, convert_to: str | None = None) -> tuple[Source, Source, PretrainedConfig]:
    """Return the checked source, the source of the files to read, and the config.

    The files to read are those of the source itself, or those that a GGUF file was converted to. The revision of a hub
    source is the commit of that config. With a commit as revision, transformers uses cached files without asking the
    hub about each of them again.

    Args:
        name: name of the model.
        trust_remote_code: whether Python code that comes with the model may run.
        convert_to: dtype of the weights, for which a GGUF file is converted; by default, no file is converted, and an
            earlier conversion to any dtype is used.
    """
    source = files = find_source(name)
    if shadowed := find_shadowed(name):
        say_once(f"{name_subject(name)}: the folder of that name is taken; write {shadowed!r} for the hub's model")
    if source.is_local and source.gguf_file is None:
        check_no_pointers(Path(source.repo), name_subject(name))
    try:
        if source.gguf_file:
            files = _find_converted(name, source, source.gguf_file, convert_to)
        config = read_config(name, files, trust_remote_code=trust_remote_code)
    except ModelNotFound as error:
        raise ModelNotFound(f"{error}{suggest(name)}") from error
    if source.is_local and source.gguf_file is None:
        check_tokenizer_files(Path(source.repo), name_subject(name))
    if not source.is_local:
        commit = replace(source, revision=_commit_of(source))
        source, files = commit, commit if files is source else files
    return source, files, config


def _find_converted(name: str, source: Source, gguf_file: str, convert_to: str | None) -> Source:
    """Return the source of the files that a GGUF file was converted to; the file itself if it was not converted."""
    with calling_transformers(name):
        path = _path_of_gguf(source, gguf_file)
        check_no_pointer(path, name_subject(name))
        folder = find_conversion(path, name, convert_to)
        if folder is None:
            num_weights = check_gguf(path, name)
            folder = convert_once(path, name, convert_to, num_weights) if convert_to else None
    return Source(str(folder), is_local=True, is_converted=True) if folder else source


def _path_of_gguf(source: Source, file: str) -> Path:
    return Path(
        Path(source.repo, file) if source.is_local else hf_hub_download(source.repo, file, revision=source.revision)
    )


def _commit_of(source: Source, config: str = "config.json") -> str | None:
    """Return the commit of a hub source's cached config, or the revision as written if the commit is unknown."""
    file = source.gguf_file or config
    path = try_to_load_from_cache(source.repo, file, revision=source.revision)
    # Files in the cache have the path models--owner--name/snapshots/<commit>/<file>.
    return Path(path).parents[file.count("/")].name if isinstance(path, str) else source.revision


def _choose_tokenizer(
    tokenizer: PreTrainedTokenizerBase, adapter: str, name: str, config: PretrainedConfig, trust_remote_code: bool
) -> tuple[bool, PreTrainedTokenizerBase]:
    """Return the adapter's tokenizer, after ``True``, or the model's, with the chat template of the adapter if any."""
    source = find_tokenizer(adapter, name)
    if source is None:
        tokenizer.chat_template = read_chat_template(adapter, name) or tokenizer.chat_template
        return False, tokenizer
    own = read_tokenizer(name, source, config, trust_remote_code=trust_remote_code, adapter=adapter)
    own.chat_template = own.chat_template or tokenizer.chat_template
    return True, own


def _choose_device(device: str) -> torch.device:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(kind for kind, is_available in available.items() if is_available))
    kind = device.partition(":")[0]
    if kind not in available:
        raise WrongSetting(f"unknown device {device!r}; write auto, cpu, cuda or mps")
    if not available[kind]:
        raise WrongSetting(f"device {device!r}: this torch sees no {kind} device; write --device auto or cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise WrongSetting(f"unknown device {device!r}; a number follows the colon, as in cuda:0") from error
    if kind == "cuda" and (chosen.index or 0) >= (count := torch.cuda.device_count()):
        raise WrongSetting(
            f"device {device!r}: this torch sees {count} of them, counted from cuda:0; choose one of those"
        )
    return chosen


def _choose_dtype(dtype: str, device: torch.device, config: Any) -> torch.dtype:
    if dtype == "auto":
        stored = config.dtype or config.get_text_config(decoder=True).dtype
        # The kernels of a quantiser expect the dtype with which the model was quantised.
        widen = device.type == "cpu" and not is_quantised(config)
        return torch.float32 if widen or stored is None else stored
    return _DTYPES[dtype]


def _unpack(network: PreTrainedModel) -> None:
    """Run the network once: some quantisers unpack their weights in the first pass and print a progress bar."""
    device = "cpu" if network.device.type == "meta" else network.device
    with torch.inference_mode(), without_bars():
        network(input_ids=torch.zeros((1, 1), dtype=torch.long, device=device))


def _set_padding(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    # Otherwise generate warns that it uses the end-of-text token for padding.
    if network.generation_config is not None and network.generation_config.pad_token_id is None:
        network.generation_config.pad_token_id = tokenizer.pad_token_id
