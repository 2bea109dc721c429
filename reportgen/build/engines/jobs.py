"""What there is to be run: batches, and what is asked for of the prompts in them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from reportgen.records import Prompt, Shard


@dataclass(frozen=True)
class RunRequest:
    """What a run asks for.

    Attributes:
        pages: slugs of the prompts whose pages are asked for.
        sides: slugs of those that a comparison waits for.
        shard: the part of the batches that is run; all of them without one.
    """

    pages: frozenset[str]
    sides: frozenset[str] = frozenset()
    shard: Shard | None = None

    def concerns(self, prompts: Collection[Prompt]) -> bool:
        """Say whether anything is asked for of one of these."""
        return any(prompt.slug in self.pages or prompt.slug in self.sides for prompt in prompts)


@dataclass(frozen=True)
class Job:
    """Prompts that run side by side, whoever of them is asked for.

    Attributes:
        batch: all of them, so that the numbers of each do not depend on what has been done before.
        pages: slugs of those whose pages are asked for.
        sides: slugs of those that a comparison waits for.
    """

    batch: tuple[Prompt, ...]
    pages: frozenset[str]
    sides: frozenset[str]

    @property
    def asked(self) -> tuple[Prompt, ...]:
        """Those of which anything is asked for."""
        return tuple(prompt for prompt in self.batch if prompt.slug in self.pages | self.sides)


@dataclass(frozen=True)
class Group:
    """The prompts of one model.

    Attributes:
        number: how many models come before it.
        members: all of its prompts, in their order.
    """

    number: int
    members: tuple[Prompt, ...]

    def is_taken_by(self, asked: RunRequest) -> bool:
        """Say whether there can be a job in it, before its batches are known: there are at most as many as prompts."""
        shard = asked.shard
        ours = shard is None or any(shard.takes(self.number + place) for place in range(len(self.members)))
        wanted = [prompt for prompt in self.members if prompt.slug in asked.pages]
        return bool(wanted and ours) or any(prompt.slug in asked.sides for prompt in self.members)

    def make_jobs(self, batches: Sequence[Sequence[Prompt]] | None, asked: RunRequest) -> list[Job]:
        """Return what is to be run.

        Args:
            batches: as ``make_batches`` plans them for all members. Those of the next model go to the next shards, so
                that many models of one batch each do not all go to the first. ``None`` where the model cannot be
                loaded: all of its prompts fail here, since nobody knows which of them are this shard's.
            asked: what for.
        """
        if batches is None:
            return [self._make_job(self.members, asked, ours=True)]
        ours = [asked.shard is None or asked.shard.takes(self.number + place) for place in range(len(batches))]
        jobs = [self._make_job(batch, asked, ours=is_ours) for batch, is_ours in zip(batches, ours, strict=True)]
        return [job for job in jobs if job.asked]

    def find_left(self, jobs: Sequence[Job], asked: RunRequest) -> Iterator[Prompt]:
        """Yield the prompts whose pages other shards make, and that no job is about."""
        taken = {prompt.slug for job in jobs for prompt in job.asked}
        return (prompt for prompt in self.members if prompt.slug in asked.pages and prompt.slug not in taken)

    @staticmethod
    def _make_job(batch: Sequence[Prompt], asked: RunRequest, *, ours: bool) -> Job:
        slugs = frozenset(prompt.slug for prompt in batch)
        return Job(tuple(batch), slugs & asked.pages if ours else frozenset(), slugs & asked.sides)


def group_by_model(prompts: Sequence[Prompt]) -> list[Group]:
    """Return the prompts of each model, with its adapter, in the order in which the models are first named."""
    first_use = {_model_of(prompt): place for place, prompt in reversed(list(enumerate(prompts)))}
    ordered = sorted(prompts, key=lambda prompt: first_use[_model_of(prompt)])
    groups = (tuple(members) for _, members in groupby(ordered, key=_model_of))
    return [Group(number, members) for number, members in enumerate(groups)]


def _model_of(prompt: Prompt) -> tuple[str, str]:
    """What a network's weights depend on."""
    return prompt.model, prompt.adapter
