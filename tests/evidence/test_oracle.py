"""Every number of the tables against plain sums in float64, on a real model and on three kinds of attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from families import make_network
from oracle import ExactRun, define_effects, define_rollout, define_scores, norms_of, run_exactly
from tiny import make_tokenizer

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.pages.data_tables import make_tables
from reportgen.records import Prompt

FAMILIES = {"mistral": "windows", "gpt_oss": "learned sinks", "bloom": "ALiBi"}
PROMPT = Prompt(text="The cat ate the rat. The cat sat", max_new_tokens=4)
LLAMAS = ("smollm2", "mistral")
"""Whose values and output projections have the names of Llama's."""


@pytest.fixture(params=["smollm2", *FAMILIES])
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model(family: str, request: pytest.FixtureRequest) -> LoadedModel:
    if family == "smollm2":
        return request.getfixturevalue("smollm2")
    return wrap_model(make_network(family), make_tokenizer(), name="tiny")


_runs: dict[str, tuple[Capture, ExactRun]] = {}


@pytest.fixture
def pair(family: str, model: LoadedModel) -> tuple[Capture, ExactRun]:
    """Return a capture, and the same text run in float64."""
    if family not in _runs:
        made = capture(model, PROMPT)
        _runs[family] = made, run_exactly(model.network, [token.token_id for token in made.tokens])
    return _runs[family]


def rows_of(made: Capture, table: str) -> list[dict[str, Any]]:
    columns = make_tables(made)[table]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_tokens_and_steps(pair: tuple[Capture, ExactRun]) -> None:
    made, run = pair
    logprobs = run.logits - np.logaddexp.reduce(run.logits, axis=-1, keepdims=True)
    for row in rows_of(made, "tokens")[1:]:
        position, token_id = row["position"], row["token_id"]
        before = logprobs[position - 1]
        assert row["logprob"] == pytest.approx(before[token_id], abs=1e-4)
        assert row["rank"] == 1 + (run.logits[position - 1] > run.logits[position - 1, token_id]).sum()
        assert row["entropy"] == pytest.approx(-(np.exp(before) * before).sum(), abs=1e-4)
    for row in rows_of(made, "steps"):
        assert row["logprob"] == pytest.approx(logprobs[row["query_pos"], row["token_id"]], abs=1e-4)
        assert row["filtered_logprob"] == pytest.approx(row["logprob"], abs=1e-5)  # greedy: nothing is filtered


def test_attention_and_its_entropy(pair: tuple[Capture, ExactRun]) -> None:
    made, run = pair
    for layer in made.layers:
        for head in made.heads:
            assert np.abs(made.attention[layer, head] - run.attention[layer, head]).max() < 5e-4
    for row in rows_of(made, "entropy"):
        weights = run.attention[row["layer"], row["head"], row["query_pos"]]
        shown = weights[weights > 0]
        assert row["entropy"] == pytest.approx(-(shown * np.log(shown)).sum(), abs=2e-4)


def test_head_scores(family: str, pair: tuple[Capture, ExactRun]) -> None:
    made, run = pair
    ids = [token.token_id for token in made.tokens]
    assert made.evidence.value_norms is not None
    for row in rows_of(made, "heads"):
        layer, head = row["layer"], row["head"]
        layer_type = made.layer_type(layer)
        norms = made.evidence.value_norms[made.layers.index(layer), made.heads.index(head)].astype(float)
        if family in LLAMAS:
            assert norms == pytest.approx(norms_of(run, layer, len(made.heads))[head], rel=2e-4)
        expected = define_scores(run.attention[layer, head], ids, norms, layer_type, has_sink=layer_type.has_sink)
        for name, value in expected.items():
            if np.isnan(value):
                assert row[name] is None, name
            else:
                assert row[name] == pytest.approx(value, rel=1e-3, abs=1e-4), (layer, head, name)


def test_rollout(pair: tuple[Capture, ExactRun]) -> None:
    made, run = pair
    cells = np.tril_indices(made.num_tokens)
    assert made.evidence.rollout == pytest.approx(define_rollout(run.attention)[cells], abs=1e-5)


