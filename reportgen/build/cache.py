"""Find the pages of earlier runs that are up to date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from reportgen.build.cache_key import make_pair_key, make_side_key, make_valid_keys
from reportgen.build.options import CaptureOptions
from reportgen.models.fingerprint import fingerprint
from reportgen.pages.cards import Card
from reportgen.pages.links import key_at
from reportgen.pages.options import PageOptions
from reportgen.records import Comparison, Prompt
from reportgen.site.site import Site


def find_up_to_date(
    site: Site,
    prompts: Sequence[Prompt],
    comparisons: Sequence[Comparison],
    capturing: CaptureOptions,
    drawing: PageOptions,
) -> dict[str, Card]:
    """Return the cards of the pages that are up to date; no model is loaded, and the network is not used.

    Args:
        site: results folder, which need not exist.
        prompts: prompts of the run, each with its slug.
        comparisons: comparisons of the run, each with its slug. If one must be built, both of its prompts run again.
        capturing: how models are loaded and run; with ``model``, no page is up to date.
        drawing: how pages are drawn.

    Returns:
        Cards by slug, in the order of the prompts, then of the comparisons.
    """
    if capturing.model is not None or not site.root.is_dir():
        return {}
    model_fingerprint = cache(fingerprint)  # only for this call, because files may change before the next one
    cards: dict[str, Card] = {}
    for prompt in prompts:
        keys = make_valid_keys(prompt, capturing, drawing, model_fingerprint(prompt.model, prompt.adapter))
        card = site.find_current(prompt.slug, keys, drawing)
        if card:
            cards[prompt.slug] = card
    awaited = {slug for comparison in comparisons for slug in comparison.prompts}
    sides = {
        prompt.slug: make_side_key(prompt, capturing, drawing, model_fingerprint(prompt.model, prompt.adapter))
        for prompt in prompts
        if prompt.slug in awaited
    }
    files = PageOptions(site_url=drawing.site_url)  # a comparison has no tables and no capture
    for comparison in comparisons:
        key = make_pair_key(comparison, [sides[slug] for slug in comparison.prompts], drawing)
        card = site.find_current(comparison.slug, {key_at(key, drawing.site_url)} - {""}, files)
        if card:
            cards[comparison.slug] = card
    return _drop_incomplete(cards, comparisons)


def _drop_incomplete(cards: Mapping[str, Card], comparisons: Sequence[Comparison]) -> dict[str, Card]:
    """Drop comparisons and their prompts unless all three pages are up to date, because they are built together."""
    complete = dict(cards)
    groups = [{comparison.slug, *comparison.prompts} for comparison in comparisons]
    while incomplete := [group for group in groups if not complete.keys() >= group and complete.keys() & group]:
        for slug in set().union(*incomplete):
            complete.pop(slug, None)
    return complete
