"""What is seen before any script runs, and that nothing moves when the figures take the places of their pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from browser.captures import CAPTURES
from browser.reader import PROBE, Reader

from reportgen.pages.answer import make_answers
from reportgen.records.sentences import HeadPart, StrongPart, TokenPart

FIGURES = ("read", "heads", "layers", "head", "map")
SIZES = ((1440, 900), (1280, 720), (390, 844))
BOXES = """() => Object.fromEntries([...document.querySelectorAll(".bar, main .card, .cells")]
  .filter((one) => one.checkVisibility())
  .map((one) => {
    const { x, y, width, height } = one.getBoundingClientRect();
    return [one.id || one.parentElement.id, [x, y + scrollY, width, height]];
  }))"""
RECORD_SHIFTS = """
globalThis.shifts = [];
new PerformanceObserver((list) => shifts.push(...list.getEntries().map(({ value }) => value)))
  .observe({ type: "layout-shift", buffered: true });
"""
RECORD_STILLS = """
globalThis.seen = [];
const look = () => {
  const still = document.querySelector("#figure-heads .still img");
  if (still?.checkVisibility({ visibilityProperty: true })) seen.push(performance.now());
  requestAnimationFrame(look);
};
look();
"""


def say_claim(slug: str, step: int) -> str:
    """Return the claim of a step as text."""
    parts = []
    for part in make_answers(CAPTURES[slug])[step].claim:
        match part:
            case TokenPart():
                parts.append(part.shown)
            case HeadPart():
                parts.append(f"L{part.layer} H{part.head}")
            case StrongPart():
                parts.append(part.text)
            case _:
                parts.append(part)
    return "".join(parts)


def find_difference(one: str, other: str) -> int:
    """Return the largest difference of two colours in a channel; 256 if only one of them is a colour."""
    if not one or not other:
        return 0 if one == other else 256
    pairs = zip(bytes.fromhex(one[1:]), bytes.fromhex(other[1:]), strict=True)
    return max(abs(a - b) for a, b in pairs)


@pytest.fixture(scope="module")
def open_first(new_reader: Callable[..., Reader], addresses: dict[str, str], folder: Path) -> Callable[..., Reader]:
    """Opens a page whose scripts never arrive, in a reader of its own."""

    def open_(slug: str, hash_: str = "", **options: object) -> Reader:
        first, found, _ = (folder / f"{slug}.html").read_text("utf-8").partition('<div class="tooltip"')
        assert found
        reader = new_reader(**options)
        reader.page.route(f"**/{slug}.html", lambda route: route.fulfill(body=first, content_type="text/html"))
        reader.page.goto(f"{addresses['http']}/{slug}.html{hash_}")
        reader.page.evaluate(PROBE)
        return reader

    return open_


def test_answer_and_figures_need_no_script(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> None:
    reader = new_reader(java_script_enabled=False)
    reader.page.goto(f"{addresses['file']}/cat.html")
    assert reader.page.locator("#claim").inner_text() == say_claim("cat", 1)
    for figure in FIGURES:
        picture = reader.page.locator(f"#figure-{figure} .still img")
        cells = reader.page.locator(f"#figure-{figure} .cells").bounding_box()
        assert picture.is_visible()
        assert picture.evaluate("(image) => image.naturalWidth") > 1
        assert picture.bounding_box() == cells
    columns = reader.page.locator("#figure-heads .columns span")
    assert columns.all_inner_texts() == [token.shown for token in CAPTURES["cat"].tokens[:6]]
    assert reader.page.locator("#figure-heads .notes li").first.inner_text().split() == ["␣mat", "4", "1.00", "+0.4"]
    assert "L1 H0, every position" in reader.page.locator("#head-title").inner_text()
    scripted = [part.is_visible() for part in reader.page.locator(".scripted").all()]
    assert len(scripted) > 10
    assert not any(scripted)
    assert reader.requests == [f"{addresses['file']}/cat.html"]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_moves_when_the_scripts_have_drawn(
    open_first, new_reader, addresses: dict[str, str], width: int, height: int
) -> None:
    viewport = {"width": width, "height": height}
    for slug in ("many", "long"):
        before = open_first(slug, viewport=viewport).page.evaluate(BOXES)
        reader = new_reader(viewport=viewport)
        reader.page.add_init_script(RECORD_SHIFTS)
        reader.open(f"{addresses['http']}/{slug}.html")
        after = reader.page.evaluate(BOXES)
        assert after.keys() == before.keys()
        assert len(before) > 10
        for name, box in before.items():
            assert after[name] == pytest.approx(box, abs=1), (slug, name)
        assert sum(reader.page.evaluate("shifts")) <= 0.02, slug
        assert reader.problems == []
        reader.page.close()


@pytest.mark.parametrize(("slug", "scheme"), [("cat", "light"), ("cat", "dark"), ("many", "light"), ("plain", "light")])
def test_figures_have_the_colours_of_their_pictures(
    open_first, new_reader, addresses: dict[str, str], slug: str, scheme: str
) -> None:
    first = open_first(slug, color_scheme=scheme)
    figures = [name for name in FIGURES if first.page.locator(f"#figure-{name}").count()]
    stills = {name: first.ask("still", name, scheme) for name in figures}
    reader = new_reader(color_scheme=scheme).open(f"{addresses['file']}/{slug}.html")
    assert len(figures) == (4 if slug == "plain" else 5)
    for name, still in stills.items():
        colors = reader.look_at(name).ask("colors", name, len(still), len(still[0]))
        flat = [(a, b) for line, other in zip(still, colors, strict=True) for a, b in zip(line, other, strict=True)]
        # A value between two colours of a ramp may be rounded either way.
        assert max(find_difference(a, b) for a, b in flat) <= 4, name
        assert len({a for a, _ in flat}) > 1
        assert reader.page.locator(f"#figure-{name} .still").count() == 0


def test_labels_and_numbers_stay_as_they_were(open_first, new_reader, addresses: dict[str, str]) -> None:
    ask = """() => [...document.querySelectorAll("#figure-read, #figure-heads, #figure-layers")]
      .map((one) => ["columns", "rows", "notes"].map((part) => one.querySelector(`:scope > .${part}`)?.innerText))"""
    for slug in ("many", "long"):
        before = open_first(slug).page.evaluate(ask)
        reader = new_reader().open(f"{addresses['file']}/{slug}.html")
        assert reader.page.evaluate(ask) == before, slug
        reader.page.close()


def test_view_of_an_address_is_not_preceded_by_another(open_first, new_reader, addresses: dict[str, str]) -> None:
    hash_ = "#layer=0&head=2&query=2"
    first = open_first("cat", hash_)
    for hidden in ("#figure-heads .still img", "#claim", "#figure-heads .notes", "#figure-read .columns"):
        assert first.page.locator(hidden).first.is_hidden(), hidden
    assert open_first("cat").page.locator("#claim").is_visible()
    reader = new_reader()
    reader.page.add_init_script(RECORD_STILLS)
    reader.open(f"{addresses['http']}/cat.html{hash_}")
    assert reader.page.evaluate("seen") == []
    assert reader.page.locator("#claim").is_visible()
    assert reader.ask("notes", "heads")[2] == ["The", "0", "1.00"]
    assert reader.rows("heads")[2] == [1, 0, 0]
    assert reader.page.locator("#heads-title").inner_text() == "Layer 0, every head"
    assert reader.ask("selected", "head", "rows") == "␣ate"


def test_pictures_of_the_opening_view_are_seen_without_an_address(new_reader, addresses: dict[str, str]) -> None:
    reader = new_reader()
    reader.page.add_init_script(RECORD_STILLS)
    reader.open(f"{addresses['http']}/cat.html")
    assert len(reader.page.evaluate("seen")) > 0
