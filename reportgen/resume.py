"""Which pages of an earlier run need not be made again."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from reportgen.models.fingerprint import fingerprint
from reportgen.options import Options
from reportgen.page_keys import make_valid_keys
from reportgen.pages.cards import Card
from reportgen.records import Prompt
from reportgen.site import has_capture, has_tables, read_current


def find_current(folder: Path, prompts: Iterable[Prompt], options: Options) -> dict[str, Card]:
    """Return the cards of the pages that are as a run would make them; no model is loaded, and nobody is asked.

    Args:
        folder: the site, which need not be there.
        prompts: of the run, each with its slug.
        options: of the run; a model in memory, or ``force``, leaves no page as it is.

    Returns:
        Cards by slug, in the order of the prompts.
    """
    if options.force or options.model is not None or not folder.is_dir():
        return {}
    made_of = cache(fingerprint)  # for this once: files may be others at the next call
    found: dict[str, Card] = {}
    for prompt in prompts:
        keys = make_valid_keys(prompt, options, made_of(prompt.model, prompt.adapter))
        card = read_current(folder, prompt.slug, keys)
        if card and _has_all(folder, prompt.slug, options):
            found[prompt.slug] = card
    return found


def _has_all(folder: Path, slug: str, options: Options) -> bool:
    """Say whether what is asked for beside a page is there."""
    if options.export_data and not has_tables(folder, slug, options.export_data):
        return False
    return not options.keep_captures or has_capture(folder, slug)
