"""Spans: the tokens that hold a part of a text, or what a message says, and nothing where this cannot be known."""

from __future__ import annotations

from typing import Any

import pytest
from chats import CALL, FORMS, STYLES
from tiny import CHAT_TEMPLATE, make_llama, make_tokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.captures.spans import find_offsets, find_tokens
from reportgen.captures.tokenization import encode_prompt
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.prompts.prompt_file import load_prompts, read_prompts
from reportgen.records import EncodedPrompt, Prompt, SourceLocation, Span
from reportgen.records.errors import PromptError

TEXT = "the code is 4217. So what is the code? 4217"


def make_model(template: str = CHAT_TEMPLATE) -> LoadedModel:
    tokenizer: Any = make_tokenizer()
    tokenizer.chat_template = template
    return wrap_model(make_llama(), tokenizer, name="tiny")


def texts_of(model: LoadedModel, encoded: EncodedPrompt) -> dict[str, str]:
    """Return the text of each span, as its tokens decode."""
    assert encoded.error is None
    tokenizer: Any = model.tokenizer
    return {span.name: tokenizer.decode(list(encoded.token_ids)[span.first : span.last + 1]) for span in encoded.spans}


def test_spans_are_found_by_their_text(tiny_llama: LoadedModel) -> None:
    spans = {"needle": "code is 4217", "again": {"text": "4217", "nth": 2}, "code": {"text": "code", "nth": 1}}
    encoded = encode_prompt(tiny_llama, Prompt(TEXT, spans=spans))
    assert encoded.spans == (Span("needle", 4, 15), Span("again", 39, 42), Span("code", 4, 7))
    assert texts_of(tiny_llama, encoded) == {"needle": "code is 4217", "again": "4217", "code": "code"}


def test_token_belongs_to_a_span_if_one_of_its_characters_does() -> None:
    words = [(0, 3), (3, 8), (8, 8), (8, 11), (11, 12)]
    assert find_tokens(words, (4, 9)) == (1, 3)
    assert find_tokens(words, (3, 8)) == (1, 1)
    assert find_tokens(words, (12, 14)) is None


def test_special_tokens_that_the_tokenizer_adds_hold_no_part_of_the_text() -> None:
    tokenizer: Any = make_tokenizer()
    ids = [1, *tokenizer("ab")["input_ids"]]
    assert find_offsets(tokenizer, "ab", ids, add_special_tokens=True) == [(-12, 0), (0, 1), (1, 2)]


