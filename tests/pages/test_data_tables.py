"""Tables of numbers: every number of a capture, in full."""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from hostile import HOSTILE_STRINGS
from root import ROOT
from samples import HOSTILE, make_capture, make_screened, make_token, with_foil, with_spans

from reportgen.captures.record import Capture
from reportgen.evidence.kinds import KINDS
from reportgen.pages.columns import COLUMNS, COLUMNS_TABLE
from reportgen.pages.data_tables import TABLE_NAMES, check_format, encode_table, encode_tables, make_tables
from reportgen.pages.encoding import describe_capture
from reportgen.pages.tables import make_step_rows
from reportgen.records.errors import ReportgenError
from reportgen.records.evidence import Evidence

AWKWARD = (
    "\r", "a\rb", "\r\n", "\n\r", "\n", "\r\r", "\"", "\"\"", "\",\"", "a\"\rb", ",", ";", "\t", " ", "", "NA", "null",
    "007", "1e5", "-inf", "True", "=1+1", "#", "\\", "\\\"", "'", "\x1a", "\x1c", "\x85", "\v", "\f", "\u2028",
    "\ufeff", "a\0b", "\0\r", *HOSTILE_STRINGS,
)  # fmt: skip
"""Texts that a reader of CSV may take for the end of a cell or of a row, for a number, or for nothing."""


def make_awkward() -> Capture:
    """Return a capture with evidence in which every text is awkward, those of runners-up and of the lens included."""
    capture = make_capture(AWKWARD, AWKWARD[:3], layers=(0, 1), heads=(0,))
    found, lens = capture.evidence.attribution, capture.evidence.lens
    assert found is not None
    assert lens is not None
    texts = [make_token(text, number) for number, text in enumerate(AWKWARD)]
    rivals = tuple(tuple(texts[2 * step : 2 * step + 2]) for step in range(3))
    best = tuple(tuple(texts[3 * row + step] for step in range(3)) for row in range(len(lens.layers)))
    evidence = capture.evidence.replace(attribution=replace(found, runners_up=rivals), lens=replace(lens, best=best))
    return replace(capture, evidence=evidence)


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
        "columns": {sum(len(table) for name, table in tables.items() if name != "columns")},
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


@pytest.mark.parametrize(("layers", "heads", "has_others"), [
    ((0, 1), (0, 1, 2), False), ((1,), (0, 1, 2), True), ((0, 1), (0, 2), True),
])  # fmt: skip
def test_other_heads_are_a_part_only_if_there_are_some(
    layers: tuple[int, ...], heads: tuple[int, ...], has_others: bool
) -> None:
    capture = make_capture(layers=layers, heads=heads)
    parts = make_tables(capture)["attribution"]["part"]
    assert ("other heads" in parts) == (not capture.has_all_heads) == has_others


def test_tables_tell_a_forecast_from_what_was_generated() -> None:
    tables = make_tables(make_capture(("a", "b"), ("c",)))
    assert (tables["tokens"]["generated"], tables["steps"]["generated"]) == (["no", "no", "yes"], ["yes"])
    tables = make_tables(make_capture(("a", "b"), ("c",), max_new_tokens=0))
    assert (tables["tokens"]["generated"], tables["steps"]["generated"]) == (["no", "no", "next"], ["next"])
    assert set(tables["attribution"]["step"]) == set(tables["lens"]["step"]) == {0}


def test_steps_of_a_beam_have_no_filtered_probability() -> None:
    capture = make_capture()
    beams = replace(capture, steps=tuple(replace(step, filtered=None) for step in capture.steps))
    assert set(make_tables(beams)["steps"]["filtered_logprob"]) == {None}
    assert {row.filtered_prob for row in make_step_rows(beams)} == {"n/a"}
    assert [step["filtered"] for step in describe_capture(beams)["steps"]] == [None] * 3


def test_heads_have_their_scores_and_what_is_undefined_is_empty() -> None:
    capture = make_capture(("a", "b"), ("c",), layers=(4,), heads=(1,))
    (row,) = read_csv(encode_table(make_tables(capture)["heads"], "csv"))
    assert (row["layer"], row["head"], row["previous"], row["induction"]) == ("4", "1", "1", "")


def test_texts_come_back_to_the_letter() -> None:
    tokens = make_tables(make_capture(HOSTILE, ()))["tokens"]
    rows = read_csv(encode_table(tokens, "csv"))
    assert [row["text"] for row in rows] == list(HOSTILE)
    assert rows[0]["logprob"] == ""


