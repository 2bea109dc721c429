"""Blocks of evidence: what goes in comes out, within what the codes can hold."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from samples import make_capture
from unpacking import decode_bytes

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.ablation import ABLATIONS
from reportgen.evidence.kinds.attribution import SOURCE_THRESHOLD
from reportgen.pages.evidence_blocks import (
    describe_evidence,
    encode_sources,
    list_grids,
    list_heatmap_modes,
    make_evidence_blocks,
)
from reportgen.records.evidence import Evidence


def numbers_of(block: str, kind: str) -> np.ndarray:
    """Return what a block holds as numbers of a type."""
    return np.frombuffer(decode_bytes(block), kind)


def with_attribution(capture: Capture, **changes: Any) -> Capture:
    """Return the capture with its attribution changed."""
    assert capture.evidence.attribution
    changed = replace(capture.evidence.attribution, **changes)
    return replace(capture, evidence=capture.evidence.replace(attribution=changed))


def with_evidence(evidence: Evidence) -> Capture:
    """Return the sample with other evidence."""
    return replace(make_capture(), evidence=evidence)


def test_modes_are_what_there_is_evidence_for() -> None:
    evidence = make_capture().evidence
    assert evidence.attribution
    assert list_heatmap_modes(with_evidence(evidence)) == ["weight", "weighted", "attribution"]
    assert list_heatmap_modes(with_evidence(evidence.replace(value_norms=None))) == ["weight", "attribution"]
    without = replace(evidence.attribution, sources=None)
    assert list_heatmap_modes(with_evidence(evidence.replace(attribution=without))) == ["weight", "weighted"]
    assert list_heatmap_modes(with_evidence(Evidence())) == ["weight"]


def test_metrics_are_contrasts_and_ablations() -> None:
    evidence = make_capture().evidence
    zero, mean = (kind.name for kind in ABLATIONS[:2])
    ablations = {mean: evidence.ablations[zero], zero: evidence.ablations[zero]}
    assert list(list_grids(with_evidence(evidence.replace(ablations=ablations)))) == [
        "attribution", "attribution-mean", "runner-up-1", "runner-up-2", zero, mean,
    ]  # fmt: skip
    assert list(list_grids(with_evidence(evidence.replace(attribution=None)))) == [zero]
    assert list_grids(with_evidence(Evidence())) == {}


def test_nothing_known_makes_no_block() -> None:
    bare = replace(make_capture(), evidence=Evidence(scores={"sink": np.zeros((3, 4))}, missing={"lens": "why"}))
    assert make_evidence_blocks(bare) == {}
    assert list(encode_sources(bare)) == [None] * 3


@pytest.mark.parametrize("generated", [(), (".", " And")])
def test_each_kind_of_evidence_has_its_block(generated: tuple[str, ...]) -> None:
    blocks = make_evidence_blocks(make_capture(generated=generated))
    assert list(blocks) == [
        "evidence",
        *["grids"] * bool(generated),
        "norms",
        *["read"] * bool(generated),
        "rollout",
        "entropy",
    ]


def grids_of(capture: Capture) -> np.ndarray:
    """Return the numbers of the block of grids, put together from their halves."""
    high, low = numbers_of(make_evidence_blocks(capture)["grids"], np.uint8).reshape(2, -1).astype(np.int32)
    return (high << 8 | low).astype(np.int16)


def test_grids_come_back_to_a_part_in_32767_of_their_largest() -> None:
    capture = make_capture(layers=(2, 5), heads=(1, 3))
    codes = grids_of(capture).reshape(5, 3, 2, 2)
    scales = describe_evidence(capture)["grid_scales"]
    for number, (name, grid) in enumerate(list_grids(capture).items()):
        scale = np.array(scales[name])[:, None, None]
        assert codes[number] / 32767 * scale == pytest.approx(grid, abs=float(scale.max()) / 32767)


def test_withheld_step_has_no_values() -> None:
    capture = make_capture()
    assert capture.evidence.attribution
    heads = capture.evidence.attribution.heads.copy()
    heads[:, 1] = np.nan
    withheld = with_attribution(capture, heads=heads, logits=heads.sum((2, 3)))
    codes = grids_of(withheld).reshape(5, 3, 3, 4)
    assert (codes[:4, 1] == -32768).all()
    assert (codes[:4, [0, 2]] > -32768).all()
    described = describe_evidence(withheld)
    assert described["grid_scales"]["attribution"][1] == 0
    assert described["attribution"]["logits"][0][1] is None
    json.dumps(described, allow_nan=False)


def test_sources_come_back_with_their_signs() -> None:
    capture = make_capture(("a", "b"), ("c", "d"), layers=(0, 1), heads=(0, 1))
    # Rows of 2 and 3 keys; the strongest cell of a step is in either layer.
    sources = np.array([[[4, -1, 1, 0, 0]] * 2, [[0, 0, -2, 0.001, 0.5]] * 2], np.float32)
    given = with_attribution(capture, sources=sources)
    assert describe_evidence(given)["source_scales"] == [4, 2]
    codes = [numbers_of(block or "", "i1").tolist() for block in encode_sources(given)]
    assert codes[0] == [127, -64, 90, 0, 0] * 2
    assert codes[1] == [0, 0, -127, 0, 64] * 2


def test_small_sources_are_left_out_and_undefined_ones_marked() -> None:
    capture = make_capture(("a", "b"), ("c",), layers=(0,), heads=(0,))
    for small, code in ((0.9 * SOURCE_THRESHOLD, 0), (1.1 * SOURCE_THRESHOLD, 4), (np.nan, -128)):
        given = with_attribution(capture, sources=np.array([[[1, small]]], np.float32))
        assert [numbers_of(block or "", "i1").tolist() for block in encode_sources(given)] == [[127, code]]


def test_sources_of_nothing_are_nothing() -> None:
    capture = make_capture(("a", "b"), ("c",), layers=(0,), heads=(0,))
    given = with_attribution(capture, sources=np.zeros((1, 1, 2), np.float32))
    assert [numbers_of(block or "", "i1").tolist() for block in encode_sources(given)] == [[0, 0]]


def test_norms_have_a_scale_for_each_head() -> None:
    capture = make_capture(("a", "b"), (), layers=(0,), heads=(0, 1))
    norms = np.array([[[1, 4], [0, 0]]], np.float32)
    given = replace(capture, evidence=Evidence(value_norms=norms))
    assert describe_evidence(given)["norm_scales"] == [[4, 0]]
    assert numbers_of(make_evidence_blocks(given)["norms"], "<u2").tolist() == [32768, 65535, 0, 0]


def test_rollout_is_finer_than_attention() -> None:
    capture = make_capture(("a", "b"), ())
    given = replace(capture, evidence=Evidence(rollout=np.array([1, 1 - 1e-6, 1e-6], np.float32)))
    codes = numbers_of(make_evidence_blocks(given)["rollout"], "<u2")
    assert (codes / 65535) ** 2 == pytest.approx([1, 1, 1e-6], rel=0.02)


def test_parts_are_described_by_contrast_and_step() -> None:
    capture = make_capture()
    told = describe_evidence(capture)["attribution"]
    assert [[token[1] for token in runners_up] for runners_up in told["runners_up"]] == [["␣dog", "␣hat"]] * 3
    names = ("heads", "other_heads", "other_parts_sum", "embedding", "biases", "rounding")
    assert sum(np.array(told[name]) for name in names) == pytest.approx(np.array(told["logits"]), abs=1e-5)
    assert np.array(told["other_parts"]).shape == (4, 3, 3)
    account = np.array(told["logits"])[0] + told["soft_cap"] - np.array(told["entropy"])
    assert account == pytest.approx(np.array(told["log_odds"]), abs=1e-5)


def test_tokens_read_have_full_precision() -> None:
    capture = make_capture()
    attribution = capture.evidence.attribution
    assert attribution
    assert (numbers_of(make_evidence_blocks(capture)["read"], "<f4") == attribution.read).all()


def test_lens_is_described_by_layer_and_step() -> None:
    told = describe_evidence(make_capture())["lens"]
    assert told["ranks"] == [[3] * 3, [2] * 3, [1] * 3]
    assert [best[1] for best in told["best"][2]] == [".", "␣And", "␣the"]
    assert np.exp(told["logprobs"]) == pytest.approx(np.array([[0.25] * 3, [0.5] * 3, [0.75] * 3]), rel=1e-4)