def test_offsets_of_a_tokenizer_that_lowers_its_text() -> None:
    """Its tokens do not join to the text; its own offsets are used, and without them nothing is known."""
    tokenizer = Tokenizer(models.WordLevel({"the": 0, "code": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast: Any = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")
    assert find_offsets(fast, "The  CODE", [0, 1], add_special_tokens=True) == [(0, 3), (5, 9)]
    assert find_offsets(fast, "The  CODE", [0, 1, 1], add_special_tokens=True) is None


def test_generated_tokens_are_a_span_where_there_are_others(tiny_llama: LoadedModel) -> None:
    spans = {"code": "is 4217"}
    made = capture(tiny_llama, Prompt(TEXT, spans=spans, max_new_tokens=3))
    assert made.spans == (Span("code", 9, 15), Span("generated", 43, 45))
    assert capture(tiny_llama, Prompt(TEXT, spans=spans, max_new_tokens=0)).spans == made.spans[:1]
    assert capture(tiny_llama, Prompt(TEXT, max_new_tokens=3)).spans == ()


def test_spans_are_kept_in_a_file(tiny_llama: LoadedModel, tmp_path: Any) -> None:
    spans = {"code": "is 4217", "what": {"text": "what", "nth": 1}}
    made = capture(tiny_llama, Prompt(TEXT, spans=spans, max_new_tokens=2))
    made.save(tmp_path / "x.safetensors")
    assert Capture.load(tmp_path / "x.safetensors") == made


FILE = """\
- text: ok
- text: the cat and the dog
  spans:
    cat: the cat
    animal: {animal}
"""


@pytest.mark.parametrize(
    ("animal", "problem"),
    [
        ("bird", "'bird' is not in the text; write it as it stands there"),
        ("the", "'the' is in the text 2 times; say which with nth: {text: …, nth: 2}"),
        ("{text: the, nth: 3}", "'the' is in the text 2 times, and nth is 3"),
    ],
)
def test_span_that_is_not_there_once_is_an_error_with_its_line(
    tiny_llama: LoadedModel, tmp_path: Any, animal: str, problem: str
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(FILE.format(animal=animal) if "{" not in animal else FILE.replace("{animal}", animal))
    _, prompt = load_prompts(path)
    assert str(encode_prompt(tiny_llama, prompt).error) == f"{path}:5: spans.animal: {problem}"


@pytest.mark.parametrize(
    ("spans", "problem"),
    [
        ("{}", "spans of prompt 1 has no entry; add a name and a text"),
        ("[a]", "spans of prompt 1 must be a mapping of keys, got a list"),
        ("{rest: a}", "spans of prompt 1 has the name 'rest'; take another, and none of generated, given, rest"),
        ("{x: 4217}", "spans of prompt 1 .x must be a text, or {text: …, nth: 2}; put numbers in quotes"),
        ("{x: ''}", "spans of prompt 1 .x must be a text"),
        ("{x: {nth: 2}}", "spans of prompt 1 .x must be a text"),
        ("{x: {text: a, nth: 0}}", "spans of prompt 1 .x.nth must be a whole number from 1, got 0"),
        ("{x: {text: a, place: 0}}", "spans of prompt 1 .x must be a text"),
    ],
)
def test_wrong_spans_have_a_line(tmp_path: Any, spans: str, problem: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"- text: a\n  spans: {spans}\n")
    (found,) = read_prompts(path)[1]._problems
    assert found[0] == 2
    assert found[2].startswith(problem)


@pytest.mark.parametrize("form", ["plain", "developer", "parts", "tools", "no content"])
@pytest.mark.parametrize("style", STYLES)
def test_messages_are_spans_of_what_they_say(style: str, form: str) -> None:
    """Their content without what the template writes around it; of a message that calls tools, the calls."""
    model = make_model(STYLES[style])
    encoded = encode_prompt(model, Prompt(messages=FORMS[form], max_new_tokens=1))  # pyright: ignore
    found = texts_of(model, encoded)
    if (style, form) == ("gemma", "parts"):  # it trims every part
        assert "changes its content" in encoded.unplaced["user 1"]
        return
    assert [span.role for span in encoded.spans] == [message["role"] for message in FORMS[form]]
    assert not encoded.unplaced
    for index, message in enumerate(FORMS[form]):
        said = found[f"{message['role']} {index + 1}"]
        if message.get("tool_calls"):
            assert said.strip('"').startswith(CALL["function"]["name"]) or said.startswith('"city"'), said
            assert "Oslo" in said
            assert "<" not in said
        else:
            content = message["content"]
            assert said == (content if isinstance(content, str) else "".join(part["text"] for part in content))


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ("{{ m.content | upper }}", "the chat template changes its content, or writes it more than once"),
        ("{{ m.content }}|{{ m.content }}", "the chat template changes its content, or writes it more than once"),
    ],
)
def test_message_that_cannot_be_found_is_named_and_not_guessed(turn: str, reason: str) -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'user' %}" + turn + "{% else %}<{{ m.content }}>{% endif %}{% endfor %}"
    )
    model = make_model(template)
    messages = ({"role": "system", "content": "so"}, {"role": "user", "content": "Hi there"})
    encoded = encode_prompt(model, Prompt(messages=messages))
    assert encoded.spans == (Span("system 1", 1, 2, "system"),)
    assert encoded.unplaced == {"user 2": reason}
    blank = encode_prompt(make_model(), Prompt(messages=({"role": "system", "content": ""}, messages[1])))
    assert blank.unplaced == {"system 1": "it is empty"}


def test_spans_of_a_chat_are_found_in_what_the_template_writes() -> None:
    messages = ({"role": "user", "content": "a code"}, {"role": "assistant", "content": "code"})
    place = SourceLocation("p.yaml", 1, {"spans": 4, "spans.user 1": 5})
    model = make_model()
    encoded = encode_prompt(model, Prompt(messages=messages, spans={"x": {"text": "code", "nth": 2}, "r": "user\na"}))
    assert texts_of(model, encoded) == {"user 1": "a code", "assistant 2": "code", "x": "code", "r": "user\na"}
    wrong = encode_prompt(model, Prompt(messages=messages, spans={"y": "bird"}, place=place))
    assert str(wrong.error) == (
        "p.yaml:4: spans.y: 'bird' is not in what the chat template writes; write it as it stands there"
    )
    named = encode_prompt(model, Prompt(messages=messages, spans={"user 1": "a code"}, place=place))
    assert str(named.error) == "p.yaml:5: spans.user 1: a message has this name; take another"


def test_spans_made_in_python_are_checked() -> None:
    with pytest.raises(PromptError, match="^prompt: spans .x must be a text"):
        Prompt("a", spans={"x": 3})  # pyright: ignore[reportArgumentType]
