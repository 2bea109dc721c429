"""Token ids to exact and visible text: byte-level and SentencePiece vocabularies, characters split over tokens."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import make_sentencepiece, make_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from reportgen.captures.tokens import decode, make_token, make_tokens, show_text
from reportgen.models.model import LoadedModel

BYTE_LEVEL = make_tokenizer()


def make_cut(text: str, *lengths: int) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer whose vocabulary is a text, cut after these many bytes each."""
    ((letters, _),) = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    assert len(letters) == sum(lengths) == len(text.encode())
    pieces = iter(letters)
    vocabulary = {"".join(next(pieces) for _ in range(length)): token_id for token_id, length in enumerate(lengths)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


SENTENCEPIECE = make_sentencepiece()


def tokens_of(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[str], list[str]]:
    """Return text and shown text of each token of a text, encoded without special tokens."""
    tokens = make_tokens(tokenizer, tokenizer(text, add_special_tokens=False)["input_ids"])
    return [token.text for token in tokens], [token.shown for token in tokens]


def check_shown(shown: str) -> None:
    """A person sees something, and nothing that moves or hides what stands around it."""
    assert shown
    assert not [letter for letter in shown if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}]


def test_character_over_tokens_is_in_the_last_of_them() -> None:
    """Earlier tokens have no text and show their bytes."""
    texts, shown = tokens_of(BYTE_LEVEL, "a🤷 é")
    assert texts == ["a", "", "", "", "🤷", " ", "", "é"]
    assert shown == ["a", "⟨F0⟩", "⟨9F⟩", "⟨A4⟩", "🤷", "␣", "⟨C3⟩", "é"]


@pytest.mark.parametrize(
    ("text", "lengths", "texts", "shown"),
    [
        (" 🤷", (3, 1, 1), [" ", "", "🤷"], ["␣⟨F0 9F⟩", "⟨A4⟩", "🤷"]),
        ("🤷🏽!", (2, 4, 3), ["", "🤷", "🏽!"], ["⟨F0 9F⟩", "🤷⟨F0 9F⟩", "🏽!"]),
        ("\ufffdx", (3, 1), ["\ufffd", "x"], ["\ufffd", "x"]),
        ("\ufffd\ufffd", (1, 2, 3), ["", "\ufffd", "\ufffd"], ["⟨EF⟩", "⟨BF BD⟩", "\ufffd"]),
        ("字字", (1, 3, 2), ["", "字", "字"], ["⟨E5⟩", "字⟨E5⟩", "字"]),
    ],
)
def test_tokens_that_end_inside_a_character(
    text: str, lengths: tuple[int, ...], texts: list[str], shown: list[str]
) -> None:
    """Each character belongs to the token that has its last byte, whatever else that token holds."""
    tokens = make_tokens(make_cut(text, *lengths), range(len(lengths)))
    assert ([token.text for token in tokens], [token.shown for token in tokens]) == (texts, shown)


def test_bytes_that_are_no_character_stay_with_their_token() -> None:
    """What generation can make of bytes is decoded as U+FFFD; the letters around it keep their own tokens."""
    token_ids = BYTE_LEVEL.convert_tokens_to_ids(["a", "ð", "Ł", "b", "¤", "c"])  # F0 9F, A4
    tokens = make_tokens(BYTE_LEVEL, token_ids)
    assert [token.text for token in tokens] == ["a", "", "\ufffd", "b", "\ufffd", "c"]
    assert [token.shown for token in tokens] == ["a", "⟨F0⟩", "⟨9F⟩", "b", "⟨A4⟩", "c"]


def test_sentencepiece_words_and_bytes() -> None:
    """The first space is dropped as the decoded whole drops it; bytes are shown, characters are not taken for bytes."""
    texts, shown = tokens_of(SENTENCEPIECE, "cat cat🤷é")
    assert texts == ["cat", " cat", "", "", "", "🤷", "é"]
    assert shown == ["cat", "␣cat", "⟨F0⟩", "⟨9F⟩", "⟨A4⟩", "🤷", "é"]


def test_token_that_decodes_to_nothing_shows_its_piece() -> None:
    """SentencePiece drops a space that comes first."""
    (token,) = make_tokens(SENTENCEPIECE, [3])
    assert (token.text, token.shown) == ("", "␣")


def test_id_outside_the_vocabulary_is_shown() -> None:
    """Networks often have more rows than the tokenizer has tokens, and can generate their numbers."""
    (token,) = make_tokens(BYTE_LEVEL, [300])
    assert (token.token_id, token.text, token.shown, token.special) == (300, "", "⟨id 300⟩", False)


def test_id_that_a_tokenizer_refuses_is_shown() -> None:
    class Strict:
        def convert_ids_to_tokens(self, token_id: int) -> str:
            if token_id >= len(BYTE_LEVEL):
                raise IndexError("piece id is out of range")
            return BYTE_LEVEL.convert_ids_to_tokens(token_id)

        def decode(self, token_ids: list[int], **settings: bool) -> str:
            return BYTE_LEVEL.decode(token_ids, **settings)

    (a,) = BYTE_LEVEL("a")["input_ids"]
    assert [token.shown for token in make_tokens(Strict(), [a, 751, a])] == ["a", "⟨id 751⟩", "a"]


@pytest.mark.parametrize("text", ["é", "zażółć €5", "a字b🤷🏽!", "\xadx\xa0y"])
def test_byte_tokens_without_replacement_characters(text: str) -> None:
    """ByT5 decodes the bytes of an incomplete character to nothing; the token of its last byte has the character."""
    tokenizer = ByT5Tokenizer()
    tokens = make_tokens(tokenizer, tokenizer(text, add_special_tokens=False)["input_ids"])
    parts = [
        ["", *[""] * (len(letter.encode()) - 2), letter] if len(letter.encode()) > 1 else [letter] for letter in text
    ]
    assert [token.text for token in tokens] == [part for of_letter in parts for part in of_letter]
    bytes_shown = [f"⟨{byte:02X}⟩" for byte in text.encode()]
    for token, number in zip(tokens, bytes_shown, strict=True):
        assert token.shown == (show_text(token.text) if token.text else number)
        assert token.goes_on == (not token.text)


