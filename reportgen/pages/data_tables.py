"""Export a capture as tables of numbers, in CSV or Parquet.

Columns have the names of the fields of the records, and the units of ``pages.columns``. An undefined value is an empty
cell.
"""

from __future__ import annotations

import csv
import difflib
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from reportgen.captures.record import Capture
from reportgen.evidence.kinds import KINDS, list_measured
from reportgen.evidence.kinds.kind import Row
from reportgen.pages.columns import COLUMNS_TABLE, list_columns
from reportgen.records import Prediction, Token
from reportgen.records.errors import ReportgenError, install_advice

Table = Mapping[str, Sequence[Any]]
"""Columns by name, all of the same length."""

TABLE_NAMES = (COLUMNS_TABLE, "tokens", "steps", "foils", *(kind.table for kind in KINDS if kind.table))
_KEY_COLUMNS: Mapping[str, frozenset[str]] = {
    COLUMNS_TABLE: frozenset({"table", "column", "unit"}),
    "tokens": frozenset({"position", "token_id", "text"}),
    "steps": frozenset({"step", "query_pos", "token_id"}),
    "foils": frozenset({"step", "token_id", "missing"}),
    "foil-ablation": frozenset({"method", "step", "logit_change"}),
    "heads": frozenset({"layer", "head", "sink"}),
    "attribution": frozenset({"step", "part", "logit"}),
    "spans": frozenset({"query_span", "key_span", "effect"}),
    "ablation": frozenset({"method", "step", "logprob_change"}),
    "estimate": frozenset({"method", "step", "logprob_change_estimate"}),
    "lens": frozenset({"layer", "step", "logprob"}),
    "entropy": frozenset({"layer", "query_pos", "entropy"}),
}
"""Columns by which a CSV file is known as a table of this module."""
MARK = {"generator": "reportgen"}
"""Metadata of a Parquet file."""
_TAIL_BYTES = 1 << 16
"""Number of bytes that hold the columns of a CSV file at its start, or the metadata of a Parquet file at its end."""
_DIGITS = 7


def check_format(name: str) -> None:
    """Check that the package that writes a format is installed.

    Raises:
        ReportgenError: the format is Parquet and pyarrow is not installed.
    """
    if name == "parquet" and find_spec("pyarrow") is None:
        raise ReportgenError(f"export: parquet needs pyarrow; {install_advice('parquet')}, or export csv")


def make_tables(capture: Capture) -> dict[str, Table]:
    """Return the tables of a capture that have rows.

    Returns:
        Tables by name: ``tokens`` with a row for each token, ``steps`` with a row for each step, ``foils`` with a row
        for each foil, the tables of the measured evidence, and ``columns`` with the unit and definition of each of
        their columns. All names are in ``TABLE_NAMES``.
    """
    columns = {name: _columns(list(rows)) for name, rows in _list_rows(capture).items()}
    tables = {name: table for name, table in columns.items() if table}
    return tables | {COLUMNS_TABLE: _columns(list(list_columns(tables)))}


def list_table_names(capture: Capture) -> tuple[str, ...]:
    """Return the names of the tables of ``make_tables``, without making them."""
    has_rows = {name: next(iter(rows), None) is not None for name, rows in _list_rows(capture).items()}
    return (*(name for name, has in has_rows.items() if has), COLUMNS_TABLE)


def make_table(capture: Capture, name: str) -> Table:
    """Return one table of ``make_tables``, without making the others.

    Raises:
        ReportgenError: there is no table of that name, or the capture has no rows for it; the message says why.
    """
    if name not in TABLE_NAMES:
        close = difflib.get_close_matches(str(name), TABLE_NAMES, 1)
        advice = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(TABLE_NAMES)}"
        raise ReportgenError(f"table: there is no table {name!r}; {advice}")
    if name == COLUMNS_TABLE:
        return make_tables(capture)[name]
    table = _columns(list(_list_rows(capture).get(name, ())))
    if not table:
        raise ReportgenError(f"table: this capture has no {name!r}; {_say_why(capture, name)}")
    return table


def _say_why(capture: Capture, name: str) -> str:
    """Return why a capture has no rows for a table, and what to do."""
    if name.startswith("foil") and not capture.measured_foils:
        return "capture it again with foils"
    kind = next((kind for kind in KINDS if kind.table == name), None)
    if kind is not None and kind.name in capture.evidence.missing:
        return f"it is n/a: {capture.evidence.missing[kind.name]}"
    if not capture.steps:
        return "no token was generated, raise max_new_tokens or shorten the prompt"
    return "capture it again with evidence=['ablation']"


