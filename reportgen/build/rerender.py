"""Make pages from captures on disk, without the model and without torch, for example after a template has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from reportgen.build.cache_keys import make_page_keys
from reportgen.build.options import describe_options
from reportgen.captures.file import load_key, load_prompt
from reportgen.captures.record import load_with_key
from reportgen.pages.artifacts import Artifacts, render_artifacts
from reportgen.pages.cards import Card, FailureCard
from reportgen.pages.data_tables import check_format
from reportgen.pages.links import check_site_url
from reportgen.pages.options import PageOptions
from reportgen.prompts.slugs import name_pages
from reportgen.records import Prompt, SourceLocation
from reportgen.records.errors import CaptureFileError
from reportgen.site.site import Site


def render_site(
    captures: Iterable[Path | str],
    results: Path | str,
    options: PageOptions = PageOptions(),
    *,
    done: Callable[[Path], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
) -> Path:
    """Make pages from captures, and an index of these pages and of those already in the folder.

    Args:
        captures: capture files written by ``--keep-captures``, folders of such files, or results folders that hold
            them.
        results: folder of the site.
        options: how pages are drawn; an empty ``site_url`` means the URL of the last run into the folder.
        done: called with the path of each page after it is written.
        warn: called with a warning for each page that omits weights.

    Returns:
        The path of the index.

    Raises:
        CaptureFileError: a file is not a capture, or a page in the folder was made by another run than its capture.
        PromptFileError: two captures have the same slug, or a slug cannot be used as a file name.
        PromptError: a page does not fit into ``options.max_page_mb`` with a useful part of its weights.
        ReportgenError: an option or the folder cannot be used; nothing is written.
    """
    check_format(options.export_data)
    site_url = check_site_url(options.site_url)
    named, site = _name(find_captures(captures)), Site(results)
    with site.lock():
        run = site.read_run()
        run = (run if run.totals else replace(run, options=describe_options(options))).at(site_url)
        options = replace(options, site_url=run.site_url)
        _check_same_runs(named, site)
        site.open((prompt.slug for _, prompt in named), options)
        cards: dict[str, Card | FailureCard] = {card.slug: card for card in site.read_cards()}
        try:
            for path, prompt in named:
                is_inside = path.resolve() == site.capture(prompt.slug).resolve()
                artifacts = _render(path, prompt, options, is_inside=is_inside)
                page = site.write(prompt.slug, artifacts)
                if artifacts.dropped:
                    warn(f"{page}: {artifacts.dropped}")
                cards[prompt.slug] = artifacts.card
                done(page)
        finally:
            left_out = [slug for slug in site.read_left_out() if slug not in cards]
            index = site.write_index(tuple(cards.values()), left_out, run)
    return index


def _check_same_runs(named: Iterable[tuple[Path, Prompt]], site: Site) -> None:
    """Check that no capture would replace the page of another run of its prompt, which may be newer.

    Raises:
        CaptureFileError: a page in the folder has other numbers than its capture.
    """
    for path, prompt in named:
        page = site.pages.get(prompt.slug)
        if page and page.keys.numbers != load_key(path):
            raise CaptureFileError(
                f"{path}: is not the capture of {page.path}, which another run made; remove that page to replace it, "
                "or build with --keep-captures to make a new capture"
            )


def _render(path: Path, prompt: Prompt, options: PageOptions, *, is_inside: bool) -> Artifacts:
    """Make the page of a capture file, with the slug and title of a prompt; a capture inside the site stays there."""
    capture, key = load_with_key(path)
    named = replace(capture.prompt, slug=prompt.slug, title=prompt.title)
    options = replace(options, keep_captures=options.keep_captures or is_inside)
    return render_artifacts(replace(capture, prompt=named), options, make_page_keys(named, key, options))


def find_captures(paths: Iterable[Path | str]) -> list[Path]:
    """Return the given capture files and those in the given folders, which are sorted by name.

    Args:
        paths: capture files, folders of captures, or results folders with captures.

    Raises:
        CaptureFileError: a folder holds no captures, or ``paths`` is empty.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(path.glob("*.safetensors")) or sorted(Site(path).captures.glob("*.safetensors"))
        if not inside:
            raise CaptureFileError(f"{path}: holds no captures; build with --keep-captures, or name their folder")
        files += inside
    if not files:
        raise CaptureFileError("no captures are given; name files of --keep-captures, or their folder")
    return files


def _name(paths: Sequence[Path]) -> list[tuple[Path, Prompt]]:
    """Return each file with its prompt, which gets a slug and a title, in the order of the original prompt file."""
    pairs = sorted(((path, load_prompt(path)) for path in paths), key=lambda pair: _place_of(pair[1]))
    prompts = [replace(prompt, place=SourceLocation(str(path), 1)) for path, prompt in pairs]
    return [(path, prompt) for (path, _), prompt in zip(pairs, name_pages(prompts), strict=True)]


def _place_of(prompt: Prompt) -> tuple[str, int]:
    return prompt.place.file, prompt.place.line
