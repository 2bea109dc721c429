"""The page of all heads in a browser: chosen, sorted and counted, and every cell leads to its head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from browser.captures import CAPTURES
from browser.reader import Reader
from browser.test_everyone import AXE, VIOLATIONS
from browser.test_reading import no_sideways_scroll
from counts import sample
from playwright.sync_api import Browser
from samples import make_capture, make_random

from reportgen.captures.record import Capture
from reportgen.evidence.head_summary import summarize_heads
from reportgen.pages.cards import make_card
from reportgen.pages.heads import PageSummary, render_heads
from reportgen.pages.page import render_page
from reportgen.site.site import Site

NUM_PROMPTS, NUM_HEADS = 5, 27


def make_prompts() -> list[Capture]:
    """Return captures of one model, of every second with a tag, and one of another model."""
    captures = [make_random(9, 3, num_steps=2, seed=seed) for seed in range(NUM_PROMPTS)]
    named = [
        replace(one, prompt=replace(one.prompt, slug=f"p{i}", title=f"Prompt {i}", tags=("even",) * (i % 2 == 0)))
        for i, one in enumerate(captures)
    ]
    other = make_capture(slug="other", title="Another model")
    return [*named, replace(other, model=replace(other.model, name="zebra"))]


PROMPTS = make_prompts()
EFFECTS = [summarize_heads(one).numbers["effect"].astype(float) for one in PROMPTS[:NUM_PROMPTS]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = Site(tmp_path_factory.mktemp("heads")).open()
    for capture in PROMPTS:
        site.write_page(capture.prompt.slug, render_page(capture))
    site.write_index([*map(make_card, PROMPTS)])
    return site.root


def open_heads(reader: Reader, root: Path, address: str = "") -> Reader:
    """Open the page and wait until it answers."""
    reader.page.goto("about:blank")
    reader.page.goto(f"{(root / 'heads.html').as_uri()}{address}")
    reader.page.locator("html[data-ready]").wait_for(state="attached")
    return reader


@pytest.fixture
def reader(new_reader: Callable[..., Reader], root: Path) -> Reader:
    return open_heads(new_reader(), root)


def names(reader: Reader) -> list[str]:
    return reader.page.locator("#rows [data-head] .chip").all_text_contents()


def text(reader: Reader, element: str) -> str:
    return " ".join((reader.page.locator(f"#{element}").text_content() or "").split())


def test_heads_come_by_their_mean_and_the_first_is_explained(reader: Reader) -> None:
    mean = sum(EFFECTS) / NUM_PROMPTS
    order = sorted(((layer, head) for layer in range(9) for head in range(3)), key=lambda place: -mean[place])
    assert names(reader) == [f"L{layer} H{head}" for layer, head in order]
    values = [effect[order[0]] for effect in EFFECTS]
    above = sum(value > 0.1 for value in values)
    worst = values.index(min(values))
    said = f"{min(values):+.2f}".replace("-", "−")
    expected = f"is above 0.1 on {above} of 5 prompts; lowest: Prompt {worst} ({said})."
    assert text(reader, "holds") == f"{names(reader)[0]} {expected}"
    assert f"over 5 prompts; rank 1 of {NUM_HEADS} heads" in text(reader, "spread")
    assert reader.page.locator("#prompts tbody tr").count() == NUM_PROMPTS
    assert reader.problems == []
    assert len(reader.requests) == 1 + sum(request.startswith("data:") for request in reader.requests)


@pytest.mark.parametrize("column", [0, NUM_PROMPTS - 1])
def test_cell_leads_to_its_head_on_its_page_and_that_page_leads_back(reader: Reader, column: int) -> None:
    page, capture = reader.page, PROMPTS[column]
    row = page.locator("#rows tr").nth(4)
    name = row.locator(".chip").inner_text()
    box = row.locator("canvas").bounding_box()
    assert box
    page.mouse.move(box["x"] + (column + 0.5) * box["width"] / NUM_PROMPTS, box["y"] + 8)
    assert page.locator("#tooltip").inner_text().startswith(f"Prompt {column}: ")
    page.mouse.click(box["x"] + (column + 0.5) * box["width"] / NUM_PROMPTS, box["y"] + 8)
    page.wait_for_url(f"**/p{column}.html#*")
    page.locator("html[data-ready]").wait_for(state="attached")
    layer, head = name[1:].split(" H")
    step = summarize_heads(capture).step
    asked = {"layer": layer, "head": head, "step": str(step)}
    assert {key: value for key, value in reader.address().items() if key in asked} == asked
    assert page.locator("#head-name").inner_text() == f"{name} ▾"
    page.locator("#over-prompts").click()
    page.wait_for_url("**/heads.html#*")
    page.locator("html[data-ready]").wait_for(state="attached")
    assert text(reader, "chosen-title").startswith(f"{name}: ")
    assert text(reader, "here").startswith(f"On Prompt {column}: ")
    assert page.locator("#prompts tr.chosen").inner_text().endswith(f"Prompt {column}")


def test_link_of_a_page_follows_the_selected_head(reader: Reader, root: Path) -> None:
    page = reader.page
    page.goto((root / "p1.html").as_uri() + "#layer=2&head=1")
    page.locator("html[data-ready]").wait_for(state="attached")
    assert page.locator("#over-prompts").get_attribute("href") == "heads.html#page=p1&layer=2&head=1"
    page.keyboard.press("l")
    assert page.locator("#over-prompts").get_attribute("href") == "heads.html#page=p1&layer=2&head=2"


def test_bound_is_counted_and_goes_into_the_address(reader: Reader) -> None:
    page = reader.page
    page.locator("#bound").fill("−0.5")
    page.locator("#side").select_option("below")
    name = names(reader)[3]
    page.locator("#rows .chip").nth(3).click()
    layer, head = map(int, name[1:].split(" H"))
    below = sum(effect[layer, head] < -0.5 for effect in EFFECTS)
    assert text(reader, "holds").startswith(f"{name} is below −0.5 on {below} of 5 prompts; highest: ")
    assert reader.address() == {
        "model": "tiny", "number": "effect", "layer": str(layer), "head": str(head), "below": "-0.5"
    }  # fmt: skip
    page.locator("#bound").fill("much")
    assert page.locator("#bound").get_attribute("aria-invalid") == "true"
    assert text(reader, "holds").startswith(f"{name} is below −0.5 on")
    page.locator("[data-sort=holds]").click()
    counts = page.locator("#rows td:nth-child(7)").all_text_contents()
    assert counts == sorted(counts, reverse=True)
    assert page.locator("[data-column=holds]").get_attribute("aria-sort") == "descending"


def test_tags_models_and_numbers_are_chosen(reader: Reader) -> None:
    page = reader.page
    page.locator("#tag").select_option("even")
    assert page.locator("#prompts tbody tr").count() == 3
    assert "of 3 prompts" in text(reader, "holds")
    assert page.locator("#tags tbody tr").inner_text().split("\t")[0] == "even"
    page.locator("#number").select_option("previous")
    assert page.locator("#bound").input_value() == "0.5"
    page.locator("#model").select_option("zebra")
    page.locator("#rows tr").nth(11).wait_for()
    assert page.locator("#rows tr").count() == 12
    assert page.locator("#number").input_value() == "previous"
    assert "on one prompt, which shows nothing of the others" in text(reader, "spread")
    page.go_back()
    page.locator("#rows tr").nth(NUM_HEADS - 1).wait_for()
    assert (page.locator("#model").input_value(), page.locator("#tag").input_value()) == ("0", "even")
    assert reader.problems == []


def test_heads_are_walked_by_keyboard_and_named_from_the_table_of_means(reader: Reader) -> None:
    page = reader.page
    for _ in range(3):
        page.keyboard.press("j")
    page.keyboard.press("k")
    assert text(reader, "chosen-title").startswith(f"{names(reader)[2]}: ")
    link = page.locator("#strongest tbody").first.locator("a").nth(1)
    name = link.inner_text()
    link.click()
    page.wait_for_function("(name) => document.getElementById('chosen-title').textContent.startsWith(name)", arg=name)


def test_past_a_thousand_prompts_extremes_lead_to_their_pages(new_reader, tmp_path: Path) -> None:
    summary = summarize_heads(CAPTURES["cat"])
    pages = [PageSummary(f"p{i}", f"Prompt {i}", (), summary) for i in range(1_001)]
    (tmp_path / "heads.html").write_text(render_heads(pages), "utf-8")
    reader = open_heads(new_reader(), tmp_path)
    assert "has a value on 1,001 prompts; lowest: Prompt 0" in text(reader, "holds")
    assert not reader.page.locator("#prompts").is_visible()
    link = reader.page.locator("#rows .extreme a").first.get_attribute("href")
    assert (link or "").startswith("p0.html#layer=")
    assert reader.problems == []


def test_without_scripts_the_means_are_there(browser: Browser, root: Path) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((root / "heads.html").as_uri())
        assert page.locator("#strongest a:visible").count() > 20
        assert not page.locator("#all, #choice, #theme").first.is_visible()
        page.goto((root / "p0.html").as_uri())
        assert page.locator("#over-prompts").is_visible()


LOOKS = [(390, "light"), (320, "light"), (320, "dark"), (1280, "dark"), (390, "dark"), (1280, "light")]


@pytest.mark.parametrize(("width", "scheme"), sample(LOOKS, 3))
def test_nobody_is_kept_out(new_reader: Callable[..., Reader], root: Path, width: int, scheme: str) -> None:
    reader = new_reader(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page = open_heads(reader, root, "#model=tiny&page=p1").page
    assert no_sideways_scroll(page)
    page.add_script_tag(path=AXE)
    assert page.evaluate(VIOLATIONS) == []
