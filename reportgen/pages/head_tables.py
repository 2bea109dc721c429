"""Export the numbers of every head on every prompt of a site as one table, in CSV or Parquet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from reportgen.evidence.head_summary import SUMMARY_NUMBERS
from reportgen.files import replacing
from reportgen.pages.data_tables import MARK, Table, check_format, encode_table
from reportgen.pages.heads import PageSummary
from reportgen.records.errors import ReportgenError

_BATCH = 100
"""Number of pages that are encoded at a time."""


def write_heads(pages: Iterable[PageSummary], path: Path, kind: str) -> None:
    """Write the table of the heads of a site: a row for each page and head, sorted by page, layer and head.

    Columns are ``model``, ``page`` (the slug), ``layer``, ``head``, ``step`` (that the page opens with) and the numbers
    of ``SUMMARY_NUMBERS`` that some page has. An undefined value is an empty cell.

    Args:
        pages: summaries of the pages.
        path: file to write.
        kind: format of the file, one of ``records.EXPORT_FORMATS``.

    Raises:
        ReportgenError: no page has a summary, the file cannot be written, or the package that writes the format is not
            installed.
    """
    check_format(kind)
    pages = sorted(pages, key=lambda page: page.slug)
    if not pages:
        raise ReportgenError("heads: the folder has no page of a prompt; build one first")
    names = [name for name in SUMMARY_NUMBERS if any(name in page.summary.numbers for page in pages)]
    tables = (_make_table(pages[i : i + _BATCH], names) for i in range(0, len(pages), _BATCH))
    try:
        with replacing(path) as temporary:
            (_write_parquet if kind == "parquet" else _write_csv)(tables, temporary)
    except OSError as error:
        raise ReportgenError(f"{path}: cannot be written, {error.strerror}; name another file with --output") from error


def _make_table(pages: Sequence[PageSummary], names: Sequence[str]) -> Table:
    """Return the rows of some pages, as columns by name."""
    columns: dict[str, list[Any]] = {name: [] for name in ("model", "page", "layer", "head", "step", *names)}
    for page in pages:
        summary = page.summary
        heads = [(layer, head) for layer in summary.layers for head in summary.heads]
        columns["model"] += [summary.model] * len(heads)
        columns["page"] += [page.slug] * len(heads)
        columns["layer"] += [layer for layer, _ in heads]
        columns["head"] += [head for _, head in heads]
        columns["step"] += [summary.step] * len(heads)
        for name in names:
            values = summary.numbers.get(name)
            known = [math.nan] * len(heads) if values is None else values.ravel().tolist()
            columns[name] += [None if math.isnan(value) else value for value in known]
    return columns


def _write_csv(tables: Iterator[Table], path: Path) -> None:
    with path.open("wb") as file:
        for number, table in enumerate(tables):
            header, _, rows = encode_table(table, "csv").partition(b"\n")
            file.write(rows if number else header + b"\n" + rows)


def _write_parquet(tables: Iterator[Table], path: Path) -> None:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    kinds = {"model": pyarrow.string(), "page": pyarrow.string()}
    kinds |= dict.fromkeys(("layer", "head", "step"), pyarrow.int32())
    first = next(tables)
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.float32())) for name in first])
    with ParquetWriter(path, schema.with_metadata(MARK)) as writer:
        for table in chain([first], tables):
            writer.write_table(pyarrow.table(dict(table), schema=writer.schema))
