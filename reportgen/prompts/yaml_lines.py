"""A YAML file as a tree whose every node knows its line, read without ever expanding an alias bomb.

Numbers and dates follow what people expect rather than YAML 1.1: ``1e-3`` is a number, while ``010``, ``1:30`` and
``2024-01-01`` stay text. ``yes`` and ``off`` are booleans, as in YAML 1.1.
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
MAX_SIZE = 200_000  # nodes, and a node more for every 100 characters, once aliases are filled in
MAX_PROBLEMS = 200  # that are told; the others are counted

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)")
_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = tuple(_TAG + name for name in ("str", "int", "float", "timestamp", "value"))
_TRUE = ("yes", "true", "on")
_ADVICE = {
    "mapping values are not allowed": "put text that holds ': ' in quotes",
    "tab character": "indent with spaces",
    "end of stream": "close the quote or bracket",
    "maximum nesting": "put text that starts with '[' or '{' in quotes",
    "another document": "keep one document, without a second '---'",
    "undefined alias": "put text that starts with '*' in quotes",
    "cannot start any token": "put text that starts with such a character in quotes",
}


class Problems:
    """What is wrong with one file, collected so that all of it can be shown at once."""

    def __init__(self, file: str = "") -> None:
        """Start with no problem.

        Args:
            file: name of the file as the user wrote it; empty for prompts made by hand.
        """
        self.file = file
        self._found: list[tuple[int, str, str]] = []
        self._num_untold = 0
        self._options_alone = True

    def __bool__(self) -> bool:
        """Return whether there is a problem."""
        return bool(self._found)

    @property
    def are_many(self) -> bool:
        """Whether so many are told that further ones are only counted; to word them would be lost time."""
        return len(self._found) >= MAX_PROBLEMS

    def add(self, line: int, message: str) -> None:
        """Note one problem at a 1-based line."""
        self._note(line, f"{self.file}:{line}", message)
        self._options_alone = False

    def add_at(self, place: SourceLocation, key: str, message: str) -> None:
        """Note one problem of a key of a prompt, which may be what an option of the command line has put there."""
        self._note(place.line_of(key), place.of(key), message)
        self._options_alone &= key in place.options

    def leave_untold(self) -> None:
        """Count one more problem without wording it."""
        self._num_untold += 1

    def _note(self, line: int, where: str, message: str) -> None:
        if self.are_many:
            self.leave_untold()
        else:
            self._found.append((line, where, message))

    def check_none(self) -> None:
        """Raise if there is a problem.

        Raises:
            PromptFileError: the file is wrong; holds its problems in the order of the lines, the first ``MAX_PROBLEMS``
                of them and the number of the others.
            OptionError: only an option of the command line is wrong.
        """
        # What an option says comes last, so that the message begins with a place in the file.
        ordered = dict.fromkeys(sorted(self._found, key=lambda found: (found[0] == 0, found[0])))
        if ordered and self._options_alone:
            _, option, message = next(iter(ordered))
            raise OptionError(option, message)
        if ordered:
            told = [f"{where}: {message}" for _, where, message in ordered]
            untold = f"{self.file}: {self._num_untold:,} more problems like these; mend these first"
            raise PromptFileError([*told, untold] if self._num_untold else told)


def load_tree(path: str | Path) -> yaml.Node | None:
    """Read a YAML file.

    Args:
        path: the file: UTF-8, with or without a byte order mark, at most ``MAX_BYTES`` bytes.

    Returns:
        The root node, in which an alias is the very node it stands for; ``None`` for a file without content.

    Raises:
        PromptFileError: it cannot be read, is not UTF-8, is broken YAML, is nested deeper than ``MAX_DEPTH``, or would
            grow over ``MAX_SIZE`` when aliases are filled in; with the line wherever there is one.
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
    """Return the 1-based line of each key of a mapping, the first where it stands twice; none for any other node."""
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: line_of(key) for key, _ in reversed(node.value) if isinstance(key, yaml.ScalarNode)}


