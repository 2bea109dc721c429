"""How to run, apart from what the prompts say; what a run left behind; and who wants to know how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from reportgen.pages.options import MAX_PAGE_MB, PageOptions
from reportgen.records import Failure, Prompt, Shard

if TYPE_CHECKING:
    from reportgen.models.model import LoadedModel


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster to run on.

    Attributes:
        address: as ``ray.init`` takes it; empty takes ``RAY_ADDRESS``, or the one that runs on this machine.
        workers: how many models are in memory at once; 0 takes one for each GPU, or for each node without any.
        gpus_per_worker: which Ray keeps for each; ``None`` takes one where there are any.
    """

    address: str = ""
    workers: int = 0
    gpus_per_worker: float | None = None


@dataclass(frozen=True)
class BuildOptions:
    """How to run, apart from what the prompts say.

    Attributes:
        device: ``auto``, or what torch calls it.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        shared_assets: keep BokehJS once beside the pages instead of in each.
        trust_remote_code: run code that comes with a model.
        allow_pickle: read weights that are pickled where there are no safetensors.
        keep_captures: write what each page was made from too, so that ``render_site`` makes the page again.
        update: keep the pages of earlier runs in the index, beside those of this one.
        export_data: write the tables of numbers too, as ``csv`` or ``parquet``; empty writes none.
        model: a loaded model to use for every prompt, whatever model it names. Nobody knows what it is made of, so that
            every page is made anew.
        batch_size: how many prompts of similar length run side by side at most; 0 takes what suits their lengths.
        device_map: how to spread a model over several devices, as ``auto``; empty puts it on one.
        force: make pages anew that are up to date.
        prune: remove the pages of prompts that are not among those of the run, when it has come to its end.
        max_page_mb: megabytes, 1e6 bytes each, that a page has at most: one that would be heavier leaves out weak
            weights, and says how much of each row they are; 0 sets no limit.
        precision: bits of a weight on a page, 8 or 16.
        fail_fast: end the run at the first prompt that fails.
        shard: run this part of the batches alone; others are run elsewhere, into the same folder or their own.
        cluster: where to run; this process without one.
        site_url: where the site will be published, such as ``https://ada.github.io/heads/``: pages then name their
            own addresses and have previews for cards of links; empty where that is not known.
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
    allow_pickle: bool = False
    keep_captures: bool = False
    force: bool = False
    prune: bool = False
    fail_fast: bool = False
    max_page_mb: float = MAX_PAGE_MB
    precision: int = 8
    shard: Shard | None = None
    cluster: Cluster | None = None
    site_url: str = ""

    @property
    def page(self) -> PageOptions:
        """How pages are drawn."""
        return PageOptions(
            shared_assets=self.shared_assets,
            site_url=self.site_url,
            max_mb=self.max_page_mb,
            precision=self.precision,
        )


@dataclass(frozen=True)
class Outcome:
    """What a run left behind.

    Attributes:
        index: path of the index; of a shard, of its report.
        pages: paths of the pages written, in the order of the prompts.
        failures: the prompts that gave no page, in that order too.
        broken: why comparisons of prompts that did not fail gave none.
        left_out: paths of the pages that are in the folder and not in the index.
        up_to_date: paths of the pages that were there and are as this run would have made them.
        pruned: paths of the pages that were removed.
        not_run: how many prompts the run did not come to, since it was asked to stop or one failed.
    """

    index: Path
    pages: tuple[Path, ...]
    failures: tuple[Failure, ...]
    broken: tuple[str, ...] = ()
    left_out: tuple[Path, ...] = ()
    up_to_date: tuple[Path, ...] = ()
    pruned: tuple[Path, ...] = ()
    not_run: int = 0


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

    def skip(self, count: int) -> None:
        """So many more prompts are not run: their pages are up to date, or other shards'."""
        ...


class NullProgress:
    """Progress that nobody watches."""

    def stage(self, prompt: Prompt, stage: str) -> None:
        """Say nothing."""

    def ablating(self, prompt: Prompt, done: int, total: int, seconds: float) -> None:
        """Say nothing."""

    def warn(self, prompt: Prompt, warning: str) -> None:
        """Say nothing."""

    def done(self, prompt: Prompt, outcome: Path | Failure) -> None:
        """Say nothing."""

    def skip(self, count: int) -> None:
        """Say nothing."""
