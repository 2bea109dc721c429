"""Which tokens a chat template wrote, and which are content."""

from __future__ import annotations

from dataclasses import replace

import pytest
from samples import make_capture, make_token

from reportgen.captures.content import find_content
from reportgen.captures.record import Capture
from reportgen.records import Token

START, END = make_token("<|im_start|>", 1, special=True), make_token("<|im_end|>", 2, special=True)
SYSTEM = (START, "system", "\n", "You", " help", END, "\n")
ASK = (START, "user", "\n", "What", " is", " it", "?", END, "\n")
ANSWER = (START, "ass", "istant", "\n")


def make_chat(prompt: tuple[str | Token, ...], *contents: str, generated: tuple[str | Token, ...] = ()) -> Capture:
    """Return a capture whose prompt is a chat of these contents in turn, as its template wrote it."""
    tokens = [make_token(item, 9) if isinstance(item, str) else item for item in (*prompt, *generated)]
    texts = tuple(token.text for token in tokens)
    messages = tuple({"role": "user", "content": content} for content in contents)
    capture = make_capture(texts[: len(prompt)], texts[len(prompt) :], layers=(0,), heads=(0,), messages=messages)
    return replace(capture, tokens=tuple(tokens))


def content_of(capture: Capture) -> list[str]:
    kept = find_content(capture)
    assert kept.shape == (capture.num_tokens,)
    return [token.text for token, is_kept in zip(capture.tokens, kept, strict=True) if is_kept]


def test_a_system_message_that_the_template_adds_is_its_own() -> None:
    capture = make_chat((*SYSTEM, *ASK, *ANSWER), "What is it?", generated=("A", " hat", END))
    assert content_of(capture) == ["What", " is", " it", "?", "A", " hat"]


def test_a_system_message_of_the_author_is_content() -> None:
    capture = make_chat((*SYSTEM, *ASK, *ANSWER), "You help", "What is it?")
    assert content_of(capture) == ["You", " help", "What", " is", " it", "?"]


@pytest.mark.parametrize("content", ["  What is it?\n", "What is it?"])
def test_white_space_that_a_template_strips_does_not_hide_a_message(content: str) -> None:
    assert content_of(make_chat((*SYSTEM, *ASK), content)) == ["What", " is", " it", "?"]


def test_a_message_that_looks_like_its_role_is_found_where_it_ends() -> None:
    """With a line end before the end of the message, as some templates write it."""
    prompt = (START, "user", "\n", "us", "er", "\n", END, "\n", *ANSWER)
    assert content_of(make_chat(prompt, "user")) == ["us", "er"]


def test_without_special_tokens_the_first_place_counts() -> None:
    assert content_of(make_chat(("[INST]", " What", " is", " it", " [/INST]"), "What is")) == [" What", " is"]


def test_what_a_template_changed_counts_with_all_between_its_neighbours() -> None:
    changed = (START, "user", "\n", "WHAT", "?", END, "\n")
    capture = make_chat((*SYSTEM, *changed, *ASK, *ANSWER), "You help", "what?", "What is it?")
    assert content_of(capture) == [
        "You", " help", "\n", "user", "\n", "WHAT", "?", "\n", "user", "\n", "What", " is", " it", "?",
    ]  # fmt: skip
    only = make_chat((*changed, *ANSWER), "what?")
    assert content_of(only) == [token for token in (*changed, *ANSWER) if isinstance(token, str)]


def test_a_token_that_holds_a_part_of_a_message_is_content() -> None:
    """So is one without text, the first part of a character that the next token ends."""
    prompt = (START, "user", "\nWhat", "", "🤷", "?", END, "\n", "")
    assert content_of(make_chat(prompt, "What🤷?")) == ["\nWhat", "", "🤷", "?"]


def test_an_empty_message_has_no_content() -> None:
    assert content_of(make_chat((*SYSTEM, START, "user", "\n", END, "\n"), " ")) == []


def test_all_of_a_text_is_content_but_special_tokens() -> None:
    capture = make_capture(("<s>", "The", " cat"), (" ate", "</s>"))
    first, *middle, last = capture.tokens
    capture = replace(capture, tokens=(replace(first, special=True), *middle, replace(last, special=True)))
    assert find_content(capture).tolist() == [False, True, True, True, False]