@pytest.mark.parametrize("newline", ["", None])
def test_every_table_of_awkward_texts_comes_back(tmp_path: Path, newline: str | None) -> None:
    """Universal newlines (``None``) change a line end inside a text before the reader sees it, but add no row."""
    capture = make_awkward()
    for name, table in make_tables(capture).items():
        path = tmp_path / f"{name}.csv"
        path.write_bytes(encode_table(table, "csv"))
        with path.open(encoding="utf-8", newline=newline) as file:
            header, *rows = csv.reader(file, strict=True)
        assert header == list(table), name
        assert {len(row) for row in rows} == {len(header)}, name
        columns = dict(zip(header, zip(*rows, strict=True), strict=True))
        for column in (column for column, value in table.items() if any(isinstance(cell, str) for cell in value)):
            texts = [(cell or "").replace("\0", "␀") for cell in table[column]]
            if newline is None:
                texts = [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]
            assert list(columns[column]) == texts, (name, column)


def test_another_reader_of_csv_finds_the_same_texts() -> None:
    """pyarrow distinguishes an empty text, in quotes, from an undefined one."""
    for name, table in make_tables(make_awkward()).items():
        texts = [column for column, value in table.items() if any(isinstance(cell, str) for cell in value)]
        options = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(texts, pyarrow.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        )
        parsing = pyarrow.csv.ParseOptions(newlines_in_values=True)
        data = io.BytesIO(encode_table(table, "csv"))
        read = pyarrow.csv.read_csv(data, parse_options=parsing, convert_options=options).to_pydict()
        assert list(read) == list(table)
        for column in texts:
            assert read[column] == [cell and cell.replace("\0", "␀") for cell in table[column]], (name, column)


def test_columns_have_a_unit_and_a_definition() -> None:
    capture = with_spans(make_capture())
    ablations = dict.fromkeys(("ablation", "mean-ablation"), capture.evidence.ablations["ablation"])
    scores = {**capture.evidence.scores, "retrieval": capture.evidence.scores["sink"]}
    spans = capture.evidence.spans
    screened = make_screened().replace(ablations=ablations, spans=spans, scores=scores)
    tables = make_tables(with_foil(replace(capture, evidence=screened)))
    assert set(tables) == set(TABLE_NAMES) == set(COLUMNS)
    assert set(TABLE_NAMES) >= {kind.table for kind in KINDS if kind.table}
    for name, table in tables.items():
        assert list(COLUMNS[name]) == list(table), name
    rows = [dict(zip(tables[COLUMNS_TABLE], row, strict=True))
            for row in zip(*tables[COLUMNS_TABLE].values(), strict=True)]  # fmt: skip
    expected = [(name, column) for name in tables if name != COLUMNS_TABLE for column in tables[name]]
    assert [(row["table"], row["column"]) for row in rows] == expected
    units = {"nats", "tokens", "logits", "share", "rank", "index", "text"}
    for row in rows:
        assert row["unit"] in units, row
        assert row["definition"], row
        numbers = [cell for cell in tables[row["table"]][row["column"]] if cell is not None]
        assert all(isinstance(cell, str) == (row["unit"] == "text") for cell in numbers), row
        if row["unit"] == "share":
            assert all(0 <= cell <= 1 for cell in numbers), row


def test_only_columns_of_written_tables_are_described() -> None:
    capture = replace(make_capture(generated=()), evidence=Evidence())
    rows = read_csv(encode_tables(capture, "csv")["columns.csv"])
    assert {row["table"] for row in rows} == {"tokens"}


def test_every_column_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "numbers.md").read_text(encoding="utf-8")
    for table, columns in COLUMNS.items():
        assert f"`{table}.csv`" in text, table
        for column in columns:
            assert f"`{column}`" in text, (table, column)


def test_parquet_holds_the_same(tmp_path) -> None:
    for name, table in make_tables(make_capture()).items():
        read = pyarrow.parquet.read_table(io.BytesIO(encode_table(table, "parquet")))
        assert read.to_pydict() == {column: list(values) for column, values in table.items()}, name


def test_without_evidence_there_are_fewer_tables() -> None:
    tables = make_tables(replace(make_capture(generated=()), evidence=Evidence()))
    assert set(tables) == {"tokens", "columns"}


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
