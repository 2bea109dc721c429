"""The reference, made from the code: the command line, the keys of prompts.yaml, the Python API.

python docs/tools/reference.py            say which pages are stale
python docs/tools/reference.py --write    write them
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import griffe

from reportgen import _HOMES
from reportgen import __all__ as names_of_api
from reportgen.cli import main as cli
from reportgen.records.prompt_keys import prompt_file_schema

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference"
_NOTE = "Made by `python docs/tools/reference.py --write`; a test says when it is stale."
_RECORDS = {
    "PromptKeys": "A prompt",
    "GenerationKeys": "`generation`",
    "MessageKeys": "An entry of `messages`",
    "CompareKeys": "A comparison",
    "FileKeys": "The file, where it is a mapping",
}
"""The parts of the schema, in the order of the page, and what each describes."""


def make_pages() -> dict[str, str]:
    """Return the text of each page, by the name of its file."""
    return {"cli.md": make_cli_page(), "keys.md": make_keys_page(), "python.md": make_python_page()}


def make_cli_page() -> str:
    """Return the page of all commands, from Click's own description of them."""
    parts = ["# The command line", _NOTE, inspect.cleandoc(cli.main.help or "")]
    for name, command in sorted(cli.main.commands.items()):
        context = click.Context(command, info_name=f"reportgen {name}")
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        parts += [f"## reportgen {name}", f"`{usage}`", _escape(inspect.cleandoc(command.help or ""))]
        options = [_option_row(option, context) for option in command.params if isinstance(option, click.Option)]
        if options:
            parts.append(_table(("option", "value", "default", "meaning"), options))
    return _join(parts)


def _option_row(option: click.Option, context: click.Context) -> tuple[str, ...]:
    names = ", ".join(f"`{name}`" for name in sorted(option.opts, key=len))
    value = "" if option.is_flag else _value_of(option, context)
    given = option.default if option.show_default and option.default else ""
    return names, value, f"`{given}`" if given else "", option.help or ""


def _value_of(option: click.Option, context: click.Context) -> str:
    if isinstance(option.type, click.Choice):
        return ", ".join(f"`{choice}`" for choice in option.type.choices)
    if isinstance(option.type, click.IntRange):
        bounds = [bound for bound in (option.type.min, option.type.max) if bound is not None]
        return f"number, {'from ' if len(bounds) == 1 else ''}{' to '.join(map(str, bounds))}"
    return (option.metavar or option.type.name).lower()


def make_keys_page() -> str:
    """Return the page of the keys, from the JSON Schema that the file is checked against."""
    schema = prompt_file_schema()
    introduction = (
        "The file is a list of prompts, or a mapping with `prompts`; a prompt is a text, or a mapping of these keys. "
        "`reportgen schema` prints the same as JSON Schema, for editors. Keys that are not listed are errors."
    )
    parts = ["# The keys of prompts.yaml", _NOTE, introduction]
    for name, title in _RECORDS.items():
        record = schema["$defs"][name]
        rows = [_key_row(key, value, record.get("required", ())) for key, value in record["properties"].items()]
        parts += [f"## {title}", _escape(record["description"]), _table(("key", "type", "default", "meaning"), rows)]
    defaults = schema["$defs"]["DefaultKeys"]["properties"]
    parts += ["## `defaults`", f"The same for every prompt: {', '.join(f'`{key}`' for key in defaults)}."]
    return _join(parts)


def _key_row(key: str, value: Mapping[str, Any], required: Iterable[str]) -> tuple[str, ...]:
    default = "required" if key in required else f"`{str(value['default']).lower()}`" if "default" in value else ""
    return f"`{key}`", _type_of(value), default, value.get("description", "")


def _type_of(value: Mapping[str, Any]) -> str:
    """Return the type of a value in words, with its bounds."""
    if "$ref" in value:
        title = _RECORDS.get(value["$ref"].rpartition("/")[2], "`defaults`")
        return f"[{title}](#{_anchor(title)})"
    if "allOf" in value:
        return _type_of(value["allOf"][0])
    if value.get("enum"):
        return ", ".join(f"`{item}`" for item in value["enum"])
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_type_of(item) for item in value["anyOf"]))
    if value.get("type") == "array":
        items = value.get("items", {})
        kinds = items.get("type")
        return f"list of {' or '.join(kinds) if isinstance(kinds, list) else _type_of(items)}"
    return value.get("type", "any") + "".join(_bounds_of(value))


