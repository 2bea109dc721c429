"""Pages of any shape: many layers and heads, one of each, text from right to left, finer and fewer weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import counts
import numpy as np
import pytest
from browser.layout import find_faults
from browser.reader import Reader
from samples import HOSTILE, make_capture

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
        triangles=patterns[:, :, *np.tril_indices(num_tokens)].astype(np.float16),
        evidence=Evidence(missing=dict.fromkeys(("value_norms", "attribution", "lens", "rollout"), "not asked for")),
    )


MANY = make_random(120, 64, 16)
ONE = make_capture(("Hello", " there"), (" you",), layers=(0,), heads=(0,))
LONG = make_random(2, 3, 130)


def weight_of(capture: Capture, layer: int, head: int, query_pos: int, key_pos: int) -> float:
    return float(capture.attention[layer, head, query_pos, key_pos])


@pytest.fixture
def show(new_reader: Callable[..., Reader], tmp_path: Path) -> Callable[..., Reader]:
    """Opens the page of a capture."""

    def open_page(capture: Capture, hash_: str = "", precision: Precision = FULL, **options: object) -> Reader:
        page = tmp_path / "page.html"
        page.write_text(render_page(capture, precision=precision), "utf-8", newline="")
        return new_reader(**options).open(page.as_uri() + hash_)

    return open_page


CODE = (
    "def",
    " f",
    "(",
    "x",
    "):",
    "\n    ",
    "return",
    " x",
    " +",
    " 1",
    "\n",
    "\n",
    "print",
    "(",
    "f",
    "(",
    "2",
    "))",
)
PAGES = {
    "generated": make_capture(),
    "code": make_capture(CODE, ("\n", "print")),
    "long tokens": make_capture((" " * 40, "x" * 60, "Donaudampfschifffahrt", "\n" * 8, "=" * 32), ("y" * 50, " z")),
    "right to left": make_capture(RIGHT_TO_LEFT, (" טוב",)),
    "one head": ONE,
    "hostile": make_capture(HOSTILE, title=HOSTILE[0]),
    "one token": make_capture(("Hello",), (), layers=(0,), heads=(0, 1)),
    "nothing written": make_capture(generated=()),
    "many heads": make_random(80, 64, 16),
    "many tokens": LONG,
}
"""In ``make test`` the first three are looked at, in two widths."""
WIDTHS = (320, 390, 768, 1024, 1440, 1920, 3840) if counts.FULL else (390, 1440)


@pytest.mark.parametrize("kind", list(PAGES)[: counts.count("kinds of pages in every width")])
@pytest.mark.parametrize("scheme", ["light", "dark"] if counts.FULL else ["light"])
def test_nothing_leaves_its_card_is_cut_or_overlaps(show: Callable[..., Reader], kind: str, scheme: str) -> None:
    reader = show(PAGES[kind], viewport={"width": WIDTHS[0], "height": 900}, color_scheme=scheme)
    for width in WIDTHS:
        reader.page.set_viewport_size({"width": width, "height": 900})
        for is_open in (False, True):
            reader.page.locator(".fold").evaluate_all(
                "(all, open) => all.forEach((one) => { one.open = open; })", is_open
            )
            reader.settle()
            for figure in reader.page.locator(".heatmap:visible").all():
                figure.scroll_into_view_if_needed()
                reader.settle()
            assert find_faults(reader) == [], (width, is_open)
    assert reader.problems == []


@pytest.mark.parametrize(("width", "highest"), [(1440, 2600), (390, 5500)])
def test_page_is_short_and_keeps_its_height(show: Callable[..., Reader], width: int, highest: int) -> None:
    capture = make_capture(tuple(f" word{i % 9}" for i in range(26)), tuple(f" w{i}" for i in range(6)))
    reader = show(capture, viewport={"width": width, "height": 900})
    height = "() => document.documentElement.scrollHeight"
    before = reader.page.evaluate(height)
    for top in range(0, before, 400):
        reader.page.evaluate("(top) => scrollTo(0, top)", top)
        reader.settle()
    after = reader.page.evaluate(height)
    assert after <= highest
    assert after - before <= 2


@pytest.mark.parametrize("width", [390, 1280])
def test_a_hundred_and_twenty_layers_of_sixty_four_heads(show: Callable[..., Reader], width: int) -> None:
    reader = show(MANY, "#layer=119&head=63&query=9&by=weight", viewport={"width": width, "height": 900}).look_at("map")
    assert (len(reader.rows("map")), len(reader.rows("map")[0])) == (120, 64)
    reader.click("map", 40.5, 42.5)
    assert {key: reader.address()[key] for key in ("layer", "head")} == {"layer": "77", "head": "40"}
    reader.press("Escape")
    said = reader.look_at("head").point_at(9, 3)
    assert said is not None
    assert f"weight {weight_of(MANY, 77, 40, 9, 3):.2g}" in said
    for figure in ("heads", "layers"):
        assert len(reader.look_at(figure).rows(figure)) == 16
        assert reader.page.locator(f"[data-all={figure}]").is_visible()
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= width
    assert reader.problems == []


def test_one_layer_of_one_head(show: Callable[..., Reader]) -> None:
    reader = show(ONE)
    for figure in ("heads", "layers", "head", "effect", "map"):
        reader.look_at(figure)
    reader.press("j", "k", "h", "l", "p", "n", "b")
    assert {key: reader.address()[key] for key in ("layer", "head")} == {"layer": "0", "head": "0"}
    assert reader.problems == []


def test_code_keeps_its_line_breaks(show: Callable[..., Reader]) -> None:
    reader = show(PAGES["code"], viewport={"width": 1440, "height": 900})
    tops, lefts = zip(*reader.page.locator("#strip .token").evaluate_all(
        "(all) => all.map((one) => [one.getClientRects()[0].top, [...one.getClientRects()].at(-1).left])"
    ), strict=True)  # fmt: skip
    assert len({round(top) for top in tops}) == 5
    assert tops[6] > tops[4]
    assert lefts[6] > lefts[0] + 20  # the indentation begins the line


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
    said = reader.look_at("head").point_at(5, 1)
    assert said is not None
    assert all(capture.tokens[position].shown in said for position in (1, 5))
    assert reader.ask("labels", "head", "columns")[:3] == [token.shown for token in capture.tokens[:3]]
    assert reader.page.locator("#tooltip bdi").all_inner_texts() == [capture.tokens[p].shown for p in (5, 1)]
    assert reader.problems == []


def test_labels_are_plain_text(show: Callable[..., Reader]) -> None:
    """Bokeh would typeset what stands between the delimiters of TeX."""
    texts = ("$$x^2$$", " \\(y\\)", "\\[z\\]", " costs", " $$$$", "$", " 5")
    reader = show(make_capture(texts, (" \\(a",)), "#layer=0&head=3&query=5").look_at("head")
    expected = [text.replace(" ", "␣") for text in (*texts, " \\(a")]
    assert reader.ask("labels", "head", "rows") == reader.ask("labels", "head", "columns") == expected
    assert reader.problems == []


def test_what_a_row_loses_stands_beneath_its_strongest_keys(show: Callable[..., Reader]) -> None:
    detail = Precision(threshold=40)
    reader = show(LONG, "#layer=1&head=2&query=100", detail)
    lost = measure_dropped_mass(LONG, detail)[1, 2, 100]
    assert lost > 0.1
    line = reader.page.locator("#strongest tbody tr").last
    assert line.inner_text().split("\t")[0].strip().startswith("the rest (below ")
    assert float(line.locator("td").nth(1).inner_text()) == pytest.approx(lost, abs=0.01)
    assert f"Weights under {detail.min_weight:.2g} are left out" in reader.page.locator("main").inner_text()
    row = LONG.attention[1, 2, 100, :101]
    strong, weak = int(row.argmax()), int(np.where(row > 0.002, row, 1).argmin())
    reader.look_at("head")
    shown = [value for row in reader.rows("head") for value in row if value is not None]
    assert 0 in shown
    assert f"{row[strong]:.2g}" in (reader.point_at(100, strong) or "")
    assert "weight 0\n" in (reader.point_at(100, weak) or "") + "\n"
    assert reader.problems == []


def test_finer_weights_are_finer(show: Callable[..., Reader]) -> None:
    shown = {}
    for precision in (8, 16):
        reader = show(LONG, "#layer=1&head=2&query=100", Precision(precision))
        reader.look_at("head")
        reader.look_at("heads")
        reader.look_at("map")
        row = reader.page.evaluate(
            """async () => {
              const scene = await reportgen.blocks.readCapture("again");
              const row = await scene.evidence.row(1, 2, 100, ["weight"], {});
              return [...row.weight];
            }"""
        )
        shown[precision] = np.abs(np.array(row) - LONG.attention[1, 2, 100, :101]).max()
        assert reader.problems == []
    assert shown[16] < 2e-5
    assert 1e-4 < shown[8] < 0.004
