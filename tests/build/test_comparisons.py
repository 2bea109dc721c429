"""Comparisons of a run: made as soon as both sides are there, holding no more than they need, failing with a side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from html_tree import parse_html
from samples import make_capture
from tiny import save_llama

from reportgen.build import build
from reportgen.build.build import build_site
from reportgen.build.comparisons import ComparisonInputs, PendingComparisons, make_comparison_input, name_and_check
from reportgen.build.options import BuildOptions, NullProgress
from reportgen.captures.record import Capture
from reportgen.models.model import LoadedModel
from reportgen.pages.cards import Card, FailureCard
from reportgen.records import Comparison, Prompt, SourceLocation
from reportgen.records.errors import PromptError, PromptFileError
from reportgen.site.site import Site

PROMPTS = tuple(Prompt(text=f"{slug} sat", slug=slug, title=slug, max_new_tokens=2) for slug in ("a", "b", "c", "d"))
TOO_LONG = Prompt(text="x" * 600, slug="long", max_new_tokens=0)


def take(pairs: PendingComparisons, slug: str, error: str = "") -> list[tuple[str, object]]:
    """Tell what became of a prompt; return the slugs of the comparisons that are ready, with their sides."""
    side = make_comparison_input(PromptError(error) if error else make_capture(slug=slug), "", 8)
    return [(one.slug, sides) for one, sides in pairs.take(Prompt(text="x", slug=slug), side)]


def test_comparison_is_ready_with_its_second_side_whichever_comes_first() -> None:
    pairs = PendingComparisons([Comparison(("a", "b"), slug="ab"), Comparison(("c", "a"), slug="ca")])
    assert take(pairs, "a") == []
    assert take(pairs, "d") == []
    ((slug, sides),) = take(pairs, "b")
    assert slug == "ab"
    assert isinstance(sides, ComparisonInputs)
    assert [side.prompt.slug for side in sides.captures] == ["a", "b"]
    ((slug, sides),) = take(pairs, "c")
    assert slug == "ca"
    assert isinstance(sides, ComparisonInputs)
    assert [side.prompt.slug for side in sides.captures] == ["c", "a"]


def test_series_is_ready_with_its_last_member_and_keeps_its_order() -> None:
    pairs = PendingComparisons([Comparison(("c", "a", "b"), slug="cab")])
    assert take(pairs, "a") == take(pairs, "b") == []
    ((slug, sides),) = take(pairs, "c")
    assert slug == "cab"
    assert isinstance(sides, ComparisonInputs)
    assert [side.prompt.slug for side in sides.captures] == ["c", "a", "b"]
    assert [prompt.slug for prompt in sides.prompts] == ["c", "a", "b"]


def test_captures_are_held_no_longer_than_somebody_waits_for_them() -> None:
    pairs = PendingComparisons([Comparison(("a", "b"), slug="ab"), Comparison(("a", "c"), slug="ac")])
    held = lambda: sorted(pairs._kept)  # noqa: E731
    take(pairs, "d")
    assert held() == []
    take(pairs, "a")
    assert isinstance(kept := pairs._kept["a"][1].captured, Capture)
    assert kept.triangles.dtype == np.uint8
    assert kept.evidence.value_norms is None
    take(pairs, "b")
    assert held() == ["a"]
    take(pairs, "c")
    assert held() == []


def test_comparison_fails_with_a_side_and_says_why() -> None:
    place = SourceLocation("p.yaml", 7, {"compare": 8})
    pairs = PendingComparisons([Comparison(("a", "b"), "A beside B", "ab", place=place)])
    assert take(pairs, "b", "p.yaml:3: too long; shorten it") == []
    assert take(pairs, "a") == [
        ("ab", FailureCard("ab", "A beside B", "side by side", "p.yaml:8: 'b' failed: p.yaml:3: too long; shorten it"))
    ]


def test_wrong_comparisons_are_told() -> None:
    with pytest.raises(PromptFileError, match="compare names 'e', which no prompt has; the slugs are a, b, c, d"):
        name_and_check([Comparison(("a", "e"))], PROMPTS)
    with pytest.raises(PromptFileError, match="slug 'a' is used before"):
        name_and_check([Comparison(("a", "b"), slug="a")], PROMPTS)


def test_run_writes_comparisons_after_its_prompts(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    comparisons = [Comparison(("c", "a")), Comparison(("a", "b"), "Two letters", "letters")]
    outcome = build_site(PROMPTS, tmp_path, BuildOptions(model=tiny_llama), comparisons=comparisons)
    assert [path.name for path in outcome.pages] == [
        "a.html", "b.html", "c.html", "d.html", "c-and-a.html", "letters.html"
    ]  # fmt: skip
    assert [card.slug for card in Site(tmp_path).read_cards()] == ["a", "b", "c", "d", "c-and-a", "letters"]
    page = parse_html((tmp_path / "letters.html").read_text("utf-8"))
    links = [link.attributes["href"] for link in page.find("a") if not link.attributes["href"].startswith("#")]
    assert list(dict.fromkeys(links)) == ["index.html", "a.html", "b.html"]


SERIES = Comparison(("c", "a", "b"), slug="three", place=SourceLocation("p.yaml", 7, {"compare": 8}))


def test_series_is_written_once_and_a_resumed_run_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = str(save_llama(tmp_path / "model"))
    prompts = [replace(prompt, model=folder) for prompt in PROMPTS[:3]]
    options = BuildOptions(device="cpu")
    outcome = build_site(prompts, tmp_path / "site", options, comparisons=[SERIES])
    assert [path.stem for path in outcome.pages] == ["a", "b", "c", "three"]
    site = Site(tmp_path / "site")
    card = site.read_cards()[-1]
    assert isinstance(card, Card)
    assert card.sides == ("c", "a", "b")
    page = (site.root / "three.html").read_bytes()
    again = build_site(prompts, site.root, options, comparisons=[SERIES])
    assert [path.stem for path in again.up_to_date] == ["a", "b", "c", "three"]
    for slug in ("b", "three"):
        (site.root / f"{slug}.html").unlink()
    resumed = build_site(prompts, site.root, options, comparisons=[SERIES])
    assert [path.stem for path in resumed.pages] == ["b", "three"]
    assert (site.root / "three.html").read_bytes() == page


def test_series_of_models_that_differ_in_shape_fails_alone(tmp_path: Path) -> None:
    captures = [make_capture(slug=slug, title=slug) for slug in "ab"]
    wide = make_capture(slug="c", title="c", heads=tuple(range(6)))
    outcome = build_site([*captures, wide], tmp_path, comparisons=[SERIES])
    assert [path.stem for path in outcome.pages] == ["a", "b", "c"]
    (error,) = outcome.broken
    assert error.startswith("p.yaml:8: three: the models of a series need the same shape: 'c' runs on")
    *_, card = Site(tmp_path).read_cards()
    assert isinstance(card, FailureCard)
    assert card.place == "p.yaml:8"


def test_run_shows_a_comparison_whose_side_failed(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    prompts = [PROMPTS[0], TOO_LONG]
    outcome = build_site(prompts, tmp_path, BuildOptions(model=tiny_llama), comparisons=[Comparison(("a", "long"))])
    assert [path.name for path in outcome.pages] == ["a.html"]
    *_, card = Site(tmp_path).read_cards()
    assert isinstance(card, FailureCard)
    assert card.slug == "a-and-long"
    assert "'long' failed" in card.error


@pytest.mark.parametrize("fault", ["folder", "drawing", "key"])
def test_a_comparison_that_fails_fails_alone(
    tiny_llama: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Prompts after it are run, other comparisons are written, and the index says what failed."""

    class Meddler(NullProgress):
        def done(self, prompt: Prompt, outcome: object) -> None:
            if prompt.slug == "a" and fault == "folder":
                (tmp_path / "ab.html").mkdir()

    def fail(comparison: Comparison, *arguments: object) -> object:
        if comparison.slug == "ab":
            raise RuntimeError("it is broken")
        return usual(comparison, *arguments)

    name = {"drawing": "render_comparison_artifacts", "key": "make_comparison_keys"}.get(fault)
    if name:
        usual = getattr(build, name)
        monkeypatch.setattr(build, name, fail)
    comparisons = [Comparison(("a", "b"), "", "ab"), Comparison(("a", "c"), "", "ac")]
    options = BuildOptions(model=tiny_llama, batch_size=1)
    monkeypatch.setattr(build.Cache, "find_pages", lambda *_: {})
    outcome = build_site(PROMPTS, tmp_path, options, Meddler(), comparisons=comparisons)
    assert [path.stem for path in outcome.pages] == ["a", "b", "c", "d", "ac"]
    (error,) = outcome.broken
    assert ("exists and was not written by reportgen" if fault == "folder" else "it is broken") in error
    (card,) = [card for card in Site(tmp_path).read_cards() if isinstance(card, FailureCard)]
    assert (card.slug, card.error) == ("ab", error)


