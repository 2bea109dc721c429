"""The cache key of a page: a hash of everything that the page depends on. A page with the same key is up to date.

The key covers the prompt, including command-line overrides; the options that change the page; the model's fingerprint;
and the program: its modules, its templates and the versions of the packages that compute the numbers. It does not cover
what changes only the last digits of numbers: the other prompts of the batch, and which of several equal devices ran it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from reportgen.build.options import CaptureOptions
from reportgen.pages.links import key_at
from reportgen.pages.options import PageOptions
from reportgen.paths import find_templates
from reportgen.records import EXPORT_FORMATS, Comparison, Prompt

_PACKAGES = ("bokeh", "numpy", "tokenizers", "torch", "transformers")
PROMPT_FIELDS_IGNORED = ("place",)
"""Fields of a prompt or a comparison that its page does not depend on."""
OPTIONS_IGNORED = ("batch_size", "model", "site_url")
"""Fields of ``CaptureOptions`` and ``PageOptions`` that no page depends on, and ``site_url``, which ``key_at`` adds."""


def make_key(prompt: Prompt, capturing: CaptureOptions, drawing: PageOptions, model_fingerprint: str) -> str:
    """Return the cache key of a prompt's page, without the site's URL.

    Args:
        prompt: prompt with its slug and title.
        capturing: how the model is loaded and run.
        drawing: how the page is drawn.
        model_fingerprint: fingerprint of the model, as returned by ``fingerprint``; empty if unknown.

    Returns:
        A SHA-256 hash in hexadecimal; empty if the model's fingerprint is unknown.
    """
    if not model_fingerprint or capturing.model is not None:
        return ""
    prompt_fields, settings = _values(prompt, PROMPT_FIELDS_IGNORED), _values(capturing, OPTIONS_IGNORED)
    settings |= _values(drawing, OPTIONS_IGNORED) | {"device": capturing.device.partition(":")[0]}
    return _hash([prompt_fields, settings, model_fingerprint, hash_program()])


def make_valid_keys(
    prompt: Prompt, capturing: CaptureOptions, drawing: PageOptions, model_fingerprint: str
) -> set[str]:
    """Return all keys of an up-to-date page, including those of a run that also wrote tables or captures."""
    kinds = (drawing.export_data,) if drawing.export_data else ("", *EXPORT_FORMATS)
    kept = (True,) if drawing.keep_captures else (False, True)
    variants = [replace(drawing, export_data=kind, keep_captures=keep) for kind in kinds for keep in kept]
    keys = (make_key(prompt, capturing, variant, model_fingerprint) for variant in variants)
    return {key_at(key, drawing.site_url) for key in keys} - {""}


def make_pair_key(comparison: Comparison, sides: Sequence[str], drawing: PageOptions) -> str:
    """Return the cache key of a comparison's page, without the site's URL.

    Args:
        comparison: comparison with its slug and title.
        sides: keys of its two prompts, as returned by ``make_side_key``.
        drawing: how the page is drawn.

    Returns:
        A SHA-256 hash in hexadecimal; empty if the key of a side is empty.
    """
    if not all(sides):
        return ""
    return _hash([_values(comparison, PROMPT_FIELDS_IGNORED), list(sides), drawing.shared_assets])


def make_side_key(prompt: Prompt, capturing: CaptureOptions, drawing: PageOptions, model_fingerprint: str) -> str:
    """Return the key of a prompt as a side of a comparison; it ignores tables and captures written with its page."""
    return make_key(prompt, capturing, replace(drawing, export_data="", keep_captures=False), model_fingerprint)


def _values(record: Any, without: Collection[str]) -> dict[str, Any]:
    """Return the fields of a record as a dictionary, except those in ``without``."""
    return {item.name: getattr(record, item.name) for item in fields(record) if item.name not in without}


def _hash(values: list[Any]) -> str:
    content = json.dumps(values, ensure_ascii=False, sort_keys=True, default=repr)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


@cache
def hash_program() -> str:
    """Return a hash of this program's modules and templates and of the versions of Python and its dependencies."""
    package = Path(__file__).parents[1]
    whole = hashlib.sha256(repr([python_version(), *map(version, _PACKAGES)]).encode())
    for folder, pattern in ((package, "*.py"), (find_templates(), "*")):
        for path in sorted(folder.rglob(pattern)):
            if path.is_file():
                whole.update(f"{path.relative_to(folder).as_posix()}\0".encode())
                whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
