"""Convert GGUF files to safetensors, which load many times faster; each file once, into the user's cache.

torch and transformers are imported inside the functions that convert, so that listing models needs neither.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.models.cache import (
    converted_folder,
    describe_size,
    is_damaged,
    is_whole,
    making,
    size_of,
)
from reportgen.models.file_hashes import hash_file
from reportgen.models.hf_errors import name_subject, quiet
from reportgen.models.hub import say_once
from reportgen.models.source import Source
from reportgen.records.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BYTES_OF = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Size of a weight in bytes, by the dtypes that files are converted to."""
_SAVED_ANEW = ("_name_or_path", "architectures", "quantization_config")
"""Keys of a config that differ after it was saved, and that the network does not depend on."""
_SAMPLE = "A cat's 1,234 mats:\n  def f(x): return x  # Grüße, 🙂 <s>\n\n"
"""Text that both tokenizers have to treat alike."""
_in_use: dict[Path, str] = {}
"""Folders that this process has loaded from, each with the name of the model that it was last loaded for."""
_stuck: set[Path] = set()
"""Damaged folders that cannot be removed."""


class _NotTheSame(Exception):
    """What was saved is not the same when it is loaded."""


def convert_gguf(gguf: Path, folder: Path, name: str, dtype: str = "float32") -> None:
    """Convert a GGUF file to a folder with config, tokenizer and safetensors.

    The folder is loaded once to prove that this gives the same bits of every weight, the same config and the same
    tokenizer as loading the file.

    Args:
        gguf: the file.
        folder: the folder to create.
        name: name of the model, for error messages.
        dtype: dtype of the weights.

    Raises:
        ModelError: the file cannot be loaded, or the converted model is not the same.
        OSError: the folder cannot be written.
    """
    try:
        _convert(gguf, folder, name, dtype)
    except _NotTheSame as error:
        raise ModelError(f"{name_subject(name)}: cannot be converted, {error}") from error


def find_conversion(gguf: Path, name: str, dtype: str | None = None) -> Path | None:
    """Return the folder that a GGUF file was converted to; ``None`` if there is none.

    Args:
        gguf: the file.
        name: name of the model, as the user wrote it.
        dtype: dtype of the weights; ``None`` for any.

    Raises:
        OSError: the file cannot be read.
    """
    for folder, key in _candidates(gguf, dtype):
        if folder not in _stuck and is_whole(folder, key):
            _in_use[folder] = name
            return folder
    return None


def convert_once(gguf: Path, name: str, dtype: str, num_weights: int) -> Path | None:
    """Convert a GGUF file into the user's cache, and say its size, its time and how to remove it.

    Args:
        gguf: the file.
        name: name of the model, as the user wrote it.
        dtype: dtype of the weights.
        num_weights: number of weights in the file.

    Returns:
        The folder; ``None``, after a warning, if the conversion cannot be kept, so that the file has to be loaded.

    Raises:
        ModelError: the file cannot be loaded.
        OSError: the file cannot be read.
    """
    ((folder, key),) = _candidates(gguf, dtype)
    if folder in _stuck:
        return None
    subject, start = name_subject(name), time.monotonic()
    try:
        with making(folder, key, {"gguf": gguf.name}) as temporary:
            needed = num_weights * BYTES_OF[dtype]
            _check_room(needed, folder.parent)
            say_once(f"{subject}: converting it to safetensors, once ({describe_size(needed)})")
            _convert(gguf, temporary / "model", name, dtype)
    except OSError as error:
        _warn(subject, f"{error}; free some space, or set REPORTGEN_CACHE to another folder")
        return None
    except _NotTheSame as error:
        _warn(subject, str(error))
        return None
    say_once(
        f"{subject}: converted in {time.monotonic() - start:.0f} s; {describe_size(size_of(folder))} in {folder}, "
        "which `reportgen models --clear` removes"
    )
    _in_use[folder] = name
    return folder


