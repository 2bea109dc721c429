"""The page of two sides: its template and context agree, hostile texts stay texts, its blocks hold both captures."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from golden_file import read_golden
from html_tree import Element, parse_html, shape_of
from page_checks import names_read_by, read_page
from samples import (
    HOSTILE,
    make_capture,
    make_harmless,
    make_hostile,
    make_noisy,
    make_prediction,
    make_token,
    say,
)
from unpacking import decode_bytes, unpack_triangles

from reportgen.build.comparisons import make_comparison_input
from reportgen.captures.record import Capture
from reportgen.pages.alignment import Alignment, measure_variations, slim
from reportgen.pages.cards import make_card, parse_card
from reportgen.pages.compare import (
    CompareContext,
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


def swap_heads(capture: Capture) -> Capture:
    """Return the capture with heads 0 and 1 of every layer changed for one another."""
    return replace(capture, triangles=capture.triangles[:, [1, 0, 2, 3]])


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
            num_codes = capture.triangles[0].size
            codes = unpack_triangles(packed[:-num_codes], 4).astype(int).ravel() * 256
            codes += np.frombuffer(packed[-num_codes:], np.uint8)
            weights = capture.triangles[capture.layers.index(layer)].astype(np.float64).ravel()
            assert np.abs((codes / 65535) ** 2 - weights).max() < 2e-5
    assert describe_precision(Precision(16), *whole) in page.text
    assert "16 bits" in describe_precision(Precision(16), *whole)
    assert "8 bits" in describe_precision(Precision(16), whole[0], slim(whole[1], 8))


@pytest.mark.parametrize("shared_assets", [False, True])
def test_page_may_run_its_scripts_alone(shared_assets: bool) -> None:
    html = render_comparison(COMPARISON, *make_pair(), PageOptions(shared_assets=shared_assets))
    allowed, inline = read_page(html)
    assert len(inline) == 2
    assert set(inline) < set(allowed)
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
        assert [token.text for token in page.find(id=f"strip-{name}")[0].find(class_="token")] == shown
    parts = page.find(class_="part")
    assert [part.find("a")[0].text for part in parts[:2]] == [HOSTILE[0]] * 2
    assert page.find("h1")[0].text == page.find("title")[0].text == HOSTILE[0]
    assert "".join(f" · {tag}" for tag in HOSTILE) in page.find("header")[0].text


def test_blocks_hold_both_captures() -> None:
    first, second = make_pair(layers=(1, 5), heads=(0, 3))
    blocks = blocks_of(render(first, second))
    contents = [json.loads(decode_bytes(blocks[f"{name}-content"])) for name in "ab"]
    for name, capture, content in zip("ab", (first, second), contents, strict=True):
        assert content["layers"] == list(capture.layers)
        opening = content["opening"]
        assert blocks[f"{name}-opening-head"] == encode_pattern(capture, opening["layer"], opening["head"])
        for layer in capture.layers:
            assert blocks[f"{name}-layer-{layer}"] == encode_layer(capture, layer)
    shared = json.loads(decode_bytes(blocks["shared"]))
    assert shared["alignment"] == {"starts": [0, 0], "length": 8, "is_whole": True}


def test_script_opens_on_what_the_stills_show() -> None:
    first, second = slim(make_capture(), 8), slim(swap_heads(make_capture(layers=(1, 2))), 8)
    blocks = blocks_of(render(first, second))
    shared = json.loads(decode_bytes(blocks["shared"]))
    opening = shared["opening"]
    for name, query_pos in zip("ab", opening["queries"], strict=True):
        own = json.loads(decode_bytes(blocks[f"{name}-content"]))["opening"]
        assert own == {
            "layer": opening["layer"],
            "head": opening["head"],
            "step": None,
            "query_pos": query_pos,
            "key_pos": None,
        }
    variations = measure_variations(first, second, Alignment((0, 0), 8, True))
    assert shared["places"] == [[one.layer, one.head, one.place] for one in variations]
    assert shared["variations"][0] == [None] * 4


def test_data_stand_behind_the_script_layer_by_layer() -> None:
    scripts = [script.attributes.get("id", "script") for script in render(*make_pair(layers=(0, 7))).find("script")]
    last = scripts.index("block-bokeh") + 1
    behind = [name for name in scripts[last:] if "-layer-" in name]
    assert scripts[-len(behind) :] == behind
    assert behind == [f"block-{name}" for name in ("a-layer-0", "b-layer-0", "a-layer-1", "a-layer-2", "b-layer-7")]


def test_figures_have_their_places() -> None:
    moved = slim(swap_heads(make_capture()), 8)
    for captures, expected in (
        ((make_pair()[0], moved), {"a", "b", "difference", "map"}),
        ((slim(say("abc"), 8), slim(say("ab"), 8)), {"a", "b"}),
    ):
        page = render(*captures)
        figures = {
            element.attributes["data-figure"]: element for element in page if "data-figure" in element.attributes
        }
        assert figures.keys() == expected
        assert all(len(figure.find("picture", class_="still")) == 1 for figure in figures.values())


def test_first_window_says_what_the_numbers_say() -> None:
    page = render(make_pair()[0], slim(swap_heads(make_capture()), 8))
    claim = page.find(class_="claim")[0].text
    assert claim.startswith("Both prompts are the same 5 tokens. The head that reads them most differently is L0 H0")
    rows = [
        [cell.text for cell in row.find("td")]
        for row in page.find("table", class_="reads")[0].find("tbody")[0].find("tr")
    ]
    # Heads 2 and 3 of every layer read alike.
    assert len(rows) == 6
    assert rows[0] == ["L0 H0", "0.88", "␣cat", "␣cat 1.00", "The 1.00"]


def test_next_tokens_are_one_list_on_one_scale() -> None:
    first, second = make_pair()
    (table,) = render(first, second).find("tbody", id="next-rows")
    rows = [[cell.text for cell in row.find("td")] for row in table.find("tr")]
    assert rows == [["", "50 %", ".", "50 %", ""], ["", "25 %", "␣hat", "25 %", ""], ["", "25 %", "␣dog", "25 %", ""]]
    other = make_prediction(make_token("!", 5), (make_token(" dog", 90),), 0.9)
    changed = replace(second, steps=(replace(second.steps[0], raw=other), *second.steps[1:]))
    (table,) = render(first, changed).find("tbody", id="next-rows")
    rows = [[cell.text for cell in row.find("td")] for row in table.find("tr")]
    assert rows[0] == ["", "≤25 %", "!", "90 %", ""]
    assert [bar.attributes["style"] for bar in table.find("tr")[1].find(class_="bar-line")] == [
        "--share:0.5556", "--share:0.0000"
    ]  # fmt: skip
    assert "No token was generated on either side." in render(slim(say("abc"), 8), slim(say("abd"), 8)).text


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
    beside = [href for href in hrefs if not href.startswith("#")]
    assert beside == ["data:,", "index.html", "cat.html", "dog.html", "cat.html", "dog.html"]
    ids = {element.attributes.get("id") for element in page}
    assert {href.removeprefix("#") for href in hrefs if href.startswith("#")} <= ids


def test_tables_stand_in_the_page_itself() -> None:
    page = render(*make_pair())
    for name in "AB":
        tables = [
            box for box in page.find(class_="scroll") if box.attributes.get("aria-label", "").startswith(f"{name}:")
        ]
        assert [len(box.find("tbody")[0].find("tr")) for box in tables] == [3, 5]


def test_scores_of_the_opening_head_stand_beside_one_another() -> None:
    first, second = make_pair()[0], slim(swap_heads(make_capture()), 8)
    (row,) = render(first, second).find("tr", **{"data-score": "previous"})
    values = [capture.evidence.scores["previous"][0, 0] for capture in (first, second)]
    assert [cell.text for cell in row.find("td")] == [f"{value:.3f}" for value in values] + ["0.000"]


def test_two_models_are_named_and_told_apart() -> None:
    first, second = make_pair()
    other = replace(second, model=replace(second.model, name="other"))
    page = render(first, other)
    assert "Heads of two models" in page.find(id="answer")[0].text
    assert "Heads of two models" not in render(first, second).text
    assert "tiny and other" in page.find("header")[0].text
    assert make_compare_card(COMPARISON, first, other).model == "tiny and other"


def test_card_names_both_sides_and_is_read_back() -> None:
    first, second = make_pair()
    card = make_compare_card(COMPARISON, first, second)
    assert (card.model, card.compares, card.sides) == ("tiny", ("A cat and a mat", "A dog"), ("cat", "dog"))
    assert (card.slug, card.title, card.tags) == ("cat-and-dog", "A cat beside a dog", ("pets",))
    assert card.text == "The cat ate the mat | A dog ate the mat"
    (carried,) = render(first, second).find("script", id="card")
    assert parse_card(json.loads(carried.text)) == card == parse_card(json.loads(json.dumps(asdict(card))))
    assert len(card.thumbnail) < 2000
    assert card.thumbnail != make_card(first).thumbnail


def test_generator_is_named_at_the_beginning() -> None:
    assert f'<meta name="generator" content="{GENERATOR}">' in render_comparison(COMPARISON, *make_pair())[:4096]
