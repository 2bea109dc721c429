"""Captures, and their evidence, compare with ``==``: by value, arrays bit by bit."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from samples import make_capture

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.models.model import LoadedModel
from reportgen.records import Prompt
from reportgen.records.equality import is_equal
from reportgen.records.evidence import EVIDENCE_TYPES, Evidence


def test_equal_captures_are_equal(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    prompt = Prompt(text="The cat sat", max_new_tokens=2)
    first, second = capture(tiny_llama, prompt), capture(tiny_llama, prompt)
    assert first == first  # noqa: PLR0124
    assert first == second
    assert (first.evidence == second.evidence, first.evidence.lens == second.evidence.lens) == (True, True)
    assert first.evidence.attribution == second.evidence.attribution
    first.save(tmp_path / "a.safetensors")
    assert Capture.load(tmp_path / "a.safetensors") == first
    assert pickle.loads(pickle.dumps(first)) == first
    assert first != capture(tiny_llama, replace(prompt, text="The dog sat"))
    assert (first == "a capture", first.evidence == None, first.evidence.lens == 3) == (False, False, False)  # noqa: E711


def test_another_number_anywhere_makes_them_differ() -> None:
    one = make_capture()
    for item in fields(Capture):
        value = getattr(one, item.name)
        if isinstance(value, np.ndarray):
            changed = value.copy()
            changed.flat[-1] += 1
            assert replace(one, **{item.name: changed}) != one
            assert replace(one, **{item.name: value.astype(np.float64)}) != one
    scores = {name: array.copy() for name, array in one.evidence.scores.items()}
    assert replace(one, evidence=one.evidence.replace(scores=scores)) == one
    next(iter(scores.values())).flat[0] += 1
    assert replace(one, evidence=one.evidence.replace(scores=scores)) != one
    assert replace(one, evidence=Evidence()) != one
    assert one.evidence.replace(missing={"lens": "why"}) != one.evidence


@pytest.mark.parametrize("name", ["lens", "attribution"])
def test_evidence_with_arrays_compares(name: str) -> None:
    value = make_capture().evidence.measured[name]
    assert name in EVIDENCE_TYPES
    assert value == replace(value)
    for item in fields(value):
        array = getattr(value, item.name)
        if isinstance(array, np.ndarray) and array.size:
            changed = array.copy()
            changed.flat[0] = changed.flat[0] + 1
            assert replace(value, **{item.name: changed}) != value


def test_what_is_undefined_is_equal() -> None:
    """As scores of texts without repeats are."""
    one = make_capture()
    undefined = {name: np.full_like(array, np.nan) for name, array in one.evidence.scores.items()}
    evidence = [one.evidence.replace(scores=dict(undefined)) for _ in range(2)]
    assert evidence[0] == evidence[1] != one.evidence
    assert is_equal((float("nan"), 1.0), (float("nan"), 1.0))
    assert not is_equal(float("nan"), 1.0)
    assert not is_equal(True, 1)


def test_captures_cannot_be_keys() -> None:
    """Arrays may change, so that there is no hash."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(make_capture())
