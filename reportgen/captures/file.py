"""Save and load captures: arrays as safetensors, everything else as JSON in the header.

docs/capture-format.md describes the format. The type annotations of the records define what a file may contain, so a
new field needs no code here. Loading a file never executes code from it, because pickle is not used.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from reportgen.files import replacing
from reportgen.records import Prompt
from reportgen.records.errors import CaptureFileError, ReportgenError
from reportgen.records.evidence import EVIDENCE_TYPES, Evidence

KEY = "reportgen.capture"
"""Key of the only entry in a file's metadata; the order of several entries would differ between runs."""
VERSION = 3
MAX_HEADER = 100_000_000
"""Maximum size of a header in bytes, which is the limit of safetensors; 100,000 tokens take half of it."""
_ARRAY = "$array"
"""Key of the mapping that represents an array in JSON; its value is the array's name in the file."""
_NUMBER = "$number"
"""Key of the mapping that represents a number that JSON lacks; its value is a key of ``_NUMBERS``."""
_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_T = TypeVar("_T")
_CONFIG = ConfigDict(arbitrary_types_allowed=True, extra="forbid")


def save_record(record: Any, path: Path, key: str = "") -> None:
    """Write a capture to a file; an existing file is unchanged if this fails.

    ``Capture.save`` documents the arguments.
    """
    arrays: dict[str, NDArray[Any]] = {}
    evidence = {
        name: _adapter(EVIDENCE_TYPES[name].annotation).dump_python([value])[0]
        for name, value in record.evidence.measured.items()
    }
    values = _adapter(type(record)).dump_python([record], warnings=False)[0]
    values["evidence"] = {**evidence, "missing": record.evidence.missing}
    content = {"version": VERSION, "key": key, "capture": _pack(values, "", arrays)}
    metadata = {KEY: json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))}
    with replacing(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, metadata)


def load_record(kind: type[_T], path: Path, check: Callable[[_T], None]) -> tuple[_T, str]:
    """Read a capture and its cache key from a file.

    Args:
        kind: class of the capture.
        path: the file.
        check: raises ``ValueError`` if the fields are inconsistent with one another.

    Returns:
        The capture, and the key that it was saved with.

    Raises:
        CaptureFileError: the file does not exist, is not a capture, is truncated, or has another version of the format.
    """
    with _reading(path):
        _check_header(path)
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is not a mapping)
            content = _read_content(path, file.metadata() or {}, arrays)
        values = content["capture"]
        record = _validate(kind, {**values, "evidence": _read_evidence(values["evidence"])})
        check(record)
        return record, _validate(str, content["key"])


def load_prompt(path: Path) -> Prompt:
    """Read only the prompt of a capture, without its arrays.

    Raises:
        CaptureFileError: as in ``load_record``.
    """
    with _reading(path):
        _check_header(path)
        with safe_open(path, framework="numpy") as file:
            content = _read_content(path, file.metadata() or {}, {})
        return _validate(Prompt, content["capture"]["prompt"])


def load_key(path: Path) -> str:
    """Read only the key that a capture was saved with; empty if the file is not a capture that can be read."""
    try:
        with _reading(path):
            _check_header(path)
            with safe_open(path, framework="numpy") as file:
                return _validate(str, _read_content(path, file.metadata() or {}, {})["key"])
    except CaptureFileError:
        return ""


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn exceptions inside a ``with`` block into errors that name the file."""
    try:
        yield
    except OSError as error:
        raise CaptureFileError(f"{path}: cannot be read, {error.strerror or error}") from error
    except (SafetensorError, EOFError) as error:
        raise CaptureFileError(f"{path}: is not a capture, or is cut short ({error}); build it again") from error
    except CaptureFileError:
        raise
    except (ReportgenError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise CaptureFileError(f"{path}: is not a valid capture: {error}; build it again") from error


def _check_header(path: Path) -> None:
    """Check the length of the header before memory is allocated for it."""
    if path.is_fifo():  # it would be waited for
        raise OSError("it is a pipe, not a file")
    with path.open("rb") as file:
        start = file.read(9)
        size = os.fstat(file.fileno()).st_size
    if len(start) < 9 or start[8:] != b"{":
        raise EOFError("it does not begin like a safetensors file")
    (length,) = struct.unpack("<Q", start[:8])
    if length > min(MAX_HEADER, size - 8):
        raise EOFError(f"its header claims a length of {length:,} bytes")


def _read_content(path: Path, metadata: Mapping[str, str], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    if KEY not in metadata:
        raise CaptureFileError(
            f"{path}: is a safetensors file, but not a capture; name a file written with --keep-captures"
        )

    def unpack(value: dict[str, Any]) -> Any:
        if value.keys() == {_ARRAY}:
            return arrays.get(value[_ARRAY])
        return _NUMBERS[value[_NUMBER]] if value.keys() == {_NUMBER} else value

    content = _validate(dict[str, Any], json.loads(metadata[KEY], parse_constant=_refuse, object_hook=unpack))
    if (version := content.get("version")) != VERSION:
        raise CaptureFileError(
            f"{path}: has version {version!r} of the format, and this reportgen reads version {VERSION}; use the "
            "reportgen that wrote it, or build again with --keep-captures"
        )
    return content


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not valid JSON")


def _read_evidence(values: Mapping[str, Any]) -> Evidence:
    if unknown := values.keys() - {"missing", *EVIDENCE_TYPES}:
        raise ValueError(f"it has evidence called {min(unknown)!r}, which this version of reportgen does not know")
    measured = {name: value for name, value in values.items() if name != "missing"}
    measured = {name: _validate(EVIDENCE_TYPES[name].annotation, value) for name, value in measured.items()}
    return Evidence(missing=_validate(dict[str, str], values["missing"]), **measured)


@cache
def _adapter(annotation: Any) -> TypeAdapter[list[Any]]:
    """Return a converter for lists of an annotated type.

    The type is wrapped in a list because pydantic accepts no config for a dataclass.
    """
    return TypeAdapter(list[annotation], config=_CONFIG)  # pyright: ignore[reportInvalidTypeForm]


def _validate(annotation: Any, value: Any) -> Any:
    """Convert a value to an annotated type.

    Raises:
        ValueError: the value does not have this type; the message names the field and the reason.
    """
    try:
        return _adapter(annotation).validate_python([value])[0]
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}") from error


def _pack(value: Any, name: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return a value in JSON types, and move its arrays to ``arrays`` under dotted names."""
    dot = f"{name}." if name else ""
    match value:
        case np.ndarray():
            arrays[name] = value
            return {_ARRAY: name}
        case float() if not math.isfinite(value):
            return {_NUMBER: str(value)}
        case bool() | int() | float() | str() | None:
            return value
        case Mapping():
            return {str(key): _pack(item, f"{dot}{key}", arrays) for key, item in value.items()}
        case tuple() | list():
            return [_pack(item, f"{dot}{index}", arrays) for index, item in enumerate(value)]
    raise TypeError(f"{name} is a {type(value).__name__}, which a capture file cannot hold")
