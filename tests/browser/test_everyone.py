"""For everyone: no barrier that axe knows, names and focus, forced colours, every width, reduced motion, paper."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from browser.reader import Reader
from counts import count, sample
from pypdf import PdfReader

AXE = Path(__file__).parents[1] / "js" / "node_modules" / "axe-core" / "axe.min.js"
VIOLATIONS = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.flatMap(({ id, impact, nodes }) =>
    nodes.map((node) => `${impact} ${id}: ${node.target} ${node.failureSummary}`));
}"""
DESKTOP = {"viewport": {"width": 1440, "height": 3000}}
PHONE = {"viewport": {"width": 390, "height": 3000}, "has_touch": True, "is_mobile": True}
LOOKS = [("dark", PHONE), ("light", PHONE), ("light", DESKTOP), ("dark", DESKTOP)]
LOOK_NAMES = ["dark-phone", "light-phone", "light-desktop", "dark-desktop"]
HASH = "#layer=1&head=1&step=1"


def violations(reader: Reader) -> list[str]:
    if not reader.page.evaluate("() => 'axe' in globalThis"):
        reader.page.add_script_tag(path=AXE)
    return reader.page.evaluate(VIOLATIONS)


@pytest.mark.parametrize(("scheme", "device"), sample(LOOKS, 2), ids=LOOK_NAMES)
def test_axe_finds_nothing_on_a_page_its_dialogs_menus_and_folds(
    new_reader: Callable[..., Reader], addresses, device, scheme
) -> None:
    reader = new_reader(bypass_csp=True, color_scheme=scheme, **device)
    reader.open(f"{addresses['file']}/cat.html{HASH}&show=attribution&pin=2.3")
    reader.look_at("effect")
    assert violations(reader) == []
    for key in ("c", "?"):
        reader.press(key)
        assert violations(reader) == [], key
        reader.press("Escape")
    for menu in ("view", "save", "rail", "limits"):
        reader.page.evaluate("(id) => document.getElementById(id).showPopover()", menu)
        assert violations(reader) == [], menu
        reader.press("Escape")
    reader.page.locator("details").evaluate_all("(found) => found.forEach((one) => { one.open = true; })")
    for figure in ("lens", "rollout", "entropy", "aggregate"):
        reader.look_at(figure)
    assert violations(reader) == []


@pytest.mark.parametrize("slug", ["plain", "bare", "one", "withheld", "hostile"])
def test_axe_finds_nothing_on_pages_of_other_kinds(new_reader: Callable[..., Reader], addresses, slug: str) -> None:
    reader = new_reader(bypass_csp=True, **DESKTOP).open(f"{addresses['file']}/{slug}.html")
    assert violations(reader) == []
    assert reader.problems == []


@pytest.mark.parametrize(("scheme", "device"), sample(LOOKS, 2), ids=LOOK_NAMES)
def test_axe_finds_nothing_on_an_index(new_reader: Callable[..., Reader], addresses, device, scheme: str) -> None:
    reader = new_reader(bypass_csp=True, color_scheme=scheme, **device)
    reader.page.goto(f"{addresses['file']}/index.html")
    assert violations(reader) == []


@pytest.mark.parametrize("view", ["read", "heads", "head", "effect", "map"])
def test_axe_finds_nothing_serious_on_a_view_alone(new_reader: Callable[..., Reader], addresses, view: str) -> None:
    """It has no heading of the first level and no landmark, which the page around it gives."""
    reader = new_reader(bypass_csp=True).open(f"{addresses['file']}/cat.html?embed={view}{HASH}")
    assert [one for one in violations(reader) if one.startswith(("serious", "critical"))] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_tokens_are_legible_on_every_colour(new_reader: Callable[..., Reader], addresses, scheme: str) -> None:
    reader = new_reader(bypass_csp=True, color_scheme=scheme, viewport={"width": 1440, "height": 900})
    reader.open(f"{addresses['file']}/cat.html#layer=0&head=2&query=4&shading=weight")
    for palette in ("auto", "magma", "blues", "night", "viridis", "cividis")[: count("palettes under a text")]:
        reader.page.evaluate(
            """(name) => {
              palette.value = name;
              palette.dispatchEvent(new Event("change"));
            }""",
            palette,
        )
        for state in ("layer=0&head=2&query=4&shading=weight", "layer=2&head=2&query=7&shading=weight", "step=2"):
            reader.go(f"#{state}")
            shades = reader.page.locator("#strip .token").evaluate_all(
                "(found) => new Set(found.map((one) => one.style.getPropertyValue('--shade'))).size"
            )
            assert shades > 1
            assert violations(reader) == [], (palette, state)


