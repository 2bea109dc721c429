"""The table of names in docs/numbers.md: a page, a table and a capture call the same number as it says."""

from __future__ import annotations

import html
import re

import numpy as np
import pytest
from root import ROOT
from samples import make_whole

from reportgen.evidence.kinds.scores import HEAD_SCORES
from reportgen.notebook.capture import take_over
from reportgen.pages.columns import COLUMNS
from reportgen.pages.page import render_page

TEXT = (ROOT / "docs" / "numbers.md").read_text("utf-8")
ROWS = [
    tuple(cell.strip().strip("`") for cell in line.strip("|").split(" | "))
    for line in TEXT.partition("## Names")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| on a page")
]
RUN = take_over(make_whole())
PAGE = html.unescape(re.sub("<[^>]+>", " ", render_page(RUN).partition("<main")[2].partition("</main>")[0])).lower()


@pytest.mark.parametrize(("shown", "table", "column", "value"), ROWS, ids=["-".join(row[1:3]) for row in ROWS])
def test_a_number_has_these_names(shown: str, table: str, column: str, value: str) -> None:
    assert shown in PAGE
    values = np.ravel(np.asarray(eval(value, {"run": RUN}), np.float64))
    assert len(values) > 0
    if table != "–":
        written = RUN.table(table)[column]
        assert np.isin(values[~np.isnan(values)], written).all()
        assert len(values) <= len(written)


def test_every_number_is_in_it() -> None:
    numbers = {
        (table, name)
        for table, columns in COLUMNS.items()
        for name, column in columns.items()
        if column.unit not in ("index", "text")
    }
    assert {row[1:3] for row in ROWS if row[1] != "–"} == numbers
    assert {score.name: score.title for score in HEAD_SCORES} == {row[2]: row[0] for row in ROWS if row[1] == "heads"}
