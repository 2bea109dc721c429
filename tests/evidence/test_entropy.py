"""Attention entropy of each head and query."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from families import captured
from samples import make_pattern
from unpacking import decode_bytes

from reportgen.build.capture import capture
from reportgen.evidence.collectors import COLLECTORS
from reportgen.evidence.collectors.entropy import EntropyCollector
from reportgen.evidence.kinds import KINDS
from reportgen.evidence.traced_run import KindCollector
from reportgen.instrumentation.observer import RowTrace
from reportgen.models.model import LoadedModel
from reportgen.pages.evidence_blocks import describe_evidence, make_evidence_blocks
from reportgen.records import Prompt
from reportgen.records.selection import parse_selection


class Text:
    """As much of a run as entropy asks for."""

    layers, heads, token_ids = (0,), [0, 1], [0] * 4


@pytest.mark.parametrize("blocks", [[(0, 4)], [(2, 4), (0, 2)], [(0, 1), (1, 2), (2, 3), (3, 4)]])
def test_rows_may_come_in_any_blocks(blocks: list[tuple[int, int]]) -> None:
    """One key has no entropy; n keys alike have that of n."""
    patterns = np.stack([make_pattern("self", 4), make_pattern("uniform", 4)]).astype(np.float32)
    collector = EntropyCollector(Text())  # pyright: ignore[reportArgumentType]
    for first, last in blocks:
        weights = torch.from_numpy(patterns[:, first:last, :last])
        collector.see_rows(RowTrace(0, torch.nn.Identity(), torch.float32, first, weights))
    entropy = collector.finish()
    assert entropy is not None
    assert entropy[0] == pytest.approx(np.array([[0] * 4, np.log([1, 2, 3, 4])]), abs=1e-6)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_oss", "gemma3_text", "opt", "bloom"])
def test_entropy_is_that_of_the_weights(family: str) -> None:
    made = captured(family)
    assert made.evidence.entropy.shape == (len(made.layers), len(made.heads), made.num_tokens)
    for row, layer in enumerate(made.layers):
        for column, head in enumerate(made.heads):
            weights = made.attention[layer, head].astype(np.float64)
            expected = -(weights * np.log(np.where(weights > 0, weights, 1))).sum(-1)
            assert made.evidence.entropy[row, column] == pytest.approx(expected, abs=5e-3)  # weights are float16


def test_only_selected_heads_are_kept(tiny_llama: LoadedModel) -> None:
    prompt = Prompt("The cat ate", max_new_tokens=2)
    everything = capture(tiny_llama, prompt).evidence.entropy
    some = replace(prompt, layers=parse_selection("0,2"), heads=parse_selection("1,3"))
    assert np.allclose(capture(tiny_llama, some).evidence.entropy, everything[[0, 2]][:, [1, 3]], atol=1e-6)


def test_page_holds_it_to_a_part_in_65535_of_its_largest() -> None:
    made = captured("llama")
    codes = np.frombuffer(decode_bytes(make_evidence_blocks(made)["entropy"]), "<u2")
    largest = describe_evidence(made)["entropy"]["largest"]
    assert codes / 65535 * largest == pytest.approx(made.evidence.entropy.ravel(), abs=largest / 65535)


def test_every_kind_is_documented_where_it_has_a_definition() -> None:
    for kind in KINDS:
        for definition in kind.definitions:
            assert definition.title
            assert definition.source
            assert definition.caution


def test_each_kind_has_one_collector() -> None:
    assert COLLECTORS.keys() == {kind.name for kind in KINDS}
    ours = [found for found in KindCollector.__subclasses__() if found.__module__.startswith("reportgen.")]
    assert len(ours) == len(KINDS)
