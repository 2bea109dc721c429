"""Captures as files: arrays as safetensors, everything else as JSON in the header. docs/capture-format.md describes it.

What a record holds is found by its type annotations, so a new field is written and read without a line here, or, where
its type is unknown here, fails the tests. Nothing in a file is ever run: there is no pickle.
"""

from __future__ import annotations

import json
import math
import os
import struct
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from reportgen.captures.record import Capture
from reportgen.files import replacing
from reportgen.records import Prompt
from reportgen.records.errors import CaptureFileError, ReportgenError
from reportgen.records.evidence import EVIDENCE_TYPES, Evidence, Shape, Sizes

KEY = "reportgen.capture"
"""The one entry of a file's metadata: with two, their order would differ from run to run."""
VERSION = 1
MAX_HEADER = 100_000_000
"""Bytes of a header, of which predictions of 100,000 tokens take half; safetensors takes no larger one."""
_ARRAY = "array"
"""Key of the mapping that stands for an array in JSON; its value is the array's name in the file."""
_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""What JSON has no number for."""


def save_capture(capture: Capture, path: Path, key: str = "") -> None:
    """Write a capture to a file, whole or not at all.

    Args:
        capture: what to write.
        path: the file, by custom ``NAME.safetensors``; one that is there is replaced.
        key: what its page says that it was made from; empty where it says nothing.

    Raises:
        OSError: it cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {}
    content = {"version": VERSION, "key": key, "capture": _encode(capture, "", arrays)}
    metadata = {KEY: json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))}
    with replacing(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, metadata)


def load_capture(path: Path) -> Capture:
    """Read a capture from a file, as ``load_with_key`` does, without its key."""
    return load_with_key(path)[0]


