"""Render templates; a name that is missing in the context is an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reportgen import __version__
from reportgen.paths import find_templates

GENERATOR = f"reportgen {__version__}"
"""Value of the ``generator`` meta tag of every page and index."""


def render(template: str, context: Any) -> str:
    """Render a template with the fields of a dataclass.

    Raises:
        jinja2.UndefinedError: the template uses a name that is not a field of the dataclass.
    """
    # asdict would copy every array and convert the records that templates use to dictionaries.
    return _environment().get_template(template).render({f.name: getattr(context, f.name) for f in fields(context)})


def compile_templates() -> None:
    """Compile all templates, which are otherwise compiled when they are first rendered."""
    for name in _environment().list_templates(extensions=["jinja2"]):
        _environment().get_template(name)


def get_macro(template: str, name: str) -> Callable[..., str]:
    """Return a macro of a template, as a function that gives HTML."""
    return getattr(_environment().get_template(template).module, name)


def strip_margin(text: str) -> str:
    """Return a script or a template without indentation and empty lines; string literals must not span lines."""
    return re.sub(r"^\s+", "", text, flags=re.MULTILINE)


class _Loader(FileSystemLoader):
    """Loads templates without their indentation, which would only make every page larger."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        source, path, is_current = super().get_source(environment, template)
        return strip_margin(source), path, is_current


@cache
def _environment() -> Environment:
    return Environment(
        loader=_Loader(find_templates()), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
