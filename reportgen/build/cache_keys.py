"""The two keys of a page: one for its numbers and one for the page itself.

The numbers key covers what the model computes: the prompt, the files of the model, the device and the dtype, and the
program that runs it. A capture is saved under it. The page key covers the numbers key and how the page is drawn. A page
with the same page key is up to date; if only its page key changes, the page is drawn again from its capture.

No key covers what changes only the last digits of numbers: the other prompts of the batch, and which of several equal
devices ran it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reportgen.build.options import CaptureOptions
from reportgen.build.resolve import ResolvedModel
from reportgen.pages.options import PageOptions
from reportgen.pages.page_keys import PageKeys
from reportgen.paths import find_templates
from reportgen.records import Comparison, Prompt

NUMBERS_CODE = ("records", "models", "instrumentation", "captures", "evidence")
"""Packages of this program that the numbers depend on."""
NUMBERS_PACKAGES = ("numpy", "tokenizers", "torch", "transformers")
DRAWING_CODE = ("pages",)
DRAWING_PACKAGES = ("bokeh",)
DRAWN_FIELDS = ("title", "slug", "tags", "note", "claims", "story")
"""Fields of a prompt that its page shows and its numbers do not depend on."""
IGNORED_FIELDS = ("place",)
"""Fields of a prompt or a comparison that its page does not depend on."""
RESOLVED_OPTIONS = ("device", "dtype")
"""Fields of ``CaptureOptions`` that a ``ResolvedModel`` has in their place."""
OPTIONS_IGNORED = ("allow_pickle", "batch_size", "model", "export_data", "keep_captures")
"""Fields of ``CaptureOptions`` and ``PageOptions`` that no page depends on."""


def make_numbers_key(prompt: Prompt, capturing: CaptureOptions, model: ResolvedModel | None) -> str:
    """Return the hash of everything that the numbers of a prompt depend on.

    Args:
        prompt: prompt to run.
        capturing: how the model is loaded and run.
        model: what the request for the model stands for; ``None`` if it is unknown.

    Returns:
        A SHA-256 hash in hexadecimal; empty if ``model`` is ``None``.
    """
    if model is None:
        return ""
    resolved = asdict(model) if prompt.messages else {**asdict(model), "clock": ()}
    settings = _values(capturing, (*OPTIONS_IGNORED, *RESOLVED_OPTIONS))
    return _hash([_values(prompt, (*IGNORED_FIELDS, *DRAWN_FIELDS)), settings, resolved, hash_numbers_code()])


def make_page_keys(prompt: Prompt, numbers_key: str, drawing: PageOptions) -> PageKeys:
    """Return the keys of a prompt's page.

    Args:
        prompt: prompt with its slug and title.
        numbers_key: key of its numbers, as returned by ``make_numbers_key``.
        drawing: how the page is drawn.
    """
    if not numbers_key:
        return PageKeys()
    drawn = {name: getattr(prompt, name) for name in DRAWN_FIELDS}
    page = _hash([numbers_key, drawn, _values(drawing, OPTIONS_IGNORED), hash_drawing_code()])
    return PageKeys(page, numbers_key)


def make_comparison_keys(comparison: Comparison, sides: Sequence[tuple[Prompt, str]], drawing: PageOptions) -> PageKeys:
    """Return the keys of a comparison's page.

    Args:
        comparison: comparison with its slug and title.
        sides: its prompts, each with its numbers key.
        drawing: how the page is drawn.
    """
    if not all(key for _, key in sides):
        return PageKeys()
    pages = [make_page_keys(prompt, key, drawing).page for prompt, key in sides]
    numbers = " ".join(f"{prompt.slug}={key}" for prompt, key in sides)
    return PageKeys(_hash([_values(comparison, IGNORED_FIELDS), pages]), numbers)


def _values(record: Any, without: Collection[str]) -> dict[str, Any]:
    """Return the fields of a record as a dictionary, except those in ``without``."""
    return {item.name: getattr(record, item.name) for item in fields(record) if item.name not in without}


def _hash(values: list[Any]) -> str:
    content = json.dumps(values, ensure_ascii=False, sort_keys=True, default=_spell_out)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _spell_out(value: Any) -> Any:
    """Return a record as its type and all of its fields, for JSON."""
    return [type(value).__name__, _values(value, ())] if is_dataclass(value) else repr(value)


@cache
def hash_numbers_code() -> str:
    """Return a hash of the modules and the packages that the numbers depend on."""
    package = Path(__file__).parents[1]
    return _hash_files([package / name for name in NUMBERS_CODE], NUMBERS_PACKAGES)


@cache
def hash_drawing_code() -> str:
    """Return a hash of the modules, the templates and the packages that pages are drawn with."""
    package = Path(__file__).parents[1]
    return _hash_files([*(package / name for name in DRAWING_CODE), find_templates()], DRAWING_PACKAGES)


def _hash_files(folders: Sequence[Path], packages: Sequence[str]) -> str:
    whole = hashlib.sha256(repr([*map(version, packages)]).encode())
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                whole.update(f"{folder.name}/{path.relative_to(folder).as_posix()}\0".encode())
                whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
