"""Words are what a reader takes for one, whatever pieces a vocabulary cuts them into."""

from __future__ import annotations

import pytest
from samples import make_token

from reportgen.pages.words import find_words


def words_of(*texts: str, num_prompt_tokens: int = 99, special: tuple[str, ...] = ()) -> list[str]:
    tokens = [make_token(text, special=text in special) for text in texts]
    starts = find_words(tokens, num_prompt_tokens)
    return ["".join(texts[start:end]) for start, end in zip(starts, [*starts[1:], len(texts)], strict=True)]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("The", " cat"), ["The", " cat"]),
        (("Jon", "ath", "anap", "is", "ario", " went"), ["Jonathanapisario", " went"]),
        ((" don", "'t", ","), [" don't", ","]),
        (("end", ".", " Next"), ["end", ".", " Next"]),
        (("a", "\n", "b"), ["a", "\n", "b"]),
        (("x", "=", "42", "7"), ["x", "=", "427"]),
        (("猫", "が", "好き"), ["猫", "が", "好き"]),
        (("e", "\u0301", "t"), ["e\u0301t"]),
        (("", "", "🤷", " ok"), ["🤷", " ok"]),
        ((" ", " ", "a"), [" ", " ", "a"]),
        (("שלו", "ם", " עולם"), ["שלום", " עולם"]),
        (("one",), ["one"]),
    ],
)
def test_words_are_runs_of_tokens(texts: tuple[str, ...], words: list[str]) -> None:
    assert words_of(*texts) == words


def test_generated_text_begins_a_word() -> None:
    assert words_of("hel", "lo", "lo", num_prompt_tokens=2) == ["hello", "lo"]


def test_special_token_is_a_word_of_its_own() -> None:
    assert words_of("<s>", "hel", "lo", "<s>", "a", special=("<s>",)) == ["<s>", "hello", "<s>", "a"]
