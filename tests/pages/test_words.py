"""Words are what a reader takes for one, whatever pieces a vocabulary cuts them into."""

from __future__ import annotations

from dataclasses import replace

import pytest
from samples import make_token
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from reportgen.captures.tokens import make_tokens, show_text
from reportgen.pages.words import find_words, label_words
from reportgen.records import Token


def make_byte_tokens(text: str, size: int) -> tuple[Token, ...]:
    """Return tokens of a text of which each has ``size`` bytes."""
    ((letters, _),) = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    pieces = [letters[start : start + size] for start in range(0, len(letters), size)]
    vocabulary = {piece: token_id for token_id, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    return make_tokens(fast, [vocabulary[piece] for piece in pieces])


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
        (("안녕", "하세요", " 여러", "분"), ["안녕하세요", " 여러분"]),
        (("猫", "cat"), ["猫", "cat"]),
        (("ก", "\u0e34", "น"), ["ก\u0e34", "น"]),
        (("می", "\u200c", "خواهم"), ["می\u200cخواهم"]),
        (("👩", "\u200d", "💻", "!"), ["👩\u200d💻!"]),
        (("one",), ["one"]),
    ],
)
def test_words_are_runs_of_tokens(texts: tuple[str, ...], words: list[str]) -> None:
    assert words_of(*texts) == words


def test_words_are_cut_between_characters_and_labelled_with_their_text() -> None:
    """Whatever bytes the tokens end at; each token here has one byte, or a few."""
    text = "Đà Nẵng: ¿Ça va? Ωκεανός हिन्दी 🐢go 한국어"
    for size in (1, 2, 3):
        tokens = make_byte_tokens(text, size)
        starts = find_words(tokens, len(tokens))
        if size == 1:
            words = [
                "Đà",
                " ",
                "Nẵng",
                ":",
                " ",
                "¿",
                "Ça",
                " ",
                "va",
                "?",
                " ",
                "Ωκεανός",
                " ",
                "हिन्दी",
                " ",
                "🐢",
                "go",
            ]
            assert label_words(tokens, starts) == [show_text(word) for word in (*words, " ", "한국어")]
        assert "".join(label_words(tokens, starts)) == show_text(text)
        assert not any(tokens[start - 1].goes_on for start in starts if start)


def test_space_with_the_first_bytes_of_a_letter_ends_no_word() -> None:
    """Vocabularies join a space with the lead byte that many letters share."""
    tokens = [make_token("an"), make_token(" "), make_token("Ø"), make_token("rsted"), make_token(" is")]
    tokens[1] = replace(tokens[1], shown="␣⟨C3⟩", goes_on=True)
    assert find_words(tokens, 5) == [0, 1, 4]
    assert label_words(tokens, [0, 1, 4]) == ["an", "␣Ørsted", "␣is"]


def test_label_of_bytes_that_no_token_completes() -> None:
    """They are shown as their tokens show them: a prompt can end inside of a character."""
    whole, begun, unknown = make_token("oh"), replace(make_token(""), shown="⟨F0⟩", goes_on=True), make_token("")
    unknown = replace(unknown, shown="⟨id 700⟩")
    assert label_words([whole, begun, begun, make_token("🦊")], [0, 1, 3]) == ["oh", "⟨F0⟩⟨F0⟩", "🦊"]
    assert label_words([whole, unknown, whole], [0]) == ["oh⟨id 700⟩oh"]


def test_generated_text_begins_a_word() -> None:
    assert words_of("hel", "lo", "lo", num_prompt_tokens=2) == ["hello", "lo"]


def test_special_token_is_a_word_of_its_own() -> None:
    assert words_of("<s>", "hel", "lo", "<s>", "a", special=("<s>",)) == ["<s>", "hello", "<s>", "a"]
