"""The whole program on one screen: prompts, captures, pages, site."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from reportgen.atomic import remove_leftovers
from reportgen.captures.record import Capture
from reportgen.check import check_prompts
from reportgen.errors import InTheWay, ModelError, PromptError, ReportgenError, SiteError, first_line
from reportgen.export import check_format, encode_tables
from reportgen.interrupts import Stop
from reportgen.lock import lock_site
from reportgen.options import Options, Outcome, Progress, Silence
from reportgen.page_keys import add_address, make_key, make_pair_key, make_side_key
from reportgen.pages.cards import Card, FailureCard, make_card
from reportgen.pages.compare import make_compare_card, render_comparison
from reportgen.pages.links import PREVIEWS_FOLDER, check_site_url
from reportgen.pages.page import render_page
from reportgen.pages.preview import draw_pair_preview, draw_preview
from reportgen.pages.tables import warn_of_replay
from reportgen.pairs import Pairs, name_and_check
from reportgen.prompts.prompt_file import name_pages
from reportgen.records import Comparison, Prompt
from reportgen.resume import find_current
from reportgen.site import (
    CAPTURES_FOLDER,
    DATA_FOLDER,
    open_site,
    read_cards,
    read_run,
    write_capture,
    write_page,
    write_preview,
    write_tables,
)
from reportgen.tally import Tally

if TYPE_CHECKING:
    from reportgen.engine import Ran

__all__ = ["Options", "Outcome", "Progress", "Silence", "build_site"]


def build_site(
    prompts: Iterable[Prompt],
    results: Path | str,
    options: Options = Options(),
    progress: Progress = Silence(),
    stop: Stop | None = None,
    comparisons: Sequence[Comparison] = (),
) -> Outcome:
    """Run prompts and write their pages and index.

    Pages that are as this run would make them are left as they are. A prompt that fails becomes a shown failure and the
    run goes on; so do all prompts of a model that cannot be loaded. However the run ends, the index shows what was
    done. Earlier pages stay in it where the run ended early or made no page; otherwise they are kept, and left out of
    it.

    Args:
        prompts: what to run.
        results: folder of the site.
        options: how to run.
        progress: told of every stage.
        stop: may ask the run to end after the prompts that it is at.
        comparisons: which of the prompts to put side by side, each on a page of its own.

    Returns:
        What was written and what failed.

    Raises:
        PromptFileError: prompts select layers or heads that their model lacks, their file names a model or adapter
            that cannot be used, or a comparison names a prompt that is not there; nothing is written.
        ModelError: another model or adapter, the device or the dtype cannot be used; nothing is written.
        SiteError: the folder cannot be written, or another run writes into it.
        OptionError: ``site_url`` is no web address; nothing is written.
        ReportgenError: what ``export_data`` needs is not installed; nothing is written.
    """
    check_format(options.export_data)
    stop, folder, named = stop or Stop(), Path(results), name_pages(tuple(prompts))
    pairs = Pairs(name_and_check(comparisons, named))
    options = _find_address(options, folder)
    current = find_current(folder, named, options, pairs.comparisons)
    named = _check(named, current, options, stop)
    with lock_site(folder):
        inner = (CAPTURES_FOLDER, PREVIEWS_FOLDER)
        remove_leftovers([folder, *(folder / name for name in inner), *folder.glob(f"{DATA_FOLDER}/*")])
        entries = (*named, *pairs.comparisons)
        missing = [entry.slug for entry in entries if entry.slug not in current]
        open_site(folder, missing, shared_assets=options.shared_assets, site_url=options.site_url)
        if options.update:
            read_cards(folder)  # what cannot be read is told now rather than after the work
        tally = Tally(folder, entries, current, options.site_url)
        try:
            if current:
                progress.skip(len(current))
            if missing:
                _run_missing(named, missing, folder, options, progress, stop, tally, pairs)
        except BaseException:
            with suppress(SiteError):  # what ended the run says more
                tally.finish(keep_earlier=True)
            raise
        ended = not stop.asked and not (options.fail_fast and tally.failures)
        keep_earlier = options.update or not tally.has_pages or not ended
        with stop.held():  # an index that was begun is finished
            return tally.finish(keep_earlier=keep_earlier, prune=options.prune and ended)


def _find_address(options: Options, folder: Path) -> Options:
    """Check where the site will be published; pages that come beside others take their address where none is given."""
    known = options.site_url or (read_run(folder).site_url if options.update else "")
    return replace(options, site_url=check_site_url(known))


def _check(prompts: Sequence[Prompt], current: Collection[str], options: Options, stop: Stop) -> tuple[Prompt, ...]:
    """Check what is to be run against models and machine; what has its page has passed before."""
    missing = [prompt for prompt in prompts if prompt.slug not in current]
    if not missing:
        return tuple(prompts)
    with stop.importing():
        checked = check_prompts(
            missing, model=options.model and options.model.info, trust_remote_code=options.trust_remote_code
        )
        if options.model is None:
            from reportgen.models.model import check_settings

            check_settings(options.device, options.dtype, options.device_map)
    by_slug = {prompt.slug: prompt for prompt in checked}
    return tuple(by_slug.get(prompt.slug, prompt) for prompt in prompts)


def _run_missing(
    prompts: Sequence[Prompt], missing: Collection[str], folder: Path, options: Options, progress: Progress,
    stop: Stop, tally: Tally, pairs: Pairs,
) -> None:  # fmt: skip
    """Run prompts that have no page, and write it."""
    with stop.importing():  # only now: torch takes seconds to import, and pages that are there need none
        from reportgen.engine import run_prompts

    for ran in run_prompts(prompts, frozenset(missing), options, progress, stop):
        tally.add_seconds(ran.prompt, load=ran.load_seconds, capture=ran.capture_seconds)
        start = time.perf_counter()
        try:
            drawn = _draw(ran, options, progress)
            with stop.held():
                path = _write(ran.prompt, drawn, folder)
                tally.add_page(ran.prompt, drawn.card, path)
            progress.done(ran.prompt, path)
        except (PromptError, ModelError, InTheWay) as error:
            progress.done(ran.prompt, tally.add_failure(ran.prompt, error))
        _write_pairs(ran, folder, options, stop, tally, pairs)
        tally.add_seconds(ran.prompt, page=time.perf_counter() - start)
        if options.fail_fast and tally.failures:
            return


def _write_pairs(ran: Ran, folder: Path, options: Options, stop: Stop, tally: Tally, pairs: Pairs) -> None:
    """Write the comparisons that waited for this prompt alone."""
    for one, sides in pairs.take(ran.prompt, ran.captured, make_side_key(ran.prompt, options, ran.made_of)):
        if isinstance(sides, FailureCard):
            tally.add_lost(one, sides)
            continue
        key = add_address(make_pair_key(one, sides.keys, options), options.site_url)
        html = render_comparison(
            one, *sides.captures, shared_assets=options.shared_assets, key=key, site_url=options.site_url
        )
        preview = draw_pair_preview(one, *sides.captures) if options.site_url else b""
        with stop.held():
            if preview:
                write_preview(folder, one.slug, preview)
            tally.add_page(one, make_compare_card(one, *sides.captures), write_page(folder, one.slug, html))


@dataclass(frozen=True)
class _Drawn:
    """What there is to write of one prompt."""

    html: str
    card: Card
    tables: Mapping[str, bytes]
    kept: Capture | None
    key: str
    preview: bytes


def _draw(ran: Ran, options: Options, progress: Progress) -> _Drawn:
    if isinstance(ran.captured, ReportgenError):
        raise ran.captured
    prompt, captured = ran.prompt, ran.captured
    if warning := warn_of_replay(captured):
        progress.warn(prompt, warning)
    progress.stage(prompt, "page")
    key = make_key(prompt, options, ran.made_of)
    kept = captured if options.keep_captures else None
    try:
        html = render_page(
            captured,
            shared_assets=options.shared_assets,
            key=add_address(key, options.site_url),
            site_url=options.site_url,
        )
        preview = draw_preview(captured) if options.site_url else b""
        tables = encode_tables(captured, options.export_data) if options.export_data else {}
        return _Drawn(html, make_card(captured), tables, kept, key, preview)
    except ReportgenError:
        raise
    except Exception as error:  # numbers that nobody foresaw are this prompt's failure, not the run's
        where = prompt.place.of()
        raise PromptError(f"{where}: its page cannot be made, {first_line(error)}; -v shows where") from error


def _write(prompt: Prompt, drawn: _Drawn, folder: Path) -> Path:
    """Write tables, capture and preview before their page: one that is there has all that belongs to it."""
    if drawn.tables:
        write_tables(folder, prompt.slug, drawn.tables)
    if drawn.kept is not None:
        write_capture(folder, prompt.slug, drawn.kept, drawn.key)
    if drawn.preview:
        write_preview(folder, prompt.slug, drawn.preview)
    return write_page(folder, prompt.slug, drawn.html)
