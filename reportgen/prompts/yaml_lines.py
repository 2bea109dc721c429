"""Read a YAML file as a tree of nodes with line numbers, safe against alias bombs.

Numbers and dates differ from YAML 1.1: ``1e-3`` is a number, while ``010``, ``1:30`` and ``2024-01-01`` are text.
``yes`` and ``off`` are booleans, as in YAML 1.1.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

import yaml

from reportgen.records import SourceLocation
from reportgen.records.errors import OptionError, PromptFileError

MAX_BYTES = 10_000_000
MAX_DEPTH = 20
MAX_SIZE = 200_000  # number of nodes after expanding aliases, plus one for every 100 characters of a scalar
MAX_PROBLEMS = 200  # number of problems that are listed; further ones are only counted

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,999})")
_FLOAT = re.compile(r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)")
_NOT_FINITE = (".inf", "-.inf", "+.inf", ".nan")
_JSON_KEYS = {"tools", "tool_calls", "chat_template_kwargs"}
_NULL_KEYS = {"content"}
_TAG = "tag:yaml.org,2002:"
_RESOLVER = yaml.resolver.Resolver()
_TEXT_TAGS = tuple(_TAG + name for name in ("str", "int", "float", "timestamp", "value"))
_TRUE = ("yes", "true", "on")
_SURROGATES = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
"""Two escapes that are one character in JSON, and none in YAML."""
_KEY = re.compile(r" +[\w-]+")
_ADVICE = {
    "mapping values are not allowed": "put text that contains ': ' in quotes",
    "tab character": "indent with spaces",
    "end of stream": "close the quote or bracket",
    "maximum nesting": "put text that starts with '[' or '{' in quotes",
    "another document": "keep one document, without a second '---'",
    "undefined alias": "put text that starts with '*' in quotes",
    "cannot start any token": "put text that starts with such a character in quotes",
}


class Problems:
    """Collects the problems of one file, so that all of them are reported together."""

    def __init__(self, file: str = "") -> None:
        """Create an empty collection.

        Args:
            file: name of the file as the user wrote it; empty for prompts created in Python.
        """
        self.file = file
        self._problems: list[tuple[int, str, str]] = []
        self._num_omitted = 0
        self._only_options = True

    def __bool__(self) -> bool:
        """Return whether there is a problem."""
        return bool(self._problems)

    @property
    def are_many(self) -> bool:
        """Whether ``MAX_PROBLEMS`` is reached, so that further problems are only counted and need no message."""
        return len(self._problems) >= MAX_PROBLEMS

    def add(self, line: int, message: str) -> None:
        """Add a problem at a 1-based line."""
        self._append(line, f"{self.file}:{line}", message)
        self._only_options = False

    def add_at(self, place: SourceLocation, key: str, message: str) -> None:
        """Add a problem of a key of a prompt, whose value may come from an option of the command line."""
        self._append(place.line_of(key), place.of(key), message)
        self._only_options &= key in place.options

    def count_omitted(self) -> None:
        """Count a problem without storing a message."""
        self._num_omitted += 1

    def _append(self, line: int, where: str, message: str) -> None:
        if self.are_many:
            self.count_omitted()
        else:
            self._problems.append((line, where, message))

    def check_none(self) -> None:
        """Raise if there is a problem.

        Raises:
            PromptFileError: the file has problems; holds the first ``MAX_PROBLEMS`` in the order of the lines, and the
                number of the others.
            OptionError: all problems come from options of the command line; holds the first.
        """
        # Problems of options (line 0) come last, so that the message begins with a place in the file.
        ordered = dict.fromkeys(sorted(self._problems, key=lambda problem: (problem[0] == 0, problem[0])))
        if ordered and self._only_options:
            _, option, message = next(iter(ordered))
            raise OptionError(option, message)
        if ordered:
            messages = [f"{where}: {message}" for _, where, message in ordered]
            omitted = f"{self.file}: {self._num_omitted:,} more problems like these; fix these first"
            raise PromptFileError([*messages, omitted] if self._num_omitted else messages)


def load_tree(path: str | Path) -> yaml.Node | None:
    """Read a YAML file.

    Args:
        path: the file: UTF-8, with or without a byte order mark, at most ``MAX_BYTES`` bytes.

    Returns:
        The root node, in which an alias is the same node object as its anchor; ``None`` for a file without content.

    Raises:
        PromptFileError: the file cannot be read, is not UTF-8, is broken YAML, is nested deeper than ``MAX_DEPTH``, or
            is larger than ``MAX_SIZE`` after expanding aliases; the message has the line if it is known.
    """
    file = str(path)
    text = _read_text(path, file)
    try:
        _check_depth(text, file)
        root = yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise _broken(error, text, file) from error
    if root is not None:
        _check_size(root, file, {})
    return root


def line_of(node: yaml.Node) -> int:
    """Return the 1-based line on which a node starts."""
    return node.start_mark.line + 1


def key_lines(node: yaml.Node | None) -> dict[str, int]:
    """Return the 1-based line of each key of a mapping, the first of a repeated key; empty for any other node."""
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: line_of(key) for key, _ in reversed(node.value) if isinstance(key, yaml.ScalarNode)}


def child_of(node: yaml.Node, step: str | int) -> tuple[yaml.Node, int] | None:
    """Return the value at a key or index and the 1-based line of the key or item; ``None`` if it is missing."""
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], line_of(node.value[step])
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == step:
                return value, line_of(key)
    return None


def to_data(node: yaml.Node, problems: Problems, *, is_json: bool = False) -> Any:
    """Return the plain lists, dicts and scalars of a tree.

    A key that is not a scalar, is repeated or has no value is a problem and is left out.

    Args:
        node: the result of ``load_tree``, or a node in it.
        problems: collects the problems found.
        is_json: read null, ``.inf`` and ``.nan`` as such, as under ``_JSON_KEYS``.

    Returns:
        The data; the keys of every dict are strings.
    """
    if isinstance(node, yaml.SequenceNode):
        return [to_data(item, problems, is_json=is_json) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, problems, is_json=is_json)
    return _scalar(node, problems, is_json=is_json) if isinstance(node, yaml.ScalarNode) else None


def _mapping(node: yaml.MappingNode, problems: Problems, *, is_json: bool) -> dict[str, Any]:
    data: dict[str, Any] = {}
    first_lines: dict[str, int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            problems.add(
                line_of(key), "a key must be a word, got a list or mapping; put text that contains { or [ in quotes"
            )
        elif key.tag == _TAG + "merge":
            problems.add(line_of(key), "merge keys (<<) are not supported; put common keys under 'defaults'")
        elif key.value in first_lines:
            first = first_lines[key.value]
            problems.add(line_of(key), f"key {key.value[:40]!r} is given twice, first on line {first}; keep one")
        else:
            first_lines[key.value] = line_of(key)
            data[key.value] = to_data(value, problems, is_json=is_json or key.value in _JSON_KEYS)
            if data[key.value] is None and not is_json and key.value not in _NULL_KEYS:
                del data[key.value]
                problems.add(line_of(key), f"{key.value[:40]!r} {_explain_null(value)} or leave the key out")
    return data


def _explain_null(node: yaml.Node) -> str:
    return (
        f'is {node.value}, which is no value; put it in quotes: "{node.value}"'
        if node.value
        else "has no value; give it one"
    )


def _scalar(node: yaml.ScalarNode, problems: Problems, *, is_json: bool) -> Any:
    value: str = node.value
    if not node.style and node.tag == _TAG + "str" != _RESOLVER.resolve(yaml.ScalarNode, value, (True, False)):
        return value  # text by its tag, as in ``!!str 42``
    if node.tag == _TAG + "null":
        return None
    if node.tag == _TAG + "bool":
        return value.lower() in _TRUE
    if node.tag not in _TEXT_TAGS:
        problems.add(
            line_of(node), f"the tag {node.tag[:40]!r} is not supported; put text that starts with '!' in quotes"
        )
    elif not node.style and _INT.fullmatch(value):
        return int(value)
    elif not node.style and _FLOAT.fullmatch(value):
        return float(value)
    elif not node.style and is_json and value in _NOT_FINITE:
        return float(value.replace(".", ""))
    return value


def _read_text(path: str | Path, file: str) -> str:
    try:
        with Path(path).open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise PromptFileError([f"{file}: there is no such file; name a file of prompts"]) from error
    except IsADirectoryError as error:
        raise PromptFileError([f"{file}: this is a folder; name a file of prompts in it"]) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PromptFileError([f"{file}: cannot be read: {reason}; name a file of prompts"]) from error
    if len(raw) > MAX_BYTES:
        raise PromptFileError([f"{file}: larger than {MAX_BYTES:,} bytes; split it into several files"])
    return _decode(raw.removeprefix(codecs.BOM_UTF8), file)


def _decode(raw: bytes, file: str) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = raw.count(b"\n", 0, error.start) + 1, error.start - raw.rfind(b"\n", 0, error.start)
        message = f"byte {column} of the line, 0x{raw[error.start]:02x}, is not UTF-8; save the file as UTF-8"
        raise PromptFileError([f"{file}:{line}: {message}"]) from error
    if match := _CONTROL.search(text):
        code = ord(match[0])
        message = f'the control character U+{code:04X} is not allowed; write it as "\\u{code:04x}" in quotes'
        raise PromptFileError([f"{file}:{text.count(chr(10), 0, match.start()) + 1}: {message}"])
    return text


def _check_depth(text: str, file: str) -> None:
    # The parser yields events one by one, so depth and number of nodes are checked before any recursion.
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        line = event.start_mark.line + 1 if event.start_mark else 1
        if depth > MAX_DEPTH:
            raise PromptFileError([f"{file}:{line}: nested deeper than {MAX_DEPTH} levels; prompts need five"])
        if number > 2 * MAX_SIZE:
            raise PromptFileError([f"{file}:{line}: more than {MAX_SIZE:,} values; split the file"])


def _check_size(node: yaml.Node, file: str, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Return size and depth of a node with aliases expanded; ``known`` caches them by ``id``, None while visiting."""
    if id(node) in known:
        result = known[id(node)]
        if result is None:
            raise PromptFileError(
                [f"{file}:{line_of(node)}: an alias in it refers to the value that contains it; remove it"]
            )
        return result
    known[id(node)] = None
    if isinstance(node, yaml.ScalarNode):
        size, depth = 1 + len(node.value) // 100, 0
    else:
        pairs = isinstance(node, yaml.MappingNode)
        children = [part for pair in node.value for part in pair] if pairs else node.value
        inner = [_check_size(child, file, known) for child in children]
        size = 1 + sum(child_size for child_size, _ in inner)
        depth = 1 + max((child_depth for _, child_depth in inner), default=0)
    if size > MAX_SIZE or depth > MAX_DEPTH:
        message = f"too large or too deep, with aliases expanded (more than {MAX_SIZE:,} values or {MAX_DEPTH} levels)"
        raise PromptFileError([f"{file}:{line_of(node)}: {message}; remove aliases or split the file"])
    known[id(node)] = size, depth
    return size, depth


