"""How finely a page holds weights, and what it leaves out."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from html_tree import Element, parse_html
from numpy.typing import NDArray
from samples import make_noisy
from unpacking import decode_bytes, unpack_triangles

from reportgen.captures.quantization import dequantize_sqrt, quantize_sqrt
from reportgen.captures.record import Capture
from reportgen.pages import size_limit
from reportgen.pages.alignment import slim
from reportgen.pages.compare import draw_comparison
from reportgen.pages.encoding import encode_layer
from reportgen.pages.options import PageOptions
from reportgen.pages.page import draw_page, render_page
from reportgen.pages.precision import (
    ERRORS,
    FULL,
    Precision,
    describe_dropped_mass,
    describe_precision,
    measure_dropped_mass,
    measure_row_sums,
    quantize,
)
from reportgen.pages.size_limit import find_highest_threshold
from reportgen.records import Comparison, SourceLocation
from reportgen.records.errors import OptionError, PromptError

NOISY = make_noisy()
WEIGHTS = np.array([0, 1e-6, 0.0009, 0.0016, 0.25, 1], np.float16)


def test_all_is_kept_unless_less_is_asked_for() -> None:
    assert quantize(WEIGHTS, FULL).tolist() == quantize_sqrt(WEIGHTS).tolist() == [0, 0, 8, 10, 128, 255]
    assert (FULL.min_weight, describe_dropped_mass(measure_dropped_mass(NOISY, FULL), FULL)) == (0, "")


def test_what_is_under_the_floor_is_left_out() -> None:
    assert quantize(WEIGHTS, Precision(threshold=9)).tolist() == [0, 0, 0, 10, 128, 255]
    assert quantize(WEIGHTS, Precision(threshold=10)).tolist() == [0, 0, 0, 10, 128, 255]
    assert Precision(threshold=9).min_weight == pytest.approx((8.5 / 255) ** 2)
    codes = np.array([3, 9, 200], np.uint8)
    assert quantize(codes, Precision(threshold=9)).tolist() == [0, 9, 200]


def test_sixteen_bits_hold_what_a_capture_holds() -> None:
    weights = np.arange(0x3C01, dtype=np.uint16).view(np.float16)
    codes = quantize(weights, Precision(bits=16))
    assert codes.dtype == np.uint16
    exact = weights.astype(np.float64)
    assert np.abs((codes / 65535) ** 2 - exact).max() < 2e-5
    assert quantize(WEIGHTS, Precision(16, threshold=9)).tolist()[:3] == [0, 0, 0]
    bytes_of_weights = np.array([0, 7, 255], np.uint8)
    assert (quantize(bytes_of_weights, Precision(16)) == 257 * bytes_of_weights.astype(int)).all()


def test_sixteen_bits_of_a_layer_come_back() -> None:
    capture = make_noisy(12)
    packed = decode_bytes(encode_layer(capture, 1, Precision(16)))
    num_codes = 4 * 78
    high = unpack_triangles(packed[:-num_codes], 4).astype(int)
    low = np.frombuffer(packed[-num_codes:], np.uint8).reshape(4, 78)
    assert (high * 256 + low == quantize(capture.triangles[1], Precision(16))).all()


def read_weights(page: Element, capture: Capture, bits: int) -> NDArray[np.float64]:
    """Return the weights on a page, ``[layer, head, query_pos, key_pos]``, decoded as its script does."""
    num_heads, num_cells = capture.triangles.shape[1:]
    weights = np.zeros((*capture.triangles.shape[:2], capture.num_tokens, capture.num_tokens))
    for row, layer in enumerate(capture.layers):
        packed = decode_bytes(page.find(id=f"block-layer-{layer}")[0].text)
        num_low = num_heads * num_cells if bits == 16 else 0
        codes = unpack_triangles(packed[: len(packed) - num_low], num_heads).astype(np.int64)
        if bits == 16:
            codes = codes * 256 + np.frombuffer(packed[-num_low:], np.uint8).reshape(codes.shape)
        weights[row][:, *np.tril_indices(capture.num_tokens)] = (codes / (2**bits - 1)) ** 2
    return weights


def make_leaning(share: float) -> Capture:
    """Return a capture whose heads have a share of their weight on the first token."""
    patterns = NOISY.attention[...]
    patterns = patterns.astype(np.float64) * (1 - share)
    patterns[..., 0] += share
    return replace(NOISY, triangles=patterns[:, :, *np.tril_indices(96)].astype(np.float16))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("share", [0.0, 0.95])
def test_stated_errors_are_the_largest_of_every_view(bits: int, share: float) -> None:
    capture = make_leaning(share)
    page = parse_html(render_page(capture, precision=Precision(bits)))
    shown = read_weights(page, capture, bits)
    exact = capture.attention[...]
    exact = exact.astype(np.float64)
    roots = np.frombuffer(decode_bytes(page.find(id="block-norms")[0].text), "<u2").reshape(3, 4, 1, 96) / 65535
    norms = capture.evidence.value_norms[:, :, None]

    def largest(found: NDArray[Any], expected: NDArray[Any]) -> float:
        return float(np.abs(found - expected).max())

    def divide(values: NDArray[Any]) -> NDArray[Any]:
        return values / np.maximum(values.sum(-1, keepdims=True), 1e-30)

    error, weighted = ERRORS[bits]
    assert largest(shown, exact) <= error
    assert largest(shown[:, :2] - shown[:, 2:], exact[:, :2] - exact[:, 2:]) <= 2 * error
    for length in (2, 3, 8, 32):
        words = [values.reshape(3, 4, 96, -1, length).sum(-1) for values in (shown, exact)]
        assert largest(*words) <= error * length**0.5
    assert largest(divide(shown * roots**2), divide(exact * norms)) <= weighted
    rest = np.sqrt(exact[:, :, 1:, 1:].sum(-1, keepdims=True))
    assert largest(divide(shown[:, :, 1:, 1:]) * rest, divide(exact[:, :, 1:, 1:]) * rest) <= error
    if bits == 8 and not share:
        assert largest(shown, exact) > error / 2
    said = describe_precision(Precision(bits), capture)
    assert f"{error:g} of a weight, {2 * error:g} of a difference, {error:g}·√m" in said
    assert f"{weighted:g} of weight × value, and {error:g}/√r" in said
    assert said in " ".join(page.text.split())


def test_what_a_row_loses_is_what_it_lacks() -> None:
    precision = Precision(threshold=20)
    dropped = measure_dropped_mass(NOISY, precision)
    assert dropped.shape == (3, 4, 96)
    for layer, head, query_pos in ((0, 0, 0), (1, 2, 40), (2, 3, 95)):
        row = NOISY.attention[NOISY.layers[layer], head][query_pos, : query_pos + 1].astype(np.float64)
        assert dropped[layer, head, query_pos] == pytest.approx(row[quantize_sqrt(row) < 20].sum(), abs=1e-6)
    said = describe_dropped_mass(measure_dropped_mass(NOISY, precision), precision)
    assert f"{np.median(dropped):.2g}" in said
    assert f"{dropped.max():.2g}" in said


def test_page_within_its_limit_leaves_nothing_out() -> None:
    options = PageOptions(max_page_mb=25)
    drawn = draw_page(NOISY, options)
    assert (drawn.html, drawn.precision) == (render_page(NOISY, options), FULL)


@pytest.mark.parametrize("precision", [8, 16])
def test_page_over_its_limit_leaves_out_as_little_as_it_must(precision: int) -> None:
    highest = find_highest_threshold(NOISY)
    whole, least = (len(render_page(NOISY, precision=Precision(precision, floor)).encode()) for floor in (0, highest))
    limit = (whole + least) / 2e6
    options = PageOptions(max_page_mb=limit, precision=precision)
    drawn = draw_page(NOISY, options)
    html, precision = drawn.html, drawn.precision
    assert 0 < precision.threshold < 255
    assert 0.97 * limit < len(html.encode()) / 1e6 <= limit
    assert html == render_page(NOISY, options, precision=precision)
    page = parse_html(html)
    assert describe_dropped_mass(measure_dropped_mass(NOISY, precision), precision)[1:] in page.text
    sums = {"dropped": measure_dropped_mass(NOISY, precision), **measure_row_sums(NOISY)}
    assert list(sums) == ["dropped", "rest", "written", "written-rest"]
    for name, expected in sums.items():
        (block,) = page.find("script", id=f"block-row-{name}")
        roots = np.frombuffer(decode_bytes(block.text), "<u2").reshape(3, 4, 96) / 65535
        assert np.abs(roots - np.sqrt(np.clip(expected, 0, 1))).max() < 1 / 65535


def test_sums_of_rows_are_those_of_the_whole_capture() -> None:
    sums, norms = measure_row_sums(NOISY), NOISY.evidence.value_norms
    for layer, head, query_pos in ((0, 0, 0), (1, 2, 40), (2, 3, 95)):
        row = NOISY.attention[NOISY.layers[layer], head][query_pos].astype(np.float64)
        written = row * norms[layer, head] / norms[layer, head].max()
        expected = {"rest": row[1:].sum(), "written": written.sum(), "written-rest": written[1:].sum()}
        for name, value in expected.items():
            assert sums[name][layer, head, query_pos] == pytest.approx(value, abs=1e-6)
    without = replace(NOISY, evidence=NOISY.evidence.replace(value_norms=None))
    assert list(measure_row_sums(without)) == ["rest"]


@pytest.mark.parametrize("capture", [NOISY, slim(NOISY, 8)], ids=["float16", "uint8"])
def test_page_keeps_half_of_its_attention_in_half_of_its_rows(capture: Capture) -> None:
    """The first token does not count: a row of which it alone is left says nothing."""
    highest = find_highest_threshold(capture)

    def measure_kept(threshold: int) -> float:
        shares = []
        for layer, head in itertools.product(capture.layers, capture.heads):
            rows = capture.attention[layer, head].astype(np.float64)[1:, 1:]
            kept = np.where(quantize_sqrt(rows) >= threshold, rows, 0).sum(1)
            shares += (kept / rows.sum(1)).tolist()
        return float(np.mean(np.array(shares) >= 0.5))

    assert 1 < highest < 255
    assert measure_kept(highest) >= 0.5 > measure_kept(highest + 1)


def test_rows_of_a_long_text_are_judged_by_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    every = find_highest_threshold(NOISY)
    monkeypatch.setattr(size_limit, "_JUDGED_ROWS", 32)
    assert abs(find_highest_threshold(NOISY) - every) <= 2


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("threshold", [0, 1, 20, 255])
def test_codes_of_a_capture_are_those_of_its_numbers(bits: int, threshold: int) -> None:
    """Those of a capture are looked up in a table."""
    precision = Precision(bits, threshold)
    for capture in (NOISY, slim(NOISY, 8)):
        weights = dequantize_sqrt(capture.triangles)
        found = quantize(capture.triangles, precision)
        assert found.dtype == np.dtype(f"u{bits // 8}")
        assert (found == quantize(weights.astype(np.float32), precision)).all()


@pytest.mark.parametrize(("max_bytes", "estimate", "is_asked", "is_whole"), [
    (80_000, 0, False, True),
    (50_000, 40_000, True, True),
    (50_000, 49_000, True, False),
    (20_000, 0, False, False),
])  # fmt: skip
def test_page_is_drawn_with_all_weights_where_they_probably_fit(
    monkeypatch: pytest.MonkeyPatch, max_bytes: int, estimate: int, is_asked: bool, is_whole: bool
) -> None:
    """They take 74 KB without any compression, and are not estimated where even a third of that is too much."""
    assert NOISY.triangles.size * 8 // 6 == 74_496
    asked, drawn = [], []

    def estimate_bytes(_: object, precision: Precision) -> int:
        asked.append(precision.threshold)
        return estimate

    def draw(precision: Precision, *, with_layers: bool = True) -> str:
        drawn.append((precision.threshold, with_layers))
        return "x" * 1000

    monkeypatch.setattr(size_limit, "_REST", 0)
    monkeypatch.setattr(size_limit, "_REST_OF_TOKEN", 0)
    monkeypatch.setattr(size_limit, "_estimate_bytes", estimate_bytes)
    size_limit.render_within([NOISY], PageOptions(max_page_mb=max_bytes / 1e6), draw, "here")
    assert (asked[:1] == [0]) == is_asked
    assert (drawn == [(0, True)]) == is_whole
    assert drawn[0] == ((0, True) if is_whole else (1, False))


def test_rows_that_attend_to_the_first_token_alone_do_not_count() -> None:
    triangles = NOISY.triangles.copy()
    first_only = np.zeros(NOISY.triangles.shape[-1], np.float16)
    first_only[[n * (n + 1) // 2 for n in range(96)]] = 1
    triangles[:, 1:] = first_only
    alone = replace(NOISY, heads=NOISY.heads[:1], triangles=triangles[:, :1])
    assert find_highest_threshold(replace(NOISY, triangles=triangles)) == find_highest_threshold(alone)
    assert find_highest_threshold(replace(NOISY, triangles=triangles * 0 + first_only)) == 255


@pytest.mark.parametrize(("options", "advice"), [
    (PageOptions(max_page_mb=0.3), "--shared-assets or --max-page-mb"),
    (PageOptions(max_page_mb=0.3, precision=16, shared_assets=True), "a shorter text, or use --max-page-mb"),
])  # fmt: skip
def test_limit_that_cannot_be_met_is_refused_with_the_least_size(options: PageOptions, advice: str) -> None:
    limit = options.max_page_mb if not options.shared_assets else 0.1
    placed = replace(NOISY, prompt=replace(NOISY.prompt, place=SourceLocation("my.yaml", 7)))
    with pytest.raises(PromptError, match=r"my.yaml:7: .*fewer layers or heads") as refused:
        draw_page(placed, replace(options, max_page_mb=limit))
    said = str(refused.value)
    assert advice in said
    assert f"does not fit into --max-page-mb {limit:g} " in said
    needed = float(said.partition("it needs ")[2].partition(";")[0])
    drawn = draw_page(placed, replace(options, max_page_mb=needed))
    assert drawn.precision.threshold <= find_highest_threshold(NOISY)
    assert needed - 0.011 < len(drawn.html.encode()) / 1e6 <= needed
    with pytest.raises(PromptError):
        draw_page(placed, replace(options, max_page_mb=needed - 0.011))


@pytest.mark.parametrize("fits_from", [3, 4, 6, 17, 20])
def test_least_threshold_is_found_in_a_few_trials(monkeypatch: pytest.MonkeyPatch, fits_from: int) -> None:
    """Whatever the estimate says."""
    monkeypatch.setattr(size_limit, "_estimate_threshold", lambda *_: 3)
    monkeypatch.setattr(size_limit, "find_highest_threshold", lambda _: 200)
    tried = []

    def draw(precision: Precision, *, with_layers: bool = True) -> str:
        tried.append(precision.threshold)
        return "x" * (1000 if precision.threshold >= fits_from else 2000)

    page, precision = size_limit.render_within([NOISY], PageOptions(max_page_mb=0.0015), draw, "here")
    assert precision.threshold == fits_from
    assert len(page) == 1000
    assert len(tried) < 14


@pytest.mark.parametrize("size", [float("nan"), float("inf"), -0.5])
def test_what_is_no_size_is_refused(size: float) -> None:
    with pytest.raises(OptionError, match=f"--max-page-mb: {size} is no size"):
        PageOptions(max_page_mb=size)


def test_no_limit_is_no_limit() -> None:
    options = PageOptions(max_page_mb=0)
    drawn = draw_page(NOISY, options)
    assert (drawn.html, drawn.precision) == (render_page(NOISY, options), FULL)


def test_comparison_is_held_to_its_limit_too() -> None:
    other = replace(NOISY, prompt=replace(NOISY.prompt, slug="other"))
    comparison = Comparison((NOISY.prompt.slug, "other"), slug="both", title="Both")
    whole, _ = draw_comparison(comparison, NOISY, other)
    limit = len(whole.encode()) / 1e6 - 0.03
    html, precision = draw_comparison(comparison, NOISY, other, PageOptions(max_page_mb=limit))
    assert precision.threshold > 0
    assert len(html.encode()) <= 1e6 * limit
    assert describe_dropped_mass(measure_dropped_mass(NOISY, precision), precision) in parse_html(html).text
    assert {block.attributes["id"] for block in parse_html(html).find("script", type="text/plain")} >= {
        "block-a-row-dropped",
        "block-b-row-dropped",
    }
    placed = replace(comparison, place=SourceLocation("my.yaml", 3, {"compare": 9}))
    with pytest.raises(PromptError, match=r"^my.yaml:9: both: the page does not fit into --max-page-mb 0.1 "):
        draw_comparison(placed, NOISY, other, PageOptions(max_page_mb=0.1))
