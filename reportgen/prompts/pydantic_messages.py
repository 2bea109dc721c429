"""Translate pydantic's errors into messages about the prompt file, each with its line."""

from __future__ import annotations

import difflib
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from reportgen.prompts.keys import DefaultKeys, FileKeys, GenerationKeys, HeadKeys, MessageKeys, PromptKeys
from reportgen.prompts.yaml_lines import Problems, child_of, line_of

Keys = TypeVar("Keys", bound=BaseModel)

_INNER = {"defaults": DefaultKeys, "generation": GenerationKeys, "messages": MessageKeys}
_KINDS = {
    "string_type": "text",
    "string_unicode": "text of whole characters",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "a mapping of keys",
    "dict_type": "a mapping of keys",
}
# Where a known key in the wrong mapping belongs; the first entry that has the key is used.
_HOMES = (
    (GenerationKeys, "it goes under 'generation'"),
    (DefaultKeys, "it goes into a prompt or under 'defaults'"),
    (PromptKeys, "it goes into a prompt"),
    (FileKeys, "it goes to the top of the file, next to 'prompts'"),
)


def check_keys(
    keys: type[Keys], data: dict[str, Any], node: yaml.Node, problems: Problems, where: str = ""
) -> Keys | None:
    """Check one mapping of the file.

    Args:
        keys: the model of the allowed keys.
        data: the mapping.
        node: the mapping's YAML node, for line numbers.
        problems: collects the problems found.
        where: name of the mapping in messages, such as ``prompt 3``; empty for the file itself.

    Returns:
        The checked keys, or ``None`` if there is a problem.
    """
    try:
        return keys.model_validate(data)
    except ValidationError as failure:
        for error in failure.errors(include_url=False):
            if problems.are_many:
                problems.leave_untold()
                continue
            place, line = _find(node, error["loc"])
            problems.add(line, _explain(dict(error), place, keys, where))
        return None


def describe(value: Any, node: yaml.Node | None) -> str:
    """Return the type of a value and the value as it was written, such as ``the number 3``."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    written = node.value if isinstance(node, yaml.ScalarNode) else str(value)
    if isinstance(value, str):
        return f"the text {_short(value)}"
    return f"the boolean {written}" if isinstance(value, bool) else f"the number {written}"


def advise_quotes(value: Any, node: yaml.Node | None) -> str:
    """Return the advice to quote a number or boolean that was meant as text; empty for any other value."""
    if not isinstance(value, bool | int | float) or not isinstance(node, yaml.ScalarNode):
        return ""
    return f'; put it in quotes: "{node.value}"'


def advise_key(key: str, known: list[str], otherwise: str = "") -> str:
    """Return advice for an unknown key: a similar key, where it belongs, or the known keys."""
    home = next((home for keys, home in _HOMES if key in keys.model_fields), "")
    close = difflib.get_close_matches(key[:100].lower(), known, 1)
    if close:
        return f"did you mean {close[0]!r}?"
    return home or f"the keys here are {', '.join(known)}{otherwise}"


def _explain(error: dict[str, Any], node: yaml.Node | None, keys: type[BaseModel], where: str) -> str:
    kind, loc, value = error["type"], error["loc"], error["input"]
    if kind == "extra_forbidden":
        return f"unknown key {_short(loc[-1])} in {_name(loc[:-1], where)}; {_advise_unknown(loc, keys)}"
    if kind == "missing":
        return f"{_name(loc[:-1], where)} lacks the key {loc[-1]!r}; add it"
    name = _name(loc, where)
    if kind == "value_error":
        return f"{name} {error['ctx']['error']}"
    advice = advise_quotes(value, node) if kind == "string_type" else ""
    if kind == "list_type" and isinstance(value, str):
        advice = f"; write [{value}]" if len(value) < 40 else "; write it as a list"
    if kind == "literal_error" and isinstance(value, str):
        close = difflib.get_close_matches(value[:100].lower(), ("system", "user", "assistant", "tool"), 1)
        advice = f"; did you mean {close[0]!r}?" if close else ""
    demand = f"must be {_KINDS[kind]}" if kind in _KINDS else error["msg"].replace("Input should be", "must be")
    return f"{name} {demand}, got {describe(value, node)}{advice}"


def _advise_unknown(loc: tuple[str | int, ...], keys: type[BaseModel]) -> str:
    owner = next((part for part in reversed(loc[:-1]) if isinstance(part, str)), "")
    known = _INNER.get(owner, FileKeys if keys is HeadKeys else keys)
    if known is PromptKeys and difflib.get_close_matches(str(loc[-1])[:100].lower(), ["compare"]):
        return "did you mean 'compare'?"  # not a key of a prompt, but of a comparison
    otherwise = "; a text that contains ': ' needs quotes" if known is PromptKeys else ""
    return advise_key(str(loc[-1]), list(known.model_fields), otherwise)


def _find(node: yaml.Node, loc: tuple[str | int, ...]) -> tuple[yaml.Node | None, int]:
    """Return the node at pydantic's location, ``None`` if it is not in the file, and the nearest line."""
    place: yaml.Node | None = node
    line = line_of(node)
    for step in loc:
        child = child_of(place, step) if place else None
        if child is None:
            # A prompt that is a plain text has no child node for 'text'.
            return (place if isinstance(place, yaml.ScalarNode) else None), line
        place, line = child
    return place, line


def _name(loc: tuple[str | int, ...], where: str) -> str:
    """Return a name such as ``messages[1].role of prompt 3``; items are counted from 1, like prompts."""
    path = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    return f"{path} of {where}" if path and where else path or where or "the file"


def _short(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
