"""Find what a model's name, ``auto`` and the clock in a chat template stand for now, without torch."""

from __future__ import annotations

import ctypes
import json
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reportgen.build.options import CaptureOptions
from reportgen.models.bundled import BUNDLED
from reportgen.models.fingerprint import fingerprint
from reportgen.models.model_source import ADAPTER_CONFIG, find_adapter, find_source
from reportgen.models.source import Source
from reportgen.records.errors import ModelError

_TEMPLATES = ("chat_template*", "tokenizer_config.json", "additional_chat_templates/*")
_CLOCK = re.compile(r"""strftime_now\s*\(\s*(?:\\?(['"])([^'"\\]*)\\?\1)?""")
"""A call in a template that writes the time, with its format if that is a literal."""


@dataclass(frozen=True)
class ResolvedModel:
    """What the request for a model stands for; with the prompt, it decides all numbers of a page.

    Attributes:
        fingerprint: fingerprint of the files of the model and the adapter.
        device: kind of the device, such as ``cuda``.
        dtype: number format of the weights.
        clock: the time as the chat templates write it now; empty if they do not.
    """

    fingerprint: str
    device: str
    dtype: str
    clock: tuple[str, ...] = ()


def resolve_model(model: str, adapter: str, capturing: CaptureOptions, auto_device: str) -> ResolvedModel | None:
    """Find what the request for a model stands for; nothing is downloaded.

    Args:
        model: name of the model, as in ``load_model``.
        adapter: name of the adapter; empty for none.
        capturing: how the model is loaded.
        auto_device: kind of the device that ``auto`` takes, as returned by ``find_auto_device``.

    Returns:
        What it stands for; ``None`` if the files are unknown: the model is in memory, or is not on this machine yet.
    """
    files = "" if capturing.model is not None else fingerprint(model, adapter)
    if not files:
        return None
    device = auto_device if capturing.device == "auto" else capturing.device.partition(":")[0]
    folders = [*_find_folders(model, adapter)]
    dtype = capturing.dtype if capturing.dtype != "auto" else _find_dtype(folders[0] if folders else None, device)
    return ResolvedModel(files, device, dtype, _read_clock(folders))


@cache
def find_auto_device() -> str:
    """Return the kind of device that ``auto`` takes on this machine: ``cuda``, ``mps`` or ``cpu``.

    The driver is asked instead of torch, which takes seconds to import. If torch cannot use a device that the driver
    has, the answer is wrong, but the same in every run.
    """
    if sys.platform == "darwin":
        return "mps" if platform.machine() == "arm64" else "cpu"
    build = version("torch").partition("+")[2]
    if build.startswith("rocm"):
        return "cuda" if Path("/dev/kfd").exists() else "cpu"
    count = ctypes.c_int(0)
    with suppress(OSError, AttributeError):
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        if build != "cpu" and driver.cuInit(0) == 0:
            driver.cuDeviceGetCount(ctypes.byref(count))
    return "cuda" if count.value else "cpu"


def _find_folders(model: str, adapter: str) -> Iterator[Path]:
    """Yield the folders on this machine that hold the files of a model and its adapter."""
    if model not in BUNDLED:  # their configs are known, and they may not be on this machine yet
        with suppress(ModelError, OSError):
            source = find_source(model)
            yield from _find_folder(source, source.gguf_file or "config.json")
    if adapter:
        with suppress(ModelError, OSError):
            yield from _find_folder(find_adapter(adapter, model), ADAPTER_CONFIG)


def _find_folder(source: Source, known_file: str) -> Iterator[Path]:
    if source.is_local:
        yield Path(source.repo)
        return
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(source.repo, known_file, revision=source.revision)
    if isinstance(path, str):
        yield Path(path).parents[known_file.count("/")]


def _find_dtype(folder: Path | None, device: str) -> str:
    """Return the dtype that ``auto`` takes, by the rule of ``load_model``; models without a config have float32."""
    config = _read_json(folder / "config.json") if folder else {}
    inner = config.get("text_config")
    stored = next((each[key] for each in (config, inner) if isinstance(each, Mapping)
                   for key in ("dtype", "torch_dtype") if each.get(key)), "float32")  # fmt: skip
    widened = device == "cpu" and "quantization_config" not in config
    return "float32" if widened else str(stored).removeprefix("torch.")


def _read_json(path: Path) -> Mapping[str, Any]:
    with suppress(OSError, ValueError):
        content = json.loads(path.read_text("utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


def _read_clock(folders: list[Path]) -> tuple[str, ...]:
    """Return the time in every format in which the chat templates in some folders write it."""
    files = (path for folder in folders for pattern in _TEMPLATES for path in folder.glob(pattern))
    formats = {match[2] or "%c" for path in files if path.is_file() for match in _CLOCK.finditer(_read_text(path))}
    return tuple(datetime.now().astimezone().strftime(form) for form in sorted(formats))


def _read_text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text("utf-8", errors="replace")
    return ""
