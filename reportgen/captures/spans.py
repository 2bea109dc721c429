"""Find the tokens of named parts of a text and of the messages of a chat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from reportgen.captures.chat import Chat
from reportgen.captures.tokens import make_tokens
from reportgen.records import Prompt, Span
from reportgen.records.errors import PromptError

Characters = tuple[int, int]
"""First character, and the one after the last."""


def place_spans(
    tokenizer: Any, prompt: Prompt, text: str, token_ids: Sequence[int], chat: Chat | None
) -> tuple[tuple[Span, ...], dict[str, str]]:
    """Find the tokens of the messages and of the spans of a prompt.

    A token belongs to a span if one of its characters does.

    Args:
        tokenizer: the tokenizer.
        prompt: the prompt.
        text: the text of the tokens: that of the prompt, or what the chat template wrote.
        token_ids: ids of the tokens.
        chat: the chat; ``None`` if the prompt is a text.

    Returns:
        The messages of the chat and then the spans of the prompt, each in order; and why a message has no span, by its
        name.

    Raises:
        PromptError: a span of the prompt is not in the text, is in it more than once and has no ``nth``, has no token,
            or has the name of a message.
    """
    wanted = {name: _find(prompt, name, given, text) for name, given in prompt.spans.items()}
    messages, missing = _find_messages(chat) if chat else ({}, {})
    for name in wanted:
        if name in messages or name in missing:
            raise _wrong(prompt, name, "a message has this name; take another")
    if not wanted and not messages:
        return (), missing
    offsets = find_offsets(tokenizer, text, token_ids, add_special_tokens=chat is None and prompt.add_special_tokens)
    if offsets is None:
        unknown = "the tokenizer does not say which characters its tokens hold"
        if wanted:
            raise _wrong(prompt, next(iter(wanted)), f"cannot be placed, since {unknown}; leave spans out")
        return (), missing | dict.fromkeys(messages, unknown)
    placed: list[Span] = []
    for name, (role, characters) in messages.items():
        tokens = find_tokens(offsets, characters)
        if tokens is None:
            missing[name] = "it has no token"
        else:
            placed.append(Span(name, *tokens, role))
    for name, characters in wanted.items():
        tokens = find_tokens(offsets, characters)
        if tokens is None:
            raise _wrong(prompt, name, "has no token; choose a text that the tokenizer does not leave out")
        placed.append(Span(name, *tokens))
    return tuple(placed), missing


def find_tokens(offsets: Iterable[Characters], characters: Characters) -> tuple[int, int] | None:
    """Return the first and the last token that hold one of some characters; ``None`` if no token does."""
    first, end = characters
    held = [position for position, (start, stop) in enumerate(offsets) if start < end and stop > first and stop > start]
    return (held[0], held[-1]) if held else None


def find_offsets(
    tokenizer: Any, text: str, token_ids: Sequence[int], *, add_special_tokens: bool
) -> list[Characters] | None:
    """Return the characters of a text that each of its tokens holds; ``None`` if this is not known.

    Args:
        tokenizer: the tokenizer.
        text: the text.
        token_ids: ids of its tokens.
        add_special_tokens: whether the tokenizer added its special tokens; they hold no characters.
    """
    if getattr(tokenizer, "is_fast", False):
        encoded = tokenizer(text, add_special_tokens=add_special_tokens, return_offsets_mapping=True, verbose=False)
        if list(encoded["input_ids"]) == list(token_ids):
            return [(start, end) for start, end in encoded["offset_mapping"]]
    texts = [token.text for token in make_tokens(tokenizer, token_ids)]
    ends = list(accumulate(map(len, texts)))
    before = "".join(texts).find(text)
    if before < 0:
        return None
    return [(end - len(own) - before, end - before) for end, own in zip(ends, texts, strict=True)]


def _find(prompt: Prompt, name: str, given: str | Mapping[str, Any], text: str) -> Characters:
    sought, nth = (given, None) if isinstance(given, str) else (given["text"], given.get("nth"))
    places = list(_find_all(text, sought))
    where = "what the chat template writes" if prompt.messages else "the text"
    if not places:
        raise _wrong(prompt, name, f"{_quote(sought)} is not in {where}; write it as it stands there")
    if nth is None and len(places) > 1:
        raise _wrong(prompt, name, f"{_quote(sought)} is in {where} {len(places)} times; say which with nth: "
                     f"{{text: …, nth: 2}}")  # fmt: skip
    if nth is not None and nth > len(places):
        raise _wrong(prompt, name, f"{_quote(sought)} is in {where} {len(places)} times, and nth is {nth}")
    start = places[(nth or 1) - 1]
    return start, start + len(sought)


def _find_all(text: str, sought: str) -> Iterator[int]:
    start = text.find(sought)
    while start >= 0:
        yield start
        start = text.find(sought, start + 1)


def _wrong(prompt: Prompt, name: str, message: str) -> PromptError:
    key = f"spans.{name}"
    where = prompt.place.of(key if key in prompt.place.key_lines else "spans")
    return PromptError(f"{where}: spans.{name}: {message}")


def _quote(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


def _find_messages(chat: Chat) -> tuple[dict[str, tuple[str, Characters]], dict[str, str]]:
    """Return role and characters of each message that can be told apart, and why others cannot, by their names."""
    found: dict[str, tuple[str, Characters]] = {}
    missing: dict[str, str] = {}
    for index, message in enumerate(chat.messages):
        name = f"{message['role']} {index + 1}"
        characters, reason = chat.find_place(index)
        if characters is None:
            missing[name] = reason
        else:
            found[name] = message["role"], characters
    for name, (_, (start, end)) in [*found.items()]:
        if any(start < stop and end > first for other, (_, (first, stop)) in found.items() if other != name):
            missing[name] = "what it says cannot be told from another message"
    return {name: place for name, place in found.items() if name not in missing}, missing
