"""The page's wall: hostile strings in every place, a model's vocabulary included, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import yaml
from browser.reader import Reader
from counts import count
from hostile import HOSTILE_STRINGS, OWNED
from hostile_model import BETWEEN, save_hostile_model
from hostile_pages import NUM_TEXTS, NUM_TOKENS, make_page_of

from reportgen.build.build import build_site
from reportgen.build.options import Outcome
from reportgen.captures.tokens import show_text
from reportgen.pages.cards import make_card
from reportgen.pages.options import PageOptions
from reportgen.pages.page import render_page
from reportgen.prompts.prompt_file import load_prompts
from reportgen.site.site import Site

FIGURES = ("read", "heads", "layers", "head", "effect", "map", "lens", "rollout", "entropy", "aggregate")
MODEL = f"<img src=x onerror={OWNED}>"
_COUNT = """() => Object.fromEntries(
  ["script", "img", "iframe", "object", "embed", "link", "base", "meta", "style", "form", "svg", "video", "input"]
    .map((tag) => [tag, document.getElementsByTagName(tag).length]))"""
_PARSE = """(html) => {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const elements = [...parsed.querySelectorAll("*")].filter(({ tagName }) => !["BR", "SUB"].includes(tagName));
  return {
    elements: elements.map((one) => `${one.tagName} ${[...one.getAttributeNames()].join(" ")}`),
    tokens: [...parsed.querySelectorAll("#strip .token")].map((token) => token.textContent),
  };
}"""


def walk(reader: Reader, address: str) -> dict[str, int]:
    """Open a page and look at all of it; return how many elements it has that could run or load something."""
    reader.open(address)
    there = reader.page.locator(".heatmap").evaluate_all("(all) => all.map(({ dataset }) => dataset.figure)")
    for figure in FIGURES:
        if figure in there:
            reader.look_at(figure)
    reader.page.locator("details").evaluate_all("(all) => all.forEach((one) => { one.open = true; })")
    reader.settle()
    return reader.page.evaluate(_COUNT)


def assert_untouched(reader: Reader, address: str) -> None:
    """Nothing ran, nothing was asked for, nothing is on the console."""
    assert reader.page.evaluate("() => window.__pwned") is None
    assert reader.problems == []
    assert {url for url in reader.requests if not url.startswith(("data:", "blob:", "about:"))} == {address}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of pages that hold every string as a token and elsewhere, and a harmless one of the same shape."""
    folder = Site(tmp_path_factory.mktemp("wall")).open().root
    cards = []
    texts = [*HOSTILE_STRINGS, *HOSTILE_STRINGS[: -len(HOSTILE_STRINGS) % NUM_TOKENS]]
    for number in range(len(texts) // NUM_TOKENS):
        tokens = texts[NUM_TOKENS * number : NUM_TOKENS * (number + 1)]
        others = Random(number).sample(HOSTILE_STRINGS, NUM_TEXTS - NUM_TOKENS)
        capture, failure = make_page_of([*tokens, *others], slug=f"hostile-{number}")
        Site(folder).write_page(capture.prompt.slug, render_page(capture))
        cards += [make_card(capture), failure]
    Site(folder).write_page("plain", render_page(make_page_of(tuple("abcdefghijkl"))[0]))
    Site(folder).write_index(cards)
    return folder


def test_strings_in_every_place_of_a_page_stay_text(new_reader: Callable[..., Reader], pages: Path) -> None:
    reader = new_reader(viewport={"width": 1280, "height": 1600})
    plain = walk(reader, (pages / "plain.html").as_uri())
    paths = sorted(pages.glob("hostile-*.html"))
    assert len(paths) == -(-len(HOSTILE_STRINGS) // NUM_TOKENS)
    for path in paths[: count("pages of hostile strings")]:
        reader.requests.clear()
        assert walk(reader, path.as_uri()) == plain, path.name
        reader.look_at("head")
        for position in range(NUM_TOKENS):
            assert reader.point_at(NUM_TOKENS - 1, position) is not None
        assert_untouched(reader, path.as_uri())


def test_strings_on_the_index_and_in_its_filter_stay_text(new_reader: Callable[..., Reader], pages: Path) -> None:
    reader = new_reader()
    address = (pages / "index.html").as_uri()
    reader.page.goto(address)
    reader.page.locator("html[data-ready]").wait_for(state="attached")
    titles = reader.page.locator("main li").all_text_contents()
    for text in HOSTILE_STRINGS:
        reader.page.fill("#filter", text)
    reader.page.fill("#filter", "")
    assert titles == reader.page.locator("main li").all_text_contents()
    assert reader.page.locator("#cards img").count() == len(titles) // 2  # thumbnails, of pages alone
    assert_untouched(reader, address)


def test_strings_in_the_address_do_nothing(new_reader: Callable[..., Reader], pages: Path) -> None:
    reader = new_reader()
    address = (pages / "plain.html").as_uri()
    plain = walk(reader, address)
    for text in HOSTILE_STRINGS:
        reader.page.evaluate(
            "(text) => { location.hash = `layer=${text}&head=${text}&step=${text}&show=${text}`; }", text
        )
    reader.settle()
    assert reader.page.evaluate(_COUNT) == plain
    assert_untouched(reader, address)


def test_pages_of_random_texts_are_parsed_by_the_browser_as_text(new_reader: Callable[..., Reader]) -> None:
    reader, random = new_reader(), Random(0)
    scraps = [*HOSTILE_STRINGS, *"<>&\"'`=/!-{}%#\n\r\0\u2028 ax", *map(chr, range(0x80, 0x250)), "\U0010ffff"]
    plain = reader.page.evaluate(_PARSE, render_page(make_page_of(["a"])[0], PageOptions(shared_assets=True)))[
        "elements"
    ]
    for _ in range(count("parsed pages in Chromium")):
        texts = ["".join(random.choices(scraps, k=random.randint(1, 6))) for _ in range(NUM_TEXTS)]
        capture, _ = make_page_of(texts)
        parsed = reader.page.evaluate(_PARSE, render_page(capture, PageOptions(shared_assets=True)))
        assert parsed == {"elements": plain, "tokens": [token.shown for token in capture.tokens]}
    assert reader.page.evaluate("() => window.__pwned") is None


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A site built from a prompt file, on a model whose vocabulary and name are hostile; one prompt of it fails."""
    folder = tmp_path_factory.mktemp("built")
    save_hostile_model(folder / MODEL)
    common = {"model": str(folder / MODEL), "max_new_tokens": 4}
    prompts = [
        {"text": BETWEEN.join(HOSTILE_STRINGS), "title": HOSTILE_STRINGS[3], "note": HOSTILE_STRINGS[17],
         "tags": [text for text in HOSTILE_STRINGS if text.strip()], **common},
        {"text": BETWEEN.join(HOSTILE_STRINGS * 3), "title": MODEL, **common},
    ]  # fmt: skip
    (folder / "prompts.yaml").write_text(yaml.safe_dump(prompts), "utf-8")
    return build_site(load_prompts(folder / "prompts.yaml"), folder / "site")


def test_a_hostile_vocabulary_stays_text(new_reader: Callable[..., Reader], built: Outcome) -> None:
    (page,) = built.pages
    assert [failure.prompt.title for failure in built.failures] == [MODEL]
    reader = new_reader()
    walk(reader, page.as_uri())
    shown = reader.page.locator("#strip .token").all_text_contents()
    assert len(shown) == len(HOSTILE_STRINGS) + 4
    # This tokenizer's decoder puts a space between words.
    assert [text.lstrip("␣") for text in shown[:-4]] == [show_text(text).lstrip("◌") for text in HOSTILE_STRINGS]
    assert reader.page.locator("main img:not([src^='data:image/png;']), main iframe, main script").count() == 0
    assert reader.page.locator("main form:not(#over)").count() == 0
    reader.look_at("head")
    for position in range(0, len(HOSTILE_STRINGS), 9 // count("pages of hostile strings")):
        reader.point_at(len(HOSTILE_STRINGS) + 3, position)
        reader.go(f"#layer=1&head=1&step={position % 4}")
    assert_untouched(reader, page.as_uri())


def test_the_index_of_a_hostile_model_stays_text(new_reader: Callable[..., Reader], built: Outcome) -> None:
    reader = new_reader()
    reader.page.goto(built.index.as_uri())
    assert reader.page.locator("#failures b").text_content() == MODEL
    assert_untouched(reader, built.index.as_uri())