def _list_rows(capture: Capture) -> dict[str, Iterable[Row]]:
    rows: dict[str, Iterable[Row]] = {
        "tokens": _token_rows(capture),
        "steps": _step_rows(capture),
        "foils": _foil_rows(capture),
    }
    return rows | {kind.table: kind.tabulate(capture, value) for kind, value in list_measured(capture) if kind.table}


def encode_tables(capture: Capture, kind: str) -> dict[str, bytes]:
    """Return the tables of a capture as the content of files, by file name."""
    return {f"{name}.{kind}": encode_table(table, kind) for name, table in make_tables(capture).items()}


def encode_table(table: Table, kind: str) -> bytes:
    r"""Return a table as the content of a file.

    Args:
        table: columns of the table.
        kind: format of the file, one of ``records.EXPORT_FORMATS``. CSV (RFC 4180, rows that end in a line feed) is
            UTF-8 with a header row. Numbers have seven significant digits. Every text is in quotes, so that a line end
            in it, ``\r`` included, does not end a row. NUL, which many readers refuse, is written as ``␀``.
    """
    if kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        file = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(dict(table)).replace_schema_metadata(MARK), file)
        return file.getvalue()
    rows = [list(table), *([_cell(value) for value in row] for row in zip(*table.values(), strict=True))]
    return "".join(f"{','.join(row)}\n" for row in rows).encode("utf-8")


def is_table(path: Path) -> bool:
    """Return whether a file is a table that this module wrote: known by its columns, or by the metadata of Parquet.

    Args:
        path: a regular file, named as a table and its format.
    """
    with path.open("rb") as file:
        if path.suffix == ".parquet":
            file.seek(-min(_TAIL_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_END)
            return MARK["generator"].encode("ascii") in file.read()
        line = file.readline(_TAIL_BYTES).decode("utf-8-sig", "replace").replace("\0", "")
    return _KEY_COLUMNS[path.stem].issubset(next(csv.reader([line]), ()))


def _cell(value: Any) -> str:
    """Return a value as a cell; the ``csv`` module of Python 3.11 cannot quote all texts and leave empty cells bare."""
    if isinstance(value, str):
        return '"' + value.replace("\0", "␀").replace('"', '""') + '"'
    return "" if value is None else f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)


def _columns(rows: Sequence[Row]) -> Table:
    return {name: [_plain(row[name]) for row in rows] for name in rows[0]} if rows else {}


def _plain(value: Any) -> Any:
    """Return a NumPy number as a Python number; ``None`` for NaN."""
    if isinstance(value, np.floating):
        return None if np.isnan(value) else float(value)
    return value


def _token_rows(capture: Capture) -> Iterator[dict[str, Any]]:
    known = [*capture.prompt_predictions, *(step.raw for step in capture.steps)]
    predictions: list[Prediction | None] = [*[None] * (capture.num_tokens - len(known)), *known]
    for position, (token, prediction) in enumerate(zip(capture.tokens, predictions, strict=True)):
        yield {
            "position": position,
            "generated": "no" if position < capture.num_prompt_tokens else _origin(capture),
            **_describe("", token),
            "logprob": prediction.logprob if prediction else None,
            "rank": prediction.rank if prediction else None,
            "entropy": prediction.entropy if prediction else None,
        }


def _step_rows(capture: Capture) -> Iterator[dict[str, Any]]:
    for step in capture.steps:
        yield {
            "step": step.step,
            "query_pos": capture.query_pos_of_step(step.step),
            "generated": _origin(capture),
            **_describe("", capture.tokens[capture.num_prompt_tokens + step.step]),
            "logprob": step.raw.logprob,
            "rank": step.raw.rank,
            "entropy": step.raw.entropy,
            "filtered_logprob": step.filtered.logprob if step.filtered else None,
            "logprob_drift": step.logprob_drift,
        }


def _foil_rows(capture: Capture) -> Iterator[dict[str, Any]]:
    for foil in capture.foils:
        yield {
            "step": foil.step,
            **_describe("", foil.token),
            "logprob": foil.logprob,
            "rank": foil.rank,
            "missing": foil.missing or None,
        }


def _origin(capture: Capture) -> str:
    """Return where the tokens behind a prompt come from, as the column ``generated`` says it."""
    return "yes" if capture.origin == "generated" else capture.origin


def _describe(prefix: str, token: Token | None) -> dict[str, Any]:
    return {
        f"{prefix}token_id": token.token_id if token else None,
        f"{prefix}text": token.text if token else None,
    }
