"""The table of who reads whom: the numbers of the capture, for the head and the token that are selected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser.reader import Reader
from samples import make_random, with_spans

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.spans import sum_effects, sum_read
from reportgen.pages.page import render_page


def make_capture() -> Capture:
    made = with_spans(make_random(num_layers=3, num_prompt_tokens=6, num_steps=3))
    return replace(made, prompt=replace(made.prompt, slug="spans", title="Spans"))


def rows_of(reader: Reader) -> list[list[str]]:
    cells = "(table) => [...table.rows].map((row) => [...row.cells].map((cell) => cell.innerText))"
    return reader.page.locator("#span-blocks").evaluate(cells)


def is_close(cells: list[str], expected: np.ndarray, **tolerance: float) -> bool:
    found = [np.nan if cell == "n/a" else float(cell.replace("−", "-")) for cell in cells]
    return found == pytest.approx(expected.tolist(), nan_ok=True, **tolerance)


def test_table_follows_the_selection(new_reader: Callable[..., Reader], tmp_path: Path) -> None:
    made = make_capture()
    weights, effects, read = made.evidence.spans, sum_effects(made), sum_read(made)
    assert effects is not None
    assert read is not None
    path = tmp_path / "spans.html"
    path.write_text(render_page(made), "utf-8")
    reader = new_reader().open(path.as_uri())
    reader.page.locator("#spans").evaluate("(fold) => (fold.open = true)")
    names = ["cat", "rest of it", "generated"]
    for layer, head, step in ((0, 0, 0), (2, 1, 2)):
        reader.go(f"#layer={layer}&head={head}&step={step}")
        table = rows_of(reader)
        assert table[0] == ["reads ↓ read →", *names, "rest"]
        for block, first in ((weights[layer, head], 2), (weights.mean((0, 1)), 6)):
            for row, name in enumerate(names):
                assert table[first + row][0] == name
                assert is_close(table[first + row][1:], block[row], rel=0.05)
        assert table[1] == [f"Weight, L{layer} H{head}"]
        assert table[5] == ["Weight, mean of all heads shown"]
        assert table[9] == [f"Effect on ␣g{step} through what is read, in logits"]
        assert is_close(table[10][1:], effects[step, layer, head], abs=6e-4)
        assert is_close(table[11][1:], read[step], abs=6e-4)
    assert reader.page.locator("#strip .span-name").all_inner_texts() == ["cat", "rest of it"]
    assert reader.problems == []


def test_table_without_steps_has_weights_alone(new_reader: Callable[..., Reader], tmp_path: Path) -> None:
    made = make_capture()
    bare = replace(made, evidence=made.evidence.replace(attribution=None), prompt=replace(made.prompt, slug="bare"))
    path = tmp_path / "bare.html"
    path.write_text(render_page(bare), "utf-8")
    reader = new_reader().open(path.as_uri())
    reader.page.locator("#spans").evaluate("(fold) => (fold.open = true)")
    assert len(rows_of(reader)) == 9
    assert reader.problems == []
