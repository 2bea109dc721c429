"""Figures of a capture: Bokeh objects with the numbers of the page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from bokeh.embed import json_item
from bokeh.layouts import row
from bokeh.models import GlyphRenderer, Image, PlainText
from bokeh.plotting import figure
from samples import make_capture, make_random

from reportgen import Capture, ReportgenError
from reportgen.notebook.capture import take_over
from reportgen.pages.plots import _KINDS
from reportgen.records import LayerType
from reportgen.records.evidence import Evidence

RUN = take_over(make_random())


def values_of(plot: Any) -> np.ndarray:
    """Return the numbers of a figure, the top row first."""
    (renderer,) = [one for one in plot.renderers if isinstance(one, GlyphRenderer)]
    assert isinstance(renderer.glyph, Image)
    assert (plot.y_range.start, plot.y_range.end) == (len(renderer.data_source.data["image"][0]) - 0.5, -0.5)
    return np.asarray(renderer.data_source.data["image"][0])


def labels_of(axis: Any) -> list[str]:
    return [axis[0].major_label_overrides[number].text for number in axis[0].ticker.ticks]


def test_the_pattern_of_a_head() -> None:
    plot = RUN.plot("head", layer=7, head=1)
    assert isinstance(plot, figure)
    n = RUN.num_tokens
    visible = np.tri(n, dtype=bool)
    assert np.array_equal(values_of(plot)[visible], RUN.attention[7, 1][visible])
    assert np.isnan(values_of(plot)[~visible]).all()
    assert plot.title.text.text == "L7 H1"
    assert labels_of(plot.xaxis) == labels_of(plot.yaxis) == list(RUN.labels)


def test_keys_outside_of_a_window_are_empty() -> None:
    made = make_capture()
    run = take_over(replace(made, layer_types=(LayerType(0, window=2), LayerType(1), LayerType(2))))
    hidden = np.isnan(values_of(run.plot("head", layer=0, head=3)))
    assert np.array_equal(hidden, ~(np.tri(8, dtype=bool) & ~np.tri(8, k=-2, dtype=bool)))
    assert np.isnan(values_of(run.plot("layer", layer=0, query_pos=4))).tolist() == [[True] * 3 + [False] * 2] * 4


@pytest.mark.parametrize("place", [{"step": 2}, {"query_pos": 7}])
def test_what_heads_read_at_a_position(place: dict[str, int]) -> None:
    assert RUN.query_pos_of_step(2) == 7
    plot = RUN.plot("layer", layer=-13, **place)
    assert np.array_equal(values_of(plot), RUN.attention[7, :, 7, :8])
    assert labels_of(plot.yaxis) == ["H0", "H1", "H2"]
    assert labels_of(plot.xaxis) == list(RUN.labels[:8])
    plot = RUN.plot("head_by_layer", head=2, **place)
    assert np.array_equal(values_of(plot), RUN.attention[::-1, 2, 7, :8])
    assert labels_of(plot.yaxis)[0] == "L19"


def test_effects_and_lens() -> None:
    attribution, lens = RUN.evidence.attribution, RUN.evidence.lens
    assert np.array_equal(values_of(RUN.plot("effect", step=3)), attribution.heads[0, 3, ::-1])
    assert np.array_equal(values_of(RUN.plot("effect", query_pos=8)), attribution.heads[0, 3, ::-1])
    with pytest.raises(ReportgenError, match="plot: position 2 predicts no generated token; give a step"):
        RUN.plot("effect", query_pos=2)
    plot = RUN.plot("lens")
    assert np.allclose(values_of(plot), np.exp(lens.logprobs[::-1]))
    assert labels_of(plot.xaxis) == list(RUN.labels[RUN.num_prompt_tokens :])


def test_without_arguments_a_figure_shows_what_the_page_opens_on() -> None:
    best = max(
        ((step, layer, head) for step in range(8) for layer in range(20) for head in range(3)),
        key=lambda place: largest_read(RUN, *place),
    )
    assert RUN.plot("head").title.text.text == f"L{best[1]} H{best[2]}"
    assert np.array_equal(values_of(RUN.plot("effect")), RUN.evidence.attribution.heads[0, best[0], ::-1])


def largest_read(run: Capture, step: int, layer: int, head: int) -> float:
    """Return the largest effect of a head through one token of the prompt, the first and the last read aside."""
    start = sum(run.num_prompt_tokens + earlier for earlier in range(step))
    row = run.evidence.attribution.sources[layer, head, start : start + run.num_prompt_tokens + step]
    return float(row[1 : min(run.num_prompt_tokens, len(row) - 1)].max())


def test_a_figure_can_be_placed_in_a_layout_and_says_texts_as_they_are() -> None:
    run = take_over(make_capture(("$$x$$", " <b>", "\\(y\\)")))
    item = json_item(row(*(run.plot(kind) for kind in _KINDS)))  # pyright: ignore[reportArgumentType]
    assert item["doc"]["roots"][0]["name"] == "Row"
    labels = run.plot("head").xaxis[0].major_label_overrides
    assert {type(label) for label in labels.values()} == {PlainText}


def test_editors_know_every_figure() -> None:
    assert get_args(get_type_hints(Capture.plot, localns={"Figure": object})["kind"]) == tuple(_KINDS)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kind": "heads"}, ReportgenError, "plot: there is no figure 'heads'; did you mean 'head'?"),
        (
            {"kind": "zzz"},
            ReportgenError,
            "plot: there is no figure 'zzz'; there are head, layer, ",
        ),
        ({"kind": "head", "layer": 20}, IndexError, "layer 20 was not captured; the captured ones are 0–19"),
        ({"kind": "layer", "head": 3}, IndexError, "head 3 was not captured; the captured ones are 0–2"),
        ({"kind": "layer", "step": 8}, IndexError, "step 8: this capture has 8 steps"),
        ({"kind": "layer", "query_pos": 14}, IndexError, "there is no query position 14: the text has 14"),
        ({"kind": "layer", "step": 1, "query_pos": 1}, ReportgenError, "plot: both 'step' and 'query_pos' are given"),
    ],
)
def test_wrong_figures_are_told(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        RUN.plot(**arguments)
    assert str(caught.value).startswith(message)


def test_a_figure_without_numbers_is_told() -> None:
    run = take_over(replace(make_capture(), evidence=Evidence(missing={"attribution": "its heads are gated"})))
    with pytest.raises(ReportgenError, match="plot: this capture has no effects; its heads are gated"):
        run.plot("effect")
    with pytest.raises(ReportgenError, match="plot: this capture has no logit lens; no token was generated"):
        run.plot("lens")
