"""Sites of captures that were made before, alone or beside prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from samples import make_capture

from reportgen.build.build import build_site
from reportgen.build.options import BuildOptions
from reportgen.captures.record import Capture
from reportgen.models.model import LoadedModel
from reportgen.pages.cards import Card
from reportgen.pages.page import draw_page
from reportgen.records import Comparison, Prompt
from reportgen.site.site import Site

CAT = make_capture(title="A cat", slug="cat")
DOG = make_capture(("The", " dog", " ate", " the", " mat"), title="A dog", slug="dog")


def cards_of(folder: Path) -> list[tuple[str, str]]:
    return [(card.slug, card.title) for card in Site(folder).read_cards() if isinstance(card, Card)]


def test_captures_become_pages_and_an_index_without_a_model(tmp_path: Path) -> None:
    options = BuildOptions(keep_captures=True, export_data="csv")
    outcome = build_site([CAT, DOG], tmp_path, options, comparisons=[Comparison(("cat", "dog"))])
    assert [path.name for path in outcome.pages] == ["cat.html", "dog.html", "cat-and-dog.html"]
    assert cards_of(tmp_path) == [("cat", "A cat"), ("dog", "A dog"), ("cat-and-dog", "A cat beside A dog")]
    assert Capture.load(tmp_path / "captures" / "dog.safetensors") == DOG
    assert (tmp_path / "data" / "dog" / "heads.csv").exists()
    again = build_site([CAT, DOG], tmp_path, options)
    assert [path.name for path in again.pages] == ["cat.html", "dog.html"]  # nobody knows whether they are up to date


def test_captures_of_one_prompt_have_a_page_each(tmp_path: Path) -> None:
    warm = replace(CAT, model=replace(CAT.model, name="larger"))
    outcome = build_site([CAT, warm, warm], tmp_path)
    assert [path.name for path in outcome.pages] == ["cat.html", "a-cat.html", "a-cat-2.html"]
    assert (tmp_path / "cat.html").read_text("utf-8") == draw_page(CAT).html
    assert CAT.prompt.slug == warm.prompt.slug == "cat"


def test_prompts_and_captures_stand_beside_each_other(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    items = [CAT, Prompt("A b", slug="b", max_new_tokens=1), Prompt("A cat", slug="cat", max_new_tokens=0)]
    outcome = build_site(
        items, tmp_path, BuildOptions(model=tiny_llama), comparisons=[Comparison(("a-cat", "b"), slug="both")]
    )
    assert [path.name for path in outcome.pages] == ["a-cat.html", "b.html", "cat.html", "both.html"]
    assert outcome.failures == ()
    assert outcome.broken == ()
    by_slug = {card.slug: card for card in Site(tmp_path).read_cards() if isinstance(card, Card)}
    assert (by_slug["a-cat"].model, by_slug["b"].model) == ("tiny", "tiny-llama")
