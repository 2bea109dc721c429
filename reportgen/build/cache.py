"""Which pages of an earlier run need not be made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from reportgen.models.fingerprint import fingerprint
from reportgen.build.options import Options
from reportgen.build.cache_key import add_address, make_pair_key, make_side_key, make_valid_keys
from reportgen.pages.cards import Card
from reportgen.records import Comparison, Prompt
from reportgen.site.site import has_capture, has_preview, has_tables, read_current


def find_up_to_date(
    folder: Path, prompts: Sequence[Prompt], options: Options, comparisons: Sequence[Comparison] = ()
) -> dict[str, Card]:
    """Return the cards of the pages that are as a run would make them; no model is loaded, and nobody is asked.

    Args:
        folder: the site, which need not be there.
        prompts: of the run, each with its slug.
        options: of the run; a model in memory, or ``force``, leaves no page as it is.
        comparisons: of the run, each with its slug. One that has to be made takes both of its prompts.

    Returns:
        Cards by slug, in the order of the prompts, then of the comparisons.
    """
    if options.force or options.model is not None or not folder.is_dir():
        return {}
    model_fingerprint = cache(fingerprint)  # for this once: files may be others at the next call
    found: dict[str, Card] = {}
    for prompt in prompts:
        keys = make_valid_keys(prompt, options, model_fingerprint(prompt.model, prompt.adapter))
        card = read_current(folder, prompt.slug, keys)
        if card and _has_all(folder, prompt.slug, options):
            found[prompt.slug] = card
    awaited = {slug for one in comparisons for slug in one.prompts}
    sides = {
        prompt.slug: make_side_key(prompt, options, model_fingerprint(prompt.model, prompt.adapter))
        for prompt in prompts
        if prompt.slug in awaited
    }
    for one in comparisons:
        key = make_pair_key(one, [sides[slug] for slug in one.prompts], options)
        card = read_current(folder, one.slug, {add_address(key, options.site_url)} - {""})
        if card and _is_pictured(folder, one.slug, options):
            found[one.slug] = card
    return _whole(found, comparisons)


def _whole(found: Mapping[str, Card], comparisons: Sequence[Comparison]) -> dict[str, Card]:
    """Leave out comparisons of which something is missing, with their prompts: they are made together."""
    left = dict(found)
    while broken := [
        {one.slug, *one.prompts}
        for one in comparisons
        if not left.keys() >= {one.slug, *one.prompts} and left.keys() & {one.slug, *one.prompts}
    ]:
        for slug in set().union(*broken):
            left.pop(slug, None)
    return left


def _has_all(folder: Path, slug: str, options: Options) -> bool:
    """Say whether what is asked for beside a page is there."""
    if options.export_data and not has_tables(folder, slug, options.export_data):
        return False
    if options.keep_captures and not has_capture(folder, slug):
        return False
    return _is_pictured(folder, slug, options)


def _is_pictured(folder: Path, slug: str, options: Options) -> bool:
    return not options.site_url or has_preview(folder, slug)
