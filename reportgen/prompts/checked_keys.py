"""Check the mappings of a prompt file against the keys, and find the line of each mistake."""

from __future__ import annotations

from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from reportgen.prompts.yaml_lines import Problems, child_of, line_of
from reportgen.records.key_messages import explain

_Keys = TypeVar("_Keys", bound=BaseModel)


def check_keys(
    keys: type[_Keys], data: dict[str, Any], node: yaml.Node, problems: Problems, where: str = ""
) -> _Keys | None:
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
                problems.count_omitted()
                continue
            wrong_node, line = _find(node, error["loc"])
            problems.add(line, explain(error, wrong_node, keys, where))
        return None


def _find(node: yaml.Node, loc: tuple[str | int, ...]) -> tuple[yaml.Node | None, int]:
    """Return the node at pydantic's location, ``None`` if it is not in the file, and the nearest line."""
    current: yaml.Node | None = node
    line = line_of(node)
    for step in loc:
        child = child_of(current, step) if current else None
        if child is None:
            # A prompt that is a plain text has no child node for 'text'.
            return (current if isinstance(current, yaml.ScalarNode) else None), line
        current, line = child
    return current, line