def test_run_with_a_wrong_comparison_writes_nothing(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(PromptFileError, match="which no prompt has"):
        build_site(PROMPTS, tmp_path / "site", BuildOptions(model=tiny_llama), comparisons=[Comparison(("a", "z"))])
    assert not (tmp_path / "site").exists()


def read_patching(path: Path) -> str:
    """Return the text of the card of activation patching on a page."""
    return parse_html(path.read_text("utf-8")).find("section", id="patching")[0].text


def test_patching_is_measured_once_both_sides_have_run(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []

    class Recorder(NullProgress):
        def patching(self, prompt: Prompt, done: int, total: int, seconds: float) -> None:
            said.append((prompt.slug, done, total))

    comparison = Comparison(("a", "b"), slug="ab", evidence=("patching",), answers=("x", "y"))
    outcome = build_site(PROMPTS, tmp_path, BuildOptions(model=tiny_llama), Recorder(), comparisons=[comparison])
    assert [path.stem for path in outcome.pages] == ["a", "b", "c", "d", "ab"]
    assert not outcome.broken
    assert {slug for slug, _, _ in said} == {"a", "b"}
    assert said[-1][1] == said[-1][2]
    assert "log p(x) − log p(y)" in read_patching(tmp_path / "ab.html")


def test_page_says_why_nothing_was_patched(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    prompts = (*PROMPTS[:2], Prompt(text="no end in common", slug="other", max_new_tokens=0))
    asks = {"evidence": ("patching",)}
    comparisons = [
        Comparison(("a", "other"), slug="unlike", **asks),
        Comparison(("a", "b"), slug="long", **asks, answers=("two tokens", "y")),
    ]
    build_site(prompts, tmp_path, BuildOptions(model=tiny_llama), comparisons=comparisons)
    assert "do not end alike" in read_patching(tmp_path / "unlike.html")
    assert "the answer “two tokens” is not one token of" in read_patching(tmp_path / "long.html")


def test_two_models_are_patched_one_after_the_other(tmp_path: Path) -> None:
    """The same weights in two folders: what one model gives the other is what it gives itself."""
    folders = [save_llama(tmp_path / name) for name in ("one", "two")]
    prompts = [
        Prompt(text=f"{name} sat", slug=f"{name}{number}", model=str(folder), max_new_tokens=0)
        for number, folder in enumerate(folders)
        for name in "ab"
    ]
    asks = {"evidence": ("patching",), "answers": ("x", "y")}
    comparisons = [Comparison(("a0", "b0"), slug="same", **asks), Comparison(("a0", "b1"), slug="both", **asks)]
    build_site(prompts, tmp_path / "site", BuildOptions(device="cpu"), comparisons=comparisons)
    same, both = (read_patching(tmp_path / "site" / f"{slug}.html") for slug in ("same", "both"))
    assert "% of the way" in same
    assert same == both
