"""The work of a run: batches of prompts, and which of their pages are requested."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from reportgen.records import EncodedPrompt, Prompt, Shard


@dataclass(frozen=True)
class RunRequest:
    """What a run requests from an engine.

    Attributes:
        pages: slugs of the prompts whose pages are requested.
        sides: slugs of the prompts that a comparison needs.
        shard: shard of the batches to run; ``None`` runs all batches.
    """

    pages: frozenset[str]
    sides: frozenset[str] = frozenset()
    shard: Shard | None = None

    def concerns(self, prompts: Collection[Prompt]) -> bool:
        """Return whether the page or the comparison data of any of these prompts is requested."""
        return any(prompt.slug in self.pages or prompt.slug in self.sides for prompt in prompts)


@dataclass(frozen=True)
class Job:
    """A batch of prompts to run, and which of them are requested.

    Attributes:
        batch: all prompts of the batch. They all run, even those that are not requested, so that the numbers of each
            prompt do not depend on which pages already exist.
        pages: slugs of the prompts whose pages are requested.
        sides: slugs of the prompts that a comparison needs.
    """

    batch: tuple[EncodedPrompt, ...]
    pages: frozenset[str]
    sides: frozenset[str]

    @property
    def asked(self) -> tuple[Prompt, ...]:
        """The prompts of the batch whose page or comparison data is requested."""
        wanted = self.pages | self.sides
        return tuple(encoded.prompt for encoded in self.batch if encoded.prompt.slug in wanted)


@dataclass(frozen=True)
class Group:
    """The prompts of one model.

    Attributes:
        number: number of models that come before this one.
        members: all prompts of the model, in order.
    """

    number: int
    members: tuple[Prompt, ...]

    def is_taken_by(self, request: RunRequest) -> bool:
        """Return whether the group may contain a requested job.

        The batches are not planned yet; there are at most as many batches as prompts.
        """
        shard = request.shard
        is_ours = shard is None or any(shard.takes(self.number + place) for place in range(len(self.members)))
        pages = [prompt for prompt in self.members if prompt.slug in request.pages]
        return bool(pages and is_ours) or any(prompt.slug in request.sides for prompt in self.members)

    def make_jobs(self, batches: Sequence[Sequence[EncodedPrompt]] | None, request: RunRequest) -> list[Job]:
        """Return the requested jobs of the group.

        Args:
            batches: batches of all members, as planned by ``make_batches``. The first batch of each model goes to a
                different shard, so that many models with one batch each do not all go to the first shard. ``None`` if
                the model cannot be loaded: then all of its prompts fail here, because the batches of this shard are
                unknown.
            request: what the run requests.
        """
        if batches is None:
            return [self._make_job([EncodedPrompt(prompt) for prompt in self.members], request, is_ours=True)]
        shard = request.shard
        ours = [shard is None or shard.takes(self.number + place) for place in range(len(batches))]
        jobs = [self._make_job(batch, request, is_ours=is_ours) for batch, is_ours in zip(batches, ours, strict=True)]
        return [job for job in jobs if job.asked]

    def find_left(self, jobs: Sequence[Job], request: RunRequest) -> Iterator[Prompt]:
        """Yield the prompts with a requested page that are in none of the jobs, because other shards run them."""
        taken = {prompt.slug for job in jobs for prompt in job.asked}
        return (prompt for prompt in self.members if prompt.slug in request.pages and prompt.slug not in taken)

    @staticmethod
    def _make_job(batch: Sequence[EncodedPrompt], request: RunRequest, *, is_ours: bool) -> Job:
        slugs = frozenset(encoded.prompt.slug for encoded in batch)
        return Job(tuple(batch), slugs & request.pages if is_ours else frozenset(), slugs & request.sides)


def group_by_model(prompts: Sequence[Prompt]) -> list[Group]:
    """Group prompts by model and adapter, in the order in which the models first appear."""
    first_use = {_model_of(prompt): place for place, prompt in reversed(list(enumerate(prompts)))}
    ordered = sorted(prompts, key=lambda prompt: first_use[_model_of(prompt)])
    groups = (tuple(members) for _, members in groupby(ordered, key=_model_of))
    return [Group(number, members) for number, members in enumerate(groups)]


def _model_of(prompt: Prompt) -> tuple[str, str]:
    """Return the model and adapter of a prompt, which determine the weights."""
    return prompt.model, prompt.adapter