def child_of(node: yaml.Node, step: str | int) -> tuple[yaml.Node, int] | None:
    """Return the value under a key or index with its 1-based line, which is the key's; ``None`` where it is missing."""
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], line_of(node.value[step])
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == step:
                return value, line_of(key)
    return None


def to_data(node: yaml.Node, problems: Problems) -> Any:
    """Return the plain lists, dicts and scalars of a tree.

    A key that is not a scalar, stands twice or has no value is a problem and is left out.

    Args:
        node: what ``load_tree`` gave, or a part of it.
        problems: takes what is wrong.

    Returns:
        The data; the keys of every dict are text.
    """
    if isinstance(node, yaml.SequenceNode):
        return [to_data(item, problems) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, problems)
    return _scalar(node, problems) if isinstance(node, yaml.ScalarNode) else None


def _mapping(node: yaml.MappingNode, problems: Problems) -> dict[str, Any]:
    data: dict[str, Any] = {}
    first_lines: dict[str, int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            problems.add(
                line_of(key), "a key must be a word, got a list or mapping; put text that holds { or [ in quotes"
            )
        elif key.tag == _TAG + "merge":
            problems.add(line_of(key), "merge keys (<<) are not read; put what prompts share under 'defaults'")
        elif key.value in first_lines:
            first = first_lines[key.value]
            problems.add(line_of(key), f"key {key.value[:40]!r} is given twice, first on line {first}; keep one")
        else:
            first_lines[key.value] = line_of(key)
            data[key.value] = to_data(value, problems)
            if data[key.value] is None:
                del data[key.value]
                problems.add(line_of(key), f"{key.value[:40]!r} has no value; give it one or leave the key out")
    return data


def _scalar(node: yaml.ScalarNode, problems: Problems) -> Any:
    value: str = node.value
    if node.tag == _TAG + "null":
        return None
    if node.tag == _TAG + "bool":
        return value.lower() in _TRUE
    if node.tag not in _TEXT_TAGS:
        problems.add(line_of(node), f"the tag {node.tag[:40]!r} is not read; put text that starts with '!' in quotes")
    elif not node.style and _INT.fullmatch(value):
        return int(value)
    elif not node.style and _FLOAT.fullmatch(value):
        return float(value)
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
        what = f"byte {column} of the line, 0x{raw[error.start]:02x}, is not UTF-8; save the file as UTF-8"
        raise PromptFileError([f"{file}:{line}: {what}"]) from error
    if found := _CONTROL.search(text):
        code = ord(found[0])
        what = f'the control character U+{code:04X} is not allowed; write it as "\\u{code:04x}" in quotes'
        raise PromptFileError([f"{file}:{text.count(chr(10), 0, found.start()) + 1}: {what}"])
    return text


def _check_depth(text: str, file: str) -> None:
    # Events come one by one, so the depth and number of nodes are known before anything recurses over them.
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
    """Return size and depth of a node with aliases filled in; ``known`` holds them by ``id``, None while under way."""
    if id(node) in known:
        result = known[id(node)]
        if result is None:
            raise PromptFileError(
                [f"{file}:{line_of(node)}: the alias inside stands for what it is part of; remove it"]
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
        what = f"too large or too deep, with aliases filled in (more than {MAX_SIZE:,} values or {MAX_DEPTH} levels)"
        raise PromptFileError([f"{file}:{line_of(node)}: {what}; remove aliases or split the file"])
    known[id(node)] = size, depth
    return size, depth


def _broken(error: Exception, text: str, file: str) -> PromptFileError:
    problem = (getattr(error, "problem", None) or str(error).splitlines()[0]).removeprefix("but ")
    mark = getattr(error, "problem_mark", None)
    if "end of stream" in problem:
        mark = getattr(error, "context_mark", None) or mark  # where the quote opens says more than where the file ends
    where = f"{file}:{mark.line + 1}: broken YAML at column {mark.column + 1}" if mark else f"{file}:1: broken YAML"
    advice = next((advice for sign, advice in _ADVICE.items() if sign in problem), "check quotes and indentation")
    if mark and text[mark.index : mark.index + 1] == "\t":
        advice = "indent with spaces"
    return PromptFileError([f"{where}: {problem}; {advice}"])
