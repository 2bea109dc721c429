"""The options of a run, its outcome, and the protocol for progress reports."""

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
        address: address as for ``ray.init``; empty uses ``RAY_ADDRESS``, or the cluster on this machine.
        workers: number of workers, each with one model in memory; 0 means one per GPU, or per node without GPUs.
        gpus_per_worker: number of GPUs that Ray reserves for each worker; ``None`` means 1 if the cluster has GPUs.
    """

    address: str = ""
    workers: int = 0
    gpus_per_worker: float | None = None


@dataclass(frozen=True)
class BuildOptions:
    """Options of a run that are not part of the prompts.

    Attributes:
        device: ``auto``, or a torch device such as ``cuda:1``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        shared_assets: store BokehJS once in the site instead of in each page.
        trust_remote_code: run Python code that comes with a model.
        allow_pickle: read pickled weights if a model has no safetensors.
        keep_captures: also write the capture of each page, from which ``render_site`` can make the page again.
        update: keep the pages of earlier runs in the index.
        export_data: also write the tables of numbers, as ``csv`` or ``parquet``; empty writes none.
        model: a loaded model to use for every prompt, instead of the model that the prompt names. Its fingerprint is
            unknown, so every page is built again.
        batch_size: maximum number of prompts of similar length in a batch; 0 chooses it from their lengths.
        device_map: how to spread a model over several devices, such as ``auto``; empty uses a single device.
        force: build all pages again, even those that are up to date.
        prune: when the run is complete, remove the pages of prompts that are not part of it.
        max_page_mb: maximum size of a page in megabytes of 1e6 bytes. A larger page omits its smallest weights and
            states how much of each row they are; 0 means no limit.
        precision: bits per attention weight on a page, 8 or 16.
        fail_fast: stop the run at the first prompt that fails.
        shard: run only this shard of the batches; other processes run the others, into the same folder or another.
        cluster: Ray cluster to run on; ``None`` runs in this process.
        site_url: URL where the site will be published, such as ``https://ada.github.io/heads/``: adds canonical links
            and link previews to the pages; empty if unknown.
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
        """The options that apply to drawing pages."""
        return PageOptions(
            shared_assets=self.shared_assets,
            site_url=self.site_url,
            max_mb=self.max_page_mb,
            precision=self.precision,
        )


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        index: path of the index; for a shard, path of its partial report.
        pages: paths of the pages written, in the order of the prompts.
        failures: failures of prompts, in the order of the prompts.
        broken: error messages of comparisons that failed although both of their prompts succeeded.
        left_out: paths of the pages that are in the folder but not in the index.
        up_to_date: paths of the pages that were up to date and were skipped.
        pruned: paths of the pages that were removed.
        not_run: number of prompts and comparisons that were not run, because the run was stopped.
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
    """Receives the progress of a run. Implement it to show progress in another way than the command line does."""

    def stage(self, prompt: Prompt, stage: str) -> None:
        """Called when a prompt enters a stage: ``load``, ``capture`` or ``page``."""
        ...

    def ablating(self, prompt: Prompt, done: int, total: int, seconds: float) -> None:
        """Called before and during ablation.

        Args:
            prompt: prompt that is being measured.
            done: number of heads ablated so far; 0 in the first call.
            total: number of heads to ablate.
            seconds: estimated time left, in seconds.
        """
        ...

    def warn(self, prompt: Prompt, warning: str) -> None:
        """Called when a page has a warning that the reader needs to know."""
        ...

    def done(self, prompt: Prompt, outcome: Path | Failure) -> None:
        """Called when the page of a prompt is written, or the prompt has failed."""
        ...

    def skip(self, count: int) -> None:
        """Called with a number of prompts that will not run, because they are up to date or belong to other shards."""
        ...


class NullProgress:
    """A ``Progress`` that does nothing."""

    def stage(self, prompt: Prompt, stage: str) -> None:
        """Do nothing."""

    def ablating(self, prompt: Prompt, done: int, total: int, seconds: float) -> None:
        """Do nothing."""

    def warn(self, prompt: Prompt, warning: str) -> None:
        """Do nothing."""

    def done(self, prompt: Prompt, outcome: Path | Failure) -> None:
        """Do nothing."""

    def skip(self, count: int) -> None:
        """Do nothing."""
