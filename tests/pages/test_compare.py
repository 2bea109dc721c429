"""The page of two sides: its template and context agree, hostile texts stay texts, its blocks hold both captures."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from golden_file import read_golden
from html_tree import Element, parse_html, shape_of
from page_checks import names_read_by, read_page
from samples import HOSTILE, make_capture, make_harmless, make_hostile, make_noisy, say
from unpacking import decode_bytes, unpack_triangles

from reportgen.build.comparisons import make_comparison_input
from reportgen.captures.record import Capture
from reportgen.pages.alignment import align, slim
from reportgen.pages.cards import make_card, parse_card
from reportgen.pages.compare import (
    CompareContext,
    describe_alignment,
    draw_comparison,
    make_compare_card,
    render_comparison,
)
from reportgen.pages.encoding import encode_layer, encode_pattern
from reportgen.pages.options import PageOptions
from reportgen.pages.precision import Precision, describe_precision
from reportgen.pages.templates import GENERATOR
from reportgen.records import Comparison

COMPARISON = Comparison(("cat", "dog"), "A cat beside a dog", "cat-and-dog", ("pets",), "A note.")


def make_pair(**second: object) -> tuple[Capture, Capture]:
    """Return two captures whose prompts are of equal length."""
    return slim(make_capture(), 8), slim(
        make_capture(("A", " dog", " ate", " the", " mat"), slug="dog", title="A dog", **second),  # pyright: ignore
        8,
    )


def render(*captures: Capture, comparison: Comparison = COMPARISON, shared_assets: bool = False) -> Element:
    return parse_html(render_comparison(comparison, *captures, PageOptions(shared_assets=shared_assets)))


def blocks_of(page: Element) -> dict[str, str]:
    return {
        script.attributes["id"].removeprefix("block-"): script.text for script in page.find("script", type="text/plain")
    }


def test_template_reads_its_context_and_nothing_else() -> None:
    assert names_read_by("compare.html.jinja2") == {field.name for field in fields(CompareContext)}


def test_outline_of_a_comparison() -> None:
    """REPORTGEN_UPDATE_GOLDEN=1 writes the file anew."""
    page = render(*make_pair()).outline() + "\n"
    assert page == read_golden("compare.txt", page)


def test_same_captures_give_the_same_bytes() -> None:
    first = render_comparison(COMPARISON, *make_pair())
    render_comparison(COMPARISON, *make_pair(layers=(0, 2)))
    assert render_comparison(COMPARISON, *make_pair()) == first


def test_what_is_left_of_a_capture_is_enough() -> None:
    """Weights lose nothing by being coded before."""
    whole = make_capture(), make_capture(slug="dog")
    assert render_comparison(COMPARISON, *whole) == render_comparison(
        COMPARISON, *(slim(capture, 8) for capture in whole)
    )


def test_sixteen_bits_hold_on_both_sides() -> None:
    whole = make_noisy(20), make_noisy(20, seed=9)
    sides = [make_comparison_input(capture, "", 16).captured for capture in whole]
    page = parse_html(draw_comparison(COMPARISON, *sides, PageOptions(precision=16))[0])
    blocks = blocks_of(page)
    for name, capture in zip("ab", whole, strict=True):
        for layer in capture.layers:
            packed = decode_bytes(blocks[f"{name}-layer-{layer}"])
            num_codes = capture.attention[0].size
            codes = unpack_triangles(packed[:-num_codes], 4).astype(int).ravel() * 256
            codes += np.frombuffer(packed[-num_codes:], np.uint8)
            weights = capture.attention[capture.layers.index(layer)].astype(np.float64).ravel()
            assert np.abs((codes / 65535) ** 2 - weights).max() < 2e-5
    assert describe_precision(Precision(16), *whole) in page.text
    assert "16 bits" in describe_precision(Precision(16), *whole)
    assert "8 bits" in describe_precision(Precision(16), whole[0], slim(whole[1], 8))


@pytest.mark.parametrize("shared_assets", [False, True])
def test_page_may_run_its_scripts_alone(shared_assets: bool) -> None:
    html = render_comparison(COMPARISON, *make_pair(), PageOptions(shared_assets=shared_assets))
    allowed, inline = read_page(html)
    assert len(inline) == 1
    assert len(allowed) == 3
    assert inline[0] in allowed
    assert ("'self'" in allowed) == shared_assets
    assert bool(parse_html(html).find(id="block-bokeh")) != shared_assets


def test_hostile_text_makes_no_elements_and_no_attributes() -> None:
    pages = []
    for side, text in ((make_hostile(), HOSTILE[0]), (make_harmless(), "a")):
        tags = HOSTILE if text == HOSTILE[0] else tuple("abcdefghijkl")
        pages.append(render(slim(side, 8), slim(side, 8), comparison=Comparison(("a", "b"), text, "ab", tags, text)))
    hostile, harmless = map(shape_of, pages)
    assert hostile == harmless


def test_hostile_text_is_shown_as_it_is() -> None:
    side = slim(make_hostile(), 8)
    page = render(side, side, comparison=Comparison(("a", "b"), HOSTILE[0], "ab", HOSTILE, HOSTILE[5]))
    shown = [token.shown for token in side.tokens]
    for name in "ab":
        assert [token.text for token in page.find(id=f"strip-{name}")[0].find("button")] == shown
        (title,) = page.find("h2", id=f"text-title-{name}")
        assert title.find("a")[0].text == HOSTILE[0]
    assert page.find("h1")[0].text == page.find("title")[0].text == HOSTILE[0]
    assert [tag.text for tag in page.find("span", class_="tag")] == list(HOSTILE)


def test_blocks_hold_both_captures() -> None:
    first, second = make_pair(layers=(1, 5), heads=(0, 3))
    blocks = blocks_of(render(first, second))
    contents = [json.loads(decode_bytes(blocks[f"{name}-content"])) for name in "ab"]
    for name, capture, content in zip("ab", (first, second), contents, strict=True):
        assert content["layers"] == list(capture.layers)
        assert blocks[f"{name}-default-head"] == encode_pattern(capture, *content["default_head"])
        assert f"{name}-overview" not in blocks
        for layer in capture.layers:
            assert blocks[f"{name}-layer-{layer}"] == encode_layer(capture, layer)
    shared = json.loads(decode_bytes(blocks["shared"]))
    assert shared["alignment"] == {"starts": [0, 0], "length": 8, "is_whole": True}


def test_both_sides_open_on_the_same_head_or_the_nearest() -> None:
    first, second = make_pair(layers=(4, 9), heads=(2,))
    blocks = blocks_of(render(first, second))
    openings = [json.loads(decode_bytes(blocks[f"{name}-content"]))["default_head"] for name in "ab"]
    assert openings[0][0] in first.layers
    assert openings[1] == [4, 2]


def test_data_stand_behind_the_script_layer_by_layer() -> None:
    scripts = [script.attributes.get("id", "script") for script in render(*make_pair(layers=(0, 7))).find("script")]
    behind = scripts[scripts.index("script") + 1 :]
    assert behind == [f"block-{name}" for name in ("a-layer-0", "b-layer-0", "a-layer-1", "a-layer-2", "b-layer-7")]


def test_figures_have_their_places() -> None:
    for captures in (make_pair(), (slim(say("abc"), 8), slim(say("ab"), 8))):
        page = render(*captures)
        places = {element.attributes["data-figure"] for element in page if "data-figure" in element.attributes}
        assert places == set(json.loads(decode_bytes(blocks_of(page)["figures"])))
        assert ("difference" in places) == (align(*captures) is not None)


def test_ids_are_unique_and_references_lead_somewhere() -> None:
    page = render(*make_pair())
    ids = [element.attributes["id"] for element in page if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    references = ("for", "aria-labelledby", "aria-describedby", "popovertarget")
    asked = {name for element in page for key in references for name in element.attributes.get(key, "").split()}
    assert asked <= set(ids)


def test_every_address_is_beside_the_page() -> None:
    page = render(*make_pair())
    hrefs = [element.attributes["href"] for element in page if "href" in element.attributes]
    assert hrefs == ["data:,", "index.html", "cat.html", "dog.html"]


def test_tables_and_distances_stand_in_the_page_itself() -> None:
    page = render(*make_pair())
    rows = [
        [cell.text for cell in row.find("td")]
        for row in page.find("table", id="variations")[0].find("tbody")[0].find("tr")
    ]
    assert len(rows) == 12
    assert rows[0] == ["L0 H0", "", "0.000"]
    for name in "AB":
        tables = [
            box for box in page.find("div", class_="scroll") if box.attributes["aria-label"].endswith(f"of {name}")
        ]
        assert [len(box.find("tbody")[0].find("tr")) for box in tables] == [3, 5]


def test_two_models_are_named_and_told_apart() -> None:
    first, second = make_pair()
    other = replace(second, model=replace(second.model, name="other"))
    page = render(first, other)
    assert "Two models" in page.text
    assert "Two models" not in render(first, second).text
    assert make_compare_card(COMPARISON, first, other).model == "tiny and other"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            ("abc", "de"),
            ("xyz", "de"),
            "Position beside position: the 3 tokens of both prompts and 2 generated tokens that both have.",
        ),
        (("abc", "d"), ("xyz", "e"), "Position beside position: the 3 tokens of both prompts."),
        (
            ("abcd", "ef"),
            ("xcd", "eg"),
            "The prompts have 4 and 3 tokens. Beside one another stand the 2 tokens that end both and 1 generated "
            "token that both have: from position 2 on in A, from 1 on in B. All that is read before them counts as "
            "one.",
        ),
        (
            ("abc", ""),
            ("ab", ""),
            "There is no difference to draw: the prompts have 3 and 2 tokens and do not end alike.",
        ),
    ],
)
def test_what_is_compared_is_said(first: tuple[str, str], second: tuple[str, str], expected: str) -> None:
    captures = say(*first), say(*second)
    assert describe_alignment(*captures, align(*captures)) == expected


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        ((0, 0), "the token that both would write next"),
        ((0, 1), "the token that B wrote and A would write next"),
        ((1, 0), "the token that A wrote and B would write next"),
        ((1, 1), "1 generated token that both have"),
    ],
)
def test_common_forecast_is_told_as_what_it_is(most: tuple[int, int], expected: str) -> None:
    first, second = (say("abc", "d", max_new_tokens=count) for count in most)
    assert describe_alignment(first, second, align(first, second)) == (
        f"Position beside position: the 3 tokens of both prompts and {expected}."
    )
    assert make_compare_card(COMPARISON, first, second).num_steps == sum(most)


def test_card_names_both_sides_and_is_read_back() -> None:
    first, second = make_pair()
    card = make_compare_card(COMPARISON, first, second)
    assert card.facts == "tiny · side by side: A cat and a mat | A dog"
    assert (card.slug, card.title, card.tags) == ("cat-and-dog", "A cat beside a dog", ("pets",))
    assert card.text == "The cat ate the mat\nA dog ate the mat"
    (carried,) = render(first, second).find("script", id="card")
    assert parse_card(json.loads(carried.text)) == card == parse_card(json.loads(json.dumps(asdict(card))))
    assert len(card.thumbnail) < 2000
    assert card.thumbnail != make_card(first).thumbnail


def test_generator_is_named_at_the_beginning() -> None:
    assert f'<meta name="generator" content="{GENERATOR}">' in render_comparison(COMPARISON, *make_pair())[:4096]