def drop_damaged(name: str) -> bool:
    """Remove the conversions that a model was loaded from and whose files have changed since, and warn.

    Args:
        name: name of the model, as the user wrote it.

    Returns:
        Whether there was one, so that loading the model again makes sense.
    """
    damaged = [folder for folder, user in _in_use.items() if user == name and is_damaged(folder)]
    for folder in damaged:
        shutil.rmtree(folder, ignore_errors=True)
        del _in_use[folder]
        end = "it is made again"
        if folder.exists():
            _stuck.add(folder)
            end = "remove that folder; until then the GGUF file itself is loaded"
        say_once(f"warning: {name_subject(name)}: its conversion in {folder} is damaged; {end}")
    return bool(damaged)


def _warn(subject: str, reason: str) -> None:
    say_once(
        f"warning: {subject}: its conversion cannot be kept: {reason}; the GGUF file itself is loaded, which takes as "
        "long in each run"
    )


def _candidates(gguf: Path, dtype: str | None = None) -> list[tuple[Path, dict[str, str]]]:
    """Return the folder for a GGUF file and its key, for one dtype or for each."""
    sha256 = hash_file(gguf)
    key = {"sha256": sha256, "transformers": version("transformers"), "gguf package": version("gguf")}
    return [(converted_folder(sha256, each), {**key, "dtype": each}) for each in ([dtype] if dtype else BYTES_OF)]


def _check_room(needed: int, folder: Path) -> None:
    if (free := shutil.disk_usage(folder).free) < 2 * needed:
        raise OSError(
            f"it takes {describe_size(needed)} and has to leave as much free, but {folder} has {describe_size(free)}"
        )


def _convert(gguf: Path, folder: Path, name: str, dtype: str) -> None:
    from safetensors import SafetensorError

    tokenizer, network = _load(name, Source(str(gguf.parent), is_local=True, gguf_file=gguf.name), dtype)
    if not all(weight.is_floating_point() for weight in network.parameters()):
        raise _NotTheSame("its weights stay packed when they are loaded")
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config
    expected = _fingerprint(tokenizer, network)
    try:
        with quiet():
            network.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    except SafetensorError as error:  # as of a full disk
        raise OSError(str(error)) from error
    del tokenizer, network
    try:
        got = _fingerprint(*_load(name, Source(str(folder), is_local=True, is_converted=True), dtype))
    except ModelError as error:
        raise _NotTheSame(f"it cannot be loaded after it was saved: {error}") from error
    if different := [part for part in expected if got[part] != expected[part]]:
        raise _NotTheSame(f"its {' and '.join(different)} would not be the same")


def _load(name: str, source: Any, dtype: str) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    import torch

    from reportgen.models.reading import read_config, read_network, read_tokenizer

    config = read_config(name, source)
    return read_tokenizer(name, source, config), read_network(name, source, config, dtype=getattr(torch, dtype))


def _fingerprint(tokenizer: PreTrainedTokenizerBase, network: PreTrainedModel) -> dict[str, Any]:
    """Return what has to be the same of two loaded models."""
    import torch

    def hash_bits(tensor: torch.Tensor) -> str:
        bits = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
        return f"{tensor.dtype} {tuple(tensor.shape)} {hashlib.sha256(bits.data).hexdigest()}"

    tensors = (*network.named_parameters(), *network.named_buffers())
    config = json.loads(network.config.to_json_string(use_diff=False))
    generation: Any = network.generation_config
    backend: Any = tokenizer.backend_tokenizer
    return {
        "weights": {name: hash_bits(tensor) for name, tensor in tensors},
        "config": {key: value for key, value in config.items() if key not in _SAVED_ANEW},
        "generation config": generation.to_dict(),
        "tokenizer": (
            backend.to_str(),
            dict(tokenizer(_SAMPLE)),
            tokenizer.decode(tokenizer(_SAMPLE)["input_ids"]),
            {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
            (tokenizer.chat_template, tokenizer.padding_side, tokenizer.model_max_length),
        ),
    }
