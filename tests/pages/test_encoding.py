"""Blocks: what goes in comes out, within the error that the page states."""

from __future__ import annotations

import base64
import itertools
import json
import math
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from golden_file import read_golden
from hypothesis import given
from hypothesis import strategies as st
from samples import HOSTILE, make_capture, make_noisy, make_prediction
from unpacking import decode_bytes, unpack_triangles

from reportgen.captures.quantization import dequantize_sqrt, quantize_sqrt
from reportgen.captures.record import Capture
from reportgen.evidence.kinds.attribution import SOURCE_THRESHOLD
from reportgen.pages.assets import read_bokeh
from reportgen.pages.encoding import (
    describe_capture,
    encode_bytes,
    encode_codes,
    encode_json,
    encode_layer,
    encode_overview,
    encode_pattern,
    encode_row_sums,
    encode_rows,
    shrink,
    thumbnail_side,
)
from reportgen.pages.evidence_blocks import (
    describe_evidence,
    encode_sources,
    list_grids,
    list_heatmap_modes,
    make_evidence_blocks,
)
from reportgen.pages.layer_notes import describe_layer_types
from reportgen.pages.palettes import DIVERGING, PALETTES, describe_ramps
from reportgen.pages.precision import Precision, measure_dropped_mass, measure_row_sums, quantize
from reportgen.records import Token
from reportgen.records.evidence import Evidence

BYTES = bytes([*range(256), 0])
TEXT = "naïve 🤷🏽\n" * 9


def codes_of(block: str) -> list[int]:
    """Return the bytes of a block as numbers."""
    return list(decode_bytes(block))


def triangles_of(block: str, num_heads: int = 1) -> list[int]:
    """Return the codes of a block of triangles."""
    return unpack_triangles(decode_bytes(block), num_heads).ravel().tolist()


@given(st.binary(max_size=2000))
def test_bytes_come_back(data: bytes) -> None:
    assert decode_bytes(encode_bytes(data)) == data


def test_block_is_base64_of_zlib() -> None:
    block = encode_bytes(b"attention" * 100)
    assert zlib.decompress(base64.b64decode(block, validate=True)) == b"attention" * 100
    assert len(block) < 100


def test_codes_are_smaller_without_repeated_text() -> None:
    """Equal codes side by side are found all the same."""
    codes = np.random.default_rng(2).geometric(np.linspace(0.1, 0.9, 200_000)).astype(np.uint8)
    assert decode_bytes(encode_codes(codes.tobytes())) == codes.tobytes()
    assert len(encode_codes(codes.tobytes())) < 0.97 * len(encode_bytes(codes.tobytes()))
    assert len(encode_codes(bytes(50_000))) < 400


def test_patience_makes_large_blocks_smaller() -> None:
    data = read_bokeh().encode()
    patient = encode_bytes(data, patient=True)
    assert decode_bytes(patient) == data
    assert len(patient) < len(encode_bytes(data))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)  # fmt: skip


@given(_JSON)
def test_json_comes_back(value: Any) -> None:
    assert json.loads(decode_bytes(encode_json(value))) == value


