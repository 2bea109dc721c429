"""Format chats with a tokenizer's chat template, and check that the template writes what the chat says."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from reportgen.models.model import LoadedModel
from reportgen.records import Prompt
from reportgen.records.errors import PromptError
from reportgen.records.messages import text_of

_OTHER = "reportgen"
"""A role and a content that no template treats in a way of its own."""
_MARK = "\ue000"
"""A character that no text has, and that no template treats in a way of its own."""
_OTHER_CALL = {"name": _OTHER, "arguments": {}}
_CLOCK = "{{% macro strftime_now(format) %}}{}{{% endmacro %}}"
"""Start of a template that replaces the function that reads the clock."""
_DATE_NAMES = re.compile(r"\b\w*(?:date|time|today|now)\w*\b")


@dataclass(frozen=True)
class Chat:
    """The messages of a prompt as they are handed to a chat template.

    Attributes:
        tokenizer: tokenizer with a chat template.
        prompt: the prompt.
        messages: its messages; the content is a list of parts if the template expects parts, and a text if it expects
            that.
    """

    tokenizer: Any
    prompt: Prompt
    messages: tuple[Mapping[str, Any], ...]

    def encode(self) -> list[int]:
        """Return the token ids of the chat; raises whatever the template and the tokenizer raise."""
        return list(self._apply(return_dict=True)["input_ids"])

    def _apply(self, **settings: Any) -> Any:
        prompt = self.prompt
        return self.tokenizer.apply_chat_template(
            [_as_lists(message) for message in self.messages],
            tools=_as_lists(prompt.tools) or None,
            add_generation_prompt=not prompt.continue_final_message,
            continue_final_message=prompt.continue_final_message,
            **{"chat_template": prompt.chat_template or None, **prompt.chat_template_kwargs, **settings},
        )

    def render(self, **settings: Any) -> str | None:
        """Return the text that the template writes; ``None`` if the template refuses the chat."""
        try:
            return self._apply(tokenize=False, **settings)
        except Exception:  # templates may raise anything; encoding the prompt reports it
            return None

    @cached_property
    def text(self) -> str | None:
        """The text that the template writes; ``None`` if the template refuses the chat."""
        return self.render()

    @cached_property
    def lost(self) -> list[int]:
        """The indices of messages whose content does not change the text; blank content is not checked."""
        return [
            index
            for index, message in enumerate(self.prompt.messages)
            if text_of(message).strip()
            and any(self._replace(index, content=other).text == self.text for other in ("", f"{_OTHER} {index}"))
        ]

    def find_without(self, key: str) -> list[int]:
        """Return the indices of messages whose ``tool_calls`` or ``name`` do not change the text."""
        changes: dict[str, Any] = {"name": _OTHER, "tool_calls": [{"type": "function", "function": _OTHER_CALL}]}
        return [
            index
            for index, message in enumerate(self.messages)
            if message.get(key) and self._replace(index, **{key: changes[key]}).text == self.text
        ]

    def find_unknown(self, role: str) -> list[int]:
        """Return the indices of messages whose text would be the same with a role that no template knows."""
        return [
            index
            for index, message in enumerate(self.messages)
            if message["role"] == role and self._replace(index, role=_OTHER).text == self.text
        ]

    def find_place(self, index: int) -> tuple[tuple[int, int] | None, str]:
        """Find what a message says in the text: what changes if the message says something else.

        Args:
            index: index of the message.

        Returns:
            The first character and the one after the last, of its content and its tool calls; ``None`` and the reason
            if the text does not show them once as they are.
        """
        message, text = self.messages[index], self.text or ""
        said = text_of(message).strip()
        places = []
        if said:
            place = self._compare(index, content=_MARK)
            if place is None or text[slice(*place)].strip() != said:
                return None, "the chat template changes its content, or writes it more than once"
            places.append(place)
        if message.get("tool_calls"):
            place = self._compare(index, tool_calls=_mark_calls(_as_lists(message["tool_calls"])))
            if place is None:
                return None, "the chat template refuses other tool calls"
            places.append(place)
        if not places:
            return None, "it is empty"
        return (min(first for first, _ in places), max(end for _, end in places)), ""

    def _compare(self, index: int, **changes: Any) -> tuple[int, int] | None:
        """Return the characters of the text that are others if a message is changed; ``None`` if there are none."""
        text, other = self.text, self._replace(index, **changes).text
        if text is None or other is None or text == other:
            return None
        first = _count_equal(text, other)
        return first, len(text) - _count_equal(text[first:][::-1], other[first:][::-1])

    def with_parts(self, indices: Iterable[int]) -> Chat:
        """Return the chat with the content of some messages as a list of one part, or as a text if it was a list."""
        chosen = set(indices)
        return replace(
            self,
            messages=tuple(
                {**message, "content": _turn(message)} if index in chosen else message
                for index, message in enumerate(self.messages)
            ),
        )

    def template(self) -> str:
        """Return the source of the template."""
        chosen, tools = self.prompt.chat_template or None, _as_lists(self.prompt.tools) or None
        return self.tokenizer.get_chat_template(chosen, tools=tools)

    def reads_clock(self, **variables: Any) -> bool:
        """Return whether the text depends on the time, with some variables of the template set."""
        template = self.template()
        if "strftime_now" not in template:
            return False
        texts = [self.render(chat_template=_CLOCK.format(now) + template, **variables) for now in ("01", "23")]
        return texts[0] is None or texts[0] != texts[1]

    def _replace(self, index: int, **changes: Any) -> Chat:
        changed: dict[str, Any] = {**self.messages[index], **changes}
        if "content" in changes and isinstance(self.messages[index]["content"], list | tuple):
            changed["content"] = _make_parts(changes["content"])
        return replace(self, messages=(*self.messages[:index], changed, *self.messages[index + 1 :]))


def make_chat(tokenizer: Any, prompt: Prompt) -> Chat:
    """Return the chat of a prompt; a template that ignores or refuses a text gets the text as a part if this helps.

    A template that writes a list of parts as Python does gets their text.
    """
    chat = Chat(tokenizer, prompt, prompt.messages)
    said = [index for index, message in enumerate(prompt.messages) if text_of(message)]
    if chat.text is None:
        wrong = said
    else:
        lists = [index for index in said if not isinstance(prompt.messages[index]["content"], str)]
        written = [index for index in lists if str(_as_lists(prompt.messages[index]["content"])) in chat.text]
        wrong = sorted({*chat.lost, *written})
    if wrong:
        in_parts = chat.with_parts(wrong)
        if in_parts.text is not None and not in_parts.lost:
            return in_parts
    return chat


def check_variables(model: LoadedModel, prompt: Prompt) -> None:
    """Check that the chat template has the variables in ``chat_template_kwargs``.

    Raises:
        PromptError: it does not have one of them, or the name is an argument of ``apply_chat_template``.
    """
    tokenizer: Any = model.tokenizer
    template = Chat(tokenizer, prompt, ()).template()
    arguments = {*inspect.signature(tokenizer.apply_chat_template).parameters, "messages", "strftime_now"}
    for name in prompt.chat_template_kwargs:
        if name in arguments or not re.search(rf"\b{re.escape(name)}\b", template):
            where = prompt.place.of("chat_template_kwargs")
            raise PromptError(
                f"{where}: {model.info.name}'s chat template has no variable {name!r} to set; check its spelling, or "
                "leave it out"
            )


def check_messages(model: LoadedModel, chat: Chat) -> None:
    """Check that the template writes the content of each message, and knows the role ``developer`` if it is used.

    Raises:
        PromptError: it does not; the message names the first one.
    """
    where, name = chat.prompt.place.of("messages"), model.info.name
    for index in chat.lost:
        role = chat.messages[index]["role"]
        advice = "put its text into a message of the user" if role != "user" else "write the prompt as text"
        raise PromptError(
            f"{where}: {name}'s chat template leaves out the content of message {index + 1}, of the role {role!r}; "
            f"{advice}, or use a model whose template takes it"
        )
    for index in chat.find_without("tool_calls"):
        raise PromptError(
            f"{where}: {name}'s chat template leaves out the tool_calls of message {index + 1}; leave them out, or use "
            "a model that was trained to call functions"
        )
    for index in chat.find_unknown("developer"):
        raise PromptError(
            f"{where}: {name}'s chat template does not know the role 'developer' of message {index + 1}; write the "
            "role 'system'"
        )


def find_chat_warnings(chat: Chat) -> list[str]:
    """Return warnings about a chat that can be encoded but may not be what its author means."""
    found = [
        f"the chat template does not write the name of message {index + 1}; the model does not see it"
        for index in chat.find_without("name")
    ]
    if chat.messages[-1]["role"] == "assistant" and not chat.prompt.continue_final_message:
        found.append(
            "the chat ends with a message of the assistant, which is closed before another one begins; set "
            "continue_final_message: true to continue it"
        )
    if chat.reads_clock():
        names = sorted(set(_DATE_NAMES.findall(chat.template())) - {"strftime_now", *chat.prompt.chat_template_kwargs})
        name = next((name for name in names if name.isidentifier() and not chat.reads_clock(**{name: "01"})), "")
        advice = (
            f"set chat_template_kwargs: {{{name}: …}} to fix it"
            if name
            else "to fix it, write the formatted chat as text, with add_special_tokens: false"
        )
        found.append(f"the chat template writes the date or time, so that the tokens change with the clock; {advice}")
    return found


def _count_equal(text: str, other: str) -> int:
    """Return the length of the common prefix of two texts, by bisection: a loop over long texts would take seconds."""
    low, high = 0, min(len(text), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text[:middle] == other[:middle] else (low, middle - 1)
    return low


def _turn(message: Mapping[str, Any]) -> str | list[dict[str, str]]:
    text = text_of(message)
    return _make_parts(text) if isinstance(message["content"], str) else text


def _mark_calls(value: Any, key: str = "") -> Any:
    """Return tool calls in which every name and value is another; templates may check types and ids."""
    if isinstance(value, dict):
        return {name: _mark_calls(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_mark_calls(item) for item in value]
    return value if key in ("type", "id") else _MARK


def _as_lists(value: Any) -> Any:
    """Return a value of the prompt as lists and dictionaries, which templates expect."""
    if isinstance(value, Mapping):
        return {key: _as_lists(item) for key, item in value.items()}
    return [_as_lists(item) for item in value] if isinstance(value, list | tuple) else value


def _make_parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]
