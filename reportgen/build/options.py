"""The options of a run, its outcome, and the protocol for progress reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from reportgen.pages.options import PageOptions
from reportgen.records import Failure, Prompt, Shard
from reportgen.records.short_repr import ShortRepr

if TYPE_CHECKING:
    from reportgen.models.model import LoadedModel

_NOT_RECORDED = ("allow_pickle", "model", "trust_remote_code")
"""Options that are not recorded: each command must be given anew what allows code to run; a model is no text."""
_Part = TypeVar("_Part", "CaptureOptions", PageOptions)


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


@dataclass(frozen=True, repr=False)
class CaptureOptions(ShortRepr):
    """How models are loaded and run.

    Attributes:
        device: ``auto``, or a torch device such as ``cuda:1``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        device_map: how to spread a model over several devices, such as ``auto``; empty uses a single device.
        trust_remote_code: run Python code that comes with a model.
        allow_pickle: read pickled weights if a model has no safetensors.
        batch_size: maximum number of prompts of similar length in a batch; 0 chooses it from their lengths.
        model: a loaded model to use for every prompt, instead of the model that the prompt names. Its fingerprint is
            unknown, so every page is built again.
    """

    device: str = "auto"
    dtype: str = "auto"
    device_map: str = ""
    trust_remote_code: bool = False
    allow_pickle: bool = False
    batch_size: int = 0
    model: LoadedModel | None = field(default=None, repr=False)


@dataclass(frozen=True, repr=False)
class BuildOptions(CaptureOptions, PageOptions):
    """Options of a run that are not part of the prompts: those of ``CaptureOptions`` and ``PageOptions``, and these.

    Attributes:
        update: keep the pages of earlier runs in the index; otherwise ``Outcome.left_out`` names them.
        force: build all pages again, even those that are up to date.
        prune: when the run is complete, remove the pages of prompts that are not part of it.
        fail_fast: stop the run at the first prompt that fails.
        shard: run only this shard of the batches; other processes run the others, into the same folder or another.
        cluster: Ray cluster to run on; ``None`` runs in this process.
        overrides: keys of all prompts that were given on the command line, such as ``layers``. They are recorded in
            ``report.json`` with the other options, so that later commands use them too.
        compared: prompts that this run shows side by side although no prompt file says so: the slugs of both, and the
            model of the second one if it is not its own. They are recorded in ``report.json``, so that later commands
            keep their pages.
    """

    update: bool = True
    force: bool = False
    prune: bool = False
    fail_fast: bool = False
    shard: Shard | None = None
    cluster: Cluster | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    compared: tuple[tuple[str, str, str], ...] = ()

    @property
    def capture(self) -> CaptureOptions:
        """The options of loading and running models."""
        return self._part(CaptureOptions)

    @property
    def page(self) -> PageOptions:
        """The options of drawing pages."""
        return self._part(PageOptions)

    def _part(self, part: type[_Part]) -> _Part:
        return part(**{item.name: getattr(self, item.name) for item in fields(part)})


def describe_options(options: CaptureOptions | PageOptions) -> dict[str, Any]:
    """Return the options that later commands use too, as JSON values by name; those with defaults are left out.

    Options that allow code to run are not among them.
    """
    defaults = {item.name: item.default for part in (CaptureOptions, PageOptions) for item in fields(part)}
    values = {item.name: getattr(options, item.name) for item in fields(options) if item.name in defaults}
    chosen = {name: value for name, value in values.items() if value != defaults[name] and name not in _NOT_RECORDED}
    return {**getattr(options, "overrides", {}), **chosen}


@dataclass(frozen=True, repr=False)
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
        failing_claims: claims that do not hold, with their place in the prompt file and what was measured, in the
            order of the prompts; also those of pages that were up to date.
        stale: comparisons of earlier runs that show an earlier run of a prompt, each with the slugs of these prompts.
    """

    index: Path
    pages: tuple[Path, ...]
    failures: tuple[Failure, ...]
    broken: tuple[str, ...] = ()
    left_out: tuple[Path, ...] = ()
    up_to_date: tuple[Path, ...] = ()
    pruned: tuple[Path, ...] = ()
    not_run: int = 0
    failing_claims: tuple[str, ...] = ()
    stale: tuple[tuple[Path, list[str]], ...] = ()

    def __repr__(self) -> str:
        failed = len(self.failures) + len(self.broken)
        counts = {"built": len(self.pages), "up to date": len(self.up_to_date), "failed": failed}
        said = [f"{count} {what}" for what, count in counts.items() if count or what == "built"]
        return f"<Outcome: {', '.join(said)}, {self.index}>"


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

    def patching(self, prompt: Prompt, done: int, total: int, seconds: float) -> None:
        """Called before and during the patching of a prompt with activations of another, as ``ablating`` is."""
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

    def patching(self, prompt: Prompt, done: int, total: int, seconds: float) -> None:
        """Do nothing."""

    def warn(self, prompt: Prompt, warning: str) -> None:
        """Do nothing."""

    def done(self, prompt: Prompt, outcome: Path | Failure) -> None:
        """Do nothing."""

    def skip(self, count: int) -> None:
        """Do nothing."""
