"""Pages from captures on disk, without the model and without torch: what a changed template needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from reportgen.captures.file import load_prompt, load_with_key
from reportgen.pages.artifacts import render_artifacts
from reportgen.pages.cards import Card, FailureCard
from reportgen.pages.data_tables import check_format
from reportgen.pages.links import check_site_url
from reportgen.pages.options import MAX_PAGE_MB, PageOptions
from reportgen.prompts.slugs import name_pages
from reportgen.records import Prompt, SourceLocation
from reportgen.records.errors import CaptureFileError
from reportgen.site.site import Site


def render_site(
    captures: Iterable[Path | str],
    results: Path | str,
    options: PageOptions = PageOptions(max_mb=MAX_PAGE_MB),
    *,
    table_format: str = "",
    done: Callable[[Path], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
) -> Path:
    """Make the pages of captures, and an index of them and of what is in the folder already.

    Args:
        captures: files of ``--keep-captures``, and folders of them or of the site that holds them.
        results: folder of the site.
        options: how pages are drawn; without ``site_url``, the address that the last run into the folder was told.
        table_format: write the tables of numbers too, as ``csv`` or ``parquet``; empty writes none.
        done: told the path of every page once it is written.
        warn: told what a page leaves out.

    Returns:
        The path of the index.

    Raises:
        CaptureFileError: a file holds no capture; as a rule that is found before anything is written.
        PromptFileError: two captures have the same slug, or one has a slug that cannot be a file name.
        OptionError: ``site_url`` is no web address; nothing is written.
        SiteError: the folder cannot be written.
        ReportgenError: what ``table_format`` needs is not installed; nothing is written.
    """
    check_format(table_format)
    given = check_site_url(options.site_url)
    named, site = _name(find_captures(captures)), Site(results)
    with site.lock():
        run = site.read_run()
        run = replace(run, site_url=given or run.site_url)
        options = replace(options, site_url=run.site_url)
        site.open((prompt.slug for _, prompt in named), shared_assets=options.shared_assets, site_url=run.site_url)
        cards: dict[str, Card | FailureCard] = {card.slug: card for card in site.read_cards()}
        try:
            for path, prompt in named:
                capture, key = load_with_key(path)
                capture = replace(capture, prompt=replace(capture.prompt, slug=prompt.slug, title=prompt.title))
                artifacts = render_artifacts(capture, replace(options, key=key), table_format=table_format)
                page = site.write(prompt.slug, artifacts)
                if artifacts.dropped:
                    warn(f"{page}: {artifacts.dropped}")
                cards[prompt.slug] = artifacts.card
                done(page)
        finally:
            left_out = [slug for slug in site.read_left_out() if slug not in cards]
            index = site.write_index(tuple(cards.values()), left_out, run)
    return index


def find_captures(paths: Iterable[Path | str]) -> list[Path]:
    """Return the files of captures: those given, and those in the folders given, by name.

    Raises:
        CaptureFileError: there is none in a folder, or none at all.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(path.glob("*.safetensors")) or sorted(Site(path).captures.glob("*.safetensors"))
        if not inside:
            raise CaptureFileError(f"{path}: holds no captures; build with --keep-captures, or name their folder")
        found += inside
    if not found:
        raise CaptureFileError("no captures are given; name files of --keep-captures, or their folder")
    return found


def _name(paths: Sequence[Path]) -> list[tuple[Path, Prompt]]:
    """Pair files with their prompts, each with a slug and a title, in the order of the prompt file they came from."""
    pairs = sorted(((path, load_prompt(path)) for path in paths), key=lambda pair: _place_of(pair[1]))
    told_by_file = [replace(prompt, place=SourceLocation(str(path), 1)) for path, prompt in pairs]
    return [(path, prompt) for (path, _), prompt in zip(pairs, name_pages(told_by_file), strict=True)]


def _place_of(prompt: Prompt) -> tuple[str, int]:
    return prompt.place.file, prompt.place.line
