"""For everyone: no barrier that axe knows, focus that is seen, every width, reduced motion, paper."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from browser.reader import Reader
from pypdf import PdfReader

AXE = Path(__file__).parents[1] / "js" / "node_modules" / "axe-core" / "axe.min.js"
VIOLATIONS = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.flatMap(({ id, impact, nodes }) =>
    nodes.map((node) => `${impact} ${id}: ${node.target} ${node.failureSummary}`));
}"""
DESKTOP = {"viewport": {"width": 1280, "height": 3000}}
PHONE = {"viewport": {"width": 390, "height": 3000}, "has_touch": True, "is_mobile": True}
HASH = "#layer=1&head=1&step=1"


def violations(reader: Reader) -> list[str]:
    if not reader.page.evaluate("() => 'axe' in globalThis"):
        reader.page.add_script_tag(path=AXE)
    return reader.page.evaluate(VIOLATIONS)


@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_a_page_and_its_dialogs(
    new_reader: Callable[..., Reader], addresses, device, scheme
) -> None:
    reader = new_reader(bypass_csp=True, color_scheme=scheme, **device)
    reader.open(f"{addresses['file']}/cat.html{HASH}&show=attribution")
    reader.look_at("head_tiles")
    assert violations(reader) == []
    for key in ("c", "?"):
        reader.press(key)
        assert violations(reader) == [], key
        reader.press("Escape")
    reader.page.locator(".card:has(#figure-head) .save").click()
    assert violations(reader) == []
    reader.press("Escape")
    reader.page.locator("details").evaluate_all("(found) => found.forEach((one) => { one.open = true; })")
    assert violations(reader) == []


@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_an_index(new_reader: Callable[..., Reader], addresses, device, scheme: str) -> None:
    reader = new_reader(bypass_csp=True, color_scheme=scheme, **device)
    reader.page.goto(f"{addresses['file']}/index.html")
    assert violations(reader) == []


@pytest.mark.parametrize("view", ["text", "overview", "head", "step_heads", "grid"])
def test_axe_finds_nothing_serious_on_a_view_alone(new_reader: Callable[..., Reader], addresses, view: str) -> None:
    """It has no heading of the first level and no landmark, which the page around it gives."""
    reader = new_reader(bypass_csp=True).open(f"{addresses['file']}/cat.html?embed={view}{HASH}")
    assert [one for one in violations(reader) if one.startswith(("serious", "critical"))] == []


def test_strongest_colours_leave_tokens_legible(new_reader: Callable[..., Reader], addresses) -> None:
    """A token that gets all weight, in both themes."""
    for scheme in ("light", "dark"):
        for state in ("layer=0&head=2&query=4", "layer=2&head=3&step=2&show=attribution"):
            reader = new_reader(bypass_csp=True, color_scheme=scheme).open(f"{addresses['file']}/cat.html#{state}")
            strongest = reader.page.locator("#strip .token").evaluate_all(
                "(found) => Math.max(...found.map((one) => Number(one.style.getPropertyValue('--weight'))))"
            )
            assert strongest == 1
            assert violations(reader) == []


def test_focus_is_seen_wherever_it_goes(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/cat.html{HASH}")
    reader.look_at("head")
    reader.page.evaluate("() => { scrollTo(0, 0); document.activeElement.blur(); }")
    seen = []
    for _ in range(200):
        reader.page.keyboard.press("Tab")
        name, marked = reader.page.evaluate(
            """() => {
              let active = document.activeElement;
              while (active.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
              const ring = (one) => {
                const { outlineStyle, outlineWidth } = getComputedStyle(one);
                return outlineStyle !== "none" && parseFloat(outlineWidth) >= 1;
              };
              // The label of a hidden radio button stands for it.
              const stands = active.matches(".switch input") ? active.nextElementSibling : active;
              if (active === document.body) return ["", false];
              return [active.id || active.className || active.textContent.trim() || active.tagName, ring(stands)];
            }"""
        )
        if name == "" or name in seen[:1]:
            break
        assert marked, name
        seen.append(name)
    assert len(seen) > 40


@pytest.mark.parametrize("slug", ["cat", "hostile", "one", "long"])
def test_body_scrolls_downwards_alone(new_reader: Callable[..., Reader], addresses, slug: str) -> None:
    reader = new_reader(viewport={"width": 320, "height": 1200}).open(f"{addresses['file']}/{slug}.html")
    for width in (320, 360, 768, 1024, 1280, 1920, 2560, 3840):
        reader.page.set_viewport_size({"width": width, "height": 1200})
        reader.settle()
        assert reader.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), width
        for key in ("c", "?"):
            reader.press(key)
            left, right = reader.page.locator("dialog[open]").evaluate(
                "(one) => [one.getBoundingClientRect().left, one.getBoundingClientRect().right]"
            )
            assert 0 <= left < right <= width
            reader.press("Escape")
    assert reader.problems == []


def test_lines_stay_short_on_a_large_screen(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader(viewport={"width": 3840, "height": 2160}).open(f"{addresses['file']}/long.html")
    assert reader.page.locator(".page").evaluate("(one) => one.clientWidth") == 2000
    for note in reader.page.locator(".note").all():
        assert note.evaluate("(one) => one.clientWidth / parseFloat(getComputedStyle(one).fontSize)") < 60


def test_nothing_moves_for_those_who_ask_for_that(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader(reduced_motion="reduce").open(f"{addresses['file']}/cat.html")
    moving = """() => [...document.querySelectorAll("*")].filter((one) => {
      const { transitionProperty, animationName, scrollBehavior } = getComputedStyle(one);
      return transitionProperty !== "none" || animationName !== "none" || scrollBehavior !== "auto";
    }).length"""
    assert reader.page.evaluate(moving) == 0


def wait_until_all_is_drawn(reader: Reader) -> None:
    reader.page.wait_for_function(
        """() => {
          dispatchEvent(new Event("beforeprint"));
          return !document.querySelector(".figure[data-stale]");
        }"""
    )


def sheets_of(reader: Reader) -> list[str]:
    """Return the text of each sheet of A4, ligatures taken apart."""
    pages = PdfReader(io.BytesIO(reader.page.pdf(format="A4"))).pages
    return [" ".join(unicodedata.normalize("NFKC", page.extract_text()).split()) for page in pages]


def test_paper_begins_with_the_selected_view(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/cat.html{HASH}")
    wait_until_all_is_drawn(reader)
    first, *others = sheets_of(reader)
    assert len(others) < 10
    assert "A cat and a mat" in first
    assert "Selected: layer 1, head 1, step 1 · shown: weight · file://" in first
    assert f"cat.html{HASH}" in first.replace(" ", "")
    assert "␣cat" in first
    assert "Attention of L1 H1" in first
    assert "Overview" not in first
    everything = " ".join((first, *others))
    assert "Generated tokens" in everything
    for pressed in ("Save", "Play", "Cite", "drag to zoom"):
        assert pressed not in everything, pressed


def test_view_alone_is_one_sheet(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/cat.html?embed=head{HASH}").settle()
    (text,) = sheets_of(reader)
    assert "Attention of L1 H1" in text
    assert "A cat and a mat · tiny · layer 1, head 1, step 1" in text
