"""A notebook that is executed: its cells say what they should, and what they show works in a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browser.reader import PROBE, Reader
from nbformat.v4 import new_code_cell, new_notebook
from notebooks import execute, html_of
from playwright.sync_api import FrameLocator
from tiny import save_llama

CELLS = (
    "import reportgen as rg\nmodel = rg.load_model('llama')",
    "run = rg.capture(model, 'The cat ate the mat', title='Cats', max_new_tokens=3)\nrun",
    "run.attention[1, 2].shape",
    "run.show()",
    "run.to_html('page.html').name",
)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    """Return what each cell put out."""
    folder = tmp_path_factory.mktemp("notebook")
    save_llama(folder / "llama")
    return execute(new_notebook(cells=[new_code_cell(source) for source in CELLS]), folder)


@pytest.fixture(scope="module")
def cell(outputs: list[list[Any]], new_reader: Callable[..., Reader], tmp_path_factory: pytest.TempPathFactory):
    """Return a reader in front of what the second cell shows, and the frame in it."""
    path = tmp_path_factory.mktemp("shown") / "cell.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><title>Cell</title>{html_of(outputs[1])}", "utf-8")
    reader = new_reader(viewport={"width": 1300, "height": 860})
    reader.page.goto(path.as_uri())
    frame = reader.page.frame_locator("iframe")
    frame.locator("html[data-ready]").wait_for(state="attached")
    return reader, frame


def wait_for(frame: FrameLocator, head: str) -> None:
    frame.locator("#head-name", has_text=head).wait_for()


def test_cells_say_what_they_should(outputs: list[list[Any]]) -> None:
    kinds = [[output["output_type"] for output in cell] for cell in outputs]
    assert kinds == [[], ["execute_result"], ["execute_result"], ["display_data"], ["execute_result"]]  # no stream
    assert outputs[2][0]["data"]["text/plain"] == "(22, 22)"
    assert outputs[4][0]["data"]["text/plain"] == "'page.html'"
    assert html_of(outputs[3]) == html_of(outputs[1])


def test_cell_shows_a_page_that_can_be_clicked(cell: tuple[Reader, FrameLocator]) -> None:
    reader, frame = cell
    assert frame.locator("h1").inner_text() == "Cats"
    frame.locator("#figure-heads canvas").first.wait_for()
    inner = reader.page.frames[1]
    inner.evaluate(PROBE)
    frame.locator("#figure-heads").scroll_into_view_if_needed()
    layer = inner.evaluate("() => new URLSearchParams(__studio.hash().slice(1)).get('layer')")
    x, y = inner.evaluate("() => probe.point('heads', 0.5, 1.5)")
    box = reader.page.locator("iframe").bounding_box()
    assert box
    reader.page.mouse.click(box["x"] + x, box["y"] + y)
    wait_for(frame, f"L{layer} H1")
    assert inner.evaluate("() => location.hash").startswith(f"#layer={layer}&head=1")
    assert reader.problems == []


def test_keys_and_addresses_work_inside_of_the_frame(cell: tuple[Reader, FrameLocator]) -> None:
    reader, frame = cell
    inner = reader.page.frames[1]
    inner.evaluate("() => { location.hash = '#layer=1&head=2'; }")
    wait_for(frame, "L1 H2")
    frame.locator("h1").click()
    reader.page.keyboard.press("j")
    wait_for(frame, "L2 H2")
    inner.evaluate("() => reportgen.address.flush()")
    assert inner.evaluate("() => location.href").startswith("about:srcdoc#layer=2&head=2")
    reader.page.keyboard.press("k")
    wait_for(frame, "L1 H2")
    assert reader.problems == []


def test_pictures_can_be_saved_and_frames_cannot_be_made(cell: tuple[Reader, FrameLocator]) -> None:
    reader, frame = cell
    frame.locator("[popovertarget=save]").click()
    frame.locator("#save-figure").select_option("head")
    assert not frame.locator("[data-format=embed]").is_visible()
    with reader.page.expect_download() as download:
        frame.locator("[data-format=png]").click()
    assert download.value.suggested_filename.endswith(".png")
    assert reader.problems == []


def test_page_asks_for_nothing_and_cannot_reach_the_notebook(cell: tuple[Reader, FrameLocator]) -> None:
    reader, _ = cell
    assert [request for request in reader.requests if not request.startswith(("file:", "blob:", "data:"))] == []
    inner = reader.page.frames[1]
    assert inner.evaluate("() => { try { return parent.document.title; } catch (error) { return error.name; } }") == (
        "SecurityError"
    )
