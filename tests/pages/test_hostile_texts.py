"""Whatever a text says, it is text on the page: thousands of texts against an HTML parser."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from counts import count
from hostile import HOSTILE_STRINGS
from hostile_pages import NUM_TEXTS, make_page_of
from html_tree import parse_html, shape_of
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import make_tokenizer

from reportgen.captures.record import Capture
from reportgen.captures.tokens import make_tokens, show_text
from reportgen.pages.cards import make_card
from reportgen.pages.index import render_index
from reportgen.pages.options import PageOptions
from reportgen.pages.page import render_page
from reportgen.prompts.prompt_file import load_prompts
from reportgen.records.errors import PromptFileError
from reportgen.records.slug import check_slug

_TOKENIZER = make_tokenizer()
_SCRAPS = st.sampled_from(
    ["<", ">", "</", "<!--", "-->", "&", ";", "'", '"', "`", "=", "/", "script", "{{", "}}", "{%", "%}", "{#", "\\",
     "\n", "\r", "\0", " ", "on", "]]>", "<![CDATA[", "&lt", "\u2028", "x"]
)  # fmt: skip
_TEXTS = st.one_of(st.sampled_from(HOSTILE_STRINGS), st.lists(_SCRAPS, min_size=1).map("".join), st.text(min_size=1))


def render(texts: list[str]) -> tuple[Capture, str, str]:
    """Return a capture of texts, its page and an index."""
    capture, failure = make_page_of(texts)
    return capture, render_page(capture, PageOptions(shared_assets=True)), render_index([make_card(capture), failure])


_, _PLAIN_PAGE, _PLAIN_INDEX = render(["a"])
_SHAPES = shape_of(parse_html(_PLAIN_PAGE)), shape_of(parse_html(_PLAIN_INDEX))


def without_choices(shape: Counter[Any]) -> Counter[Any]:
    """Return the shape of an index without what equal texts change: choices of its filters, positions of tokens."""
    return Counter({element: number for element, number in shape.items() if element[0] not in ("option", "sub")})


def check(texts: list[str]) -> None:
    """Check that texts are shown, and that page and index have the elements and attributes of one that says ``a``."""
    capture, page_html, index_html = render(texts)
    page, index = parse_html(page_html), parse_html(index_html)
    breaks = Counter({("br", ()): sum(token.shown.count("↵") for token in capture.tokens if "\n" in token.text)})
    # Positions stand in the sentences where tokens that look alike are named, as in the page that says only ``a``.
    positions = Counter({("sub", ()): _SHAPES[0]["sub", ()] - len(page.find("sub"))})
    assert positions["sub", ()] >= 0
    assert shape_of(page) + positions == _SHAPES[0] + breaks
    assert without_choices(shape_of(index)) == without_choices(_SHAPES[1])
    assert [token.text for token in page.find(class_="token")] == [token.shown for token in capture.tokens]
    assert page.find("h1")[0].text == capture.prompt.title
    facts = page.find("header", class_="masthead")[0].find("span", class_="hint")[0].text
    assert facts.endswith("".join(f" · {tag}" for tag in capture.prompt.tags))
    (card,) = page.find("script", id="card")
    assert json.loads(card.text)["text"] == make_card(capture).text


def test_known_injections_stay_text() -> None:
    assert len(set(HOSTILE_STRINGS)) >= 60
    for text in HOSTILE_STRINGS:
        check([text])


def test_any_text_stays_text() -> None:
    pages = 0

    @settings(max_examples=count("parsed pages"))
    @given(st.lists(_TEXTS, min_size=1, max_size=NUM_TEXTS))
    def any_texts(texts: list[str]) -> None:
        nonlocal pages
        pages += 1
        check(texts)

    any_texts()
    assert pages >= count("parsed pages")


@settings(max_examples=count("token texts"))
@given(_TEXTS)
def test_what_tokens_show_is_the_text_that_was_given(text: str) -> None:
    """From a text through a tokenizer and back: no character is lost, and none is out of sight."""
    tokens = make_tokens(_TOKENIZER, _TOKENIZER(text, add_special_tokens=False).input_ids)
    assert "".join(token.text for token in tokens) == text
    whole = [token.shown for token in tokens if token.text and not token.shown.startswith(("⟨", "◌"))]
    for shown in whole:
        assert shown in show_text(text)


@pytest.mark.parametrize("key", ["text", "title", "note", "model", "tags"])
def test_a_prompt_file_hands_hostile_strings_on_as_they_are(tmp_path: Path, key: str) -> None:
    path, given = tmp_path / "prompts.yaml", [text for text in HOSTILE_STRINGS if text.strip()]
    written = [{"text": "x"} | {key: [text] if key == "tags" else text} for text in given]
    path.write_text(yaml.safe_dump(written), "utf-8")
    prompts = load_prompts(path)
    assert [getattr(prompt, key) for prompt in prompts] == [(text,) if key == "tags" else text for text in given]
    for prompt in prompts:
        check_slug(prompt.slug)


def test_hostile_strings_are_no_slugs(tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text(yaml.safe_dump([{"text": "x", "slug": text} for text in HOSTILE_STRINGS]), "utf-8")
    with pytest.raises(PromptFileError) as caught:
        load_prompts(path)
    accepted = {"__proto__", "constructor"}
    assert len([problem for problem in caught.value.problems if ": slug of prompt" in problem]) == len(
        [text for text in HOSTILE_STRINGS if text not in accepted]
    )