def test_forced_colours_leave_figures_as_they_are(new_reader: Callable[..., Reader], addresses) -> None:
    state = "#layer=2&head=2&step=1&pin=2.3"
    plain = new_reader(viewport={"width": 1440, "height": 900}).open(f"{addresses['file']}/cat.html{state}")
    forced = new_reader(viewport={"width": 1440, "height": 900}, forced_colors="active")
    forced.open(f"{addresses['file']}/cat.html{state}")
    for figure, rows, columns in (
        ("head", 8, 8),
        ("difference", 8, 8),
        ("heads", 4, 6),
        ("effect", 3, 4),
        ("map", 3, 4),
    ):
        expected = plain.look_at(figure).ask("colors", figure, rows, columns)
        assert forced.look_at(figure).ask("colors", figure, rows, columns) == expected
        assert len({color for row in expected for color in row} - {""}) > 1
    for reader in (plain, forced):
        reader.page.evaluate("() => scrollTo(0, 0)")
    looks = "(found) => found.map((one) => getComputedStyle(one).backgroundColor)"
    shades = [one.page.locator("#strip .token").evaluate_all(looks) for one in (plain, forced)]
    assert shades[0] == shades[1]
    assert len(set(shades[0])) > 2
    seen = "(one) => [getComputedStyle(one).color, getComputedStyle(document.body).backgroundColor]"
    for label in (".rows span", ".columns span", ".notes b"):
        ink, paper = forced.page.locator(f"#figure-heads {label}").first.evaluate(seen)
        assert ink != paper, label
    bars = forced.page.locator("#next .bar-line").first.evaluate("(one) => getComputedStyle(one).backgroundColor")
    assert bars == plain.page.locator("#next .bar-line").first.evaluate(
        "(one) => getComputedStyle(one).backgroundColor"
    )
    saved = forced.page.evaluate("async () => (await __studio.make('head', 'svg')).text()")
    assert saved == plain.page.evaluate("async () => (await __studio.make('head', 'svg')).text()")
    assert forced.problems == []


