"""Pages and index: templates and their contexts agree, and no text of a prompt becomes anything but text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
from golden_file import read_golden
from html_tree import Element, parse_html, shape_of
from jinja2 import Environment, UndefinedError
from page_checks import names_read_by
from samples import HOSTILE, make_capture, make_harmless, make_hostile, with_spans
from unpacking import decode_bytes

from reportgen.evidence.kinds import DEFINITIONS, KINDS
from reportgen.evidence.kinds.scores import HEAD_SCORES, LABEL_FROM
from reportgen.evidence.opening import find_opening
from reportgen.pages import templates
from reportgen.pages.assets import PAGE_SCRIPTS, make_program, read_scripts
from reportgen.pages.cards import FailureCard, make_card
from reportgen.pages.encoding import describe_capture, encode_layer, encode_overview, encode_pattern, encode_rows
from reportgen.pages.figures import make_figure_block
from reportgen.pages.heads import HeadsContext
from reportgen.pages.index import IndexContext, render_index
from reportgen.pages.layer_notes import describe_layer_types
from reportgen.pages.options import PageOptions
from reportgen.pages.page import (
    PageContext,
    make_page_context,
    render_page,
    warm_up,
)
from reportgen.pages.palettes import DIVERGING, PALETTES, describe_ramps
from reportgen.pages.panels import measure_reads, shade_tokens
from reportgen.pages.stills import draw_legend
from reportgen.pages.templates import GENERATOR, render
from reportgen.pages.views import open_view
from reportgen.pages.words import find_words, label_words
from reportgen.paths import find_templates
from reportgen.records.evidence import Evidence
from reportgen.records.story import StoryStep

FAILURE = FailureCard("lost", HOSTILE[0], HOSTILE[5], f"prompts.yaml:5: {HOSTILE[6]}")


@pytest.mark.parametrize(
    ("template", "context"),
    [("page.html.jinja2", PageContext), ("index.html.jinja2", IndexContext), ("heads.html.jinja2", HeadsContext)],
)
def test_template_reads_its_context_and_nothing_else(template: str, context: type) -> None:
    assert names_read_by(template) == {field.name for field in fields(context)}


def test_every_part_is_included() -> None:
    templates = find_templates()
    parts = {path.relative_to(templates).as_posix() for path in templates.rglob("*.jinja2")}
    found = {f"{document}.html.jinja2" for document in ("page", "compare", "series", "index", "heads")}
    found |= {kind.template for kind in KINDS if kind.template}
    todo = list(found)
    while todo:
        source = (templates / todo.pop()).read_text("utf-8")
        new = set(re.findall(r'(?:include|from|extends) "([\w/]+\.html\.jinja2)"', source)) - found
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


def test_warm_page_makes_nothing_that_all_pages_share(monkeypatch: pytest.MonkeyPatch) -> None:
    options = PageOptions(shared_assets=True)
    shared = make_program, make_figure_block
    for cached in (*shared, templates._environment):
        cached.cache_clear()
    warm_up(options)
    misses = [cached.cache_info().misses for cached in shared]
    monkeypatch.setattr(Environment, "compile", lambda *_: pytest.fail("a template is compiled"))
    assert render_page(make_capture(), options)
    assert [cached.cache_info().misses for cached in shared] == misses == [1, 1]


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
    addresses = list_addresses(render_page(make_hostile(), PageOptions(shared_assets=shared_assets)))
    assert {"index.html", "data:,", "#main"} <= set(addresses)
    assert not [address for address in addresses if leads_away(address)]


def test_index_asks_for_nothing_from_elsewhere() -> None:
    addresses = list_addresses(render_index([make_card(make_hostile()), FAILURE]))
    assert {"data:,", "cat.html"} <= set(addresses)
    assert not [address for address in addresses if leads_away(address)]


def list_addresses(html: str) -> list[str]:
    """Return all addresses that a document loads or leads to."""
    return [
        element.attributes[name]
        for element in parse_html(html)
        for name in ("src", "href", "action", "srcset", "data", "poster")
        if name in element.attributes
    ]


def leads_away(address: str) -> bool:
    """Return whether an address is neither data nor beside the document, as far as its text says."""
    if address.startswith("data:"):
        return False
    return not re.fullmatch(r"[\w./-]*(#[\w=&-]*)?", address) or address.startswith("/") or ".." in address


def test_hostile_text_makes_no_elements_and_no_attributes() -> None:
    hostile, harmless = (parse_html(render_page(capture)) for capture in (make_hostile(), make_harmless()))
    assert shape_of(hostile) == shape_of(harmless)


def test_hostile_text_makes_nothing_on_an_index() -> None:
    hostile, harmless = (
        parse_html(render_index([make_card(capture), replace(FAILURE, title=title)]))
        for capture, title in ((make_hostile(), HOSTILE[0]), (make_harmless(), "a"))
    )
    assert shape_of(hostile) == shape_of(harmless)


def test_hostile_text_is_shown_as_it_is() -> None:
    capture = make_hostile()
    page = parse_html(render_page(capture))
    shown = [token.shown for token in capture.tokens]
    assert [token.text for token in page.find(class_="token")] == shown
    assert [heading.text for heading in page.find("h1")] == [HOSTILE[0]]
    (masthead,) = page.find("header", class_="masthead")
    assert masthead.find("span", class_="hint")[0].text.endswith("".join(f" · {tag}" for tag in HOSTILE))
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
    index = parse_html(render_index([card, FAILURE]))
    (page,), (failure,) = (index.find("ul", id=name)[0].find("li") for name in ("cards", "failures"))
    assert page.find("a")[0].text == card.title
    assert page.find("p", class_="answered")[0].find("span")[0].text == card.text
    assert page.find("b", class_="completion")[0].text == card.completion
    assert [tag.text for tag in page.find("button", class_="link")] == list(card.tags)
    assert failure.text == f"{FAILURE.title} {FAILURE.place} {FAILURE.reason}"
    assert not failure.find("a")


def test_blocks_hold_the_capture() -> None:
    capture = make_capture(HOSTILE, layers=(2, 5), heads=(1, 3))
    page = parse_html(render_page(capture))
    blocks = {script.attributes["id"]: script.text for script in page.find("script", type="text/plain")}
    opening = find_opening(capture)
    assert "block-overview" not in blocks
    assert blocks["block-opening-head"] == encode_pattern(capture, opening.layer, opening.head)
    assert blocks["block-opening-rows"] == encode_rows(capture, opening.query_pos)
    assert [blocks[f"block-layer-{layer}"] for layer in (2, 5)] == [encode_layer(capture, layer) for layer in (2, 5)]
    content = json.loads(decode_bytes(blocks["block-content"]))
    assert content == describe_capture(capture) | describe_layer_types(capture) | {
        "opening": asdict(opening),
        "words": (words := find_words(capture.tokens, capture.num_prompt_tokens)),
        "word_labels": label_words(capture.tokens, words),
        "palettes": describe_ramps(PALETTES),
        "diverging": describe_ramps(DIVERGING),
        "heatmap_modes": ["weight", "weighted", "attribution"],
        "grid_metrics": ["attribution", "attribution-mean", "runner-up-1", "runner-up-2", "ablation"],
        "contrasts": ["attribution", "attribution-mean", "runner-up-1", "runner-up-2"],
        "foils": [],
        "has_rows": True,
        "has_read": True,
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
        "card", "script", "script", "block-script", "block-bokeh", "block-figure", "block-content",
        "block-opening-head", "block-opening-rows", "block-answers", "block-read", "block-evidence", "block-grids",
        "block-norms", "block-rollout", "block-entropy", "block-layer-0", "block-sources-0", "block-layer-3",
        "block-sources-3", "block-layer-4", "block-sources-4", "block-heads",
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
    missing = ["read", "step-name", "play", "effect", "lens"]
    assert not [element for name in missing for element in page.find(id=name)]
    assert not page.find(class_="generated")
    assert not page.find(class_="boundary")
    assert page.find(id="query-says")[0].text == "reading at"
    with_steps = parse_html(render_page(make_capture()))
    assert all(len(with_steps.find(id=name)) == 1 for name in missing)


def test_answers_and_findings_of_every_step_are_in_the_page() -> None:
    """The HTML has those of the opening; scripts take the others from their block."""
    capture = make_capture()
    page = parse_html(render_page(capture))
    opening = find_opening(capture)
    (block,) = page.find("script", id="block-answers")
    said = json.loads(decode_bytes(block.text))
    answers, findings = said["answers"], said["findings"]
    assert [answer["read"]["key_pos"] for answer in answers] == [
        read.key_pos for read in measure_reads(capture) if read
    ]
    assert opening.step is not None
    assert page.find(id="claim")[0].text == words_of(answers[opening.step]["claim"])
    assert page.find(id="details")[0].text == words_of(answers[opening.step]["details"])
    assert len({words_of(answer["claim"]) for answer in answers}) == len(capture.steps)
    folds = [fold.attributes["id"] for fold in page.find("details", class_="fold")]
    assert folds == ["lens", "rollout", "entropy", "average", "scores", "tokens", "made"]
    for name in folds[:-1]:
        told = findings[name]
        title = page.find("details", id=name)[0].find("summary")[0].text.strip()
        assert title == words_of(told[min(opening.step, len(told) - 1)])
        assert len(told) in (1, len(capture.steps))


def words_of(sentence: list[Any]) -> str:
    """Return the text of a sentence as a page shows it."""

    def one(part: Any) -> str:
        if isinstance(part, str):
            return part
        kind, *rest = part
        if kind == "head":
            return "L{} H{}".format(*rest)
        return rest[0] + (str(rest[1]) if kind == "token" and len(rest) > 2 else "")

    return "".join(one(part) for part in sentence)


def test_heads_and_tokens_of_the_answer_select() -> None:
    page = parse_html(render_page(make_capture()))
    (answer,) = page.find("section", id="answer")
    for chip in answer.find("button", class_="chip"):
        assert chip.text == f"L{chip.attributes['data-layer']} H{chip.attributes['data-head']}"
    tokens = [token for token in answer.find("span", class_="tok") if "data-key" in token.attributes]
    assert tokens
    shown = [token.shown for token in make_capture().tokens]
    for token in tokens:
        assert token.find("bdi")[0].text == shown[int(token.attributes["data-key"])]


def test_ids_are_unique_and_references_lead_somewhere() -> None:
    page = parse_html(render_page(make_capture()))
    ids = [element.attributes["id"] for element in page if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    references = ("for", "aria-labelledby", "aria-describedby", "aria-controls", "popovertarget", "data-opens")
    asked = {name for element in page for key in references for name in element.attributes.get(key, "").split()}
    links = {link.attributes["href"][1:] for link in page.find("a") if link.attributes["href"].startswith("#")}
    assert asked
    assert links >= {"main", "answer", "heads", "made"}
    assert asked | links <= set(ids)


def test_scripts_find_the_elements_that_they_ask_for() -> None:
    scripts = str(read_scripts(PAGE_SCRIPTS))
    page = parse_html(render_page(with_spans(make_capture(story=(StoryStep("head", "a"), StoryStep("head", "b"))))))
    ids = {element.attributes["id"] for element in page if "id" in element.attributes}
    asked = set(re.findall(r"""(?:getElementById|byId|\$)\(["']([\w-]+)["']\)""", scripts))
    assert {"strip", "claim"} <= asked
    assert asked <= ids


def test_every_figure_has_one_place() -> None:
    page = parse_html(render_page(make_capture()))
    places = [element.attributes["data-figure"] for element in page if "data-figure" in element.attributes]
    assert sorted(places) == sorted(
        ["text", "map", "read", "heads", "layers", "head", "pinned", "difference", "effect", "lens", "rollout",
         "entropy", "aggregate"]
    )  # fmt: skip
    assert [page.find(id=f"figure-{name}")[0].tag for name in places if name != "text"] == ["div"] * (len(places) - 1)


def test_strip_marks_what_is_generated() -> None:
    page = parse_html(render_page(make_capture(("a", "b\n"), ("c",))))
    (strip,) = page.find(id="strip")
    tokens = strip.find(class_="token")
    assert [child.attributes["class"].split()[0] for child in strip.children if isinstance(child, Element)] == [
        "token", "token", "boundary", "token",
    ]  # fmt: skip
    assert ["generated" in token.attributes["class"].split() for token in tokens] == [False, False, True]
    assert [len(token.find("br")) for token in tokens] == [0, 1, 0]
    assert [token.attributes["data-position"] for token in tokens] == ["0", "1", "2"]


def test_strip_says_what_reads_and_what_is_written() -> None:
    """The token that reads is the only one that the tabulator key reaches; arrow keys go on from it."""
    capture = make_capture()
    opening = find_opening(capture)
    tokens = parse_html(render_page(capture)).find(id="strip")[0].find(class_="token")
    classes = [token.attributes["class"].split() for token in tokens]
    assert [position for position, names in enumerate(classes) if "from" in names] == [opening.query_pos]
    assert [position for position, names in enumerate(classes) if "now" in names] == [opening.query_pos + 1]
    assert [token.attributes["tabindex"] == "0" for token in tokens] == ["from" in names for names in classes]
    shades = shade_tokens(capture, open_view(capture, opening))
    styles = [token.attributes.get("style", "") for token in tokens]
    seen = [shade for shade in shades if shade]
    assert len(seen) == opening.query_pos + 1
    assert styles == [f"--shade:{shade.light};--shade-dark:{shade.dark}" for shade in seen] + [""] * (8 - len(seen))
    on_shade = [" ".join(name for name in names if name.endswith("-shade")) for names in classes]
    assert on_shade == [shade.classes for shade in seen] + [""] * (8 - len(seen))


def test_controls_offer_what_was_captured() -> None:
    page = parse_html(render_page(make_capture()))
    offered = {
        select.attributes["id"]: [option.attributes.get("value", option.text) for option in select.find("option")]
        for select in page.find("select")
    }
    scores = [score.name for score in HEAD_SCORES if score.name in make_capture().evidence.scores]
    contrasts = ["attribution", "attribution-mean", "runner-up-1", "runner-up-2"]
    assert offered == {
        "by": ["effect", "weight", "pattern", *scores],
        "measure": [*contrasts, "ablation"],
        "contrast": contrasts,
        "shading": ["effect", "weight"],
        "scale": ["sqrt", "linear", "log"],
        "first": ["in", "out", "renormalised"],
        "palette": ["auto", *PALETTES],
        "way": ["mean", "max"],
        "save-figure": [],
    }
    assert page.find("input", id="range")[0].attributes["placeholder"] == "0–7"
    shows = [choice.attributes["value"] for choice in page.find("input") if choice.attributes.get("name") == "show"]
    assert shows == ["weight", "weighted", "attribution"]


def test_masthead_says_how_much_was_left_out() -> None:
    def facts(**what: object) -> str:
        page = parse_html(render_page(make_capture(**what)))  # pyright: ignore[reportArgumentType]
        return page.find("header", class_="masthead")[0].find("span", class_="hint")[0].text

    assert facts() == "tiny · 3 × 4 heads · float32"
    assert facts(layers=(2, 5), heads=(1, 3), tags=("a", "b")) == "tiny · 2 of 6 × 2 of 4 heads · float32 · a · b"


def test_strip_names_spans_where_they_begin() -> None:
    page = parse_html(render_page(with_spans(make_capture())))
    (strip,) = page.find(id="strip")
    shown = [child.text for child in strip.children if isinstance(child, Element)]
    assert shown == ["cat", "The", "␣cat", "␣ate", "rest of it", "␣the", "␣mat", "", ".", "␣And", "␣the"]
    tokens = strip.find(class_="token")
    marked = [["marked" in token.attributes["class"].split(), token.attributes.get("title", "")] for token in tokens]
    both = [[True, "cat"]] * 2 + [[False, ""]] + [[True, "rest of it"]] * 2
    assert marked == [*both, *[[False, ""]] * 3]
    assert "Not marked: user 2 (it is empty)." in page.find(id="spans")[0].text


def test_legends_name_the_scales_of_what_is_drawn() -> None:
    page = parse_html(render_page(make_capture()))
    legends = {legend.attributes["data-legend"]: legend for legend in page.find("span", class_="legend")}
    assert legends.keys() == {"weight", "effect"}
    assert "square root" in legends["weight"].text
    for name, signed in (("weight", False), ("effect", True)):
        (source,), (picture,) = legends[name].find("source"), legends[name].find("img")
        drawn = draw_legend(signed=signed)
        assert (picture.attributes["src"], source.attributes["srcset"]) == (drawn.light, drawn.dark)


def test_tables_stand_in_the_page_itself() -> None:
    page = parse_html(render_page(make_capture()))
    steps, evidence, prompt = page.find("details", id="tokens")[0].find("table")
    rows = [[cell.text for cell in row.find("td")] for row in steps.find("tbody")[0].find("tr")]
    assert rows[1] == ["2", "␣And", "16", "0.500", "−0.693", "1", "0.690", "0.800", "␣dog 0.250, ␣hat 0.250"]
    assert len(rows) == 3
    assert len(prompt.find("tbody")[0].find("tr")) == 5
    for table in (steps, evidence):
        assert all(len(row.find("td")) == len(table.find("th")) for row in table.find("tbody")[0].find("tr"))
    row = [cell.text for cell in evidence.find("tbody")[0].find("tr")[1].find("td")]
    assert row[:4] == [
        "2",
        "␣And",
        "L2 H0 +0.600, L1 H0 +0.400, L0 H0 +0.200",
        "L2 H3 −1.200, L1 H3 −0.800, L2 H2 −0.600, L0 H3 −0.400",
    ]
    assert row[5] == "L0 ␣dog 0.750, L1 ␣dog 0.750, L2 ␣And 0.750"


def test_heads_of_the_largest_scores_stand_in_the_page_itself() -> None:
    page = parse_html(render_page(make_capture(layers=(2, 5), heads=(1, 3))))
    (fold,) = page.find("details", id="scores")
    table = fold.find("table")[1]
    rows = {row.find("th")[0].text: row.find("td")[0].text for row in table.find("tbody")[0].find("tr")}
    measured = [score for score in HEAD_SCORES if score.name in make_capture().evidence.scores]
    assert [title.partition("?")[0] for title in rows] == [score.title for score in measured]
    explained = {answer.attributes["id"]: answer.text for answer in fold.find("span", class_="explained")}
    assert explained.keys() == {f"help-score-{score.name}" for score in measured}
    for score in measured:
        assert score.definition in explained[f"help-score-{score.name}"]
        assert score.source in explained[f"help-score-{score.name}"]


def test_capture_without_scores_has_no_section_of_them() -> None:
    page = parse_html(render_page(replace(make_capture(), evidence=Evidence())))
    assert page.find(id="scores") == []
    assert [option.attributes["value"] for option in page.find("select", id="by")[0].find("option")] == [
        "weight", "pattern",
    ]  # fmt: skip


SECTIONS = ("read", "effect", "lens", "rollout")
BLOCKS = ("block-evidence", "block-grids", "block-norms", "block-read", "block-rollout", "block-sources-0")
CONTROLS = ("show-weight", "measure", "contrast", "shading")


def ids_of(evidence: Evidence, generated: tuple[str, ...] = (".", " And", " the")) -> set[str]:
    """Return the ids in the page of a capture with this evidence."""
    page = parse_html(render_page(replace(make_capture(generated=generated), evidence=evidence)))
    return {element.attributes["id"] for element in page if "id" in element.attributes}


def test_without_evidence_there_is_neither_section_nor_block_nor_control() -> None:
    assert not ids_of(Evidence()) & {*SECTIONS, *BLOCKS, *CONTROLS}
    assert ids_of(make_capture().evidence) >= {*SECTIONS, *BLOCKS, *CONTROLS, "show-attribution"}


def test_evidence_without_steps_is_weighted_attention_and_rollout() -> None:
    ids = ids_of(make_capture(generated=()).evidence, ())
    assert not ids & {"read", "effect", "lens", "block-grids", "block-read", "block-sources-0", "show-attribution"}
    assert ids >= {"rollout", "show-weighted", "block-norms", "block-rollout"}


def test_page_says_in_one_line_why_evidence_is_missing() -> None:
    reasons = {
        name: f"not available for this architecture: {HOSTILE[0]} {name}"
        for name in ("value_norms", "attribution", "lens", "rollout", "ablations")
    }
    page = parse_html(render_page(replace(make_capture(), evidence=Evidence(missing=reasons))))
    (line,) = page.find("p", class_="unmeasured")
    titles = [DEFINITIONS[name].title for name in ("value_norms", "attribution", "lens", "rollout", "ablation")]
    assert all(reason in line.text for reason in reasons.values())
    assert all(f"{title} (not available" in line.text for title in titles)
    assert not [element for name in ("effect", "read", "show-weight") for element in page.find(id=name)]
    assert not parse_html(render_page(replace(make_capture(), evidence=Evidence()))).find(class_="unmeasured")


def test_ablation_alone_has_its_figure_and_promises_no_effects() -> None:
    evidence = Evidence(ablations=make_capture().evidence.ablations)
    page = parse_html(render_page(replace(make_capture(), evidence=evidence)))
    assert [option.text for option in page.find("select", id="measure")[0].find("option")] == [
        "ablation, head set to zero"
    ]
    assert not page.find(id="show-weight")
    assert not page.find("select", id="contrast")
    assert page.find(id="map-says")[0].text == "largest weight"
    assert page.find("select", id="by")[0].find("option")[0].attributes["value"] == "weight"
    assert [title.text for title in page.find(id="figure-heads")[0].find(class_="titles")[0].find("span")] == [
        "reads most", "weight",
    ]  # fmt: skip


def test_every_question_mark_opens_its_answer() -> None:
    page = parse_html(render_page(with_spans(make_capture())))
    asked = [button.attributes["popovertarget"] for button in page.find("button", class_="help")]
    answers = [element.attributes["id"] for element in page.find("span", class_="explained")]
    assert asked == answers
    texts = {element.attributes["id"]: element.text for element in page if "popover" in element.attributes}
    unshown = {"mean-ablation", "estimate", "mean-estimate"}
    for measure in [shown for name, shown in DEFINITIONS.items() if name not in unshown]:
        text = texts["limits" if measure.name in ("attribution", "value_norms") else f"help-{measure.name}"]
        assert all(part in text for part in (measure.definition, measure.source, measure.caution))
    caution = DEFINITIONS["attribution"].caution
    assert caution in texts["limits"]


@pytest.mark.parametrize("render_hostile", [lambda: render_page(make_hostile()), lambda: render_index([FAILURE])])
def test_generator_is_named_at_the_beginning(render_hostile: Callable[[], str]) -> None:
    assert f'<meta name="generator" content="{GENERATOR}">' in render_hostile()[:4096]


def test_empty_index_says_what_to_do() -> None:
    index = parse_html(render_index([]))
    assert [note.text for note in index.find(id="nothing")] == ["No reports yet. Run reportgen build."]
    (note,) = parse_html(render_index([FAILURE])).find(id="nothing")
    assert "hidden" in note.attributes
