"""Every form of a message gives the tokens that ``apply_chat_template`` gives, in templates of eight styles."""

from __future__ import annotations

from typing import Any

import pytest
from chats import FORMS, PARTS, STYLES
from tiny import CHAT_TEMPLATE, make_llama, make_tokenizer

from reportgen.captures.tokenization import encode_prompt
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.prompts.prompt_file import load_prompts, read_prompts
from reportgen.records import Prompt, SourceLocation
from reportgen.records.errors import PromptError

PLACE = SourceLocation("prompts.yaml", 2, {"messages": 3, "chat_template": 5})


def make_model(template: Any) -> LoadedModel:
    tokenizer: Any = make_tokenizer()
    tokenizer.chat_template = template
    return wrap_model(make_llama(), tokenizer, name="tiny")


def as_parts(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    return {**message, "content": [{"type": "text", "text": content}]} if isinstance(content, str) else message


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("style", STYLES)
def test_tokens_are_those_of_apply_chat_template(style: str, form: str) -> None:
    model = make_model(STYLES[style])
    tokenizer: Any = model.tokenizer
    encoded = encode_prompt(model, Prompt(messages=FORMS[form], max_new_tokens=1, place=PLACE))  # pyright: ignore
    assert encoded.error is None
    messages = [as_parts(message) for message in FORMS[form]] if style == "command" else FORMS[form]
    expected = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert list(encoded.token_ids) == expected
    unseen = style not in ("chatml", "llama") and (form == "name" or (form == "tools" and style != "mistral"))
    assert any("does not write the name of message" in warning for warning in encoded.warnings) == unseen


def test_parts_that_a_template_would_write_as_a_list_are_joined() -> None:
    model = make_model(CHAT_TEMPLATE)
    encoded = encode_prompt(model, Prompt(messages=FORMS["parts"]))  # pyright: ignore[reportArgumentType]
    joined = encode_prompt(model, Prompt(messages=({"role": "user", "content": "Rain in Oslo? Today."},)))
    assert encoded.error is None
    assert list(encoded.token_ids) == list(joined.token_ids)


def test_calls_that_a_template_leaves_out_are_an_error() -> None:
    encoded = encode_prompt(make_model(CHAT_TEMPLATE), Prompt(messages=FORMS["tools"], place=PLACE))  # pyright: ignore
    assert str(encoded.error) == (
        "prompts.yaml:3: tiny's chat template leaves out the tool_calls of message 2; leave them out, or use a model "
        "that was trained to call functions"
    )


def test_template_is_chosen_by_name() -> None:
    named = {"default": STYLES["chatml"], "tool_use": STYLES["phi"]}
    model = make_model(named)
    tokenizer: Any = model.tokenizer
    for name in named:
        prompt = Prompt(messages=FORMS["plain"], chat_template=name, place=PLACE)  # pyright: ignore
        (chosen,) = tokenizer.apply_chat_template(
            [FORMS["plain"]], chat_template=named[name], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        assert list(encode_prompt(model, prompt).token_ids) == chosen
    wrong = Prompt(messages=FORMS["plain"], chat_template="tools", place=PLACE)  # pyright: ignore
    assert str(encode_prompt(model, wrong).error) == (
        "prompts.yaml:5: tiny has no chat template 'tools'; it has default, tool_use"
    )
    assert str(encode_prompt(make_model(CHAT_TEMPLATE), wrong).error) == (
        "prompts.yaml:5: tiny has one chat template, without a name; leave chat_template out"
    )
    with pytest.raises(PromptError, match="^prompt: 'chat_template' is given without 'messages'; only a chat has"):
        Prompt("x", chat_template="default")


def test_forms_are_read_from_a_file(tmp_path: Any) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        "- chat_template: tool_use\n"
        "  messages:\n"
        "  - {role: user, name: ada, content: [{type: text, text: Rain in Oslo?}, {type: text, text: ' Today.'}]}\n"
        "  - role: assistant\n"
        "    content: null\n"
        "    tool_calls:\n"
        "    - {type: function, function: {name: rain, arguments: {city: Oslo, unit: null}}}\n"
        "  - {role: tool, tool_call_id: c1, content: 'no'}\n"
    )
    (prompt,) = load_prompts(path)
    user, assistant, tool = prompt.messages
    assert (prompt.chat_template, prompt.title) == ("tool_use", "Rain in Oslo? Today.")
    assert [*user["content"]] == PARTS
    assert assistant["content"] is None
    assert assistant["tool_calls"][0]["function"]["arguments"] == {"city": "Oslo", "unit": None}
    assert tool == {"role": "tool", "tool_call_id": "c1", "content": "no"}


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("{role: user, content: null}", "messages[1] of prompt 1 is null; write some, or the tool_calls of the"),
        ("{role: user}", "messages[1] of prompt 1 lacks the key 'content'; write some, or"),
        ("{role: user, content: []}", "messages[1].content of prompt 1 is an empty list; add an item"),
        (
            "{role: user, content: [{type: image, url: x}]}",
            "messages[1].content of prompt 1 has a part 1 that is no te",
        ),
        ("{role: user, content: [{type: text, text: a}, a]}", "messages[1].content of prompt 1 has a part 2 that is"),
        ("{role: user, content: {a: b}}", "messages[1].content of prompt 1 must be text, got a mapping"),
        ("{role: user, content: a, tool_calls: []}", "messages[1].tool_calls of prompt 1 is an empty list"),
        ("{role: user, content: a, tool_calls: [a]}", "messages[1].tool_calls[1] of prompt 1 must be a mapping of"),
        ("{role: user, content: a, name: 3}", "messages[1].name of prompt 1 must be text, got the number 3"),
    ],
)
def test_wrong_forms_have_a_line(tmp_path: Any, message: str, problem: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"- text: ok\n- slug: x\n  messages:\n  - {message}\n")
    (found,) = read_prompts(path)[1]._problems
    assert found[0] == 4
    assert found[2].startswith(problem.replace("of prompt 1", "of prompt 'x'"))
