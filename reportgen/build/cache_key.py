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

from reportgen.build.options import BuildOptions
from reportgen.pages.links import key_at
from reportgen.paths import find_templates
from reportgen.records import EXPORT_FORMATS, Comparison, Prompt

_PACKAGES = ("bokeh", "numpy", "tokenizers", "torch", "transformers")
PROMPT_FIELDS_IGNORED = ("place",)
"""Fields of a prompt or a comparison that its page does not depend on."""
OPTIONS_IGNORED = ("batch_size", "cluster", "fail_fast", "force", "model", "prune", "shard", "site_url", "update")
"""Fields of ``BuildOptions`` that no page depends on, and ``site_url``, which ``key_at`` adds to the key."""


def make_key(prompt: Prompt, options: BuildOptions, model_fingerprint: str) -> str:
    """Return the cache key of a prompt's page.

    Args:
        prompt: prompt with its slug and title.
        options: options of the run.
        model_fingerprint: fingerprint of the model, as returned by ``fingerprint``; empty if unknown.

    Returns:
        A SHA-256 hash in hexadecimal; empty if the model's fingerprint is unknown.
    """
    if not model_fingerprint or options.model is not None:
        return ""
    return _hash([_values(prompt, PROMPT_FIELDS_IGNORED), _settings(options), model_fingerprint, hash_program()])


def make_valid_keys(prompt: Prompt, options: BuildOptions, model_fingerprint: str) -> set[str]:
    """Return all keys of an up-to-date page, including those of a run that also wrote tables or captures."""
    kinds = (options.export_data,) if options.export_data else ("", *EXPORT_FORMATS)
    kept = (True,) if options.keep_captures else (False, True)
    variants = [replace(options, export_data=kind, keep_captures=keep) for kind in kinds for keep in kept]
    return {key_at(make_key(prompt, variant, model_fingerprint), variant.site_url) for variant in variants} - {""}


def make_pair_key(comparison: Comparison, sides: Sequence[str], options: BuildOptions) -> str:
    """Return the cache key of a comparison's page.

    Args:
        comparison: comparison with its slug and title.
        sides: keys of its two prompts, as returned by ``make_side_key``.
        options: options of the run.

    Returns:
        A SHA-256 hash in hexadecimal; empty if the key of a side is empty.
    """
    if not all(sides):
        return ""
    return _hash([_values(comparison, PROMPT_FIELDS_IGNORED), list(sides), options.shared_assets])


def make_side_key(prompt: Prompt, options: BuildOptions, model_fingerprint: str) -> str:
    """Return the key of a prompt as a side of a comparison; it ignores tables and captures written with its page."""
    return make_key(prompt, replace(options, export_data="", keep_captures=False), model_fingerprint)


def _settings(options: BuildOptions) -> dict[str, Any]:
    """Return the options that change a page."""
    return _values(options, OPTIONS_IGNORED) | {"device": options.device.partition(":")[0]}


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
