"""Chats: whatever a message says is in the tokens, and what its author may not have meant is told."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from tiny import CHAT_TEMPLATE, make_llama, make_tokenizer
from tokenizers import processors

from reportgen.build.capture import capture
from reportgen.captures.tokenization import encode_prompt
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.records import EncodedPrompt, Prompt, SourceLocation

PLACE = SourceLocation("prompts.yaml", 2, {"messages": 3, "chat_template_kwargs": 9, "text": 7})
REPLY = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
PARTS = (
    "<|im_start|>{{ m.role }}\n{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}"
    "<|im_end|>\n"
)


def each(turn: str) -> str:
    return "{% for m in messages %}" + turn + "{% endfor %}" + REPLY


def make_model(template: str = CHAT_TEMPLATE, single: str = "") -> LoadedModel:
    """Return a model with a chat template, and a tokenizer that adds special tokens to a text, as ``single`` says."""
    tokenizer = make_tokenizer()
    if single:
        special = [(name, tokenizer.convert_tokens_to_ids(name)) for name in single.split() if name != "$A"]
        backend: Any = tokenizer.backend_tokenizer
        backend.post_processor = processors.TemplateProcessing(single=single, special_tokens=special)
    tokenizer.chat_template = template
    return wrap_model(make_llama(), tokenizer, name="tiny")


def chat(*turns: tuple[str, str], **keys: Any) -> Prompt:
    messages = tuple({"role": role, "content": content} for role, content in turns)
    return Prompt(messages=messages, max_new_tokens=1, place=PLACE, **keys)


def text_of(model: LoadedModel, encoded: EncodedPrompt) -> str:
    assert encoded.error is None
    tokenizer: Any = model.tokenizer
    return tokenizer.decode(list(encoded.token_ids))


@pytest.mark.parametrize(
    ("template", "turns", "lost"),
    [
        (each("{% if m.role != 'system' %}" + TURN + "{% endif %}"), (("system", "Be brief."), ("user", "Hi")),
         "message 1, of the role 'system'; put its text into a message of the user"),
        (each("{% if m.role != 'tool' %}" + TURN + "{% endif %}"), (("user", "Hi"), ("tool", "rain")),
         "message 2, of the role 'tool'; put"),
        (each("{% if m.content %}{{ m.role }}{% endif %}"), (("user", "Hi"),),
         "message 1, of the role 'user'; write the prompt as text"),
        (each("{{ m.role }}{{ m.content.split('</think>')[-1] }}"),
         (("user", "Hi"), ("assistant", "a plan</think>"), ("user", "And?")), "message 2, of the role 'assistant'"),
        (each("{% if loop.last %}" + TURN + "{% endif %}"), (("user", "Same"), ("user", "Same")), "message 1, of"),
    ],
)  # fmt: skip
def test_content_that_no_token_holds_is_an_error(template: str, turns: tuple[tuple[str, str], ...], lost: str) -> None:
    error = str(encode_prompt(make_model(template), chat(*turns)).error)
    assert error.startswith(f"prompts.yaml:3: tiny's chat template leaves out the content of {lost}")


def test_blank_content_is_not_missed() -> None:
    model = make_model(each("{{ m.role }}{{ m.content.strip() }}"))
    assert encode_prompt(model, chat(("system", " "), ("user", "Hi"))).error is None


@pytest.mark.parametrize(
    "template",
    [
        each(PARTS),
        each("{{ raise_exception('parts') if m.content is string }}" + PARTS),
        each("{% if m.role == 'system' %}" + TURN + "{% else %}" + PARTS + "{% endif %}"),
    ],
)
def test_template_that_takes_parts_gets_them(template: str) -> None:
    model = make_model(template)
    encoded = encode_prompt(model, chat(("system", "Be kind."), ("user", "A river?")))
    text = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nA river?<|im_end|>\n<|im_start|>assistant\n"
    assert text_of(model, encoded) == text


def test_template_that_takes_no_parts_gets_none() -> None:
    """It would write the list itself."""
    dropped = "{% if m.content is string and m.role == 'system' %}{% else %}" + TURN + "{% endif %}"
    plain = make_model(each("{% if m.role == 'user' %}" + TURN + "{% endif %}"))
    assert "[{" not in text_of(plain, encode_prompt(plain, chat(("user", "Hi"))))
    assert encode_prompt(make_model(each(dropped)), chat(("user", "Hi"))).error is None


def test_developer_is_a_role_where_the_template_knows_it() -> None:
    turns = (("developer", "Be brief."), ("user", "Hi"))
    knows = make_model(each("{% if m.role == 'developer' %}RULES {{ m.content }}{% else %}" + TURN + "{% endif %}"))
    assert text_of(knows, encode_prompt(knows, chat(*turns))).startswith("RULES Be brief.<|im_start|>user")
    others = make_model(each("{% if m.role == 'user' %}U {% else %}A {% endif %}{{ m.content }}"))
    assert str(encode_prompt(others, chat(*turns)).error) == (
        "prompts.yaml:3: tiny's chat template does not know the role 'developer' of message 1; write the role 'system'"
    )


def test_chat_that_ends_with_the_assistant_is_continued_or_warned_of() -> None:
    model, turns = make_model(), (("user", "A river?"), ("assistant", "It is the Rh"))
    closed = encode_prompt(model, chat(*turns))
    assert text_of(model, closed).endswith("It is the Rh<|im_end|>\n<|im_start|>assistant\n")
    assert closed.warnings == (
        "the chat ends with a message of the assistant, which is closed before another one begins; set "
        "continue_final_message: true to continue it",
    )
    continued = encode_prompt(model, chat(*turns, continue_final_message=True))
    assert text_of(model, continued).endswith("<|im_start|>assistant\nIt is the Rh")
    assert continued.warnings == ()


def test_variables_reach_the_template() -> None:
    model = make_model("{{ mood | default('calm') }} " + CHAT_TEMPLATE)
    given = encode_prompt(model, chat(("user", "Hi"), chat_template_kwargs={"mood": "gay"}))
    assert text_of(model, given).startswith("gay <|im_start|>user")
    assert text_of(model, encode_prompt(model, chat(("user", "Hi")))).startswith("calm ")


@pytest.mark.parametrize("name", ["moot", "tokenize", "messages", "strftime_now", "return_tensors"])
def test_variable_that_the_template_lacks_is_an_error(name: str) -> None:
    model = make_model("{{ mood }}{{ strftime_now('%d') }}" + CHAT_TEMPLATE)
    error = str(encode_prompt(model, chat(("user", "Hi"), chat_template_kwargs={name: "x"})).error)
    assert error == (
        f"prompts.yaml:9: tiny's chat template has no variable {name!r} to set; check its spelling, or leave it out"
    )


@pytest.mark.parametrize(
    ("clock", "advice"),
    [
        ("{{ strftime_now('%H:%M') }}", "write the formatted chat as text, with add_special_tokens: false"),
        ("{% set now = strftime_now('%Y')|int %}{{ now + 1 }}", "write the formatted chat as text"),
        ("{% if date_string is not defined %}{% set date_string = strftime_now('%d %b') %}{% endif %}{{ date_string }}",
         "set chat_template_kwargs: {date_string: …} to fix it"),
        ("{% macro today() %}{{ current_time or strftime_now('%d') }}{% endmacro %}{{ today() }}",
         "set chat_template_kwargs: {current_time: …} to fix it"),
    ],
)  # fmt: skip
def test_template_that_writes_the_time_is_warned_of(clock: str, advice: str) -> None:
    model = make_model(clock + CHAT_TEMPLATE)
    (warning,) = encode_prompt(model, chat(("user", "Hi"))).warnings
    assert warning.startswith("the chat template writes the date or time, so that the tokens change with the clock; ")
    assert advice in warning


def test_time_that_is_given_or_not_written_is_not_warned_of() -> None:
    clock = "{% set day = date or strftime_now('%d') %}{% if tools %}{{ day }}{% endif %}"
    assert encode_prompt(make_model(clock + CHAT_TEMPLATE), chat(("user", "Hi"))).warnings == ()
    fixed = make_model("{{ date or strftime_now('%d') }}" + CHAT_TEMPLATE)
    encoded = encode_prompt(fixed, chat(("user", "Hi"), chat_template_kwargs={"date": "4 May"}))
    assert (text_of(fixed, encoded)[:5], encoded.warnings) == ("4 May", ())


@pytest.mark.parametrize(
    ("single", "text", "warned"),
    [
        ("<|im_start|> $A", "<|im_start|>so", ["begins with '<|im_start|>', which the tokenizer adds as well"]),
        ("<|im_start|> $A", "<|im_start|>", ["begins with '<|im_start|>'"]),
        ("<|endoftext|> <|im_start|> $A", "<|endoftext|><|im_start|>so", ["begins with '<|endoftext|>'"]),
        ("$A <|im_end|>", "so", ["adds '<|im_end|>', the end of the text, behind the prompt"]),
        ("<|im_start|> $A <|im_end|>", "<|im_start|>so", ["begins with '<|im_start|>'", "adds '<|im_end|>'"]),
        ("<|im_start|> $A", "so", []),
        ("<|im_start|> $A", "so <|im_start|>", []),
        ("", "<|im_start|>so<|im_end|>", []),
    ],
)
def test_special_tokens_that_a_tokenizer_adds_are_warned_of(single: str, text: str, warned: list[str]) -> None:
    model = make_model(single=single)
    found = encode_prompt(model, Prompt(text)).warnings
    assert len(found) == len(warned)
    for warning, words in zip(found, warned, strict=True):
        assert words in warning
        assert "set add_special_tokens: false" in warning
    assert encode_prompt(model, Prompt(text, add_special_tokens=False)).warnings == ()


def test_token_beyond_the_embedding_is_refused() -> None:
    tokenizer: Any = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<tool>", "<think>"]})
    model = wrap_model(make_llama(), tokenizer, name="tiny")
    error = str(encode_prompt(model, Prompt("so <think> <tool>", place=PLACE)).error)
    assert error == (
        "prompts.yaml:7: '<think>' has the id 260, and the embedding of tiny has 259 rows, 0 to 258; leave the token "
        "out, or use the tokenizer that the model was trained with"
    )
    assert encode_prompt(model, Prompt("so think")).error is None


def test_warning_reaches_python() -> None:
    with pytest.warns(UserWarning, match="^prompts.yaml:2: the chat ends with a message of the assistant"):
        capture(make_model(), chat(("user", "Hi"), ("assistant", "Oh")))
    with warnings.catch_warnings(record=True) as caught:
        capture(make_model(), chat(("user", "Hi"), ("assistant", "Oh"), continue_final_message=True))
    assert caught == []
