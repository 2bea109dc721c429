"""Sentences as JSON and as plain text."""

from __future__ import annotations

from samples import make_token

from reportgen.pages.sentences import to_json, to_text
from reportgen.records.sentences import HeadPart, StrongPart, TokenPart

SENTENCE = (HeadPart(23, 4), " reads ", TokenPart("␣Mary", 1), ", ", StrongPart("+2.8"), " over ", TokenPart("␣the"))


def test_json_names_the_parts() -> None:
    assert to_json(SENTENCE) == [
        ["head", 23, 4], " reads ", ["token", "␣Mary", 1], ", ", ["strong", "+2.8"], " over ", ["token", "␣the", None],
    ]  # fmt: skip


def test_text_has_tokens_in_quotes() -> None:
    assert to_text(SENTENCE) == "L23 H4 reads “ Mary”, +2.8 over “ the”"


def test_text_tells_equal_tokens_apart_by_their_position() -> None:
    """A token that does not stand in the text has no position, whatever it looks like."""
    once = [make_token(text) for text in (" Mary", " the")]
    assert to_text(SENTENCE, once) == "L23 H4 reads “ Mary”, +2.8 over “ the”"
    assert to_text(SENTENCE, once * 2) == "L23 H4 reads “ Mary” (1), +2.8 over “ the”"
