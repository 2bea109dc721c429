"""Triangles in another order: every code comes back, and there is less to keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unpacking import BOUNDS, unpack_triangles

from reportgen.captures.quantization import quantize_sqrt
from reportgen.pages import triangles
from reportgen.pages.encoding import encode_codes
from reportgen.pages.triangles import CONTEXTS, pack_triangles


@given(st.integers(1, 9), st.integers(1, 3), st.randoms())
def test_codes_come_back(length: int, num_heads: int, random: object) -> None:
    seed = random.randrange(2**32)  # pyright: ignore[reportAttributeAccessIssue]
    drawn = np.random.default_rng(seed).integers(0, 256, (num_heads, length * (length + 1) // 2)).astype(np.uint8)
    assert (unpack_triangles(pack_triangles(drawn), num_heads) == drawn).all()


@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_equal_codes_come_back(value: int) -> None:
    codes = np.full((2, 10), value, np.uint8)
    assert (unpack_triangles(pack_triangles(codes), 2) == codes).all()


def test_what_was_foretold_alike_stands_together() -> None:
    assert CONTEXTS == BOUNDS
    packed = pack_triangles(np.array([[7, 9, 40]], np.uint8))
    # Nothing foretells the first; it foretells what stands beneath it; above the last there is nothing.
    counts = np.frombuffer(packed[: 4 * len(CONTEXTS)], "<u4").tolist()
    assert {CONTEXTS[group]: count for group, count in enumerate(counts) if count} == {0: 1, 7: 1, 2: 1}
    assert packed[4 * len(CONTEXTS) :] == bytes([7, 40, 9])


def test_many_heads_are_packed_as_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.random.default_rng(3).integers(0, 256, (5, 10)).astype(np.uint8)
    at_once = pack_triangles(codes)
    monkeypatch.setattr(triangles, "_CELLS", 20)
    assert pack_triangles(codes) == at_once


def test_patterns_take_less() -> None:
    query_pos, key_pos = np.tril_indices(128)
    noise = np.random.default_rng(7).gamma(4, size=len(key_pos))
    weights = noise * np.exp(-(query_pos - key_pos) / 9) / 40 + 0.5 * (key_pos % 9 == 0)
    codes = quantize_sqrt(weights.astype(np.float32))[None]
    assert len(encode_codes(pack_triangles(codes))) < 0.92 * len(encode_codes(codes.tobytes()))