def test_json_is_compact_utf8_with_keys_in_their_order() -> None:
    value = {"b": 1, "a": ["␣שלום", "</script>", None]}
    assert decode_bytes(encode_json(value)).decode("utf-8") == '{"b":1,"a":["␣שלום","</script>",null]}'


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_json_lacks(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_json({"weights": [0.5, number]})


def test_codes_are_square_roots() -> None:
    weights = np.array([[0, 0.04, 0.36], [0.64, 0.9, 1]])
    codes = quantize_sqrt(weights)
    assert codes.dtype == np.uint8
    assert codes.tolist() == [[0, 51, 153], [204, 242, 255]]


def test_codes_stay_in_range() -> None:
    assert quantize_sqrt(np.array([-1e-3, 1.001, 1e6])).tolist() == [0, 255, 255]


def test_each_code_comes_back() -> None:
    codes = np.arange(256, dtype=np.uint8)
    assert quantize_sqrt(dequantize_sqrt(codes)).tolist() == codes.tolist()


def test_codes_of_halves_are_those_of_the_same_numbers_in_full() -> None:
    """Those of float16 are looked up in a table, a part of them at a time, whatever lies between them."""
    weights = np.random.default_rng(5).random((3, 2, 70_000)).astype(np.float16)
    assert (quantize_sqrt(weights) == quantize_sqrt(weights.astype(np.float32))).all()
    assert (quantize_sqrt(weights[:, 1, ::2]) == quantize_sqrt(weights[:, 1, ::2].astype(np.float32))).all()
    assert quantize_sqrt(np.array(0.25, np.float16)).tolist() == 128


def test_whatever_is_no_weight_has_a_code_too() -> None:
    strange = np.array([-1, 1.5, np.inf, -np.inf, np.nan, -0.0], np.float16)
    assert quantize_sqrt(strange).tolist() == [0, 255, 255, 0, 0, 0]


def test_error_is_bounded_for_every_weight_that_a_capture_can_hold() -> None:
    weights = np.arange(0x3C01, dtype=np.uint16).view(np.float16)
    assert (weights[0], weights[-1]) == (0, 1)
    exact = weights.astype(np.float64)
    codes = quantize_sqrt(weights)
    error = np.abs(dequantize_sqrt(codes).astype(np.float64) - exact)
    assert (error <= np.sqrt(exact) / 255 + 1 / 510**2 + 1e-7).all()
    assert error.max() < 0.004
    assert ((codes == 0) == (exact < 1 / 510**2)).all()


ROWS = {
    "self": [255, 0, 255, 0, 0, 255],
    "previous": [255, 255, 0, 0, 255, 0],
    "first": [255, 255, 0, 255, 0, 0],
    "uniform": [255, 180, 180, 147, 147, 147],
}
"""Codes of the lower triangle of three positions, row by row: the square roots of 1/2 and 1/3 are 180/255, 147/255."""


def test_layer_holds_its_heads() -> None:
    three = make_capture(("a", "b"), ("c",), layers=(0, 1))
    assert triangles_of(encode_layer(three, 0), 4) == [
        *ROWS["self"],
        *ROWS["previous"],
        *ROWS["first"],
        *ROWS["uniform"],
    ]
    assert triangles_of(encode_layer(three, 1), 4) == [
        *ROWS["previous"],
        *ROWS["first"],
        *ROWS["uniform"],
        *ROWS["self"],
    ]


def test_layers_and_heads_are_found_by_the_models_numbers() -> None:
    three = make_capture(("a", "b"), ("c",), layers=(2, 5), heads=(1, 3))
    assert triangles_of(encode_layer(three, 5), 2) == [*ROWS["first"], *ROWS["self"]]
    assert triangles_of(encode_pattern(three, 2, 1)) == ROWS["uniform"]
    assert triangles_of(encode_pattern(three, 5, 3)) == ROWS["self"]


def test_rows_of_a_query_are_those_of_every_layer_and_head() -> None:
    three = make_capture(("a", "b"), ("c",), layers=(0, 1), heads=(0, 2))
    of_query = [[[*ROWS["self"][3:], *ROWS["first"][3:]], [*ROWS["previous"][3:], *ROWS["uniform"][3:]]]]
    assert codes_of(encode_rows(three, 2)) == np.ravel(of_query).tolist()
    assert codes_of(encode_rows(three, 0)) == [255] * 4
    fine = np.frombuffer(decode_bytes(encode_rows(three, 1, Precision(16))), "<u2")
    assert fine.tolist() == [0, 65535, 65535, 0, 65535, 0, round(65535 * 0.5**0.5), round(65535 * 0.5**0.5)]


def test_overview_holds_squares() -> None:
    three = make_capture(("a", "b"), ("c",), layers=(1,), heads=(0, 2))
    previous, uniform = [255, 0, 0, 255, 0, 0, 0, 255, 0], [255, 0, 0, 180, 180, 0, 147, 147, 147]
    assert codes_of(encode_overview(three)) == [*previous, *uniform]


def test_overview_holds_the_strongest_of_every_head() -> None:
    noisy = make_noisy(77)
    squares = np.array(codes_of(encode_overview(noisy))).reshape(len(noisy.layers), len(noisy.heads), 24, 24)
    for (row, layer), (column, head) in itertools.product(enumerate(noisy.layers), enumerate(noisy.heads)):
        assert (squares[row, column] == quantize_sqrt(shrink(noisy.attention[layer, head], 24))).all()


def test_overview_of_a_long_prompt_is_small() -> None:
    long = make_capture(tuple("abcdefghijklmnopqrstuvwxyz"), ("c",), layers=(0,), heads=(0, 3))
    squares = np.array(codes_of(encode_overview(long))).reshape(2, 24, 24)
    assert (squares[0] == 255 * np.eye(24)).all()
    assert (squares[1][np.triu_indices(24, 1)] == 0).all()
    assert (squares[1][np.tril_indices(24)] > 0).all()


@pytest.mark.parametrize(("num_tokens", "side"), [(1, 1), (23, 23), (24, 24), (25, 24), (400, 24)])
def test_thumbnail_is_never_larger_than_the_pattern(num_tokens: int, side: int) -> None:
    assert thumbnail_side(num_tokens) == side


def test_shrink_keeps_the_strongest_cell() -> None:
    pattern = np.arange(25).reshape(5, 5)  # 5 positions in 2 cells: 0-1 and 2-4
    assert shrink(pattern, 2).tolist() == [[6, 9], [21, 24]]


def test_shrink_leaves_small_patterns_alone() -> None:
    pattern = np.ones((3, 3))
    assert shrink(pattern, 3) is pattern
    assert shrink(pattern, 4) is pattern


@given(length=st.integers(1, 40), side=st.integers(1, 24), seed=st.integers(0, 99))
def test_shrink_equals_a_loop(length: int, side: int, seed: int) -> None:
    """Every position is in one cell, whether or not ``side`` divides the length."""
    pattern = np.random.default_rng(seed).random((length, length))
    cells = min(side, length)
    cell_of = [
        next(i for i in range(cells) if i * length // cells <= position < (i + 1) * length // cells)
        for position in range(length)
    ]
    expected = np.zeros((cells, cells))
    for query_pos, row in enumerate(cell_of):
        for key_pos, column in enumerate(cell_of):
            expected[row, column] = max(expected[row, column], pattern[query_pos, key_pos])
    assert np.array_equal(shrink(pattern, side), expected)


def test_capture_is_described_in_json() -> None:
    scores = {"self": np.array([[1 / 3], [np.nan]], np.float32)}
    capture = replace(make_capture(("a ", "b"), ("c",), layers=(2, 5), heads=(1,)), evidence=Evidence(scores=scores))
    described = describe_capture(capture)
    others = [[90, "␣dog", -1.38629436], [91, "␣hat", -1.38629436]]
    assert described == {
        "layers": [2, 5],
        "heads": [1],
        "has_all_heads": False,
        "scores": {"self": [[0.333333343], [None]]},
        "num_prompt_tokens": 2,
        "thumbnail_side": 3,
        "has_overview": False,
        "precision": 8,
        "min_weight": 0.0,
        "tokens": [[10, "a␣", 0], [11, "b", 0], [12, "c", 0]],
        "prompt_predictions": [
            {
                "logprob": -1.38629436,
                "rank": 1,
                "entropy": 0.69,
                "alternatives": [[11, "b", -1.38629436], [90, "␣dog", -0.980829253], [91, "␣hat", -0.980829253]],
            }
        ],
        "is_forecast": False,
        "steps": [
            {
                "raw": {
                    "logprob": -0.693147181,
                    "rank": 1,
                    "entropy": 0.69,
                    "alternatives": [[12, "c", -0.693147181], *others],
                },
                "filtered": {
                    "logprob": -0.223143551,
                    "rank": 1,
                    "entropy": 0.69,
                    "alternatives": [[12, "c", -0.223143551], [90, "␣dog", -1.60943791]],
                },
            }
        ],
    }
    assert json.loads(decode_bytes(encode_json(described))) == described


def test_special_tokens_are_marked() -> None:
    capture = make_capture(("a", "b"), ())
    marked = replace(capture, tokens=(replace(capture.tokens[0], special=True), capture.tokens[1]))
    assert describe_capture(marked)["tokens"] == [[10, "a", 1], [11, "b", 0]]


def test_script_is_told_of_a_forecast() -> None:
    described = [describe_capture(make_capture(("a",), ("c",), max_new_tokens=most)) for most in (0, 1)]
    assert [one.pop("is_forecast") for one in described] == [True, False]
    assert described[0] == described[1]
    assert describe_capture(make_capture(("a",), ()))["is_forecast"] is False


def test_impossible_token_has_no_log_probability() -> None:
    assert describe_capture(make_hostile())["steps"][1]["filtered"]["logprob"] is None


def test_golden_payload_is_what_is_encoded_now() -> None:
    """``tests/js/payload.test.js`` reads the same file; REPORTGEN_UPDATE_GOLDEN=1 writes it anew.

    Blocks are compared by what they hold: another zlib deflates the same bytes to others.
    """
    made = make_golden()
    committed = json.loads(read_golden("payload.json", dump_golden(made)))
    assert decode_blocks(committed.pop("blocks")) == decode_blocks(made.pop("blocks"))
    assert committed == made


def test_golden_payload_holds_hostile_text() -> None:
    shown = [token[1] for token in make_golden()["content"]["tokens"]]
    for text in ("</script><script>", "{{␣7*7␣}}", "{#", "&amp;", "שלום", "⟨F0 9F⟩", "line↵break"):
        assert any(text in token for token in shown), text


def make_hostile() -> Capture:
    """Return a capture of 27 tokens, more than a thumbnail has cells, with weights of all sizes and hostile text."""
    split = (Token(200, "", "⟨F0 9F⟩"), Token(201, "", "⟨A4⟩"), Token(202, "🤷", "🤷"))
    texts = (*HOSTILE, *("abcdefghi"))
    capture = make_capture((*texts, "?", "?", "?"), (" x", " y", " z"), layers=(0, 3), heads=(1, 2), title=HOSTILE[0])
    tokens = (*capture.tokens[: len(texts)], *split, *capture.tokens[len(texts) + 3 :])
    patterns = np.array([[make_spread(layer, head, len(tokens)) for head in (1, 2)] for layer in (0, 3)])
    ruled_out = replace(make_prediction(tokens[-2], tokens[:2]), logprob=-math.inf)
    steps = list(capture.steps)
    steps[1] = replace(steps[1], filtered=ruled_out)
    triangles = patterns[:, :, *np.tril_indices(len(tokens))].astype(np.float16)
    evidence = make_spread_evidence(capture.evidence)
    return replace(capture, tokens=tokens, steps=tuple(steps), triangles=triangles, evidence=evidence)


def make_spread_evidence(evidence: Evidence) -> Evidence:
    """Return evidence with values of all sizes and both signs, and none at the last step."""
    assert evidence.attribution
    assert evidence.value_norms is not None

    def spread(shape: tuple[int, ...]) -> np.ndarray:
        count = np.arange(math.prod(shape), dtype=np.float32)
        part = ((7 * count) % 23 - 11) / 11
        return (part * part * part * part * part).reshape(shape)  # NumPy's ** depends on the processor

    attribution = evidence.attribution
    assert attribution.sources is not None
    heads, sources = spread(attribution.heads.shape), 3 * spread(attribution.sources.shape)
    heads[:, -1], sources[:, :, -26:] = np.nan, np.nan
    assert attribution.read is not None
    read = spread(attribution.read.shape)
    # The last key of each step has what its row lacks of attention's part.
    ends = np.cumsum([24, 25, 26])
    for step, (start, end) in enumerate(itertools.pairwise([0, *ends])):
        attention = heads[0, step].sum() + attribution.other_heads[0, step]
        read[end - 1] = attention - read[start : end - 1].sum()
    read[ends[1] :] = np.nan
    return evidence.replace(
        value_norms=5 * np.abs(spread(evidence.value_norms.shape)),
        rollout=np.abs(spread(evidence.rollout.shape)) if evidence.rollout is not None else None,
        attribution=replace(attribution, heads=heads, sources=sources, read=read),
    )


def make_spread(layer: int, head: int, n: int) -> np.ndarray:
    """Return a causal pattern: halved from key to key towards the first for head 1, up and down for others."""
    query_pos, key_pos = np.mgrid[:n, :n]
    if head == 1:
        weights = 0.5 ** (query_pos - key_pos + layer)
        weights[:, 0] = 1
    else:
        weights = ((7 * query_pos + 3 * key_pos + 5 * layer) % 11 + 1.0) ** 3
    weights = np.tril(weights)
    return weights / weights.sum(axis=1, keepdims=True)


THIN = Precision(threshold=60)
"""Leaves out two thirds of the golden capture's weights."""


def make_golden() -> dict[str, Any]:
    """Return blocks, and the numbers and texts that must come out of them."""
    capture = make_hostile()
    evidence, grids = capture.evidence, list_grids(capture)
    assert evidence.attribution
    dropped = measure_dropped_mass(capture, THIN)
    assert dropped is not None
    row_sums = {"dropped": dropped, **measure_row_sums(capture)}
    content = describe_capture(capture) | describe_layer_types(capture)
    opening = {"layer": 3, "head": 2, "step": 1, "query_pos": 24, "key_pos": None}
    content |= {"opening": opening, "heatmap_modes": list_heatmap_modes(capture), "grid_metrics": list(grids)}
    content |= {"has_read": True}
    return {
        "blocks": {
            "bytes": encode_bytes(BYTES),
            "text": encode_bytes(TEXT.encode()),
            "content": encode_json(content),
            "overview": encode_overview(capture),
            "opening-head": encode_pattern(capture, 3, 2),
            **{f"layer-{layer}": encode_layer(capture, layer) for layer in capture.layers},
            "fine-3": encode_layer(capture, 3, Precision(16)),
            **{f"thin-{layer}": encode_layer(capture, layer, THIN) for layer in capture.layers},
            **encode_row_sums(row_sums),
            **make_evidence_blocks(capture),
            **{f"sources-{layer}": block for layer, block in zip(capture.layers, encode_sources(capture), strict=True)},
        },
        "bytes": list(BYTES),
        "text": TEXT,
        "ramps": {name: [colour.lower() for colour in ramp] for name, ramp in (PALETTES | DIVERGING).items()},
        "ramp_steps": describe_ramps(PALETTES | DIVERGING),
        "fine": quantize(capture.triangles[1], Precision(16)).ravel().tolist(),
        "min_weight": THIN.min_weight,
        "row_sums": {name: round_all(sums) for name, sums in row_sums.items()},
        "content": content,
        "facts": describe_evidence(capture),
        "source_floor": SOURCE_THRESHOLD,
        "grids": {name: round_all(grid) for name, grid in grids.items()},
        "norms": round_all(evidence.value_norms),
        "rollout": round_all(evidence.rollout),
        "sources": round_all(evidence.attribution.sources),
        "read": round_all(evidence.attribution.read),
        "weights": [[[round(float(cell), 6) for cell in head] for head in layer] for layer in capture.triangles],
        "strongest": {
            f"{layer} {head} {query_pos}": find_strongest(capture, layer, head, query_pos)
            for layer in capture.layers for head in capture.heads for query_pos in (0, 13, 26)
        },
    }  # fmt: skip


def round_all(values: Any) -> Any:
    """Return an array as lists of numbers with six decimals, null for NaN."""
    if np.ndim(values):
        return [round_all(value) for value in values]
    return None if np.isnan(values) else round(float(values), 6)


def find_strongest(capture: Capture, layer: int, head: int, query_pos: int) -> list[int]:
    """Return the five keys with the largest codes, earlier ones first where they are equal."""
    codes = quantize_sqrt(capture.attention[layer, head, query_pos, : query_pos + 1]).astype(int)
    return np.argsort(-codes, kind="stable")[:5].tolist()


def dump_golden(golden: dict[str, Any]) -> str:
    """Return JSON with a line for each key, in ASCII: some of the text would turn the file around."""
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()) + "\n}\n"


def decode_blocks(blocks: dict[str, str]) -> dict[str, bytes]:
    """Return what blocks hold, by their names."""
    return {name: decode_bytes(block) for name, block in blocks.items()}
