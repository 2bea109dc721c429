"""The whole program on one screen: prompts, captures, pages, site."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Protocol, TypeVar

from reportgen.captures.capture import capture
from reportgen.errors import PromptError
from reportgen.models.model import LoadedModel, load_model, load_model_info
from reportgen.pages.cards import Card, FailureCard, make_card, make_failure_card
from reportgen.pages.page import render_page
from reportgen.prompts.prompt_file import check_selections, name_pages
from reportgen.records import Failure, Prompt
from reportgen.site import open_site, read_cards, write_index, write_page

_T = TypeVar("_T")


@dataclass(frozen=True)
class Outcome:
    """What a run left behind.

    Attributes:
        index: path of the index.
        pages: paths of the pages written, in the order of the prompts.
        failures: the prompts that gave no page, in that order too.
    """

    index: Path
    pages: tuple[Path, ...]
    failures: tuple[Failure, ...]


class Progress(Protocol):
    """Who wants to know how far a run is."""

    def stage(self, prompt: Prompt, stage: str) -> None:
        """A prompt entered a stage: ``load``, ``capture`` or ``page``."""
        ...

    def ablating(self, prompt: Prompt, done: int, total: int, seconds: float) -> None:
        """So many heads of so many are ablated, and about so many seconds are left; 0 before the first."""
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
        model: a loaded model to use for every prompt, whatever model it names.
    """

    device: str = "auto"
    dtype: str = "auto"
    shared_assets: bool = False
    trust_remote_code: bool = False
    update: bool = False
    model: LoadedModel | None = field(default=None, repr=False)


def build_site(
    prompts: Iterable[Prompt], results: Path | str, options: Options = Options(), progress: Progress = Silence()
) -> Outcome:
    """Run prompts and write their pages and index.

    A prompt that fails becomes a shown failure and the run goes on. However the run ends, the index shows what was
    done.

    Args:
        prompts: what to run.
        results: folder of the site.
        options: how to run.
        progress: told of every stage.

    Returns:
        What was written and what failed.

    Raises:
        PromptFileError: prompts select layers or heads that their model lacks; nothing is written.
        ModelError: a model cannot be used; pages already made are kept.
        SiteError: the folder cannot be written.
    """
    named = check_prompts(prompts, options)
    folder = open_site(Path(results), (prompt.slug for prompt in named), shared_assets=options.shared_assets)
    earlier = {card.slug: card for card in read_cards(folder)} if options.update else {}
    cards: dict[str, Card | FailureCard] = {}
    pages: dict[str, Path] = {}
    failures: dict[str, Failure] = {}
    try:
        for prompt, model in _with_models(named, options, progress):
            try:
                progress.stage(prompt, "capture")
                captured = capture(model, prompt, partial(progress.ablating, prompt))
                progress.stage(prompt, "page")
                html = render_page(captured, shared_assets=options.shared_assets)
                card = make_card(captured)
                pages[prompt.slug] = write_page(folder, prompt.slug, html)
                cards[prompt.slug] = card
                progress.done(prompt, pages[prompt.slug])
            except PromptError as error:
                failures[prompt.slug] = Failure(prompt, str(error))
                cards[prompt.slug] = make_failure_card(failures[prompt.slug])
                progress.done(prompt, failures[prompt.slug])
    finally:
        made = {card.slug: card for card in _in_order(named, cards)}
        index = write_index(folder, tuple({**earlier, **made}.values()))
    return Outcome(index, tuple(_in_order(named, pages)), tuple(_in_order(named, failures)))


def check_prompts(prompts: Iterable[Prompt], options: Options = Options()) -> tuple[Prompt, ...]:
    """Return prompts ready to run, each with a slug and a title, after a look at their models' configs.

    Raises:
        PromptFileError: prompts select layers or heads that their model lacks.
        ModelError: a model cannot be used.
    """
    named = name_pages(tuple(prompts))
    if options.model is not None:
        info = options.model.info
        named = tuple(replace(prompt, model=info.name) for prompt in named)
        infos = {info.name: info}
    else:
        names = dict.fromkeys(prompt.model for prompt in named)
        infos = {name: load_model_info(name, trust_remote_code=options.trust_remote_code) for name in names}
    check_selections(named, infos)
    return named


def _with_models(
    prompts: Sequence[Prompt], options: Options, progress: Progress
) -> Iterator[tuple[Prompt, LoadedModel]]:
    """Pair each prompt with its model; one model is in memory at a time, and each is loaded once."""
    first_use = {prompt.model: place for place, prompt in reversed(list(enumerate(prompts)))}
    by_model = groupby(sorted(prompts, key=lambda prompt: first_use[prompt.model]), key=lambda prompt: prompt.model)
    for name, group in by_model:
        members = list(group)
        progress.stage(members[0], "load")
        model = options.model or load_model(
            name, device=options.device, dtype=options.dtype, trust_remote_code=options.trust_remote_code
        )
        yield from ((prompt, model) for prompt in members)


def _in_order(prompts: Sequence[Prompt], by_slug: dict[str, _T]) -> list[_T]:
    return [by_slug[prompt.slug] for prompt in prompts if prompt.slug in by_slug]