def test_token_goes_on_where_the_next_completes_its_character() -> None:
    """Not where the bytes that follow begin something else."""
    tokens = make_tokens(make_cut(" 🤷é!", 3, 1, 2, 2), range(4))
    assert [token.goes_on for token in tokens] == [True, True, True, False]
    broken = make_tokens(BYTE_LEVEL, BYTE_LEVEL.convert_tokens_to_ids(["ð", "Ł", "b", "Ã", "c"]))
    assert [token.goes_on for token in broken] == [True, False, False, False, False]


def test_special_tokens_are_marked_and_kept() -> None:
    """The text of a special token is its own; the same letters in pieces would not be special."""
    tokens = make_tokens(BYTE_LEVEL, [1, *BYTE_LEVEL("hi")["input_ids"], 2])
    assert [token.text for token in tokens] == ["<|im_start|>", "h", "i", "<|im_end|>"]
    assert [token.shown for token in tokens] == [token.text for token in tokens]
    assert [token.special for token in tokens] == [True, False, False, True]


def test_alternatives_have_the_text_that_they_would_add() -> None:
    """A token in no sequence keeps its space, and has no text where it is part of a character."""
    cat = SENTENCEPIECE.convert_tokens_to_ids("▁cat")
    assert make_token(SENTENCEPIECE, cat).text == " cat"
    assert make_token(SENTENCEPIECE, cat).shown == "␣cat"
    begun = make_token(make_cut(" 🤷", 3, 1, 1), 0)
    assert (begun.text, begun.shown) == (" ", "␣⟨F0 9F⟩")
    part = make_token(SENTENCEPIECE, SENTENCEPIECE.convert_tokens_to_ids("<0x9F>"))
    assert (part.text, part.shown) == ("", "⟨9F⟩")
    assert make_token(BYTE_LEVEL, 2).special


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" a b", "␣a␣b"),
        ("\r\n\t", "␍↵⇥"),
        ("\u200b", "⟨U+200B⟩"),
        ("\u202eevil", "⟨U+202E⟩evil"),
        ("\u2066", "⟨U+2066⟩"),
        ("\x00\x1b", "⟨U+0000⟩⟨U+001B⟩"),
        ("\xa0", "⟨U+00A0⟩"),
        ("\ufeff", "⟨U+FEFF⟩"),
        ("\u2028", "⟨U+2028⟩"),
        ("\ufe0f", "⟨U+FE0F⟩"),
        ("\u3164", "⟨U+3164⟩"),
        ("\u0301", "◌\u0301"),
        ("e\u0301", "e\u0301"),
        ("שלום", "שלום"),
        ("</script>&amp;", "</script>&amp;"),
        ("", ""),
    ],
)
def test_every_character_can_be_seen(text: str, shown: str) -> None:
    """Spaces, line ends, control, direction and blank characters have signs; letters stay as they are."""
    assert show_text(text) == shown


@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, SENTENCEPIECE], ids=["byte-level", "sentencepiece"])
@given(data=st.data())
def test_joined_texts_are_the_decoded_whole(tokenizer: PreTrainedTokenizerBase, data: st.DataObject) -> None:
    """Whatever ids a model makes, in whatever order."""
    token_ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=40))
    tokens = make_tokens(tokenizer, token_ids)
    assert [token.token_id for token in tokens] == token_ids
    assert "".join(token.text for token in tokens) == decode(tokenizer, token_ids)
    for token in (*tokens, *(make_token(tokenizer, token_id) for token_id in token_ids)):
        check_shown(token.shown)


@given(text=st.text(max_size=40))
def test_tokens_of_any_text_join_to_it(text: str) -> None:
    """Of a byte-level vocabulary, which loses nothing; each character is whole in one token."""
    texts, shown = tokens_of(BYTE_LEVEL, text)
    assert "".join(texts) == text
    assert all(len(part) <= 1 for part in texts if not part.startswith("<|"))
    for part in shown:
        check_shown(part)


def test_tokens_of_a_real_vocabulary(smollm2: LoadedModel) -> None:
    """SmolLM2 cuts emoji and Japanese inside of characters, and keeps a space with the first byte of one."""
    texts, shown = tokens_of(smollm2.tokenizer, "I 🤷🏽\n\tyes, がんばって")
    assert "".join(texts) == "I 🤷🏽\n\tyes, がんばって"
    assert shown[:10] == ["I", "␣⟨F0 9F⟩", "⟨A4⟩", "🤷", "⟨F0 9F⟩", "⟨8F⟩", "🏽", "↵", "⇥", "yes"]


def test_long_sequences_are_decoded_in_windows() -> None:
    """The ids handed to the decoder grow with the sequence, not with its square."""
    asked = 0

    class Counting:
        convert_ids_to_tokens = staticmethod(BYTE_LEVEL.convert_ids_to_tokens)

        def decode(self, token_ids: list[int], **settings: bool) -> str:
            nonlocal asked
            asked += len(token_ids)
            return BYTE_LEVEL.decode(token_ids, **settings)

    token_ids = BYTE_LEVEL("The cat 🤷🏽 ate. " * 100)["input_ids"]
    tokens = make_tokens(Counting(), token_ids)
    assert "".join(token.text for token in tokens) == "The cat 🤷🏽 ate. " * 100
    assert asked < 30 * len(token_ids)
