"""Every view that sums or divides, on a page of a real model and on one that leaves out weak weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from browser.reader import Reader
from counts import sample
from oracle import ExactRun, run_exactly

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.models.model import LoadedModel
from reportgen.pages.page import render_page
from reportgen.pages.precision import FULL, Precision
from reportgen.pages.words import find_words
from reportgen.records import Prompt
from reportgen.records.selection import parse_selection

LAYERS, HEADS = (18, 23), (1, 6, 8)
TEXT = "Jonathan Featherstonehaugh met Marjoribanks in Cholmondeley, and Jonathan Featherstonehaugh left"
THIN = Precision(threshold=24)
LOOKS = list(product(("weight", "weighted"), ("in", "out", "renormalised"), (False, True)))


@pytest.fixture(scope="module")
def made(smollm2: LoadedModel) -> Capture:
    selected = {"layers": parse_selection(list(LAYERS)), "heads": parse_selection(list(HEADS))}
    return capture(smollm2, Prompt(text=TEXT, max_new_tokens=3, slug="oracle", title="Oracle", **selected))


@pytest.fixture(scope="module")
def run(smollm2: LoadedModel, made: Capture) -> ExactRun:
    return run_exactly(smollm2.network, [token.token_id for token in made.tokens])


def define_view(weights: np.ndarray, starts: list[int], first: str, *, words: bool) -> np.ndarray:
    """Return what a view shows of ``[query_pos, key_pos]``, rows and columns of words where asked; NaN for nothing."""
    n = len(weights)
    shown = np.where(np.tri(n, dtype=bool), weights, np.nan)
    if first != "in":
        shown[:, 0] = np.nan
    if first == "renormalised":
        rest = np.nansum(shown, axis=1, keepdims=True)
        shown = np.where(rest >= 0.01, shown / np.maximum(rest, 1e-12), np.nan)
    if not words:
        return shown
    ends = [*starts[1:], n]
    summed = np.full((len(starts), len(starts)), np.nan)
    for row, (begin, end) in enumerate(zip(starts, ends, strict=True)):
        for column in range(row + 1):
            keys = shown[begin:end, starts[column] : ends[column]]
            known = [line for line, whole in zip(keys, shown[begin:end], strict=True) if not np.isnan(whole).all()]
            if known and not np.isnan(known).all():
                summed[row, column] = np.nansum(known) / len(known)
    return summed


def views_of(made: Capture, run: ExactRun) -> Iterator[tuple[str, int, int, str, bool, np.ndarray]]:
    """Yield every look at every captured head, with the values that it must show."""
    starts = find_words(made.tokens, made.num_prompt_tokens)
    assert len(starts) < made.num_tokens - 6
    assert made.evidence.value_norms is not None
    for (row, layer), (column, head) in product(enumerate(LAYERS), enumerate(HEADS)):
        weights = run.attention[layer, head]
        written = weights * made.evidence.value_norms[row, column]
        by_mode = {"weight": weights, "weighted": written / written.sum(-1, keepdims=True)}
        for show, first, words in LOOKS:
            yield show, layer, head, first, words, define_view(by_mode[show], starts, first, words=words)


def read_view(reader: Reader, show: str, layer: int, head: int, first: str, *, words: bool) -> np.ndarray:
    parts = [f"layer={layer}", f"head={head}", "scale=linear", f"show={show}", "words=on" if words else ""]
    parts += [f"first={first}"] if first != "in" else []
    reader.go("#" + "&".join(filter(None, parts))).look_at("head")
    return np.array(reader.rows("head"), float)


@pytest.mark.parametrize("precision", sample([THIN, FULL, Precision(bits=16)], 3), ids=["thinned", "whole", "fine"])
def test_every_view_shows_what_it_is_defined_as(
    new_reader: Callable[..., Reader], tmp_path: Path, made: Capture, run: ExactRun, precision: Precision
) -> None:
    page = tmp_path / "page.html"
    page.write_text(render_page(made, precision=precision), "utf-8", newline="")
    reader = new_reader().open(page.as_uri())
    error, compared = 0.0, 0
    for show, layer, head, first, words, expected in views_of(made, run):
        found = read_view(reader, show, layer, head, first, words=words)
        assert found.shape == expected.shape
        where = (show, layer, head, first, words)
        if precision.threshold and not words:
            found = np.where(found == 0, np.nan, found)  # left out
        elif precision.threshold:
            assert (np.nan_to_num(found) <= np.nan_to_num(expected) + 0.03).all(), where
            continue
        else:
            assert (np.isnan(found) == np.isnan(expected)).all(), where
        both = ~np.isnan(found) & ~np.isnan(expected)
        compared += both.sum()
        error = max(error, np.abs(found - expected)[both].max(initial=0))
    assert compared > 2000
    assert error < (0.004 if precision.bits == 16 else 0.06)
    assert reader.problems == []
