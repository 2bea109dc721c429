"""What a comparison shows of the evidence of both sides, and what it keeps of it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from html_tree import parse_html
from samples import make_capture

from reportgen.captures.record import Capture
from reportgen.pages.alignment import slim
from reportgen.pages.compare import draw_comparison
from reportgen.pages.pair_evidence import LISTED, find_pair_evidence
from reportgen.records import Comparison
from reportgen.records.evidence import Evidence


def make_sides() -> tuple[Capture, Capture]:
    """Return two captures of which the second has other effects and ablations."""
    first, second = make_capture(), make_capture(("A", " dog", " ate", " the", " mat"), slug="dog", title="A dog")
    known = second.evidence
    assert known.attribution is not None
    draws = np.random.default_rng(5)
    heads = draws.normal(size=known.attribution.heads.shape).astype(np.float32)
    changes = {name: draws.normal(size=values.shape).astype(np.float32) for name, values in known.ablations.items()}
    evidence = known.replace(attribution=replace(known.attribution, heads=heads), ablations=changes)
    return slim(first, 16), slim(replace(second, evidence=evidence), 16)


def test_heads_with_the_largest_differences_come_first() -> None:
    first, second = make_sides()
    found = find_pair_evidence((first, second))
    assert found is not None
    assert found.tables[0].title == "effect on its own token"
    ours, theirs = (side.evidence.attribution.heads[0, 0] for side in (first, second))
    for table, gap in zip(
        found.tables,
        (ours - theirs, first.evidence.ablations["ablation"][0] - second.evidence.ablations["ablation"][0]),
        strict=True,
    ):
        order = np.argsort(-np.abs(gap), axis=None, kind="stable")[:LISTED]
        values = [float(row[4].replace("−", "-")) for row in table.rows]
        assert np.abs(values) == pytest.approx(np.abs(gap).ravel()[order], abs=0.006)
        layer, head, *texts = table.rows[0]
        assert float(texts[2].replace("−", "-")) == pytest.approx(gap[layer, head], abs=0.006)


def test_lens_has_the_probability_of_the_own_token() -> None:
    first, second = make_sides()
    found = find_pair_evidence((first, second))
    assert found is not None
    assert [row.layer for row in found.lens] == list(first.evidence.lens.layers)[::-1]
    whole = 100 * math.exp(first.evidence.lens.logprobs[-1, 0])
    assert float(found.lens[0].probs[0].removesuffix(" %").lstrip("<")) == pytest.approx(whole, abs=0.6)


def test_fold_is_on_the_page_where_both_sides_have_evidence() -> None:
    sides, comparison = make_sides(), Comparison(("a", "b"), "A beside B", "ab")
    assert parse_html(draw_comparison(comparison, *sides)[0]).find("details", id="evidence")
    bare = replace(sides[1], evidence=Evidence())
    assert not parse_html(draw_comparison(comparison, sides[0], bare)[0]).find("details", id="evidence")


def test_reasons_for_what_is_missing_are_told() -> None:
    first, second = make_sides()
    lacking = Evidence(
        missing={"attribution": "it has no final norm"}, lens=second.evidence.lens, ablations=second.evidence.ablations
    )
    found = find_pair_evidence((first, replace(second, evidence=lacking)))
    assert found is not None
    assert found.missing == ["B has no attribution: it has no final norm"]
    assert [table.unit for table in found.tables] == ["nats"]
