"""What a comparison shows of activation patching: its finding, its maps, and the heads of the list."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
from html_tree import Element, parse_html
from samples import make_capture, make_patching
from unpacking import decode_bytes

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.patching import Patching
from reportgen.pages.alignment import slim
from reportgen.pages.compare import draw_comparison
from reportgen.pages.options import PageOptions
from reportgen.pages.pair_answer import PairRead
from reportgen.pages.pair_patching import find_strongest, format_share, say_patched
from reportgen.pages.sentences import to_json
from reportgen.records import Comparison

COMPARISON = Comparison(("cat", "dog"), "A cat beside a dog", "cat-and-dog", evidence=("patching",))


def make_sides() -> tuple[Capture, Capture]:
    """Return two captures whose heads 0 and 1 read what the other of both reads on the other side."""
    first, second = make_capture(), make_capture(("A", " dog", " ate", " the", " mat"), slug="dog", title="A dog")
    return slim(first, 16), slim(replace(second, triangles=second.triangles[:, [1, 0, 2, 3]]), 16)


def draw(patching: Patching | str) -> str:
    return draw_comparison(COMPARISON, *make_sides(), PageOptions(), patching=patching)[0]


def find_card(html: str) -> Element | None:
    return next(iter(parse_html(html).find("section", id="patching")), None)


def test_card_states_the_head_that_moves_b_most() -> None:
    found = find_strongest(make_patching())
    said = json.dumps(to_json(found), ensure_ascii=False)
    assert '["head", 2, 3]' in said
    assert "13 % of the way" in said
    nothing = replace(make_patching(), heads=-np.abs(make_patching().heads))
    assert "no head of" in json.dumps(to_json(find_strongest(nothing)))


def test_answer_says_what_patching_found_and_of_the_head_that_reads_most_differently() -> None:
    patching = make_patching()
    other = PairRead(1, 0, 0.5, (3, 3), (1, 1), (0.5, 0.2))
    said = json.dumps(to_json(say_patched(patching, [other])), ensure_ascii=False)
    assert '["head", 2, 3]' in said
    assert f'["head", 1, 0], " moves it {format_share(patching.find_share(1, 0))}. "' in said
    same = replace(other, layer=2, head=3)
    assert json.dumps(to_json(say_patched(patching, [same]))).count('"head"') == 1
    assert "of the way to" in parse_html(draw(patching)).find(id="answer")[0].text
    assert "of the way to" not in parse_html(draw("not proved")).find(id="answer")[0].text


def test_page_has_a_map_for_each_activation_and_direction() -> None:
    html = draw(make_patching())
    card = find_card(html)
    assert card is not None
    figures = [one.attributes["data-figure"] for one in card.find("div") if "data-figure" in one.attributes]
    assert figures == [f"patch-{name}-{into}" for into in (0, 1) for name in ("heads", "last", "stream")]
    assert len(card.find("img")) == 6
    assert "denoising" in card.text
    assert "log p(" in card.text
    shared = json.loads(decode_bytes(parse_html(html).find(id="block-shared")[0].text))
    np.testing.assert_allclose(shared["patching"]["shares"]["heads"], make_patching().heads, atol=1e-6)


def test_rows_of_heads_that_read_differently_have_their_effect() -> None:
    patching = make_patching()
    rows = [one for one in parse_html(draw(patching)).find("tr") if "data-row" in one.attributes]
    assert rows
    for row in rows:
        layer, head = map(int, row.attributes["data-row"].split())
        wanted = [format_share(patching.find_share(layer, head, into)).removesuffix(" %") for into in (0, 1)]
        assert " / ".join(wanted) in row.text


def test_reason_stands_where_nothing_was_measured() -> None:
    card = find_card(draw("the prompts do not align"))
    assert card is not None
    assert "n/a: the prompts do not align." in card.text
    assert find_card(draw("")) is None


def test_shares_are_percents_with_a_minus() -> None:
    assert [format_share(share) for share in (0.613, -0.25, 0.034, -0.0004, 0, None, math.nan)] == [
        "61 %", "−25 %", "3.4 %", "0 %", "0 %", "n/a", "n/a"
    ]  # fmt: skip
