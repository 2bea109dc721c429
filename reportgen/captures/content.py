"""Tell the tokens of a text from those that a chat template wrote around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.records import Token
from reportgen.records.messages import text_of

Span = tuple[int, int]
"""First character, and the one after the last."""


def find_content(capture: Capture) -> NDArray[np.bool_]:
    """Return which tokens are content, ``[position]``.

    Special tokens are not. Of a chat, the tokens that hold a part of a message's content are; all others of the prompt
    are the chat template's own: roles, line ends between messages, a system message that it adds. All other tokens of a
    prompt that is a text, and all generated ones, are content.
    """
    content = np.array([not token.special for token in capture.tokens])
    contents = [text_of(message).strip() for message in capture.prompt.messages]
    if contents:
        prompt = capture.tokens[: capture.num_prompt_tokens]
        content[: len(prompt)] &= _overlap(prompt, _find_spans(prompt, [text for text in contents if text]))
    return content


def _overlap(tokens: Sequence[Token], spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Return which tokens have a character in one of the spans, ``[position]``.

    A token without text is a part of the next character.
    """
    lengths = np.array([len(token.text) for token in tokens])
    ends = np.cumsum(lengths)
    starts, ends = ends - lengths, np.maximum(ends, ends - lengths + 1)
    inside = np.zeros(len(tokens), bool)
    for start, end in spans:
        inside |= (starts < end) & (ends > start)
    return inside


def _find_spans(tokens: Sequence[Token], contents: Sequence[str]) -> list[Span]:
    """Return where each content stands in the joined texts of the tokens, in order.

    A content that the template changed is not found: all that stands between its neighbours counts as content then,
    because reads of a few tokens too many mislead less than reads that are missing.
    """
    text = "".join(token.text for token in tokens)
    stops = _find_stops(text, tokens)
    found: list[Span | None] = []
    end = 0
    for content in contents:
        span = _find(text, content, end, stops)
        found.append(span)
        end = span[1] if span else end
    spans: list[Span] = []
    for index, span in enumerate(found):
        following = next((later[0] for later in found[index:] if later), len(text))
        spans.append(span or (spans[-1][1] if spans else 0, following))
    return spans


def _find(text: str, content: str, first: int, stops: set[int]) -> Span | None:
    """Return the place of a content that ends before a special token; where there is none, its first place.

    A short content, such as ``user``, may also stand in what the template writes before the message.
    """
    places = []
    start = text.find(content, first)
    while start >= 0:
        end = start + len(content)
        places.append((start, end))
        if end in stops:
            return start, end
        start = text.find(content, start + 1)
    return places[0] if places else None


def _find_stops(text: str, tokens: Sequence[Token]) -> set[int]:
    """Return the characters at which special tokens begin, the end of the text, and white space before these."""
    stops, end = [], 0
    for token in tokens:
        if token.special:
            stops.append(end)
        end += len(token.text)
    found = set()
    for stop in (*stops, end):
        first = stop
        while first and text[first - 1].isspace():
            first -= 1
        found |= {*range(first, stop + 1)}
    return found