def _broken(error: Exception, text: str, file: str) -> PromptFileError:
    problem = (getattr(error, "problem", None) or str(error).splitlines()[0]).removeprefix("but ")
    mark = getattr(error, "problem_mark", None)
    if "end of stream" in problem:
        mark = (
            getattr(error, "context_mark", None) or mark
        )  # the opening quote is more helpful than the end of the file
    where = f"{file}:{mark.line + 1}: broken YAML at column {mark.column + 1}" if mark else f"{file}:1: broken YAML"
    advice = next((advice for pattern, advice in _ADVICE.items() if pattern in problem), "check quotes and indentation")
    if mark and text[mark.index : mark.index + 1] == "\t":
        advice = "indent with spaces"
    if mark and "mapping values" in problem:
        advice = _advise_indentation(text.splitlines(), mark.line, mark.column) or advice
    if mark and (pair := _SURROGATES.search(text, max(0, mark.index - 6))):
        code = 0x10000 + (int(pair[1], 16) - 0xD800) * 0x400 + int(pair[2], 16) - 0xDC00
        advice = f"write {chr(code)} itself, or \\U{code:08X}, for the pair {pair[0]}"
    return PromptFileError([f"{where}: {problem}; {advice}"])


def _advise_indentation(lines: list[str], place: int, column: int) -> str:
    """Return advice for a key that stands further to the right than the key above it; empty if it is something else.

    Args:
        lines: lines of the file.
        place: index of the line at which YAML fails.
        column: index of the colon in it.
    """
    above = next((index for index in range(place - 1, -1, -1) if lines[index].strip()), None)
    if above is None or not _KEY.fullmatch(lines[place][:column]):
        return ""
    return f"line {place + 1} is indented further than line {above + 1}; begin keys of one mapping in one column"
