"""Translate pydantic's errors about the keys of a prompt into messages."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from numbers import Integral
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from reportgen.records.errors import PromptError
from reportgen.records.prompt_keys import (
    DefaultKeys,
    FileKeys,
    FoilKeys,
    GenerationKeys,
    HeadKeys,
    Keys,
    MessageKeys,
    PromptKeys,
    StepKeys,
)
from reportgen.records.selection import Selection

_INNER = {
    "defaults": DefaultKeys,
    "generation": GenerationKeys,
    "messages": MessageKeys,
    "foils": FoilKeys,
    "story": StepKeys,
}
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


def check_record(record: Any, keys: type[Keys], names: Mapping[str, str] = {}) -> dict[str, Any]:
    """Check the values of a record against the keys of a prompt file.

    Args:
        record: a ``Prompt`` or ``Comparison``.
        keys: the model of the allowed keys.
        names: keys in the file of fields that have another name there, by field.

    Returns:
        The values that differ from the defaults, converted to the types of the keys, by field.

    Raises:
        PromptError: a value is wrong; the message names the first one.
    """
    values = {
        names.get(name, name): _plain(value)
        for name, default in _list_defaults(type(record))
        if (value := getattr(record, name)) is not default and not _is_default(value, default)
    }
    for key, value in values.items():
        if value is None:
            raise PromptError(f"{record.place.of(key)}: {key} is None; leave it out to take the default")
    try:
        checked = keys.model_validate(values).given()
    except ValidationError as failure:
        error = failure.errors(include_url=False)[0]
        raise PromptError(f"{record.place.of(str(error['loc'][0]))}: {explain(error, None, keys)}") from failure
    if not names:
        return checked
    fields_of = {key: name for name, key in names.items()}
    return {fields_of.get(key, key): value for key, value in checked.items()}


@cache  # a file may hold a hundred thousand prompts
def _list_defaults(record: type[Any]) -> tuple[tuple[str, Any], ...]:
    """Return name and default of each field of a record but its place."""
    return tuple(
        (item.name, item.default if item.default_factory is MISSING else item.default_factory())
        for item in fields(record)
        if item.name != "place"
    )


def _is_default(value: Any, default: Any) -> bool:
    return type(value) is type(default) and value == default


def _plain(value: Any) -> Any:
    """Return a value as in a file: tuples as lists, records as mappings, NumPy integers as Python integers."""
    if isinstance(value, tuple | list | range):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if is_dataclass(value) and not isinstance(value, Selection):
        pairs = ((item, getattr(value, item.name)) for item in fields(value))
        return {item.name: _plain(field) for item, field in pairs if not _is_default(field, item.default)}
    return value


def describe(value: Any, node: yaml.Node | None) -> str:
    """Return the type of a value and the value as it was written, such as ``the number 3``."""
    if value is None:
        return (node.value if isinstance(node, yaml.ScalarNode) else "") or "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    written = node.value if isinstance(node, yaml.ScalarNode) else str(value)
    if isinstance(value, str):
        return f"the text {_short(value)}"
    return f"the boolean {written}" if isinstance(value, bool) else f"the number {written}"


def advise_quotes(value: Any, node: yaml.Node | None) -> str:
    """Return the advice to quote a number, boolean or null that was meant as text; empty for any other value."""
    is_word = value is None or isinstance(value, bool | int | float)
    if not is_word or not isinstance(node, yaml.ScalarNode) or not node.value:
        return ""
    return f'; put it in quotes: "{node.value}"'


def advise_key(key: str, known: list[str], otherwise: str = "") -> str:
    """Return advice for an unknown key: a similar key, where it belongs, or the known keys."""
    home = next((home for keys, home in _HOMES if key in keys.model_fields), "")
    close = difflib.get_close_matches(key[:100].lower(), known, 1)
    if close:
        return f"did you mean {close[0]!r}?"
    return home or f"the keys here are {', '.join(known)}{otherwise}"


def explain(error: Any, node: yaml.Node | None, keys: type[BaseModel], where: str = "") -> str:
    """Return the message of one error of pydantic.

    Args:
        error: the error, as pydantic lists it.
        node: the YAML node of the wrong value; ``None`` if it is not in a file.
        keys: the pydantic model of the allowed keys.
        where: name of the mapping, such as ``prompt 3``; empty if there is only one.
    """
    kind, loc, value = error["type"], error["loc"], error["input"]
    if kind == "extra_forbidden":
        return f"unknown key {_short(loc[-1])} in {_name(loc[:-1], where)}; {_advise_unknown(loc, keys)}"
    if kind == "missing":
        return f"{_name(loc[:-1], where)} lacks the key {loc[-1]!r}; add it"
    name = _name(loc, where)
    if kind == "value_error":
        return f"{name} {error['ctx']['error']}"
    advice = advise_quotes(value, node) if kind == "string_type" else ""
    if kind == "list_type" and isinstance(value, str) and loc[-1] == "compare":
        advice = "; write the slugs of the prompts: [slug-a, slug-b]"
    elif kind == "list_type" and isinstance(value, str):
        advice = f"; write [{value}]" if len(value) < 40 else "; write it as a list"
    if kind == "literal_error" and isinstance(value, str):
        allowed = re.findall("'([^']+)'", error["ctx"]["expected"])
        close = difflib.get_close_matches(value[:100].lower(), allowed, 1)
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


def _name(loc: tuple[str | int, ...], where: str) -> str:
    """Return a name such as ``messages[1].role of prompt 3``; items are counted from 1, like prompts."""
    path = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    return f"{path} of {where}" if path and where else path or where or "the file"


def _short(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
