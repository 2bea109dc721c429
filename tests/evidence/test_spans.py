"""Weights and effects by span are the sums of cells, in plain NumPy."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from families import make_network
from samples import make_capture, make_random
from tiny import make_tokenizer

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.evidence.kinds.attribution import list_rows
from reportgen.evidence.kinds.spans import SpanReads, sum_effects, sum_read
from reportgen.models.model import wrap_model
from reportgen.pages.data_tables import make_tables
from reportgen.pages.sentences import to_text
from reportgen.records import Prompt, Span

TEXT = "so the code is 4217. What is the code?"
SPANS = {"needle": "code is 4217", "question": "What is the code?"}


@cache
def captured(family: str, **spans: str) -> Capture:
    model = wrap_model(make_network(family), make_tokenizer(), name=family)
    return capture(model, Prompt(TEXT, spans=spans or SPANS, max_new_tokens=3, layers="1", heads="0, 2"))  # pyright: ignore


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "gpt_oss", "bloom"])
def test_weights_are_means_of_sums_of_cells(family: str) -> None:
    """Also with sliding windows, learned sinks, and weights of a second pass."""
    made = captured(family)
    found = made.evidence.spans
    assert found.shape == (1, 2, 3, 4)
    named = [set(range(span.first, span.last + 1)) for span in made.spans]
    keys = [*named, set(range(made.num_tokens)) - set.union(*named)]
    for column, head in enumerate(made.heads):
        pattern = made.attention[1, head]
        for row, queries in enumerate(named):
            for cell, others in enumerate(keys):
                sums = [sum(pattern[query, key] for key in others if key <= query) for query in sorted(queries)]
                value = found[0, column, row, cell]
                if min(others) > max(queries):
                    assert np.isnan(value)
                else:
                    assert value == pytest.approx(np.mean(sums), abs=1e-3)


def test_retrieval_is_the_weight_of_the_question_on_the_needle() -> None:
    made = captured("llama")
    assert np.allclose(made.evidence.scores["retrieval"], made.evidence.spans[:, :, 1, 0], atol=1e-6)
    assert "retrieval" not in captured("llama", needle="code is 4217").evidence.scores
    behind = captured("llama", question="code is 4217", needle="What is the code?")
    assert np.isnan(behind.evidence.scores["retrieval"]).all()


def test_effects_are_sums_of_cells() -> None:
    spans = (Span("a", 0, 1), Span("b", 1, 3), Span("generated", 6, 13))
    made = replace(make_random(num_layers=3), spans=spans)
    attribution = made.evidence.attribution
    assert attribution is not None
    assert attribution.sources is not None
    assert attribution.read is not None
    effects, read = sum_effects(made), sum_read(made)
    assert effects is not None
    assert read is not None
    assert effects.shape == (8, 3, 3, 4)
    for step, row in enumerate(list_rows(made)):
        length = row.stop - row.start
        inside = [[key for key in range(length) if span.first <= key <= span.last] for span in spans]
        rest = [key for key in range(length) if key > 3 and key < 6]
        for cell, keys in enumerate([*inside, rest]):
            expected = attribution.sources[:, :, row][:, :, keys].sum(-1) if keys else np.full((3, 3), np.nan)
            assert np.allclose(effects[step, :, :, cell], expected, atol=1e-5, equal_nan=True)
            whole = attribution.read[row][keys].sum() if keys else np.nan
            assert np.allclose(read[step, cell], whole, atol=1e-4, equal_nan=True)


def test_without_spans_nothing_is_measured_or_missing() -> None:
    model = wrap_model(make_network("llama"), make_tokenizer(), name="llama")
    made = capture(model, Prompt("so", max_new_tokens=1))
    assert made.evidence.spans is None
    assert "spans" not in made.evidence.missing


def test_finding_names_the_head_that_reads_another_span_most() -> None:
    made = replace(make_capture(layers=(2, 5), heads=(1, 3)), spans=(Span("a", 0, 1), Span("b", 3, 4)))
    weights = np.full((2, 2, 2, 3), 0.5, np.float32)
    weights[:, :, 0, 1] = np.nan
    weights[1, 0, 1, 0] = 0.75
    weights[0, 0, 1, 1:] = 0.9
    assert to_text(SpanReads().find(made, weights, 0), made.tokens) == (
        "Who reads whom by span: “b” reads “a” most in L5 H1, 0.75"
    )
    alone = replace(made, spans=made.spans[:1])
    assert SpanReads().find(alone, weights[:, :, :1, :2], 0) == ("Who reads whom by span",)


def test_table_has_a_row_for_every_pair_and_every_effect() -> None:
    made = captured("llama")
    table = make_tables(made)["spans"]
    assert len(table["weight"]) == 2 * 3 * 4 + 3 * 2 * 4
    rows = zip(table["head"], table["query_span"], table["key_span"], table["weight"], strict=True)
    (weight,) = [weight for head, *pair, weight in rows if head == 2 and pair == ["question", "needle"]]
    assert weight == pytest.approx(float(made.evidence.spans[0, 1, 1, 0]))
    rows = zip(table["head"], table["step"], table["key_span"], table["effect"], strict=True)
    (effect,) = [effect for row in rows if row[:3] == (0, 2, "rest") for effect in row[3:]]
    effects = sum_effects(made)
    assert effects is not None
    assert effect == pytest.approx(float(effects[2, 0, 0, 3]))
