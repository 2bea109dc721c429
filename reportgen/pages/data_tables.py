"""A capture to tables of numbers, so that nobody has to read values off colours.

One row says one thing: columns are named with the words of the records, and what is undefined is an empty cell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from reportgen.captures.record import Capture
from reportgen.records import Prediction, Token
from reportgen.records.errors import ReportgenError, install_advice
from reportgen.records.evidence import Attribution

Table = Mapping[str, Sequence[Any]]
"""Columns by name, all equally long."""

TABLE_NAMES = ("heads", "tokens", "steps", "attribution", "lens", "ablation")
_DIGITS = 7


def check_format(name: str) -> None:
    """Check that a format can be written here.

    Raises:
        ReportgenError: pyarrow, which writes Parquet, is not installed.
    """
    if name == "parquet" and find_spec("pyarrow") is None:
        raise ReportgenError(f"export: parquet needs pyarrow; {install_advice('parquet')}, or export csv")


def make_tables(capture: Capture) -> dict[str, Table]:
    """Return every table of a capture that it has numbers for.

    Returns:
        ``heads``: a row for each head, a column for each score. ``tokens``: a row for each token and what it met.
        ``steps``: a row for each generated token. ``attribution``: a row for each step, contrast and part.
        ``lens``: a row for each layer and step. ``ablation``: a row for each step and head.
    """
    rows = {
        "heads": _head_rows(capture),
        "tokens": _token_rows(capture),
        "steps": _step_rows(capture),
        "attribution": _attribution_rows(capture),
        "lens": _lens_rows(capture),
        "ablation": _ablation_rows(capture),
    }
    tables = {name: _columns(list(some)) for name, some in rows.items()}
    return {name: table for name, table in tables.items() if table}


def encode_tables(capture: Capture, kind: str) -> dict[str, bytes]:
    """Return the tables of a capture as files, by their names."""
    return {f"{name}.{kind}": encode_table(table, kind) for name, table in make_tables(capture).items()}


def encode_table(table: Table, kind: str) -> bytes:
    """Return a table as a file of a format.

    Args:
        table: the columns.
        kind: of ``records.EXPORT_FORMATS``; CSV is UTF-8 with a header, numbers with seven significant digits.
    """
    if kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        file = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(dict(table)), file)
        return file.getvalue()
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows([_cell(value) for value in row] for row in zip(*table.values(), strict=True))
    return text.getvalue().encode("utf-8")


def _cell(value: Any) -> Any:
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else value


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _columns(rows: Sequence[Mapping[str, Any]]) -> Table:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _head_rows(capture: Capture) -> Iterator[dict[str, Any]]:
    scores = capture.evidence.scores
    for row, layer in enumerate(capture.layers):
        for column, head in enumerate(capture.heads):
            yield {"layer": layer, "head": head} | {name: _number(of[row, column]) for name, of in scores.items()}


def _token_rows(capture: Capture) -> Iterator[dict[str, Any]]:
    met: list[Prediction | None] = [None, *capture.prompt_predictions, *(step.raw for step in capture.steps)]
    for position, (token, prediction) in enumerate(zip(capture.tokens, met, strict=True)):
        yield {
            "position": position,
            "generated": position >= capture.num_prompt_tokens,
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
            **_describe("", capture.tokens[capture.num_prompt_tokens + step.step]),
            "logprob": step.raw.logprob,
            "rank": step.raw.rank,
            "entropy": step.raw.entropy,
            "filtered_logprob": step.filtered.logprob,
            "logprob_drift": step.logprob_drift,
        }


def _attribution_rows(capture: Capture) -> Iterator[dict[str, Any]]:
    found = capture.evidence.attribution
    if found is None:
        return
    for step, runners_up in enumerate(found.runners_up):
        for contrast, rival in enumerate((None, *runners_up)):
            against = {"step": step, **_describe("against_", rival)}
            for part, layer, head, value in _parts(capture, found, contrast, step):
                yield {**against, "part": part, "layer": layer, "head": head, "logit": _number(value)}


def _parts(
    capture: Capture, found: Attribution, contrast: int, step: int
) -> Iterator[tuple[str, int | None, int | None, float]]:
    for row, layer in enumerate(capture.layers):
        for column, head in enumerate(capture.heads):
            yield "head", layer, head, found.heads[contrast, step, row, column]
    for layer, value in enumerate(found.other_parts[contrast, step]):
        yield "other parts", layer, None, value
    yield "other heads", None, None, found.other_heads[contrast, step]
    yield "embedding", None, None, found.embedding[contrast, step]
    yield "biases", None, None, found.biases[contrast, step]
    yield "all", None, None, found.logits[contrast, step]


def _lens_rows(capture: Capture) -> Iterator[dict[str, Any]]:
    lens = capture.evidence.lens
    if lens is None:
        return
    for row, layer in enumerate(lens.layers):
        for step in range(len(capture.steps)):
            yield {
                "layer": layer,
                "step": step,
                "logprob": _number(lens.logprobs[row, step]),
                "rank": int(lens.ranks[row, step]),
                **_describe("best_", lens.best[row][step]),
                "best_logprob": _number(lens.best_logprobs[row, step]),
            }


def _ablation_rows(capture: Capture) -> Iterator[dict[str, Any]]:
    for method, changes in capture.evidence.ablations.items():
        for step, row, column in np.ndindex(changes.shape):
            yield {
                "method": method,
                "step": step,
                "layer": capture.layers[row],
                "head": capture.heads[column],
                "logprob_change": _number(changes[step, row, column]),
            }


def _describe(prefix: str, token: Token | None) -> dict[str, Any]:
    return {
        f"{prefix}token_id": token.token_id if token else None,
        f"{prefix}text": token.text if token else None,
    }