def test_lens(pair: tuple[Capture, ExactRun]) -> None:
    made, run = pair
    lens = made.evidence.lens
    assert lens is not None, made.evidence.missing
    rows = [made.query_pos_of_step(step.step) for step in made.steps]
    chosen = [token.token_id for token in made.tokens[made.num_prompt_tokens :]]
    final = run.logits[rows] - np.logaddexp.reduce(run.logits[rows], axis=-1, keepdims=True)
    assert lens.logprobs[-1] == pytest.approx(final[range(len(rows)), chosen], abs=1e-4)
    norm = _find_norm(run)
    unembedding = run.network.get_output_embeddings().weight.detach()
    for layer in range(len(lens.layers) - 1):
        logits = (norm(torch.from_numpy(run.resid[layer + 1][rows])) @ unembedding.T).detach()
        expected = logits.log_softmax(-1)[range(len(rows)), chosen].numpy()
        assert lens.logprobs[layer] == pytest.approx(expected, abs=1e-3)


def _find_norm(run: ExactRun) -> Callable[[torch.Tensor], torch.Tensor]:
    return next(run.network.get_submodule(path) for path in ("model.norm", "transformer.ln_f") if path in run.given)


def test_effects_and_their_account(family: str, pair: tuple[Capture, ExactRun]) -> None:
    made, run = pair
    rows = rows_of(made, "attribution")
    for step in made.steps:
        query_pos = made.query_pos_of_step(step.step)
        of_step = [row for row in rows if row["step"] == step.step]
        account = {row["part"]: row["logit"] for row in of_step if row["against"] == "account"}
        parts = [row["logit"] for row in of_step if row["against"] == "alternatives" and row["part"] != "all"]
        assert sum(parts) + account["soft cap"] - account["entropy"] == pytest.approx(account["log-odds"], abs=1e-4)
        if family not in LLAMAS:
            continue
        expected = define_effects(run, query_pos, made.tokens[query_pos + 1].token_id)
        assert account["log-odds"] == pytest.approx(expected["log_odds"], abs=2e-4)
        assert account["entropy"] == pytest.approx(expected["entropy"], abs=2e-4)
        heads = [row["logit"] for row in of_step if (row["against"], row["part"]) == ("alternatives", "head")]
        assert heads == pytest.approx(expected["sources"].sum(-1).ravel(), abs=2e-4)
        mlps = [row["logit"] for row in of_step if (row["against"], row["part"]) == ("alternatives", "other parts")]
        assert mlps == pytest.approx(expected["other_parts"], abs=2e-4)
        read = [row["logit"] for row in of_step if row["against"] == "alternatives, by token read"]
        assert read == pytest.approx(expected["sources"].sum((0, 1)), abs=5e-4)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_half_precision_measures_the_weights_that_it_has(name: str) -> None:
    """In bfloat16: numbers are sums over the weights of that run, and the weights are near those of float64."""
    model = wrap_model(make_network(name).bfloat16(), make_tokenizer(), name="tiny")
    made = capture(model, PROMPT)
    run = run_exactly(model.network, [token.token_id for token in made.tokens])
    ids = [token.token_id for token in made.tokens]
    for row in rows_of(made, "heads"):
        layer, head = row["layer"], row["head"]
        pattern, layer_type = made.attention[layer, head].astype(float), made.layer_type(layer)
        assert np.abs(pattern - run.attention[layer, head]).mean() < 5e-3
        assert made.evidence.value_norms is not None
        norms = made.evidence.value_norms[made.layers.index(layer), made.heads.index(head)].astype(float)
        expected = define_scores(pattern, ids, norms, layer_type, has_sink=layer_type.has_sink)
        for score, value in expected.items():
            if not np.isnan(value):
                assert row[score] == pytest.approx(value, rel=0.01, abs=5e-3), (layer, head, score)
    assert made.evidence.rollout == pytest.approx(
        define_rollout(made.attention[...])[np.tril_indices(made.num_tokens)],
        abs=2e-3,
    )