def load_with_key(path: Path) -> tuple[Capture, str]:
    """Read a capture from a file, and the key that it was saved with.

    Args:
        path: the file.

    Returns:
        A capture equal to the one that was saved, to the last bit; and its key.

    Raises:
        CaptureFileError: it is not there, is no capture, is cut short, or is of another version of the format.
    """
    with _reading(path):
        _check_header(path)
        with safe_open(path, framework="numpy") as file:
            content = _read_content(path, file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        capture = cast("Capture", _decode(Capture, content["capture"], arrays))
        _check_shapes(capture)
        return capture, _typed(str, content["key"])


def load_prompt(path: Path) -> Prompt:
    """Read the prompt of a capture alone, without its arrays.

    Raises:
        CaptureFileError: as ``load_with_key``.
    """
    with _reading(path):
        _check_header(path)
        with safe_open(path, framework="numpy") as file:
            content = _read_content(path, file.metadata() or {})
        return cast("Prompt", _decode(Prompt, _typed(dict, content["capture"])["prompt"], {}))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Make of whatever goes wrong an error that names the file."""
    try:
        yield
    except OSError as error:
        raise CaptureFileError(f"{path}: cannot be read, {error.strerror or error}") from error
    except (SafetensorError, EOFError) as error:
        raise CaptureFileError(f"{path}: is no capture, or is cut short ({error}); make it again") from error
    except CaptureFileError:
        raise
    except (ReportgenError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise CaptureFileError(f"{path}: does not hold what a capture must: {error}; make it again") from error


def _check_header(path: Path) -> None:
    """Raise before memory is taken for a header that cannot be."""
    with path.open("rb") as file:
        start = file.read(9)
        size = os.fstat(file.fileno()).st_size
    if len(start) < 9 or start[8:] != b"{":
        raise EOFError("it does not begin as a safetensors file does")
    (length,) = struct.unpack("<Q", start[:8])
    if length > min(MAX_HEADER, size - 8):
        raise EOFError(f"its header would be {length:,} bytes long")


def _read_content(path: Path, metadata: Mapping[str, str]) -> Any:
    if KEY not in metadata:
        raise CaptureFileError(f"{path}: is a safetensors file, but no capture; name a file of --keep-captures")
    content = _typed(dict, json.loads(metadata[KEY], parse_constant=_refuse))
    if (version := content.get("version")) != VERSION:
        raise CaptureFileError(
            f"{path}: has version {version!r} of the format, and this reportgen reads version {VERSION}; take the "
            "reportgen that wrote it, or build again with --keep-captures"
        )
    return content


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _encode(value: Any, name: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return a value as JSON has it, and put its arrays aside under dotted names."""
    match value:
        case np.ndarray():
            arrays[name] = value
            return {_ARRAY: name}
        case bool() | int() | str() | None:
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return {str(key): _encode(item, f"{name}.{key}", arrays) for key, item in value.items()}
        case Evidence():
            return _encode({**value.measured, "missing": value.missing}, name, arrays)
        case tuple() | list():
            return [_encode(item, f"{name}.{place}", arrays) for place, item in enumerate(value)]
    if not is_dataclass(value):
        raise TypeError(f"{name} is a {type(value).__name__}, which no capture file holds")
    dot = f"{name}." if name else ""
    return {item.name: _encode(getattr(value, item.name), dot + item.name, arrays) for item in fields(value)}


def _decode(kind: Any, value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return the value of an annotated type that JSON and arrays stand for."""
    if kind is Any:
        return value
    if kind is Evidence:
        return _decode_evidence(_typed(dict, value), arrays)
    if is_dataclass(kind):
        return _decode_record(cast("type", kind), value, arrays)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(inner, value, arrays)
    if origin is np.ndarray:
        return _decode_array(inner, _typed(dict, value), arrays)
    if origin is tuple:
        return _decode_tuple(inner, _typed(list, value), arrays)
    if origin is Mapping:
        return {key: _decode(inner[1], item, arrays) for key, item in _typed(dict, value).items()}
    if kind is float:
        return _NUMBERS[value] if isinstance(value, str) else float(_typed((int, float), value))
    if kind in (int, str, bool):
        return _typed(kind, value)
    raise TypeError(f"the type {kind} is in no capture file")


def _decode_evidence(value: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Evidence:
    if unknown := value.keys() - {"missing", *EVIDENCE_TYPES}:
        raise ValueError(f"it has evidence called {min(unknown)!r}, which this reportgen does not know")
    kinds = {name: EVIDENCE_TYPES[name].annotation for name in value if name != "missing"}
    measured = {name: _decode(kind, value[name], arrays) for name, kind in kinds.items()}
    return Evidence(missing=_decode(Mapping[str, str], value["missing"], arrays), **measured)


def _decode_record(kind: type, value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    hints, given = _hints(kind), _typed(dict, value)
    if given.keys() != hints.keys():
        raise ValueError(f"a {kind.__name__} has the keys {', '.join(hints)}, got {', '.join(map(str, given))[:200]}")
    return kind(**{name: _decode(hint, given[name], arrays) for name, hint in hints.items()})


def _decode_union(kinds: tuple[Any, ...], value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if value is None and type(None) in kinds:
        return None
    *others, last = [kind for kind in kinds if kind is not type(None)]
    for kind in others:
        try:
            return _decode(kind, value, arrays)
        except (TypeError, ValueError):
            continue
    return _decode(last, value, arrays)


def _decode_array(inner: tuple[Any, ...], value: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    array, expected = arrays[value[_ARRAY]], np.dtype(get_args(inner[1])[0])
    if array.dtype != expected:
        raise ValueError(f"{value[_ARRAY]!r} is {array.dtype}, not {expected}")
    return array


def _decode_tuple(inner: tuple[Any, ...], value: list[Any], arrays: Mapping[str, NDArray[Any]]) -> tuple[Any, ...]:
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple(_decode(inner[0], item, arrays) for item in value)
    return tuple(_decode(kind, item, arrays) for kind, item in zip(inner, value, strict=True))


def _typed(kind: Any, value: Any) -> Any:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError(f"expected {' or '.join(one.__name__ for one in kinds)}, got {type(value).__name__}")
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in fields(cast("Any", kind))}


def _check_shapes(capture: Capture) -> None:
    """Raise where arrays do not fit the tokens, layers and heads that the file names."""
    num_tokens, steps = capture.num_tokens, len(capture.steps)
    grid = (len(capture.layers), len(capture.heads))
    if not 0 < capture.num_prompt_tokens == num_tokens - steps or not all(grid):
        raise ValueError(f"{num_tokens} tokens cannot be {capture.num_prompt_tokens} of a prompt and {steps} generated")
    if len(capture.prompt_predictions) != capture.num_prompt_tokens - 1:
        raise ValueError(f"{len(capture.prompt_predictions)} predictions for {capture.num_prompt_tokens} prompt tokens")
    sizes = Sizes(*grid, num_tokens, steps)
    shapes: list[Shape] = [("attention", capture.attention, (*grid, sizes.num_cells))]
    if capture.sink_mass is not None:
        shapes.append(("sink_mass", capture.sink_mass, (*grid, num_tokens)))
    for kind, value in capture.evidence.measured.items():
        for name, array, shape in EVIDENCE_TYPES[kind].shapes(value, sizes):
            shapes.append((f"evidence.{kind}.{name}".rstrip("."), array, shape))
    for name, array, shape in shapes:
        if array.shape != shape:
            raise ValueError(f"{name!r} has the shape {array.shape}, not {shape}")
