"""Tables of numbers: every number of a capture, in full."""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest
from samples import HOSTILE, make_capture

from reportgen.pages.data_tables import check_format, encode_table, make_tables
from reportgen.records.errors import ReportgenError
from reportgen.records.evidence import Evidence


def read_csv(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))


def test_every_number_is_in_a_table() -> None:
    capture = make_capture(layers=(2, 5), heads=(1, 3))
    tables = make_tables(capture)
    lengths = {name: {len(column) for column in table.values()} for name, table in tables.items()}
    parts, account = 2 * 2 + 6 + 5, 3 * 3 + 5 + 6 + 7
    assert lengths == {
        "heads": {4}, "tokens": {8}, "steps": {3}, "attribution": {3 * 4 * parts + account}, "lens": {6 * 3},
        "ablation": {3 * 4}, "entropy": {4 * 8},
    }  # fmt: skip


def test_parts_of_a_step_add_up_in_the_table() -> None:
    rows = read_csv(encode_table(make_tables(make_capture())["attribution"], "csv"))
    for against, token_id in (("alternatives", ""), ("mean", ""), ("runner-up", "90"), ("runner-up", "91")):
        some = [
            row for row in rows
            if (row["step"], row["against"], row["against_token_id"]) == ("1", against, token_id)
        ]  # fmt: skip
        logits = {row["part"]: float(row["logit"]) for row in some if row["part"] == "all"}
        assert sum(float(row["logit"]) for row in some if row["part"] != "all") == pytest.approx(logits["all"])
    logits = {row["part"]: float(row["logit"]) for row in rows if row["step"] == "1" and row["against"] == "account"}
    total = [float(row["logit"]) for row in rows
             if (row["step"], row["against"], row["part"]) == ("1", "alternatives", "all")]  # fmt: skip
    assert total[0] + logits["soft cap"] - logits["entropy"] == pytest.approx(logits["log-odds"], abs=1e-5)
    read = [row for row in rows if row["step"] == "1" and row["against"] == "alternatives, by token read"]
    assert [row["key_pos"] for row in read] == [str(position) for position in range(6)]
    heads = [float(row["logit"]) for row in rows
             if (row["step"], row["against"], row["part"]) == ("1", "alternatives", "head")]  # fmt: skip
    assert sum(float(row["logit"]) for row in read) == pytest.approx(sum(heads), abs=1e-6)
    (row,) = [row for row in rows if row["part"] == "head" and row["layer"] == "2" and row["head"] == "0"
              and row["step"] == "1" and row["against_text"] == " dog"]  # fmt: skip
    assert float(row["logit"]) == pytest.approx(0.5 * 2 * 3 / 10)


def test_heads_have_their_scores_and_what_is_undefined_is_empty() -> None:
    capture = make_capture(("a", "b"), ("c",), layers=(4,), heads=(1,))
    (row,) = read_csv(encode_table(make_tables(capture)["heads"], "csv"))
    assert (row["layer"], row["head"], row["previous"], row["induction"]) == ("4", "1", "1", "")


def test_texts_come_back_to_the_letter() -> None:
    tokens = make_tables(make_capture(HOSTILE, ()))["tokens"]
    rows = read_csv(encode_table(tokens, "csv"))
    assert [row["text"] for row in rows] == list(HOSTILE)
    assert rows[0]["logprob"] == ""


def test_parquet_holds_the_same(tmp_path) -> None:
    for name, table in make_tables(make_capture()).items():
        read = pyarrow.parquet.read_table(io.BytesIO(encode_table(table, "parquet")))
        assert read.to_pydict() == {column: list(values) for column, values in table.items()}, name


def test_without_evidence_there_are_fewer_tables() -> None:
    tables = make_tables(replace(make_capture(generated=()), evidence=Evidence()))
    assert set(tables) == {"tokens"}


def test_withheld_steps_are_empty() -> None:
    capture = make_capture()
    found = capture.evidence.attribution
    assert found is not None
    withheld = capture.evidence.replace(attribution=replace(found, heads=np.full_like(found.heads, np.nan)))
    table = make_tables(replace(capture, evidence=withheld))["attribution"]
    heads = [logit for logit, part in zip(table["logit"], table["part"], strict=True) if part == "head"]
    assert set(heads) == {None}


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_format("csv")
    check_format("parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    check_format("csv")
    with pytest.raises(ReportgenError, match="needs pyarrow; pip install"):
        check_format("parquet")
