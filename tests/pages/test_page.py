"""Pages and index: templates and their contexts agree, and no text of a prompt becomes anything but text."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields, replace

import pytest
from golden_file import read_golden
from html_tree import Element, parse_html, shape_of
from jinja2 import UndefinedError
from page_checks import names_read_by
from samples import HOSTILE, make_capture, make_harmless, make_hostile
from unpacking import decode_bytes

from reportgen.evidence.default_head import find_default_head
from reportgen.evidence.kinds import DEFINITIONS, KINDS
from reportgen.evidence.kinds.scores import HEAD_SCORES, LABEL_FROM
from reportgen.pages.cards import FailureCard, make_card
from reportgen.pages.compare import render_comparison
from reportgen.pages.encoding import describe_capture, encode_layer, encode_overview, encode_pattern
from reportgen.pages.index import IndexContext, render_index
from reportgen.pages.layer_notes import describe_layer_types
from reportgen.pages.options import PageOptions
from reportgen.pages.page import (
    PageContext,
    make_page_context,
    render_page,
)
from reportgen.pages.palettes import DIVERGING, PALETTES, describe_ramps
from reportgen.pages.templates import GENERATOR, render
from reportgen.pages.words import find_words, label_words
from reportgen.paths import find_templates
from reportgen.records import Comparison
from reportgen.records.evidence import Evidence

FAILURE = FailureCard("lost", HOSTILE[0], HOSTILE[5], f"prompts.yaml:5: {HOSTILE[6]}")


@pytest.mark.parametrize(
    ("template", "context"), [("page.html.jinja2", PageContext), ("index.html.jinja2", IndexContext)]
)
def test_template_reads_its_context_and_nothing_else(template: str, context: type) -> None:
    assert names_read_by(template) == {field.name for field in fields(context)}


def test_every_part_is_included() -> None:
    parts = {path.name for path in find_templates().glob("_*.jinja2")}
    found = {kind.template for kind in KINDS if kind.template}
    todo = [*(path.name for path in find_templates().glob("[!_]*.jinja2")), *found]
    while todo:
        source = (find_templates() / todo.pop()).read_text("utf-8")
        new = set(re.findall(r'(?:include|from) "(\w+\.html\.jinja2)"', source)) - found
        found |= new
        todo += new
    assert found == parts


def test_a_name_without_a_value_is_an_error() -> None:
    context = replace(make_page_context(make_capture()), capture="tiny")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UndefinedError, match="'str object' has no attribute 'prompt'"):
        render("page.html.jinja2", context)


@pytest.mark.parametrize("shared_assets", [False, True])
def test_same_capture_gives_the_same_bytes(shared_assets: bool) -> None:
    first = render_page(make_capture(), PageOptions(shared_assets=shared_assets))
    render_page(make_capture(HOSTILE, ()))
    assert render_page(make_capture(), PageOptions(shared_assets=shared_assets)) == first


def test_outline_of_a_page() -> None:
    """REPORTGEN_UPDATE_GOLDEN=1 writes the file anew."""
    page = parse_html(render_page(make_capture(tags=("notebook",), note="A note."))).outline() + "\n"
    assert page == read_golden("page.txt", page)


def test_outline_of_an_index() -> None:
    """REPORTGEN_UPDATE_GOLDEN=1 writes the file anew."""
    cards = [make_card(make_capture(tags=("notebook",))), FAILURE]
    index = parse_html(render_index(cards)).outline() + "\n"
    assert index == read_golden("index.txt", index)


@pytest.mark.parametrize("shared_assets", [False, True])
def test_page_asks_for_nothing_from_elsewhere(shared_assets: bool) -> None:
    page = parse_html(render_page(make_hostile(), PageOptions(shared_assets=shared_assets)))
    index = parse_html(render_index([make_card(make_hostile()), FAILURE]))
    addresses = [
        element.attributes[name]
        for element in (*page, *index)
        for name in ("src", "href", "action", "srcset", "data", "poster")
        if name in element.attributes
    ]
    assert {"index.html", "data:,", "cat.html"} <= set(addresses)
    assert all(address.startswith("data:") or re.fullmatch(r"[\w./-]*", address) for address in addresses)
    assert not [address for address in addresses if address.startswith("/") or ".." in address]


def test_hostile_text_makes_no_elements_and_no_attributes() -> None:
    hostile, harmless = (parse_html(render_page(capture)) for capture in (make_hostile(), make_harmless()))
    assert shape_of(hostile) == shape_of(harmless)
    hostile, harmless = (
        parse_html(render_index([make_card(capture), replace(FAILURE, title=title)]))
        for capture, title in ((make_hostile(), HOSTILE[0]), (make_harmless(), "a"))
    )
    assert shape_of(hostile) == shape_of(harmless)


def test_hostile_text_is_shown_as_it_is() -> None:
    capture = make_hostile()
    page = parse_html(render_page(capture))
    shown = [token.shown for token in capture.tokens]
    assert [token.text for token in page.find("button", class_="token")] == shown
    assert [heading.text for heading in page.find("h1")] == [HOSTILE[0]]
    assert [tag.text for tag in page.find("span", class_="tag")] == list(HOSTILE)
    assert page.find("title")[0].text == f"{HOSTILE[0]} · {HOSTILE[0]}"
    (description,) = page.find("meta", name="description")
    assert description.attributes["content"] == f"Attention of {HOSTILE[0]} on: {make_card(capture).text}"
    texts = {element.text for element in page.find("bdi")}
    assert set(shown) <= texts
    settings = {
        row.find("dt")[0].text: row.find("dd")[0].text for row in page.find("dl", class_="settings")[0].find("div")
    }
    assert settings[HOSTILE[0]] == HOSTILE[5]


def test_index_shows_hostile_text_as_it_is() -> None:
    card = make_card(make_hostile())
    page, failure = parse_html(render_index([card, FAILURE])).find("ul", id="cards")[0].find("li")
    assert page.find("a")[0].text == card.title
    assert page.find("p", class_="excerpt")[0].text == card.text
    assert page.find("p", class_="hint")[0].text == card.facts
    assert [tag.text for tag in page.find("span", class_="tag")] == list(card.tags)
    assert failure.find("p", class_="error")[0].text == FAILURE.error
    assert not failure.find("a")


def test_blocks_hold_the_capture() -> None:
    capture = make_capture(HOSTILE, layers=(2, 5), heads=(1, 3))
    page = parse_html(render_page(capture))
    blocks = {script.attributes["id"]: script.text for script in page.find("script", type="text/plain")}
    opening = find_default_head(capture)
    assert "block-overview" not in blocks
    assert blocks["block-default-head"] == encode_pattern(capture, *opening)
    assert [blocks[f"block-layer-{layer}"] for layer in (2, 5)] == [encode_layer(capture, layer) for layer in (2, 5)]
    content = json.loads(decode_bytes(blocks["block-content"]))
    assert content == describe_capture(capture) | describe_layer_types(capture) | {
        "default_head": list(opening),
        "words": (words := find_words(capture.tokens, capture.num_prompt_tokens)),
        "word_labels": label_words(capture.tokens, words),
        "palettes": describe_ramps(PALETTES),
        "diverging": describe_ramps(DIVERGING),
        "heatmap_modes": ["weight", "weighted", "attribution"],
        "grid_metrics": ["attribution", "attribution-mean", "runner-up-1", "runner-up-2", "ablation"],
        "label_from": LABEL_FROM,
        "score_kinds": [asdict(score) for score in HEAD_SCORES if score.name in capture.evidence.scores],
    }


def test_overview_of_a_long_text_is_there_before_its_layers() -> None:
    capture = make_capture(tuple("abcdefghijklmnopqrstuvwxyz" * 2), tuple("abcdefghijklm"), layers=(1,), heads=(2,))
    scripts = [*parse_html(render_page(capture)).find("script", type="text/plain")]
    blocks = {script.attributes["id"]: script.text for script in scripts}
    assert capture.num_tokens == 65
    assert blocks["block-overview"] == encode_overview(capture)
    assert list(blocks).index("block-overview") < list(blocks).index("block-layer-1")


def test_data_stands_last() -> None:
    """The script comes before the layers, so that the first heatmap is there before they have arrived."""
    page = parse_html(render_page(make_capture(layers=(0, 3, 4))))
    scripts = [script.attributes.get("id", "script") for script in page.find("script")]
    assert scripts == [
        "card", "block-script", "block-bokeh", "block-figures", "block-content", "block-default-head", "script",
        "block-evidence", "block-grids", "block-norms", "block-read", "block-rollout", "block-entropy", "block-layer-0",
        "block-sources-0", "block-layer-3", "block-sources-3", "block-layer-4", "block-sources-4",
    ]  # fmt: skip


def test_page_carries_its_card() -> None:
    capture = make_hostile()
    (card,) = parse_html(render_page(capture)).find("script", id="card")
    assert json.loads(card.text) == json.loads(json.dumps(asdict(make_card(capture))))


def test_shared_bokehjs_is_referred_to_and_not_carried() -> None:
    alone, shared = (render_page(make_capture(), PageOptions(shared_assets=shared)) for shared in (False, True))
    assert len(alone) - len(shared) > 300_000
    assert not parse_html(shared).find(id="block-bokeh")


def test_without_steps_there_is_no_generation() -> None:
    page = parse_html(render_page(make_capture(generated=())))
    missing = ["generation-title", "play", "figure-logprobs", "figure-step_heads", "figure-step_layers"]
    assert not [element for name in missing for element in page.find(id=name)]
    assert not page.find(class_="generated")
    assert not page.find(class_="boundary")
    with_steps = parse_html(render_page(make_capture()))
    assert all(len(with_steps.find(id=name)) == 1 for name in missing)


def test_figures_have_their_places() -> None:
    for generated in ((), ("c",)):
        page = parse_html(render_page(make_capture(generated=generated)))
        (block,) = page.find("script", id="block-figures")
        places = [element.attributes["data-figure"] for element in page if "data-figure" in element.attributes]
        assert sorted(places) == sorted(["text", *json.loads(decode_bytes(block.text))])


def test_ids_are_unique_and_references_lead_somewhere() -> None:
    page = parse_html(render_page(make_capture()))
    ids = [element.attributes["id"] for element in page if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    references = ("for", "aria-labelledby", "aria-describedby", "aria-controls")
    asked = {name for element in page for key in references for name in element.attributes.get(key, "").split()}
    assert asked
    assert asked <= set(ids)


def test_scripts_find_the_elements_that_they_ask_for() -> None:
    scripts = "".join(path.read_text("utf-8") for path in (find_templates() / "js").glob("*.js"))
    page, index = parse_html(render_page(make_capture())), parse_html(render_index([FAILURE]))
    beside = parse_html(render_comparison(Comparison(("cat", "dog")), make_capture(), make_capture()))
    ids = {element.attributes["id"] for element in (*page, *index, *beside) if "id" in element.attributes}
    asked = set(re.findall(r"""(?:getElementById|byId|\$)\(["']([\w-]+)["']\)""", scripts))
    assert {"strip", "filter"} <= asked
    assert asked <= ids


def test_strip_marks_what_is_generated() -> None:
    page = parse_html(render_page(make_capture(("a", "b\n"), ("c",))))
    (strip,) = page.find(id="strip")
    classes = [child.attributes.get("class", child.tag) for child in strip.children if isinstance(child, Element)]
    assert classes == ["token", "token", "br", "boundary", "token generated"]
    styles = [token.attributes.get("style") for token in strip.find("button")]
    assert styles == [None, None, "--prob:0.500"]
    assert [token.attributes["data-position"] for token in strip.find("button")] == ["0", "1", "2"]


def test_controls_offer_what_was_captured() -> None:
    page = parse_html(render_page(make_capture(layers=(2, 5), heads=(1, 3))))
    offered = {
        name: [option.text for option in page.find("select", id=name)[0].find("option")] for name in ("layer", "head")
    }
    assert offered == {"layer": ["2", "5"], "head": ["1", "3"]}
    assert [option.text for option in page.find("select", id="palette")[0].find("option")] == ["auto", *PALETTES]
    assert page.find("input", id="query")[0].attributes["max"] == "7"


def test_facts_say_how_much_was_left_out() -> None:
    def facts(**what: object) -> list[str]:
        page = parse_html(render_page(make_capture(**what)))  # pyright: ignore[reportArgumentType]
        return [
            " ".join((row.find("dd")[0].text, row.find("dt")[0].text))
            for row in page.find(class_="facts")[0].find("div")
        ]

    assert facts() == ["3 layers", "4 heads", "5 prompt tokens", "3 generated tokens"]
    assert facts(layers=(2, 5), heads=(1, 3))[:2] == ["2 layers of 6", "2 heads of 4"]


def test_tables_stand_in_the_page_itself() -> None:
    page = parse_html(render_page(make_capture()))
    *_, steps, evidence, prompt, _ = page.find("details")
    rows = [[cell.text for cell in row.find("td")] for row in steps.find("tbody")[0].find("tr")]
    assert rows[1] == ["1", "␣And", "16", "0.500", "−0.693", "1", "0.690", "0.800", "␣dog 0.250, ␣hat 0.250"]
    assert len(rows) == 3
    assert len(prompt.find("tbody")[0].find("tr")) == 5
    for table in (steps, evidence):
        assert all(len(row.find("td")) == len(table.find("th")) for row in table.find("tbody")[0].find("tr"))
    row = [cell.text for cell in evidence.find("tbody")[0].find("tr")[1].find("td")]
    assert row[:4] == [
        "1",
        "␣And",
        "L2 H0 +0.600, L1 H0 +0.400, L0 H0 +0.200",
        "L2 H3 −1.200, L1 H3 −0.800, L2 H2 −0.600, L0 H3 −0.400",
    ]
    assert row[5] == "L0 ␣dog 0.750, L1 ␣dog 0.750, L2 ␣And 0.750"


def test_heads_of_the_largest_scores_stand_in_the_page_itself() -> None:
    page = parse_html(render_page(make_capture(layers=(2, 5), heads=(1, 3))))
    (section,) = [each for each in page.find("section") if each.attributes.get("aria-labelledby") == "scores-title"]
    table = section.find("table")[1]
    rows = {row.find("th")[0].text: row.find("td")[0].text for row in table.find("tbody")[0].find("tr")}
    measured = [score for score in HEAD_SCORES if score.name in make_capture().evidence.scores]
    assert [title.partition("?")[0] for title in rows] == [score.title for score in measured]
    definitions = section.find("dl")[0].text
    assert all(score.definition in definitions and score.source in definitions for score in measured)


def test_capture_without_scores_has_no_section_of_them() -> None:
    page = parse_html(render_page(replace(make_capture(), evidence=Evidence())))
    assert page.find(id="scores-title") == []
    assert [option.text for option in page.find("select", id="by")[0].find("option")] == ["pattern"]


CARDS = ("wrote-title", "lens-title", "rollout-title")
BLOCKS = ("block-evidence", "block-grids", "block-norms", "block-rollout", "block-sources-0")


def ids_of(evidence: Evidence, generated: tuple[str, ...] = (".", " And", " the")) -> set[str]:
    """Return the ids in the page of a capture with this evidence."""
    page = parse_html(render_page(replace(make_capture(generated=generated), evidence=evidence)))
    return {element.attributes["id"] for element in page if "id" in element.attributes}


def test_without_evidence_there_is_neither_card_nor_block_nor_switch() -> None:
    assert not ids_of(Evidence()) & {*CARDS, *BLOCKS, "show-weight", "measure"}
    assert ids_of(make_capture().evidence) >= {*CARDS, *BLOCKS, "show-attribution", "measure"}


def test_evidence_without_steps_is_weighted_attention_and_rollout() -> None:
    ids = ids_of(make_capture(generated=()).evidence, ())
    assert not ids & {"wrote-title", "lens-title", "block-grids", "block-sources-0", "show-attribution"}
    assert ids >= {"rollout-title", "show-weighted", "block-norms", "block-rollout"}


def test_page_says_why_evidence_is_missing() -> None:
    reasons = {
        name: f"not available for this architecture: {HOSTILE[0]} {name}"
        for name in ("value_norms", "attribution", "lens", "rollout", "ablations")
    }
    page = parse_html(render_page(replace(make_capture(), evidence=Evidence(missing=reasons))))
    text = " ".join(hint.text for hint in page.find("p", class_="hint"))
    assert all(reason in text for reason in reasons.values())
    assert not page.find(class_="switch")


def test_ablation_alone_has_its_card() -> None:
    evidence = Evidence(ablations=make_capture().evidence.ablations)
    page = parse_html(render_page(replace(make_capture(), evidence=evidence)))
    assert [option.text for option in page.find("select", id="measure")[0].find("option")] == [
        "ablation, head set to zero"
    ]
    assert not page.find(class_="switch")


def test_every_question_mark_opens_its_answer() -> None:
    page = parse_html(render_page(make_capture()))
    asked = [button.attributes["popovertarget"] for button in page.find("button", class_="help")]
    answers = [element.attributes["id"] for element in page.find("span", class_="explained")]
    assert asked == answers
    texts = {element.attributes["id"]: element.text for element in page if "popover" in element.attributes}
    for measure in [shown for name, shown in DEFINITIONS.items() if name != "mean-ablation"]:
        text = texts[f"help-{measure.name}"]
        assert all(part in text for part in (measure.definition, measure.source, measure.caution))


def test_generator_is_named_at_the_beginning() -> None:
    for html in (render_page(make_hostile()), render_index([FAILURE])):
        assert f'<meta name="generator" content="{GENERATOR}">' in html[:4096]


def test_empty_index_says_what_to_do() -> None:
    index = parse_html(render_index([]))
    assert [note.text for note in index.find(class_="empty")] == ["No reports yet. Run reportgen build."]
    (note,) = parse_html(render_index([FAILURE])).find(class_="empty")
    assert "hidden" in note.attributes
