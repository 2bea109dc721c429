"""Figures that stand alone in a frame, citations and the dialog of keys."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from browser.reader import Reader

HASH = "#layer=1&head=1&step=1"
FIGURES = ("map", "read", "heads", "layers", "head", "effect", "lens", "rollout", "aggregate", "entropy")
SCRIPTS = Path(__file__).parents[2] / "templates" / "js"


@pytest.fixture
def reader(cat: Reader) -> Reader:
    cat.page.evaluate("() => { for (const one of document.querySelectorAll('dialog')) one.close(); }")
    cat.page.evaluate("() => document.activeElement.blur()")
    cat.press("Escape")
    return cat.go(HASH)


def opened(reader: Reader) -> list[str]:
    return reader.page.locator("dialog[open]").evaluate_all("(found) => found.map(({ id }) => id)")


@pytest.mark.parametrize(("view", "scheme"), [("head", "http"), *((view, "file") for view in FIGURES)])
def test_figure_stands_alone(new_reader: Callable[..., Reader], addresses, view: str, scheme: str) -> None:
    reader = new_reader(viewport={"width": 760, "height": 500}).open(f"{addresses[scheme]}/cat.html?embed={view}{HASH}")
    figures = reader.page.locator("[data-figure]:visible")
    assert figures.evaluate_all("(found) => found.map(({ dataset }) => dataset.figure)") == [view]
    reader.look_at(view)
    assert reader.page.locator(f"#figure-{view} canvas").first.is_visible()
    around = ".masthead, .bar, .rail, .skip, .help, header button, header select, fieldset"
    assert reader.page.locator(around).locator("visible=true").count() == 0
    assert reader.page.locator("h2:visible, h3:visible").count() == 1
    source = reader.page.locator(".source")
    assert source.inner_text() == "A cat and a mat · tiny · layer 1, head 1, token 2"
    reader.press("k", "ArrowRight")
    assert source.inner_text() == "A cat and a mat · tiny · layer 0, head 1, token 3"
    reader.address()  # writes what waits to be written
    link = source.locator("a")
    link.focus()
    assert link.evaluate("(link) => link.href") == f"{addresses[scheme]}/cat.html#layer=0&head=1&step=2"
    assert reader.problems == []


def test_embedded_figure_can_be_clicked(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/cat.html?embed=map{HASH}")
    reader.click("map", 3.5, 2.5)
    assert reader.address() == {"layer": "0", "head": "3", "step": "1"}
    assert "L2 H1" in (reader.hover("map", 1.5, 0.5) or "")
    assert reader.problems == []


def test_page_around_a_frame_is_told_its_height(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader()
    reader.page.goto(f"{addresses['http']}/around.html")
    reader.page.evaluate("() => { globalThis.told = []; addEventListener('message', ({ data }) => told.push(data)); }")
    address = f"{addresses['http']}/cat.html?embed=head{HASH}"
    reader.page.evaluate(
        """(src) => {
          const frame = document.createElement("iframe");
          Object.assign(frame, { src, width: 700, height: 100 });
          document.body.replaceChildren(frame);
        }""",
        address,
    )
    reader.page.wait_for_function("() => told.length > 0")
    inner = reader.page.frames[1]
    inner.locator("#figure-head canvas").first.wait_for()
    inner.evaluate("() => __settled()")
    told = reader.page.evaluate("() => told.at(-1)")
    assert told["reportgen"] == address
    assert told["height"] == inner.evaluate("() => document.documentElement.scrollHeight") > 200


def test_view_stands_in_a_frame_of_another_page(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader()
    frame = f'<iframe src="{addresses["http"]}/cat.html?embed=head{HASH.replace("&", "&amp;")}" width="640"></iframe>'
    reader.page.set_content(frame)
    inner = reader.page.frame_locator("iframe")
    inner.locator("#figure-head canvas").first.wait_for()
    assert inner.locator("#head-title").inner_text() == "L1 H1, every position"
    assert reader.problems == []


def test_frame_of_the_recipe_works_from_a_disk(new_reader: Callable[..., Reader], addresses, tmp_path: Path) -> None:
    recipe = (SCRIPTS.parents[1] / "docs" / "publishing.md").read_text("utf-8")
    (frame,) = re.findall(r"^<iframe.+?</iframe>", recipe, re.DOTALL | re.MULTILINE)
    frame = frame.replace("rare-name.html", f"{addresses['file']}/cat.html").replace("layer=16", "layer=1")
    (tmp_path / "post.html").write_text(f"<!doctype html><title>Post</title><h1>Post</h1>{frame}", "utf-8")
    reader = new_reader()
    reader.page.goto((tmp_path / "post.html").as_uri())
    inner = reader.page.frame_locator("iframe")
    inner.locator("html[data-ready]").wait_for(state="attached")
    inner.locator("#figure-head canvas").first.wait_for()
    assert inner.locator("#head-title").inner_text() == "L1 H3, every position"
    assert inner.locator(".bar:visible, .masthead:visible").count() == 0
    inner.locator("#head-title").click()
    reader.page.keyboard.press("j")
    inner.locator("#head-title", has_text="L2 H3").wait_for()
    assert reader.problems == []
    assert all(request.startswith(("file:", "blob:", "data:")) for request in reader.requests)


@pytest.mark.parametrize("name", ["nose", "", "<img src=x onerror=alert(1)>", "head.x"])
def test_unknown_figure_is_told(new_reader: Callable[..., Reader], addresses, name: str) -> None:
    reader = new_reader()
    reader.page.goto(f"{addresses['file']}/plain.html?embed={name}")
    message = reader.page.locator(".wait.error")
    message.wait_for()
    assert message.inner_text() == (
        f"There is no figure “{name}” on this page; it has map, heads, layers, head, pinned, difference, rollout, "
        "entropy, aggregate."
    )
    assert reader.page.locator("[data-figure]:visible, .bar:visible").count() == 0
    assert reader.problems == []


def test_cite_box_says_which_view_and_how_to_make_it(reader: Reader, addresses) -> None:
    reader.page.locator(".masthead [data-opens=cite]").click()
    assert opened(reader) == ["cite"]
    link = f"{addresses['file']}/cat.html{HASH}"
    value = {name: reader.page.locator(f"#cite-{name}").input_value() for name in ("link", "text", "bibtex", "recipe")}
    assert value["link"] == link
    made = "Page made with reportgen 0.1.0, float32 on cpu, seed 0, torch 2.13.0, transformers 5.24.0"
    start = "A cat and a mat: attention of tiny, layer 1, head 1, token 2"
    assert re.fullmatch(rf"{re.escape(f'{start}. {made}. {link}')} \(seen \d{{4}}-\d\d-\d\d\)\.", value["text"])
    assert f"title = {{{start}}}" in value["bibtex"]
    assert f"url = {{{link}}}" in value["bibtex"]
    assert "reportgen build cat.yaml --device cpu --dtype float32" in value["recipe"]
    assert "text: The cat ate the mat" in value["recipe"]
    reader.page.keyboard.press("Escape")
    assert opened(reader) == []
    assert reader.page.evaluate("() => document.activeElement.dataset.opens") == "cite"


def test_cite_box_follows_the_selection(reader: Reader) -> None:
    reader.press("j", "j", "l", "c")
    assert opened(reader) == ["cite"]
    assert reader.page.locator("#cite-link").input_value().endswith("#layer=2&head=2&step=1")


@pytest.mark.parametrize("field", ["link", "text", "bibtex", "recipe"])
def test_cite_box_copies(new_reader: Callable[..., Reader], addresses, field: str) -> None:
    reader = new_reader(permissions=["clipboard-read", "clipboard-write"]).open(f"{addresses['http']}/cat.html{HASH}")
    reader.press("c")
    reader.page.locator(f"[data-copies=cite-{field}]").click()
    reader.page.locator(f"[data-copies=cite-{field}]", has_text="Copied").wait_for()
    copied = reader.page.evaluate("() => navigator.clipboard.readText()")
    assert copied == reader.page.locator(f"#cite-{field}").input_value()


def test_where_copying_is_not_allowed_the_text_is_marked(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/cat.html{HASH}")
    reader.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    reader.press("c")
    reader.page.locator("[data-copies=cite-link]").click()
    reader.page.locator("[data-copies=cite-link]", has_text="Press Ctrl+C").wait_for()
    marked = reader.page.locator("#cite-link").evaluate(
        "(one) => one.value.slice(one.selectionStart, one.selectionEnd)"
    )
    assert marked == reader.page.locator("#cite-link").input_value()


def test_hostile_page_is_cited_as_text(new_reader: Callable[..., Reader], addresses) -> None:
    reader = new_reader().open(f"{addresses['file']}/hostile.html")
    reader.press("c")
    assert (
        reader.page.locator("#cite-text").input_value().startswith("</script><script>document.title='owned'</script>:")
    )
    assert reader.problems == []


def test_question_mark_opens_the_keys_and_escape_closes_them(reader: Reader) -> None:
    reader.press("?")
    assert opened(reader) == ["keys"]
    reader.press("j", "ArrowRight", "c")  # behind a dialog nothing moves
    assert opened(reader) == ["keys"]
    assert reader.address() == {"layer": "1", "head": "1", "step": "1"}
    reader.page.keyboard.press("Escape")
    assert opened(reader) == []
    reader.page.locator(".masthead [data-opens=keys]").click()
    assert opened(reader) == ["keys"]
    reader.page.locator("#keys [data-closes]").click()
    assert opened(reader) == []
    reader.press("?")
    reader.page.mouse.click(5, 5)  # beside it
    assert opened(reader) == []


def test_the_list_of_keys_is_complete(reader: Reader) -> None:
    (bound,) = re.findall(
        r"const KEYS = \{(.*?)\n    \};", (SCRIPTS / "page" / "page.js").read_text("utf-8"), re.DOTALL
    )
    keys = {
        json.loads(key) if key.startswith('"') else key for key in re.findall(r'^ {6}("."|\w+):', bound, re.MULTILINE)
    }
    shown = set(reader.page.locator("#keys dt kbd").all_text_contents())
    names = {"ArrowLeft": "←", "ArrowRight": "→", " ": "space"}
    assert {names.get(key, key) for key in keys} | {"Esc"} == shown


def test_step_keys_go_along_the_generation(reader: Reader) -> None:
    reader.press("n")
    assert reader.address()["step"] == "2"
    reader.press("n", "b", "b")
    assert reader.address()["step"] == "0"
    reader.go("#layer=1&head=1&step=1&query=1").press("n")
    assert reader.address() == {"layer": "1", "head": "1", "step": "2"}


def test_every_figure_can_be_saved_by_keyboard(reader: Reader) -> None:
    reader.page.locator("[popovertarget=save]").focus()
    reader.page.keyboard.press("Enter")
    reader.page.keyboard.press("Tab")
    assert reader.page.evaluate("() => document.activeElement.id") == "save-figure"
    reader.page.locator("#save-figure").select_option("head")
    reader.page.keyboard.press("Tab")
    assert reader.page.evaluate("() => document.activeElement.dataset.format") == "png"
    with reader.page.expect_download() as download:
        reader.page.keyboard.press("Enter")
    assert download.value.suggested_filename == "cat-head-L1-H1-token-2.png"
    reader.page.keyboard.press("Escape")
    assert reader.page.locator("#save").is_hidden()
    assert reader.page.evaluate("() => document.activeElement.getAttribute('popovertarget')") == "save"


def test_module_had_no_problem(cat: Reader) -> None:
    assert cat.problems == []
