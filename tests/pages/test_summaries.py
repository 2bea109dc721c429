"""The summary in a page: what was written is read back, from the end of the file alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from samples import make_capture, make_hostile
from unpacking import decode_bytes

from reportgen.evidence.head_summary import HeadSummary, summarize_heads
from reportgen.pages.compare import render_comparison
from reportgen.pages.encoding import encode_bytes
from reportgen.pages.page import render_page
from reportgen.pages.summaries import decode_summary, encode_summary
from reportgen.records import Comparison
from reportgen.site.files import read_summary


def assert_same(one: HeadSummary | None, other: HeadSummary) -> None:
    assert one is not None
    fields = ("model", "revision", "layers", "heads", "step")
    assert [getattr(one, name) for name in fields] == [getattr(other, name) for name in fields]
    assert list(one.numbers) == list(other.numbers)
    for name, values in other.numbers.items():
        np.testing.assert_array_equal(one.numbers[name], values)


@pytest.mark.parametrize(
    "capture",
    [make_capture(), make_capture(generated=()), make_capture(layers=(2,), heads=(1, 3)), make_hostile()],
    ids=["cat", "nothing generated", "some heads", "hostile"],
)
def test_summary_is_read_from_its_page(tmp_path: Path, capture) -> None:
    path = tmp_path / "cat.html"
    path.write_text(render_page(capture), "utf-8")
    assert_same(read_summary(path), summarize_heads(capture))


def test_summary_longer_than_the_end_that_is_read_first_is_found(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(200, 200)).astype(np.float16)
    path, summary = tmp_path / "cat.html", HeadSummary("tiny", "", (*range(200),), (*range(200),), 0, {"sink": values})
    block = encode_summary(summary)
    assert len(block) > 1 << 16
    path.write_text(f'<!doctype html><script type="text/plain" id="block-heads">{block}</script>\n</body>\n</html>\n')
    assert_same(read_summary(path), summary)


def test_pages_of_no_prompt_have_none(tmp_path: Path) -> None:
    path = tmp_path / "pair.html"
    path.write_text(render_comparison(Comparison(("a", "b")), make_capture(), make_capture()), "utf-8")
    assert read_summary(path) is None
    path.write_text("", "utf-8")
    assert read_summary(path) is None


@pytest.mark.parametrize(
    "block",
    [b"?", b"AAAA", encode_bytes(b"{}\n").encode(), encode_bytes(b"[]").encode()],
    ids=["no base64", "not deflated", "no fields", "no mapping"],
)
def test_what_is_no_summary_is_told_apart(block: bytes) -> None:
    with pytest.raises(ValueError, match="no summary of heads"):
        decode_summary(block)


def test_lost_numbers_are_told() -> None:
    whole = decode_bytes(encode_summary(summarize_heads(make_capture())))
    with pytest.raises(ValueError, match="no summary of heads"):
        decode_summary(encode_bytes(whole[:-2]).encode())
