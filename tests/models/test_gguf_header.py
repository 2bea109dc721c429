"""Headers of GGUF files that announce more than they hold are refused at once, before a library believes them."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_gguf import write_gguf

from reportgen.models.gguf_header import check_gguf
from reportgen.models.model import load_model_info
from reportgen.records.errors import ModelError

HUGE = 2**60
MEGABYTES = 20
"""Most memory that a check of a small file may take."""


def text(value: bytes) -> bytes:
    """Return a text as a header holds it."""
    return struct.pack("<Q", len(value)) + value


def header(num_tensors: int = 0, num_keys: int = 0, rest: bytes = b"") -> bytes:
    """Return the beginning of a file."""
    return b"GGUF" + struct.pack("<IQQ", 3, num_tensors, num_keys) + rest


def array(kind: int, length: int, rest: bytes = b"") -> bytes:
    """Return a header with one key, which is an array."""
    return header(0, 1, text(b"tokens") + struct.pack("<IIQ", 9, kind, length) + rest)


def tensor(*shape: int, kind: int = 0, offset: int = 0, name: bytes = b"a") -> bytes:
    """Return the description of a tensor."""
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


HOSTILE = {
    "2**60 keys": (header(0, HUGE), "declares 1,152,921,504,606,846,976 values in its header, more than 3,000,000"),
    "2**60 tensors": (header(HUGE), "declares 1,152,921,504,606,846,976 values"),
    "array of 2**60 bytes": (array(0, HUGE), "declares 1,152,921,504,606,846,9.. values"),
    "array of 2**60 texts": (array(8, HUGE), "declares 1,152,921,504,606,846,9.. values"),
    "array longer than the file": (array(6, 1_000_000), "is broken or cut short"),
    "texts longer than the file": (array(8, 1_000_000, b"\0" * 100), "is broken or cut short"),
    "array of arrays": (array(9, 1), "is broken or cut short"),
    "key of 2**60 bytes": (header(0, 1, struct.pack("<Q", HUGE)), "has a string of 1,152,.* bytes in its header"),
    "token of 2**60 bytes": (array(8, 1, struct.pack("<Q", HUGE)), "has a string of 1,152"),
    "value of no known type": (header(0, 1, text(b"a") + struct.pack("<I", 99)), "is broken or cut short"),
    "tensor of 2**32 dimensions": (
        header(1, 0, text(b"a") + struct.pack("<I", 2**32 - 1)),
        "has a tensor of 4,294,967,295 dimensions",
    ),
    "tensor larger than the file": (header(1, 0, tensor(HUGE, HUGE)), "is broken or cut short"),
    "tensor beyond the file": (header(1, 0, tensor(1, offset=HUGE)), "is broken or cut short"),
    "tensor of no known type": (header(1, 0, tensor(1, kind=99)), "is broken or cut short"),
    "tensors on one another": (
        header(100, 0, b"".join(tensor(2_000, name=b"%d" % n) for n in range(100)) + b"\0" * 10_000),
        "has tensors that overlap",
    ),
    "more layers than tensors": (
        header(1, 1, text(b"llama.block_count") + struct.pack("<II", 4, 10**9) + tensor(1) + b"\0" * 40),
        "declares 1,000,000,000 layers and has 1 tensors",
    ),
    "another byte order": (b"GGUF" + struct.pack(">IQQ", 3, 0, HUGE), "declares 1,152"),
    "random": (header() [:8] + b"\1" * 60, "declares 144,680,345,676,153,346 values"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_is_refused_in_little_memory(tmp_path: Path, name: str) -> None:
    path, (content, message) = tmp_path / "a.gguf", HOSTILE[name]
    path.write_bytes(content)
    with pytest.raises(ModelError, match="its .gguf file is broken"):  # imports what it needs, outside of the count
        check_gguf(Path(__file__), "m")
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=f"^model 'm': its .gguf file {message}"):
            check_gguf(path, "m")
        assert tracemalloc.get_traced_memory()[1] < MEGABYTES * 10**6
    finally:
        tracemalloc.stop()
    with pytest.raises(ModelError, match=message):
        load_model_info(str(path))


def test_a_whole_file_passes(tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf")
    check_gguf(tmp_path / "a.gguf", "m")


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    write_gguf(path)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 64, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match="broken or cut short"):
            check_gguf(path, "m")


@settings(max_examples=count("GGUF headers"))
@given(st.data())
def test_a_spoilt_header_passes_or_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.gguf"
    if not path.exists():
        write_gguf(path)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(4, 6_000))] = data.draw(st.sampled_from([0, 1, 8, 9, 0x7F, 0xFF]))
    spoilt = tmp_path / "b.gguf"
    spoilt.write_bytes(whole)
    try:
        check_gguf(spoilt, "m")
    except ModelError as error:
        assert "its .gguf file" in str(error)
