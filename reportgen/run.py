"""The whole program on one screen: prompts, captures, pages, site."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Protocol, TypeVar

from reportgen.captures.batches import make_batches
from reportgen.captures.capture import capture_together
from reportgen.captures.record import Capture
from reportgen.check import check_prompts
from reportgen.errors import ModelError, PromptError, ReportgenError
from reportgen.export import check_format, encode_tables
from reportgen.models.model import LoadedModel, check_settings, load_model
from reportgen.pages.cards import Card, FailureCard, make_card, make_failure_card
from reportgen.pages.compare import make_compare_card, render_comparison
from reportgen.pages.page import render_page
from reportgen.pages.tables import warn_of_replay
from reportgen.pairs import Pairs, name_and_check
from reportgen.records import Comparison, Failure, Prompt
from reportgen.site import find_pages, open_site, read_cards, write_index, write_page, write_tables

_T = TypeVar("_T")


@dataclass(frozen=True)
class Outcome:
    """What a run left behind.

    Attributes:
        index: path of the index.
        pages: paths of the pages written, in the order of the prompts, then those of the comparisons.
        failures: the prompts that gave no page, in that order too.
        left_out: paths of the pages that are in the folder and not in the index.
    """

    index: Path
    pages: tuple[Path, ...]
    failures: tuple[Failure, ...]
    left_out: tuple[Path, ...] = ()


class Progress(Protocol):
    """Who wants to know how far a run is."""

    def stage(self, prompt: Prompt, stage: str) -> None:
        """A prompt entered a stage: ``load``, ``capture`` or ``page``."""
        ...

    def ablating(self, prompt: Prompt, done: int, total: int, seconds: float) -> None:
        """So many heads of so many are ablated, and about so many seconds are left; 0 before the first."""
        ...

    def warn(self, prompt: Prompt, warning: str) -> None:
        """A prompt has a page that must be read with care."""
        ...

    def done(self, prompt: Prompt, outcome: Path | Failure) -> None:
        """A prompt has its page, or has failed."""
        ...


class Silence:
    """Progress that nobody watches."""

    def stage(self, prompt: Prompt, stage: str) -> None:
        """Say nothing."""

    def ablating(self, prompt: Prompt, done: int, total: int, seconds: float) -> None:
        """Say nothing."""

    def warn(self, prompt: Prompt, warning: str) -> None:
        """Say nothing."""

    def done(self, prompt: Prompt, outcome: Path | Failure) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Options:
    """How to run, apart from what the prompts say.

    Attributes:
        device: ``auto``, or what torch calls it.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        shared_assets: keep BokehJS once beside the pages instead of in each.
        trust_remote_code: run code that comes with a model.
        update: keep the pages of earlier runs in the index, beside those of this one.
        export_data: write the tables of numbers too, as ``csv`` or ``parquet``; empty writes none.
        model: a loaded model to use for every prompt, whatever model it names.
        batch_size: how many prompts of similar length run side by side at most; 0 takes what suits their lengths.
        device_map: how to spread a model over several devices, as ``auto``; empty puts it on one.
    """

    device: str = "auto"
    dtype: str = "auto"
    shared_assets: bool = False
    trust_remote_code: bool = False
    update: bool = False
    export_data: str = ""
    model: LoadedModel | None = field(default=None, repr=False)
    batch_size: int = 0
    device_map: str = ""


def build_site(
    prompts: Iterable[Prompt],
    results: Path | str,
    options: Options = Options(),
    progress: Progress = Silence(),
    comparisons: Sequence[Comparison] = (),
) -> Outcome:
    """Run prompts and write their pages and index.

    A prompt that fails becomes a shown failure and the run goes on; so do all prompts of a model that cannot be loaded.
    However the run ends, the index shows what was done. Earlier pages stay in it where the run ended early or made no
    page; otherwise they are kept, and left out of it.

    Args:
        prompts: what to run.
        results: folder of the site.
        options: how to run.
        progress: told of every stage.
        comparisons: which of the prompts to put side by side, each on a page of its own.

    Returns:
        What was written and what failed.

    Raises:
        PromptFileError: prompts select layers or heads that their model lacks, their file names a model or adapter
            that cannot be used, or a comparison names a prompt that is not there; nothing is written.
        ModelError: another model or adapter, the device or the dtype cannot be used; nothing is written.
        SiteError: the folder cannot be written.
        ReportgenError: what ``export_data`` needs is not installed; nothing is written.
    """
    check_format(options.export_data)
    named = check_prompts(
        prompts, model=options.model and options.model.info, trust_remote_code=options.trust_remote_code
    )
    if options.model is None:
        check_settings(options.device, options.dtype, options.device_map)
    pairs = Pairs(name_and_check(comparisons, named))
    entries = (*named, *pairs.comparisons)
    folder = open_site(Path(results), (entry.slug for entry in entries), shared_assets=options.shared_assets)
    before = find_pages(folder)
    if options.update:
        read_cards(folder)  # what cannot be read is told now rather than after the work
    keep_earlier = True  # until the run has come to its end
    cards: dict[str, Card | FailureCard] = {}
    pages: dict[str, Path] = {}
    failures: dict[str, Failure] = {}
    try:
        for prompt, captured in _capture_all(named, options, progress):
            try:
                if isinstance(captured, ReportgenError):
                    raise captured
                if warning := warn_of_replay(captured):
                    progress.warn(prompt, warning)
                progress.stage(prompt, "page")
                html = render_page(captured, shared_assets=options.shared_assets)
                card = make_card(captured)
                pages[prompt.slug] = write_page(folder, prompt.slug, html)
                cards[prompt.slug] = card
                if options.export_data:
                    write_tables(folder, prompt.slug, encode_tables(captured, options.export_data))
                progress.done(prompt, pages[prompt.slug])
            except (PromptError, ModelError) as error:
                failures[prompt.slug] = Failure(prompt, str(error))
                cards[prompt.slug] = make_failure_card(failures[prompt.slug])
                progress.done(prompt, failures[prompt.slug])
            for one, sides in pairs.take(prompt, captured):
                if isinstance(sides, FailureCard):
                    cards[one.slug] = sides
                else:
                    html = render_comparison(one, *sides, shared_assets=options.shared_assets)
                    cards[one.slug] = make_compare_card(one, *sides)
                    pages[one.slug] = write_page(folder, one.slug, html)
        keep_earlier = options.update or not pages
    finally:
        index, left_out = _write_index(folder, _in_order(entries, cards), before, keep_earlier)
    return Outcome(index, tuple(_in_order(entries, pages)), tuple(_in_order(named, failures)), left_out)


def _capture_all(
    prompts: Sequence[Prompt], options: Options, progress: Progress
) -> Iterator[tuple[Prompt, Capture | PromptError | ModelError]]:
    """Pair each prompt with its record, or with why there is none.

    One model is in memory at a time, and each, with its adapter, is loaded once.
    """
    first_use = {_model_of(prompt): place for place, prompt in reversed(list(enumerate(prompts)))}
    for _, group in groupby(sorted(prompts, key=lambda prompt: first_use[_model_of(prompt)]), key=_model_of):
        members = list(group)
        progress.stage(members[0], "load")
        model = options.model or _load(members[0], options)
        if isinstance(model, ModelError):
            yield from ((prompt, model) for prompt in members)
        else:
            for batch in make_batches(model, members, options.batch_size):
                for prompt in batch:
                    progress.stage(prompt, "capture")
                captures = capture_together(model, batch, lambda prompt: partial(progress.ablating, prompt))
                yield from zip(batch, captures, strict=True)
        del model
        gc.collect()  # hooks make circles of a network, which would stay beside the next one


def _model_of(prompt: Prompt) -> tuple[str, str]:
    """What a network's weights depend on."""
    return prompt.model, prompt.adapter


def _load(prompt: Prompt, options: Options) -> LoadedModel | ModelError:
    try:
        return load_model(
            prompt.model,
            adapter=prompt.adapter,
            device=options.device,
            device_map=options.device_map,
            dtype=options.dtype,
            trust_remote_code=options.trust_remote_code,
        )
    except ModelError as error:
        return error


def _write_index(
    folder: Path, cards: Sequence[Card | FailureCard], before: Sequence[str], keep_earlier: bool
) -> tuple[Path, tuple[Path, ...]]:
    """Write the index of a run; return its path, and those of the pages from before that are not in it."""
    earlier = read_cards(folder) if keep_earlier and before else []
    shown = {card.slug: card for card in earlier if card.slug in before or isinstance(card, FailureCard)}
    shown.update({card.slug: card for card in cards})
    left_out = [slug for slug in before if not isinstance(shown.get(slug), Card)]
    index = write_index(folder, tuple(shown.values()), left_out)
    return index, tuple(folder / f"{slug}.html" for slug in left_out)


def _in_order(entries: Sequence[Prompt | Comparison], by_slug: dict[str, _T]) -> list[_T]:
    return [by_slug[entry.slug] for entry in entries if entry.slug in by_slug]
