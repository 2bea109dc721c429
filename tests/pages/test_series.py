"""The page of a series: its numbers are those of the captures, in order, and what cannot be one is refused."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
from html_tree import Element, parse_html, shape_of
from page_checks import names_read_by, read_page
from samples import HOSTILE, make_capture, make_harmless, make_hostile, make_noisy, make_random, make_series
from unpacking import decode_bytes

from reportgen.captures.record import Capture
from reportgen.pages.alignment import slim
from reportgen.pages.artifacts import render_comparison_artifacts
from reportgen.pages.compare import draw_comparison
from reportgen.pages.encoding import encode_layer
from reportgen.pages.options import PageOptions
from reportgen.pages.series import (
    LISTED,
    SeriesContext,
    draw_series,
    make_series_card,
    measure_changes,
    measure_series,
    name_members,
    place_values,
)
from reportgen.records import Comparison, SourceLocation
from reportgen.records.errors import PromptError

NAMES = ("step1000", "step2000", "step4000")
COMPARISON = Comparison(("a", "b", "c"), "Three steps", "steps", place=SourceLocation("p.yaml", 4, {"compare": 5}))


MEMBERS = make_series(3)


def draw(members: list[Capture] = MEMBERS, options: PageOptions = PageOptions()) -> Element:
    return parse_html(draw_series(measure_series(COMPARISON, members), options)[0])


def block_of(page: Element, name: str) -> bytes:
    return decode_bytes(page.find("script", id=f"block-{name}")[0].text)


def read_numbers(capture: Capture) -> dict[str, np.ndarray]:
    """Return the numbers of a capture as they are defined: those of steps at the first one."""
    evidence = capture.evidence
    assert evidence.attribution
    steps = {"effect": evidence.attribution.heads[0, 0]} | {name: one[0] for name, one in evidence.ablations.items()}
    return {**steps, **evidence.scores}


def test_template_reads_its_context_and_nothing_else() -> None:
    assert names_read_by("series.html.jinja2") == {field.name for field in fields(SeriesContext)}


def test_numbers_are_those_of_the_captures_in_the_order_of_the_series() -> None:
    for members in (MEMBERS, MEMBERS[::-1]):
        page = draw(members)
        content = json.loads(block_of(page, "content"))
        assert [one["name"] for one in content["members"]] == [one.prompt.model.partition("@")[2] for one in members]
        assert [one["href"] for one in content["members"]] == [f"{one.prompt.slug}.html" for one in members]
        assert content["heads"] == [[layer, head] for layer in range(5) for head in range(3)]
        expected = [read_numbers(member) for member in members]
        known = {name for name, values in expected[0].items() if np.isfinite(values).any()}
        assert {kind["name"] for kind in content["kinds"]} == known
        for name in known:
            values = np.frombuffer(block_of(page, f"number-{name}"), "<f4").reshape(3, 15)
            assert np.array_equal(values, [one[name].ravel() for one in expected], equal_nan=True), name


def test_lines_run_through_the_values_of_the_heads_that_change_most() -> None:
    page = draw()
    for name, values in read_numbers(MEMBERS[0]).items():
        if not np.isfinite(values).any():
            continue
        series = np.array([read_numbers(member)[name].ravel() for member in MEMBERS], np.float64)
        order = np.argsort(-(series.max(0) - series.min(0)), kind="stable")[: np.isfinite(series[0]).sum()][:LISTED]
        (picture,) = page.find("svg", id=f"lines-{name}")
        low, high = (float(picture.attributes[f"data-{end}"]) for end in ("low", "high"))
        assert low <= np.nanmin(series)
        assert high >= np.nanmax(series)
        lines = [line for line in picture.find("g") if "data-head" in line.attributes]
        assert [int(line.attributes["data-head"]) for line in lines] == order.tolist()
        for line, head in zip(lines, order, strict=True):
            path = line.find("path")[-1].attributes["d"]
            points = [tuple(map(float, point.split())) for point in re.split("[ML]", path)[1:]]
            assert [y for _, y in points] == pytest.approx(place_values(series[:, head], low, high))
            assert [x for x, _ in points] == sorted({x for x, _ in points})
            assert line.find("text")[0].text == f"L{head // 3} H{head % 3}"


def test_first_sentence_names_the_head_that_changes_most_and_its_values() -> None:
    series = measure_series(COMPARISON, MEMBERS)
    shares = [kind for kind in series.kinds if kind.unit == "share"]
    change = {kind.name: np.nan_to_num(measure_changes(series.numbers[kind.name])) for kind in shares}
    most = max(shares, key=lambda kind: change[kind.name].max())
    values = series.numbers[most.name]
    head = int(np.nan_to_num(values.max(0) - values.min(0)).argmax())
    said = ", ".join(f"{value:.3f}" for value in values[:, head])
    expected = (
        f"From step1000 to step4000, L{head // 3} H{head % 3} changes most in the head score {most.title}: {said}."
    )
    page = draw()
    assert page.find(class_="change-said")[0].text == expected
    assert [one.text for one in page.find("tbody")[0].find("tr")[0].find("td")[1:]] == said.split(", ")
    card = make_series_card(series)
    assert "".join(part if isinstance(part, str) else "" for part in card.said) in expected.replace(
        f"L{head // 3} H{head % 3}", ""
    ).replace(most.title, "")
    assert (card.compares, card.sides) == (("Run 0", "Run 1", "Run 2"), ("a", "b", "c"))


def test_member_without_a_number_leaves_a_gap() -> None:
    first, second, third, fourth = make_series(4)
    bare = replace(second, evidence=second.evidence.replace(ablations={}))
    series = measure_series(COMPARISON, [first, bare, third, fourth])
    assert np.isnan(series.numbers["ablation"][1]).all()
    page = parse_html(draw_series(series)[0])
    (picture,) = page.find("svg", id="lines-ablation")
    path = picture.find("g")[0].find("path")[-1].attributes["d"]
    assert Counter(re.sub("[^ML]", "", path)) == {"M": 2, "L": 1}
    alone = measure_series(COMPARISON, [first, *(replace(one, evidence=bare.evidence) for one in (second, third))])
    assert "ablation" not in alone.numbers


def test_members_that_do_not_change_are_said_to_be_alike() -> None:
    first = MEMBERS[0]
    same = [replace(first, prompt=replace(first.prompt, slug=slug, title=slug, model="m")) for slug in "abc"]
    assert draw(same).find(class_="change-said")[0].text == "No head changes in any number from a to c."


def test_weights_of_every_member_are_on_the_page() -> None:
    page = draw()
    for place, member in enumerate(MEMBERS):
        for layer in member.layers:
            assert page.find("script", id=f"block-{place}-layer-{layer}")[0].text == encode_layer(member, layer)


def test_two_members_are_the_comparison_of_two() -> None:
    first, second = slim(make_capture(), 8), slim(make_capture(slug="dog", title="A dog"), 8)
    comparison = Comparison(("cat", "dog"), "Two", "two")
    made = render_comparison_artifacts(comparison, [first, second], PageOptions())
    assert made.html == draw_comparison(comparison, first, second)[0]


def test_same_captures_give_the_same_bytes_and_what_is_left_of_them_is_enough() -> None:
    whole = render_comparison_artifacts(COMPARISON, MEMBERS, PageOptions())
    again = render_comparison_artifacts(COMPARISON, make_series(3), PageOptions())
    assert again.html == whole.html
    slimmed = render_comparison_artifacts(COMPARISON, [slim(member, 8) for member in MEMBERS], PageOptions())
    assert slimmed.html == whole.html
    assert slimmed.card == whole.card


def test_models_of_other_shapes_are_refused_where_the_file_names_them() -> None:
    wider = make_random(5, 4, num_steps=2)
    other = replace(wider, prompt=replace(wider.prompt, slug="c"), model=replace(wider.model, name="wide"))
    message = (
        "p.yaml:5: steps: the models of a series need the same shape: 'a' runs on tiny with 5 layers of 3 heads, and "
        "'c' runs on wide with 5 layers of 4 heads; name prompts of one architecture, or compare two"
    )
    with pytest.raises(PromptError) as caught:
        measure_series(COMPARISON, [*MEMBERS[:2], other])
    assert str(caught.value) == message


def test_series_is_of_the_heads_that_all_members_have() -> None:
    whole = [make_capture(slug=slug) for slug in "ab"]
    part = make_capture(slug="c", layers=(0, 2), heads=(1, 3))
    series = measure_series(COMPARISON, [*whole, part])
    assert series.heads == [(0, 1), (0, 3), (2, 1), (2, 3)]
    assert np.array_equal(series.numbers["sink"][0], whole[0].evidence.scores["sink"][[0, 0, 2, 2], [1, 3, 1, 3]])
    apart = replace(part, layers=(7,), heads=(3,))
    with pytest.raises(PromptError, match="p.yaml:5: steps: no head is captured on all 3 prompts"):
        measure_series(COMPARISON, [*whole, apart])


def test_members_are_named_by_what_tells_them_apart() -> None:
    assert name_members(MEMBERS) == NAMES
    one = replace(MEMBERS[0], prompt=replace(MEMBERS[0].prompt, model="m"))
    adapted = [replace(one, model=replace(one.model, adapter=name)) for name in ("", "org/lora", "/home/x/other")]
    assert name_members(adapted) == ("no adapter", "lora", "other")
    named = [replace(one, prompt=replace(one.prompt, title=title, slug=slug)) for title, slug in ("xa", "yb", "zc")]
    assert name_members(named) == ("x", "y", "z")
    alike = [replace(member, prompt=replace(member.prompt, title="same")) for member in named]
    assert name_members(alike) == ("a", "b", "c")
    long = [replace(one, prompt=replace(one.prompt, title=one.prompt.title * 25)) for one in named]
    assert name_members(long) == ("a", "b", "c")


def test_page_stays_within_its_size() -> None:
    members = [replace(make_noisy(seed=seed), prompt=MEMBERS[seed].prompt) for seed in range(3)]
    series = measure_series(COMPARISON, members)
    whole, full = draw_series(series)
    assert full.threshold == 0
    limit = 0.8 * len(whole.encode()) / 1e6
    html, precision = draw_series(series, PageOptions(max_page_mb=limit))
    assert len(html.encode()) <= 1e6 * limit
    assert f"Weights under {precision.min_weight:.2g} are left out." in parse_html(html).text
    with pytest.raises(PromptError, match="p.yaml:5: steps: the page does not fit"):
        draw_series(series, PageOptions(max_page_mb=0.05))


def test_page_may_run_its_script_alone() -> None:
    allowed, inline = read_page(draw_series(measure_series(COMPARISON, MEMBERS))[0])
    assert inline == allowed


def test_hostile_text_makes_no_elements_and_no_attributes() -> None:
    shapes = []
    for member, title in ((make_hostile(), HOSTILE[0]), (make_harmless(), "a")):
        tags = HOSTILE if title == HOSTILE[0] else tuple("abcdefghijkl")
        series = measure_series(Comparison(("a", "b", "c"), title, "s", tags, title), [slim(member, 8)] * 3)
        shapes.append(shape_of(parse_html(draw_series(series)[0])))
    assert shapes[0] == shapes[1]