def _bounds_of(value: Mapping[str, Any]) -> Iterator[str]:
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
    yield from (f", {sign} {value[bound]}" for bound, sign in words.items() if bound in value)


def make_python_page() -> str:
    """Return the page of the public names, from their docstrings."""
    package = griffe.load("reportgen", search_paths=[str(ROOT)])
    introduction = "What `from reportgen import …` gives. Importing the package does not wait for torch; using it may."
    parts = ["# The Python API", _NOTE, introduction]
    for name in names_of_api:
        parts += _describe(package[f"{_HOMES[name]}.{name}"], name)
    return _join(parts)


def _describe(item: Any, name: str) -> Iterator[str]:
    """Yield the paragraphs of a function or class, and of its methods."""
    if item.is_attribute:
        return
    yield f"{'##' if '.' not in name else '###'} {name}"
    if item.is_function:
        yield f"```text\n{_signature(item, name)}\n```"
    yield from _sections(item)
    if item.is_class:
        for base in _private_bases(item):
            yield from _sections(base, only_attributes=True)
        for method in item.all_members.values():
            if method.is_function and not method.name.startswith("_"):
                yield from _describe(method, f"{name}.{method.name}")
            elif method.is_attribute and "property" in method.labels:
                yield f"`{name}.{method.name}`: {_one_line(method.docstring.value)}"


def _signature(item: Any, name: str) -> str:
    """Return a function's signature as it is written, without ``self``."""
    parameters, keyword_only = [], False
    for parameter in item.parameters:
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is griffe.ParameterKind.keyword_only and not keyword_only:
            parameters.append("*")
            keyword_only = True
        default = f" = {parameter.default}" if parameter.default is not None else ""
        parameters.append(f"{parameter.name}: {parameter.annotation}{default}")
    flat = f"{name}({', '.join(parameters)}) -> {item.returns}"
    if len(flat) <= 100:
        return flat
    return f"{name}(\n" + "".join(f"    {parameter},\n" for parameter in parameters) + f") -> {item.returns}"


def _private_bases(item: Any) -> list[Any]:
    """Return the classes that a class inherits from and that have no place of their own in the reference."""
    public = {f"reportgen.{_HOMES[name]}.{name}" for name in names_of_api}
    return [base for base in item.mro() if base.path not in public and base.docstring]


def _sections(item: Any, *, only_attributes: bool = False) -> Iterator[str]:
    """Yield what a docstring says, section by section."""
    if item.docstring is None:
        return
    for section in item.docstring.parse("google"):
        if only_attributes and section.kind is not griffe.DocstringSectionKind.attributes:
            continue
        if section.kind is griffe.DocstringSectionKind.text:
            yield _escape(section.value.replace("``", "`"))
            continue
        title = (section.title or section.kind.value.replace("other ", "")).capitalize()
        lines = [_entry(one, section.kind.value, item) for one in section.value]
        yield f"{title}:\n\n" + "\n".join(lines)


def _entry(one: Any, kind: str, item: Any) -> str:
    described = _one_line(one.description)
    if kind == "returns":
        return f"- {described}"
    if kind == "raises":
        return f"- `{one.annotation}`: {described}"
    default = item.members[one.name].value if kind == "attributes" and one.name in item.members else None
    is_plain = default is not None and "repr=False" not in str(default)
    return f"- `{one.name}`: {described}" + (f" Default: `{default}`." if is_plain else "")


def _one_line(text: str) -> str:
    return _escape(re.sub(r"\s+", " ", text.replace("``", "`")).strip())


def _escape(text: str) -> str:
    """Return a text in which Markdown makes no element of what stands in angle brackets."""
    return text.replace("<", "&lt;")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _join(parts: Iterable[str]) -> str:
    return "\n\n".join(parts) + "\n"


@click.command()
@click.option("--write", is_flag=True, help="Write the pages.")
def main(write: bool) -> None:
    """Say which pages are stale, or write them."""
    stale = False
    for name, text in make_pages().items():
        path = FOLDER / name
        if write:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            click.echo(f"{path.relative_to(ROOT)}: is stale; run python docs/tools/reference.py --write", err=True)
            stale = True
    sys.exit(stale)


if __name__ == "__main__":
    main()
