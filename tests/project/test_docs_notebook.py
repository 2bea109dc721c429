"""The notebook of the documentation runs from the top to the bottom, and its numbers are those of its texts."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from notebooks import execute, html_of
from root import ROOT


@pytest.mark.docs
@pytest.mark.system
@pytest.mark.model
def test_the_notebook_runs(tmp_path: Path) -> None:
    book = nbformat.read(ROOT / "docs" / "notebook.ipynb", as_version=4)
    assert [cell for cell in book.cells if cell.get("outputs")] == []  # a page of megabytes is not kept in a repository
    loaded, page, labels, read, top, heads, plots, compared, written = execute(book, tmp_path)
    texts = ["".join(output.get("text", "") for output in outputs) for outputs in (labels, read, heads)]
    assert texts[0] == "('The', '␣capital', '␣of', '␣France', '␣is', '␣Paris', '.')\n' Paris.'\n"
    assert texts[1] == "L23 H4 reads ␣France with weight 0.90 to predict ␣Paris\n"
    assert texts[2].startswith("['layer', 'head', 'sink', ")
    said = loaded[0]["data"]["text/plain"]
    assert said == "<LoadedModel smollm2-135m, 30 layers × 9 heads, float32 on cpu>"
    assert top[0]["data"]["text/plain"].startswith("[L23 H4 +2.7")
    assert "<iframe" in html_of(page)
    assert "<iframe" in html_of(compared)
    assert any("application/vnd.bokehjs_exec.v0+json" in output.get("metadata", {}) for output in plots)
    assert written[0]["data"]["text/plain"] == "'france.html'"
    assert (tmp_path / "france.html").stat().st_size > 100_000
