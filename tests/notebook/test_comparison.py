"""``compare``: two captures on one page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from html_tree import parse_html
from samples import make_capture

from reportgen import LoadedModel, ReportgenError, capture, compare, patch
from reportgen.notebook.capture import take_over
from reportgen.pages.compare import draw_comparison
from reportgen.records import Comparison

FIRST = take_over(make_capture(title="A cat", slug="cat"))
SECOND = take_over(make_capture(("The", " dog", " ate", " the", " mat"), title="A dog", slug="dog"))


def test_the_page_is_that_of_a_site_without_links_to_it(tmp_path: Path) -> None:
    shown = compare(FIRST, SECOND)
    path = shown.to_html(tmp_path)
    assert path == tmp_path / "cat-and-dog.html"
    page = path.read_text("utf-8")
    comparison = Comparison(("cat", "dog"), title="A cat beside A dog", slug="cat-and-dog")
    assert page == draw_comparison(comparison, FIRST, SECOND, has_index=False)[0]
    root = parse_html(page)
    assert [heading.text for heading in root.find("h1")] == ["A cat beside A dog"]
    assert [link for link in root.find("a") if link.attributes["href"].endswith(".html")] == []
    (frame,) = parse_html(shown._repr_html_()).find("iframe")
    assert frame.attributes["srcdoc"] == page
    assert repr(shown) == "<ComparisonPage of 'A cat beside A dog'>"


def test_patching_of_two_captures_is_on_their_page(tiny_llama: LoadedModel) -> None:
    sides = [capture(tiny_llama, text, max_new_tokens=0) for text in ("The cat sat", "The dog sat", "hens")]
    found = patch(tiny_llama, sides[0], sides[1], ["x", "y"])
    assert found.heads.shape == (2, 3, 4)
    assert found.stream.shape == (2, 3, sides[0].num_prompt_tokens)
    (frame,) = parse_html(compare(*sides[:2], patching=found)._repr_html_()).find("iframe")
    (card,) = parse_html(frame.attributes["srcdoc"]).find("section", id="patching")
    assert "log p(x) − log p(y)" in card.text
    with pytest.raises(ReportgenError, match="do not end alike"):
        patch(tiny_llama, sides[0], sides[2])
    with pytest.raises(ReportgenError, match="patch: larger ran"):
        other = replace(sides[1], model=replace(sides[1].model, name="larger"))
        patch(tiny_llama, sides[0], other)


def test_one_prompt_on_two_models_has_two_names() -> None:
    other = replace(FIRST, model=replace(FIRST.model, name="larger"))
    shown = compare(FIRST, other, note="Same prompt.")
    assert shown.title == "A cat beside A cat (on larger)"
    assert "Same prompt." in shown._repr_html_()
    assert shown._name() == (shown.title, "cat-and-a-cat-on-larger")


def test_a_side_that_is_no_capture_is_told() -> None:
    with pytest.raises(TypeError, match="compare: must be given two captures, got a Prompt; run it with capture"):
        compare(FIRST, FIRST.prompt)  # pyright: ignore[reportArgumentType]
