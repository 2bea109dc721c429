"""Pages from captures on disk, without the model and without torch: what a changed template needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from reportgen.captures.file import load_prompt, load_with_key
from reportgen.records.errors import CaptureFileError
from reportgen.pages.data_tables import check_format, encode_tables
from reportgen.site.lock import lock_site
from reportgen.build.options import MAX_PAGE_MB
from reportgen.build.cache_key import add_address
from reportgen.pages.cards import Card, FailureCard, make_card
from reportgen.pages.precision import describe_dropped, measure_dropped
from reportgen.pages.links import check_site_url
from reportgen.pages.page import draw_page
from reportgen.pages.preview import draw_preview
from reportgen.prompts.slugs import name_pages
from reportgen.records import SourceLocation, Prompt
from reportgen.site.site import (
    CAPTURES_FOLDER,
    open_site,
    read_cards,
    read_left_out,
    read_run,
    write_index,
    write_page,
    write_preview,
    write_tables,
)  # fmt: skip


def render_site(
    captures: Iterable[Path | str],
    results: Path | str,
    *,
    shared_assets: bool = False,
    export_data: str = "",
    max_page_mb: float = MAX_PAGE_MB,
    precision: int = 8,
    site_url: str = "",
    done: Callable[[Path], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
) -> Path:
    """Make the pages of captures, and an index of them and of what is in the folder already.

    Args:
        captures: files of ``--keep-captures``, and folders of them or of the site that holds them.
        results: folder of the site.
        shared_assets: keep BokehJS once beside the pages instead of in each.
        export_data: write the tables of numbers too, as ``csv`` or ``parquet``; empty writes none.
        max_page_mb: megabytes of a page at most, as ``Options`` takes it.
        precision: bits of a weight on a page, 8 or 16.
        site_url: where the site will be published; empty for what the last run into the folder was told.
        done: told the path of every page once it is written.
        warn: told what a page leaves out.

    Returns:
        The path of the index.

    Raises:
        CaptureFileError: a file holds no capture; as a rule that is found before anything is written.
        PromptFileError: two captures have the same slug, or one has a slug that cannot be a file name.
        OptionError: ``site_url`` is no web address; nothing is written.
        SiteError: the folder cannot be written.
        ReportgenError: what ``export_data`` needs is not installed; nothing is written.
    """
    check_format(export_data)
    given = check_site_url(site_url)
    named = _name(find_captures(captures))
    with lock_site(Path(results)) as folder:
        run = read_run(folder)
        run = replace(run, site_url=given or run.site_url)
        slugs = (prompt.slug for _, prompt in named)
        open_site(folder, slugs, shared_assets=shared_assets, site_url=run.site_url)
        cards: dict[str, Card | FailureCard] = {card.slug: card for card in read_cards(folder)}
        try:
            for path, prompt in named:
                capture, key = load_with_key(path)
                capture = replace(capture, prompt=replace(capture.prompt, slug=prompt.slug, title=prompt.title))
                if export_data:
                    write_tables(folder, prompt.slug, encode_tables(capture, export_data))
                card = make_card(capture)
                if run.site_url:
                    write_preview(folder, prompt.slug, draw_preview(card))
                html, detail = draw_page(
                    capture, shared_assets=shared_assets, key=add_address(key, run.site_url), site_url=run.site_url,
                    max_mb=max_page_mb, precision=precision,
                )  # fmt: skip
                page = write_page(folder, prompt.slug, html)
                if dropped := describe_dropped(measure_dropped(capture, detail), detail):
                    warn(f"{page}: {dropped}")
                cards[prompt.slug] = card
                done(page)
        finally:
            left_out = [slug for slug in read_left_out(folder) if slug not in cards]
            index = write_index(folder, tuple(cards.values()), left_out, run)
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
        inside = sorted(path.glob("*.safetensors")) or sorted((path / CAPTURES_FOLDER).glob("*.safetensors"))
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
