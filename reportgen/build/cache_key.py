"""The key of a page: one hash over all that the page depends on, so that one that need not be made again is known.

A key holds the prompt as it is run, command line included; the options that change what is on a page; what the model
is made of; and the program: its modules and templates, and the packages that the numbers come from. What changes the
last digits of numbers alone is left out: which prompts ran beside it, and which of several like devices it ran on.
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
"""Fields of a prompt, or of a comparison, that nothing of its page depends on."""
OPTIONS_IGNORED = ("batch_size", "cluster", "fail_fast", "force", "model", "prune", "shard", "site_url", "update")
"""BuildOptions that no page depends on, and where it will be published, which ``key_at`` adds."""


def make_key(prompt: Prompt, options: BuildOptions, model_fingerprint: str) -> str:
    """Return the key of the page that a prompt would get.

    Args:
        prompt: with its slug and title.
        options: of the run.
        model_fingerprint: the model, as ``fingerprint`` tells it; empty where nobody knows.

    Returns:
        A SHA-256 in hexadecimal; empty where it is not known what the model is made of.
    """
    if not model_fingerprint or options.model is not None:
        return ""
    return _hash([_values(prompt, PROMPT_FIELDS_IGNORED), _settings(options), model_fingerprint, hash_program()])


def make_valid_keys(prompt: Prompt, options: BuildOptions, model_fingerprint: str) -> set[str]:
    """Return the keys under which a page is up to date: it is no worse for what was not asked for beside it."""
    kinds = (options.export_data,) if options.export_data else ("", *EXPORT_FORMATS)
    kept = (True,) if options.keep_captures else (False, True)
    asked = [replace(options, export_data=kind, keep_captures=keep) for kind in kinds for keep in kept]
    return {key_at(make_key(prompt, options, model_fingerprint), options.site_url) for options in asked} - {""}


def make_pair_key(comparison: Comparison, sides: Sequence[str], options: BuildOptions) -> str:
    """Return the key of the page that puts two prompts side by side.

    Args:
        comparison: with its slug and title.
        sides: what the model of each side is made of, and its prompt: their keys without what stands beside pages.
        options: of the run.

    Returns:
        As ``make_key``.
    """
    if not all(sides):
        return ""
    return _hash([_values(comparison, PROMPT_FIELDS_IGNORED), list(sides), options.shared_assets])


def make_side_key(prompt: Prompt, options: BuildOptions, model_fingerprint: str) -> str:
    """Return the key of a prompt as one side of a comparison, whatever is written beside its own page."""
    return make_key(prompt, replace(options, export_data="", keep_captures=False), model_fingerprint)


def _settings(options: BuildOptions) -> dict[str, Any]:
    """Return the options that change a page: all but those that say which pages a run makes, and how fast."""
    return _values(options, OPTIONS_IGNORED) | {"device": options.device.partition(":")[0]}


def _values(record: Any, without: Collection[str]) -> dict[str, Any]:
    """Return the fields of a record, but for some."""
    return {item.name: getattr(record, item.name) for item in fields(record) if item.name not in without}


def _hash(values: list[Any]) -> str:
    content = json.dumps(values, ensure_ascii=False, sort_keys=True, default=repr)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


@cache
def hash_program() -> str:
    """Return a hash of this program's modules and templates, and of the versions of what they run on."""
    package = Path(__file__).parents[1]
    whole = hashlib.sha256(repr([python_version(), *map(version, _PACKAGES)]).encode())
    for folder, pattern in ((package, "*.py"), (find_templates(), "*")):
        for path in sorted(folder.rglob(pattern)):
            if path.is_file():
                whole.update(f"{path.relative_to(folder).as_posix()}\0".encode())
                whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
