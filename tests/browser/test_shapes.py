"""Pages of any shape: many layers and heads, one of each, text from right to left, finer and fewer weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser.reader import Reader
from samples import make_capture

from reportgen.captures.record import Capture
from reportgen.pages.page import render_page
from reportgen.pages.precision import FULL, Precision, measure_dropped_mass
from reportgen.records.evidence import Evidence

RIGHT_TO_LEFT = ("שלום", " עולם", " זה", " משפט", " ארוך", " (מאוד)", " العربية", "!")


def make_random(num_layers: int, num_heads: int, num_tokens: int) -> Capture:
    """Return a capture of random weights without evidence."""
    texts = tuple(f" t{number}" for number in range(num_tokens - 2))
    capture = make_capture(texts, ("x", "y"), layers=(0,), heads=(0,), slug="shape", title="Shape")
    drawn = np.tril(np.random.default_rng(3).gamma(0.3, size=(num_layers, num_heads, num_tokens, num_tokens)))
    patterns = drawn / drawn.sum(axis=-1, keepdims=True)
    return replace(
        capture,
        model=replace(capture.model, num_layers=num_layers, num_heads=num_heads),
        layers=tuple(range(num_layers)),
        heads=tuple(range(num_heads)),
        attention=patterns[:, :, *np.tril_indices(num_tokens)].astype(np.float16),
        evidence=Evidence(missing=dict.fromkeys(("value_norms", "attribution", "lens", "rollout"), "not asked for")),
    )


MANY = make_random(120, 64, 16)
ONE = make_capture(("Hello", " there"), (" you",), layers=(0,), heads=(0,))
LONG = make_random(2, 3, 130)


def weight_of(capture: Capture, layer: int, head: int, query_pos: int, key_pos: int) -> float:
    return float(capture.pattern(layer, head)[query_pos, key_pos])


@pytest.fixture
def show(new_reader: Callable[..., Reader], tmp_path: Path) -> Callable[..., Reader]:
    """Opens the page of a capture."""

    def open_page(capture: Capture, hash_: str = "", precision: Precision = FULL, **options: object) -> Reader:
        page = tmp_path / "page.html"
        page.write_text(render_page(capture, precision=precision), "utf-8", newline="")
        return new_reader(**options).open(page.as_uri() + hash_)

    return open_page


@pytest.mark.parametrize("width", [390, 1280])
def test_a_hundred_and_twenty_layers_of_sixty_four_heads(show: Callable[..., Reader], width: int) -> None:
    reader = show(MANY, "#layer=119&head=63&query=9", viewport={"width": width, "height": 900}).look_at("overview")
    shape = reader.ask("data", "overview", "image")["image"][0]["shape"]
    assert [cells // count for cells, count in zip(shape, (120, 64), strict=True)] == [17, 17]
    reader.click("overview", 40.5, 77.5)
    assert {key: reader.address()[key] for key in ("layer", "head")} == {"layer": "77", "head": "40"}
    said = reader.look_at("head").hover("head", 3, 9)
    assert said is not None
    assert f"weight {weight_of(MANY, 77, 40, 9, 3):.2g}" in said
    for figure in ("layer_tiles", "head_tiles"):
        assert reader.look_at(figure).ask("images", figure) > 0
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= width
    assert reader.problems == []


def test_one_layer_of_one_head(show: Callable[..., Reader]) -> None:
    reader = show(ONE)
    for figure in ("overview", "head", "layer_tiles", "head_tiles", "logprobs", "step_heads", "step_layers", "grid"):
        reader.look_at(figure)
    reader.press("j", "k", "h", "l", "p", "n", "b")
    assert {key: reader.address()[key] for key in ("layer", "head")} == {"layer": "0", "head": "0"}
    assert reader.problems == []


def test_text_from_right_to_left_runs_from_right_to_left(show: Callable[..., Reader]) -> None:
    capture = make_capture(RIGHT_TO_LEFT, (" טוב",))
    reader = show(capture, "#layer=0&head=3&query=5")
    places = reader.page.evaluate(
        """() => [...document.querySelectorAll("#strip .token")].map((token) => {
          const { left, top } = token.getBoundingClientRect();
          return [Math.round(top), -left];
        })"""
    )
    assert places == sorted(places)
    said = reader.look_at("head").hover("head", 1, 5)
    assert said is not None
    assert all(capture.tokens[position].shown in said for position in (1, 5))
    assert list(reader.ask("labels", "head", "x").values())[:3] == [token.shown for token in capture.tokens[:3]]
    assert reader.page.locator("#tooltip bdi").all_inner_texts() == [capture.tokens[p].shown for p in (5, 1)]
    quoted = reader.page.locator("#sentence bdi").all_inner_texts()
    assert quoted[:2] == [capture.tokens[position].shown for position in (5, 6)]
    assert "“" + quoted[0] + "” at position 5" in reader.page.locator("#sentence").inner_text()
    assert reader.problems == []


def test_labels_are_plain_text(show: Callable[..., Reader]) -> None:
    """Bokeh typesets what stands between the delimiters of TeX."""
    texts = ("$$x^2$$", " \\(y\\)", "\\[z\\]", " costs", " $$$$", "$", " 5")
    reader = show(make_capture(texts, (" \\(a",)), "#layer=0&head=3&query=5")
    shown = reader.look_at("head").page.evaluate(
        """() => {
          const { view, model } = probe.find("head");
          const axis = view.owner.find_one(model("x_axis"));
          const kinds = [...axis._major_label_views.values()].map(({ model }) => [model.type, model.text]);
          return kinds;
        }"""
    )
    assert [kind for kind, _ in shown] == ["PlainText"] * 8
    assert [text for _, text in shown] == [text.replace(" ", "␣") for text in (*texts, " \\(a")]
    assert reader.problems == []


def test_what_a_row_loses_stands_beneath_its_strongest_keys(show: Callable[..., Reader]) -> None:
    detail = Precision(threshold=40)
    reader = show(LONG, "#layer=1&head=2&query=100", detail)
    lost = measure_dropped_mass(LONG, detail)[1, 2, 100]
    assert lost > 0.1
    line = reader.page.locator("#strongest tbody tr").last
    assert line.inner_text().split("\t")[0].strip() == "weak keys left out"
    assert float(line.locator("td").nth(2).inner_text()) == pytest.approx(lost, abs=0.01)
    assert f"Weights under {detail.min_weight:.2g} are left out" in reader.page.locator("main").inner_text()
    row = LONG.pattern(1, 2)[100, :101]
    strong, weak = int(row.argmax()), int(np.where(row > 0.002, row, 1).argmin())
    reader.look_at("head")
    image = reader.ask("data", "head", "image")["image"][0]
    values = np.array([np.nan if value is None else value for value in image["values"]]).reshape(image["shape"])
    shown = values[np.argmax(~np.isnan(values[:, 0])) :]
    assert 0 in shown
    assert f"{row[strong]:.2g}" in (reader.hover("head", strong, 100) or "")
    assert "weight 0\n" in (reader.hover("head", weak, 100) or "") + "\n"
    assert reader.problems == []


def test_finer_weights_are_finer(show: Callable[..., Reader]) -> None:
    shown = {}
    for precision in (8, 16):
        reader = show(LONG, "#layer=1&head=2&query=100", Precision(precision))
        reader.look_at("head")
        reader.look_at("layer_tiles")
        reader.look_at("overview")
        row = reader.page.evaluate(
            """async () => {
              const scene = await reportgen.blocks.readCapture("again");
              const row = await scene.evidence.row(1, 2, 100, ["weight"], {});
              return [...row.weight];
            }"""
        )
        shown[precision] = np.abs(np.array(row) - LONG.pattern(1, 2)[100, :101]).max()
        assert reader.problems == []
    assert shown[16] < 2e-5
    assert 1e-4 < shown[8] < 0.004
