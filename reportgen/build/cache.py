"""Find what earlier runs left that a run can use: pages that are up to date, and captures to draw pages from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from reportgen.build.cache_keys import make_comparison_keys, make_numbers_key, make_page_keys
from reportgen.build.options import CaptureOptions
from reportgen.build.resolve import resolve_model
from reportgen.pages.cards import Card
from reportgen.pages.options import PageOptions
from reportgen.records import Comparison, Prompt
from reportgen.site.site import Site


class Cache:
    """The results folder as a cache of pages and captures; no model is loaded, and the network is not used."""

    def __init__(self, site: Site, capturing: CaptureOptions, drawing: PageOptions, auto_device: str) -> None:
        """Store how the pages of this run are made.

        Args:
            site: results folder, which need not exist.
            capturing: how models are loaded and run; with ``model``, nothing is up to date.
            drawing: how pages are drawn.
            auto_device: kind of device that ``auto`` stands for.
        """
        self._site, self._capturing, self._drawing = site, capturing, drawing
        # Only for this run, because files may change before the next one.
        self._resolve = cache(lambda model, adapter: resolve_model(model, adapter, capturing, auto_device))

    def find_numbers_key(self, prompt: Prompt) -> str:
        """Return the numbers key of a prompt; empty if it is unknown."""
        return make_numbers_key(prompt, self._capturing, self._resolve(prompt.model, prompt.adapter))

    def find_pages(self, prompts: Sequence[Prompt], comparisons: Sequence[Comparison]) -> dict[str, Card]:
        """Return the cards of the pages that are up to date.

        Args:
            prompts: prompts of the run, each with its slug.
            comparisons: comparisons of these prompts, each with its slug.

        Returns:
            Cards by slug, in the order of the prompts, then of the comparisons.
        """
        if self._capturing.model is not None or not self._site.root.is_dir():
            return {}
        by_slug = {prompt.slug: prompt for prompt in prompts}
        keys = {prompt.slug: make_page_keys(prompt, self.find_numbers_key(prompt), self._drawing) for prompt in prompts}
        found = {slug: self._site.find_current(slug, key.page, self._drawing) for slug, key in keys.items()}
        files = replace(self._drawing, export_data="", keep_captures=False)  # a comparison has no such files
        for comparison in comparisons:
            sides = [(by_slug[slug], keys[slug].numbers) for slug in comparison.prompts]
            key = make_comparison_keys(comparison, sides, self._drawing).page
            found[comparison.slug] = self._site.find_current(comparison.slug, key, files)
        return {slug: card for slug, card in found.items() if card}

    def find_captures(self, prompts: Sequence[Prompt]) -> dict[str, Path]:
        """Return the captures from which prompts can be drawn without running the model, by slug of the prompt."""
        keys = {prompt.slug: self.find_numbers_key(prompt) for prompt in prompts}
        paths = {slug: self._site.find_capture(slug, key) for slug, key in keys.items() if key}
        return {slug: path for slug, path in paths.items() if path}
