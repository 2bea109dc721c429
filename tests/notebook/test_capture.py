"""A capture in a notebook: its names, tables, largest numbers and plots."""

from __future__ import annotations

import csv
import io
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from samples import make_capture, make_screened

from reportgen import BuildOptions, Capture, Comparison, Generation, PageOptions, Prompt, ReportgenError
from reportgen.build.options import Outcome
from reportgen.captures.record import Capture as Record
from reportgen.models.model import LoadedModel
from reportgen.notebook.capture import take_over
from reportgen.pages.data_tables import encode_tables, make_tables
from reportgen.records.evidence import Evidence

RUN = take_over(make_capture(layers=(2, 5), heads=(1, 3)))


def test_it_equals_the_record_and_comes_back_from_a_file(tmp_path: Path) -> None:
    made = make_capture()
    run = take_over(made)
    assert run == made
    assert made == run
    assert run != take_over(replace(made, strategy="one pass"))
    run.save(tmp_path / "a.safetensors")
    again = Capture.load(tmp_path / "a.safetensors")
    assert type(again) is Capture
    assert again == run == Record.load(tmp_path / "a.safetensors")
    assert type(replace(run, strategy="one pass")) is Capture


def test_completion_shows_the_public_names_and_nothing_else() -> None:
    assert dir(RUN) == [
        "attention", "claims", "drift_limit", "evidence", "foil_of_step", "foils", "generated_text", "has_all_heads",
        "heads", "is_forecast", "is_given", "labels", "layer_type", "layer_types", "layers", "load", "logprob_drift",
        "measured_foils", "model", "num_generated_tokens", "num_prompt_tokens", "num_tokens", "origin", "plot",
        "prompt", "prompt_predictions", "query_pos_of_step", "row", "save", "show", "sink_mass", "spans", "steps",
        "strategy", "table", "table_names", "to_html", "to_pandas", "to_polars", "tokens", "top_heads", "triangles",
        "unplaced", "versions",
    ]  # fmt: skip
    assert all(hasattr(RUN, name) for name in dir(RUN))


def test_texts_of_a_run() -> None:
    assert RUN.labels == ("The", "␣cat", "␣ate", "␣the", "␣mat", ".", "␣And", "␣the")
    assert RUN.generated_text == ". And the"
    ended = replace(RUN, tokens=(*RUN.tokens[:-1], replace(RUN.tokens[-1], special=True)))
    assert ended.generated_text == ". And"
    assert take_over(make_capture(generated=(" dog",), max_new_tokens=0)).generated_text == ""


def test_reprs_fit_a_line(tiny_llama: LoadedModel) -> None:
    long = take_over(make_capture(tuple("x" * 300), tuple("y" * 100)))
    outcome = Outcome(Path("results/index.html"), (Path("a.html"),), (), not_run=3)
    prompt = Prompt("word " * 90, title="t" * 80, tags=["tag"] * 9, layers="0-4", heads=3, note="n" * 90)
    values = [
        RUN, long, RUN.attention, tiny_llama, outcome, prompt, Prompt("a"), Comparison(("a", "b")), Generation(seed=3),
        PageOptions(), BuildOptions(device="cpu"), RUN.top_heads()[0], RUN.evidence,
    ]  # fmt: skip
    assert [repr(value) for value in values if len(repr(value)) > 120 or "\n" in repr(value)] == []
    assert repr(RUN) == "<Capture of 'The cat ate the mat' → '. And the', 2 layers × 2 heads × 8 tokens>"
    assert repr(tiny_llama) == "<LoadedModel tiny-llama, 3 layers × 4 heads, float32 on cpu>"
    assert repr(Prompt("a", layers="0-4", heads=3)) == "Prompt(text='a', layers='0-4', heads='3')"
    assert repr(Generation(seed=3)) == "Generation(seed=3)"
    assert repr(BuildOptions(device="cpu")) == "BuildOptions(device='cpu')"
    assert repr(outcome) == "<Outcome: 1 built, results/index.html>"


def read_csv(content: bytes) -> dict[str, list[str]]:
    rows = list(csv.reader(io.StringIO(content.decode("utf-8"))))
    return {name: [row[column] for row in rows[1:]] for column, name in enumerate(rows[0])}


def test_a_table_is_the_exported_one_as_arrays() -> None:
    run = take_over(replace(RUN, evidence=RUN.evidence))
    files = encode_tables(run, "csv")
    assert [f"{name}.csv" for name in run.table_names] == list(files)
    for name in run.table_names:
        table, written = run.table(name), read_csv(files[f"{name}.csv"])
        assert list(table) == list(written)
        for column, values in table.items():
            assert values.dtype in (np.int64, np.float64, object)
            if values.dtype == object:
                assert ["" if value is None else value for value in values] == written[column]
            else:
                expected = [float(value) if value else math.nan for value in written[column]]
                np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_types_of_columns() -> None:
    table = RUN.table("attribution")
    kinds = {name: values.dtype.kind for name, values in table.items()}
    assert kinds == {
        "step": "i", "against": "O", "against_token_id": "f", "against_text": "O", "part": "O", "layer": "f",
        "head": "f", "key_pos": "f", "logit": "f",
    }  # fmt: skip
    heads = RUN.table("heads")
    assert (heads["layer"].tolist(), heads["head"].tolist()) == ([2, 2, 5, 5], [1, 3, 1, 3])
    assert heads["induction"] == pytest.approx(RUN.evidence.scores["induction"].ravel(), nan_ok=True)