def test_headings_have_the_names_that_they_show(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader(**DESKTOP).open(f"{addresses['file']}/cat.html{HASH}&pin=2.3")
    reader.page.locator("details").evaluate_all("(found) => found.forEach((one) => { one.open = true; })")
    reader.settle()
    for state, expected in (
        (f"{HASH}&pin=2.3", ("Layer 1, every head", "Head 1, every layer", "L1 H1, every position", "L1 H1 − L2 H3")),
        ("#layer=2&head=0&step=0&pin=2.3", ("Layer 2, every head", "L2 H0, every position", "Effect on the token .")),
    ):
        reader.go(state)
        headings = reader.page.get_by_role("heading")
        names = headings.evaluate_all("(all) => all.map((one) => one.innerText.replace(/\\s+/g, ' ').trim())")
        assert set(expected) <= set(names)
        assert len(names) > 12
        for name in names:
            assert name
            assert reader.page.get_by_role("heading", name=name, exact=True).count() >= 1, name
        assert headings.locator("button, a, select, input").count() == 0
    levels = headings.evaluate_all("(all) => all.map((one) => Number(one.localName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_page_has_landmarks_and_a_link_that_skips_to_the_content(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader(viewport={"width": 1440, "height": 900}).open(f"{addresses['file']}/cat.html{HASH}")
    for role, name in (
        ("banner", None),
        ("main", None),
        ("navigation", "On this page"),
        ("complementary", "Contents and all heads"),
        ("form", "Selection"),
        ("region", "Answer"),
        ("region", "Layer 1, every head"),
        ("region", "Head 1, every layer"),
    ):
        assert reader.page.get_by_role(role, name=name, exact=True).count() == 1, (role, name)  # pyright: ignore[reportArgumentType]
    reader.press("Tab")
    assert reader.page.evaluate("() => document.activeElement.className") == "skip"
    assert reader.page.locator(".skip").evaluate("(one) => one.getBoundingClientRect().top >= 0")
    reader.press("Enter")
    assert reader.page.evaluate("() => document.activeElement.id") == "main"
    assert reader.problems == []


IN_FOCUS = """() => {
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


def test_focus_is_seen_wherever_it_goes(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader(viewport={"width": 1440, "height": 900}).open(f"{addresses['file']}/cat.html{HASH}")
    reader.look_at("head")
    reader.page.evaluate("() => { scrollTo(0, 0); document.activeElement.blur(); }")
    seen = []
    for _ in range(100):
        reader.page.keyboard.press("Tab")
        name, marked = reader.page.evaluate(IN_FOCUS)
        if name == "" or name in seen[:1]:
            break
        assert marked, name
        seen.append(name)
    assert 20 < len(seen) < 60  # 189 on the page before, whose figures had tools
    figures = [place for place, name in enumerate(seen) if name.startswith("figure-")]
    assert [seen[place] for place in figures] == [
        f"figure-{name}" for name in ("map", "read", "heads", "layers", "head", "effect")
    ]
    assert figures[0] <= 22


def test_page_has_few_controls(new_reader: Callable[..., Reader], addresses) -> None:
    """Those outside the text, tables and folds; what is closed does not count."""
    reader = new_reader(viewport={"width": 1440, "height": 900}).open(f"{addresses['file']}/cat.html{HASH}")
    controls = reader.page.evaluate(
        """() => [...document.querySelectorAll("a, button, input, select, summary, [tabindex]")]
          .filter((one) => one.checkVisibility() && !one.closest(".strip, table, .fold > :not(summary)"))
          .map((one) => one.id || one.textContent.trim() || one.className)"""
    )
    assert len(controls) <= 45, controls


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
    reader.page.locator("details").evaluate_all("(found) => found.forEach((one) => { one.open = true; })")
    assert reader.page.locator("main").evaluate("(one) => one.clientWidth") <= 2000
    for note in reader.page.locator(".note, .claim, .card > .hint").all():
        assert note.evaluate("(one) => one.clientWidth / parseFloat(getComputedStyle(one).fontSize)") < 85


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
          return !document.querySelector(".heatmap[data-stale]");
        }"""
    )


def sheets_of(reader: Reader) -> list[str]:
    """Return the text of each sheet of A4, ligatures taken apart."""
    pages = PdfReader(io.BytesIO(reader.page.pdf(format="A4"))).pages
    return [" ".join(unicodedata.normalize("NFKC", page.extract_text()).split()) for page in pages]


def test_paper_says_the_answer_and_what_is_selected(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/cat.html{HASH}")
    wait_until_all_is_drawn(reader)
    claim = reader.page.locator("#claim").inner_text()
    first, *others = sheets_of(reader)
    assert len(others) < 4
    assert "A cat and a mat" in first
    assert "".join(unicodedata.normalize("NFKC", claim).split()) in first.replace(" ", "")
    assert "Selected: layer 1, head 1, token 2 · shown: weight · file://" in first
    assert f"cat.html{HASH}" in first.replace(" ", "")
    assert "Layer 1, every head" in first
    everything = " ".join((first, *others))
    assert "L1 H1, every position" in everything
    assert "Effect on the token" in everything
    for pressed in (
        "Save",
        "Cite",
        "View",
        "Drag to",
        "Compare with",
        "Skip to",
        "Esc",
        "On this page",
        "Not drawn yet",
    ):
        assert pressed not in everything, pressed


def test_paper_shows_folds_that_are_open_whole(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/hostile.html")
    wait_until_all_is_drawn(reader)
    closed = " ".join(sheets_of(reader))
    assert "All tokens" not in closed
    reader.page.locator("details").evaluate_all("(found) => found.forEach((one) => { one.open = true; })")
    reader.settle()
    wait_until_all_is_drawn(reader)
    opened = " ".join(sheets_of(reader))
    assert "All tokens" in opened
    reader.page.emulate_media(media="print")
    reader.page.set_viewport_size({"width": 718, "height": 990})
    last = """(cells) => {
      const rightOf = (one) => one.getBoundingClientRect().right;
      return cells.filter((one) => rightOf(one) > rightOf(one.closest(".card"))).length;
    }"""
    cells = reader.page.locator(".card :is(th, td):last-child")
    assert cells.count() > 20
    assert cells.evaluate_all(last) == 0


def test_paper_never_shows_the_figure_of_another_selection(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader(viewport={"width": 1400, "height": 300}).open(f"{addresses['file']}/cat.html#layer=0&head=1")
    reader.page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    stale = reader.page.locator(".heatmap[data-stale]")
    assert stale.count() > 0
    assert "Not drawn yet: scroll to it, then print." in " ".join(sheets_of(reader))
    reader.page.emulate_media(media="print")
    assert (
        reader.page.locator(".heatmap[data-stale] :is(.canvas, .printed, .still)").locator("visible=true").count() == 0
    )


def test_paper_has_a_pixel_for_each_cell(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader(viewport={"width": 1440, "height": 900}).open(f"{addresses['file']}/cat.html{HASH}&pin=2.3")
    wait_until_all_is_drawn(reader)
    reader.page.emulate_media(media="print")
    reader.page.set_viewport_size({"width": 718, "height": 990})
    for figure in ("read", "heads", "layers", "head", "pinned", "difference", "effect"):
        sizes = reader.page.locator(f"#figure-{figure} .printed canvas").evaluate_all(
            "(all) => all.map((one) => [one.height, one.width])"
        )
        assert sizes == [[len(one["rows"]), len(one["rows"][0])] for one in reader.ask("images", figure)]
        left, right, *inside = reader.page.locator(f"#figure-{figure}").evaluate(
            """(one) => [one.querySelector(".cells"), one.closest(".card")].flatMap((box) => {
              const { left, right } = box.getBoundingClientRect();
              return [left, right];
            })"""
        )
        assert inside[0] <= left < right - 60 < right <= inside[1], figure
    assert reader.problems == []


def test_view_alone_is_one_sheet(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/cat.html?embed=head{HASH}").settle()
    (text,) = sheets_of(reader)
    assert "L1 H1, every position" in text
    assert "A cat and a mat · tiny · layer 1, head 1, token 2" in text
