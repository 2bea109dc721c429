"""Captures on disk: every field comes back to the last bit, and no other file is taken for one."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from counts import count
from hostile import HOSTILE_STRINGS
from hypothesis import given, settings
from hypothesis import strategies as st
from root import ROOT
from safetensors.numpy import load_file, save_file
from samples import make_capture

from reportgen.build.capture import capture as run
from reportgen.captures.file import KEY, MAX_HEADER, VERSION
from reportgen.captures.record import Capture
from reportgen.models.model import LoadedModel
from reportgen.pages.page import render_page
from reportgen.records import LayerType, Prompt, SourceLocation
from reportgen.records.errors import CaptureFileError
from reportgen.records.evidence import EVIDENCE_TYPES, Evidence
from reportgen.records.selection import Selection


def assert_same(one: Any, other: Any, where: str = "capture") -> None:
    """Check that two values are the same in every field, those that equality passes over included."""
    assert type(one) is type(other) or isinstance(one, Mapping), where
    if isinstance(one, np.ndarray):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes()), where
    elif isinstance(one, Evidence):
        assert_same((one.measured, one.missing), (other.measured, other.missing), where)
    elif is_dataclass(one):
        for item in fields(one):
            assert_same(getattr(one, item.name), getattr(other, item.name), f"{where}.{item.name}")
    elif isinstance(one, Mapping):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, tuple | list):
        assert len(one) == len(other), where
        for place, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}[{place}]")
    else:
        assert one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other)), where


def there_and_back(capture: Capture, folder: Path) -> Capture:
    """Save a capture and load it again."""
    capture.save(folder / "a.safetensors")
    return Capture.load(folder / "a.safetensors")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(HOSTILE_STRINGS)


@settings(max_examples=30)
@given(
    st.lists(TEXT, min_size=1, max_size=5), st.lists(TEXT, max_size=3), TEXT,
    st.floats(width=32), st.booleans(), st.sampled_from([np.float16, np.uint8]),
)  # fmt: skip
def test_every_field_comes_back(
    tmp_path: Path, texts: list[str], generated: list[str], word: str, number: float, flag: bool, dtype: type
) -> None:
    made = make_capture(tuple(texts), tuple(generated), title=word.strip(), tags=(f"#{word}",), note=word.strip())
    temperature = abs(number) + 1 if flag and math.isfinite(number) else None
    prompt = replace(
        made.prompt, layers=Selection(((0, 1), (-1, -1))), add_special_tokens=flag, evidence=("ablation",),
        generation=replace(made.prompt.generation, do_sample=flag, temperature=temperature, top_k=3 if flag else None),
        place=SourceLocation("p.yaml", 3, {"text": 4}, {"model": "--model"}),
    )  # fmt: skip
    predictions = tuple(replace(one, logprob=-math.inf, entropy=number) for one in made.prompt_predictions)
    full = replace(
        made, prompt=prompt, prompt_predictions=predictions, versions={word: word, "z": "1", "a": "2"},
        triangles=(made.triangles * 200).astype(dtype), layer_types=(LayerType(0, window=3, note=word), LayerType(1)),
        model=replace(made.model, features=(word,), context_window=None),
        sink_mass=np.full((3, 4, made.num_tokens), number, np.float32),
        evidence=made.evidence.replace(missing={"lens": word}),
    )  # fmt: skip
    assert_same(there_and_back(full, tmp_path), full)
    assert_same(there_and_back(replace(full, sink_mass=None, evidence=Evidence()), tmp_path).evidence, Evidence())


def test_a_chat_with_tools_comes_back(tmp_path: Path) -> None:
    tools = ({"type": "function", "function": {"name": "f", "parameters": {"n": [1, 2.5, None, True, math.inf]}}},)
    messages = ({"role": "user", "content": "Rain?"},)
    made = make_capture()
    variables = {"date_string": "26 Jul 2024", "enable_thinking": False}
    prompt = Prompt(messages=messages, tools=tools, chat_template_kwargs=variables, slug="chat", title="Chat")
    assert_same(there_and_back(replace(made, prompt=prompt), tmp_path).prompt, prompt)


def test_a_real_capture_comes_back_and_gives_the_same_page(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    prompt = Prompt("The cat ate", slug="cat", title="Cat", max_new_tokens=3, evidence=("ablation", "mean-ablation"))
    made = run(tiny_llama, prompt)
    loaded = there_and_back(made, tmp_path)
    assert_same(loaded, made)
    assert render_page(loaded) == render_page(made)
    made.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def field_names(kind: Any, seen: set[Any]) -> set[str]:
    """Return the fields of a record and of all records in it, as ``Record.field``."""
    if not (is_dataclass(kind) or kind is Evidence) or kind in seen:
        return set().union(*(field_names(inner, seen) for inner in getattr(kind, "__args__", ())))
    seen.add(kind)
    if kind is Evidence:
        kinds = {name: held.annotation for name, held in EVIDENCE_TYPES.items()}
        names = {f"Evidence.{name}" for name in (*kinds, "missing")}
        return names.union(*(field_names(held, seen) for held in kinds.values()))
    hints = get_type_hints(kind)
    names = {f"{kind.__name__}.{name}" for name in hints}  # pyright: ignore[reportAttributeAccessIssue]
    return names.union(*(field_names(hint, seen) for hint in hints.values()))


def test_the_format_is_described_field_by_field() -> None:
    """A new field makes a new version, or at least a line in the document."""
    described = (ROOT / "docs" / "capture-format.md").read_text("utf-8")
    missing = [name for name in sorted(field_names(Capture, set())) if f"`{name}`" not in described]
    assert missing == []
    assert f"version `{VERSION}`" in described


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file of a capture, to be spoilt."""
    make_capture().save(tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def rewrite(path: Path, content: str, key: str = KEY) -> None:
    """Write the file of a capture anew with other metadata."""
    save_file(load_file(path), path, {key: content})


def content_of(path: Path) -> str:
    """Return the JSON of a file."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length])["__metadata__"][KEY]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"version":1}', "has version 1 of the format, and this reportgen reads version 3; use the reportgen that"),
        ('{"version":"1"}', "has version '1' of the format"),
        ("{}", "has version None of the format"),
        ("{", "is not a valid capture"),
        ("[]", "Input should be a valid dictionary"),
        ('{"version":3}', "is not a valid capture: 'capture'"),
        ('{"version":3,"key":"","capture":{}}', "'evidence'"),
        ("[" * 100_000, "is not a valid capture"),
        ("NaN", "NaN is not valid JSON"),
    ],
)
def test_another_header_is_told(path: Path, content: str, message: str) -> None:
    rewrite(path, content)
    with pytest.raises(CaptureFileError, match=rf"a\.safetensors: .*{message}"):
        Capture.load(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"num_prompt_tokens":5', '"num_prompt_tokens":4', "8 tokens cannot be 4 prompt tokens and 3 generated"),
        ('"num_prompt_tokens":5', '"num_prompt_tokens":"x"', "num_prompt_tokens: Input should be a valid integer"),
        ('"num_prompt_tokens":5', '"num_prompt_token":5', "num_prompt_tokens: Field required"),
        (
            '"layers":[0,1,2],"heads"',
            '"layers":[0,1],"heads"',
            r"'triangles' is float16 \(3, 4, 36\), not float16 \(2, 4,",
        ),
        ('{"$array":"triangles"}', '{"$array":"gone"}', "triangles.*: Input should be an instance of ndarray"),
        ('{"$array":"triangles"}', '{"$array":"evidence.rollout"}', r"'triangles' is float32 \(36,\), not float16"),
        ('"text":" cat"', '"text":3', r"tokens\.1\.text: Input should be a valid string"),
        ('"slug":"cat"', '"slugs":"cat"', r"prompt\.slugs: Unexpected keyword argument"),
        ('"max_new_tokens":3', '"max_new_tokens":-3', "max_new_tokens must be greater than or equal to 0"),
    ],
)
def test_content_that_is_no_capture_is_told(path: Path, old: str, new: str, message: str) -> None:
    content = content_of(path)
    assert old in content
    rewrite(path, content.replace(old, new, 1))
    with pytest.raises(CaptureFileError, match=rf"a\.safetensors: is not a valid capture: .*{message}"):
        Capture.load(path)


def test_arrays_of_something_else_are_told(path: Path) -> None:
    rewrite(path, content_of(path), "format")
    with pytest.raises(CaptureFileError, match=r"a\.safetensors: is a safetensors file, but not a capture; name a"):
        Capture.load(path)


def test_a_file_cut_short_anywhere_is_told(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(0, len(whole), 1_009):
        path.write_bytes(whole[:length])
        with pytest.raises(CaptureFileError, match=r"a\.safetensors: is not a capture, or is cut short"):
            Capture.load(path)


@pytest.mark.parametrize(
    "content", [b"", b"PK\3\4", b"\x80\x04\x95", struct.pack("<Q", 2**60) + b"{}", struct.pack("<Q", MAX_HEADER) + b"{"]
)
def test_another_file_is_told(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CaptureFileError, match="is not a capture, or is cut short"):
        Capture.load(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CaptureFileError, match="gone: cannot be read, No such file"):
        Capture.load(tmp_path / "gone")
    with pytest.raises(CaptureFileError, match="cannot be read, Is a directory"):
        Capture.load(tmp_path)


@settings(max_examples=count("capture files"))
@given(st.data())
def test_a_spoilt_file_is_told_or_loads(path: Path, data: st.DataObject) -> None:
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    spoilt = path.with_name("spoilt")
    spoilt.write_bytes(whole)
    try:
        Capture.load(spoilt)
    except CaptureFileError as error:
        assert str(error).startswith(f"{spoilt}: ")


def test_an_old_file_stays_where_the_new_one_cannot_be_written(path: Path) -> None:
    before = path.read_bytes()
    broken = replace(make_capture(), versions={"a": object()})  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"versions\.a is a object, which a capture file cannot hold"):
        broken.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["a.safetensors"]
