"""Which pages of an earlier run need not be made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from reportgen.build.cache_key import make_pair_key, make_side_key, make_valid_keys
from reportgen.build.options import BuildOptions
from reportgen.models.fingerprint import fingerprint
from reportgen.pages.cards import Card
from reportgen.pages.links import key_at
from reportgen.records import Comparison, Prompt
from reportgen.site.site import Site


def find_up_to_date(
    site: Site, prompts: Sequence[Prompt], options: BuildOptions, comparisons: Sequence[Comparison] = ()
) -> dict[str, Card]:
    """Return the cards of the pages that are as a run would make them; no model is loaded, and nobody is asked.

    Args:
        site: whose folder need not be there.
        prompts: of the run, each with its slug.
        options: of the run; a model in memory, or ``force``, leaves no page as it is.
        comparisons: of the run, each with its slug. One that has to be made takes both of its prompts.

    Returns:
        Cards by slug, in the order of the prompts, then of the comparisons.
    """
    if options.force or options.model is not None or not site.root.is_dir():
        return {}
    model_fingerprint = cache(fingerprint)  # for this once: files may be others at the next call
    found: dict[str, Card] = {}
    for prompt in prompts:
        keys = make_valid_keys(prompt, options, model_fingerprint(prompt.model, prompt.adapter))
        card = site.find_current(prompt.slug, keys)
        if card and _has_all(site, prompt.slug, options):
            found[prompt.slug] = card
    awaited = {slug for one in comparisons for slug in one.prompts}
    sides = {
        prompt.slug: make_side_key(prompt, options, model_fingerprint(prompt.model, prompt.adapter))
        for prompt in prompts
        if prompt.slug in awaited
    }
    for one in comparisons:
        key = make_pair_key(one, [sides[slug] for slug in one.prompts], options)
        card = site.find_current(one.slug, {key_at(key, options.site_url)} - {""})
        if card and _is_pictured(site, one.slug, options):
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


def _has_all(site: Site, slug: str, options: BuildOptions) -> bool:
    """Say whether what is asked for beside a page is there."""
    if options.export_data and not site.has_tables(slug, options.export_data):
        return False
    if options.keep_captures and not site.has_capture(slug):
        return False
    return _is_pictured(site, slug, options)


def _is_pictured(site: Site, slug: str, options: BuildOptions) -> bool:
    return not options.site_url or site.has_preview(slug)