@pytest.mark.parametrize(
    ("run", "name", "message"),
    [
        (RUN, "head", "table: there is no table 'head'; did you mean 'heads'?"),
        (RUN, "zzz", "table: there is no table 'zzz'; there are columns, tokens, steps, foils, heads, attribution, "),
        (
            replace(RUN, evidence=RUN.evidence.replace(ablations={})), "ablation",
            "table: this capture has no 'ablation'; capture it again with evidence=['ablation']",
        ),
        (
            replace(RUN, evidence=Evidence(missing={"lens": "it has two norms"})), "lens",
            "table: this capture has no 'lens'; it is n/a: it has two norms",
        ),
        (
            take_over(replace(make_capture(generated=()), evidence=Evidence())), "lens",
            "table: this capture has no 'lens'; no token was generated, raise max_new_tokens or shorten the prompt",
        ),
    ],
)  # fmt: skip
def test_a_table_that_is_not_there_is_told(run: Capture, name: str, message: str) -> None:
    with pytest.raises(ReportgenError) as caught:
        run.table(name)
    assert str(caught.value).startswith(message)


def test_tables_as_data_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package of data frames is given what it makes a frame of; neither is a dependency."""
    made: list[tuple[Any, dict[str, Any]]] = []

    def make_frame(columns: Any, **settings: Any) -> str:
        made.append((columns, settings))
        return "frame"

    types = {name: name for name in ("String", "Int64", "Float64")}
    for name in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(DataFrame=make_frame, **types))
    assert RUN.to_pandas("lens") == RUN.to_polars("lens") == "frame"
    (arrays, _), (lists, settings) = made
    assert lists == make_tables(RUN)["lens"]
    empty = {"against_token_id": "Int64", "against_text": "String", "logit_difference": "Float64"}  # without foils
    assert {name: values.tolist() for name, values in arrays.items() if name not in empty} == {
        name: values for name, values in lists.items() if name not in empty
    }
    # The first value of a column may be a missing one, and all of them may be.
    assert settings == {"infer_schema_length": None, "schema_overrides": empty}
    run = take_over(replace(make_capture(), evidence=RUN.evidence.replace(attribution=None)))
    scores = {name: np.full((3, 4), np.nan, np.float32) for name in ("induction", "distance")}
    replace(run, evidence=run.evidence.replace(scores=scores)).to_polars("heads")
    assert made[-1][1]["schema_overrides"] == {"induction": "Float64", "distance": "Float64"}


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_a_missing_package_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ReportgenError, match=f"^to_{name}: {name} is not installed; pip install {name}, or use table$"):
        getattr(RUN, f"to_{name}")("heads")


def rank(values: np.ndarray, layers: tuple[int, ...], heads: tuple[int, ...]) -> list[tuple[int, int, float]]:
    """Return all heads, the largest value first."""
    found = [
        (layer, head, float(values[row, column]))
        for row, layer in enumerate(layers)
        for column, head in enumerate(heads)
        if not np.isnan(values[row, column])
    ]
    return sorted(found, key=lambda one: -one[2])


def test_top_heads_by_every_number() -> None:
    made = make_capture(layers=(2, 5), heads=(1, 3, 4))
    draws = np.random.default_rng(4)
    attribution, ablations = made.evidence.attribution, made.evidence.ablations
    heads = draws.normal(size=attribution.heads.shape).astype(np.float32)
    heads[0, 1, 0, 2] = np.nan
    changes = draws.normal(size=ablations["ablation"].shape).astype(np.float32)
    scores = {"induction": draws.random((2, 3)).astype(np.float32)}
    evidence = made.evidence.replace(
        attribution=replace(attribution, heads=heads), ablations={"ablation": changes}, scores=scores
    )
    run = take_over(replace(made, evidence=evidence))
    for step in range(3):
        assert run.top_heads(step, n=99) == rank(heads[0, step], run.layers, run.heads)
        lost = [(layer, head, -value) for layer, head, value in rank(-changes[step], run.layers, run.heads)]
        assert run.top_heads(step, by="ablation", n=99) == lost
    assert run.top_heads(2, by="attribution-mean", n=2) == rank(heads[1, 2], run.layers, run.heads)[:2]
    assert run.top_heads(by="induction") == rank(scores["induction"], run.layers, run.heads)[:5]
    layer, head, value = run.top_heads(1)[0]
    assert run.attention[layer, head].shape == (8, 8)
    assert repr(run.top_heads(1)[0]) == f"L{layer} H{head} {value:+.3f}"


def test_estimates_rank_heads_too() -> None:
    run = take_over(replace(make_capture(), evidence=make_screened()))
    estimates = make_screened().screening["estimate"].estimates[0]
    assert run.top_heads(by="estimate", n=1)[0].value == estimates.min()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"by": "efect"}, ReportgenError, "top_heads: heads cannot be ranked by 'efect'; did you mean 'effect'?"),
        ({"by": "size"}, ReportgenError, "top_heads: heads cannot be ranked by 'size'; this capture has effect, "),
        ({"n": 0}, ReportgenError, "top_heads: n must be a whole number from 1, got 0"),
        ({"step": 3}, IndexError, "step 3: this capture has 3 steps"),
        ({"step": -1}, IndexError, "step -1: this capture has 3 steps"),
    ],
)
def test_wrong_ranks_are_told(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        RUN.top_heads(**arguments)
    assert str(caught.value).startswith(message)
