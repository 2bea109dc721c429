"""One text on several revisions of a model: a prompt for each, which the file compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reportgen.prompts.slugs import shorten, title_of
from reportgen.records import DEFAULT_MODEL, Prompt, public_name


def find_wrong_revisions(values: Mapping[str, Any]) -> str:
    """Return what is wrong about the revisions of a prompt.

    Args:
        values: checked keys of the prompt, with those that it inherits.

    Returns:
        The mistake as the end of a sentence that begins with the prompt; empty if there is none.
    """
    model = values.get("model", DEFAULT_MODEL)
    if model == DEFAULT_MODEL or public_name(model) != model or Path(model).expanduser().exists():
        return f"has 'revisions', and the model {model!r} is not on the hub; name a hub model, such as owner/name"
    if "@" in model:
        return f"has 'revisions', and the model {model!r} names one; leave out what is behind the '@'"
    generation = values.get("generation")
    if len(values.get("continuation", ())) > 1 or (generation is not None and generation.num_return_sequences > 1):
        return "has 'revisions' and several texts of each; keep one continuation or return sequence"
    return ""


def split_revisions(prompt: Prompt, revisions: Sequence[str]) -> Iterator[Prompt]:
    """Yield a prompt for each revision of its model, in this order; its slug ends in ``-1``, ``-2``, …."""
    repo, colon, file = prompt.model.partition(":")
    for number, revision in enumerate(revisions, 1):
        yield replace(
            prompt,
            model=f"{repo}@{revision}{colon}{file}",
            slug=f"{prompt.slug}-{number}" if prompt.slug else "",
            title=shorten(f"{revision}: {title_of(prompt)}"),
        )
