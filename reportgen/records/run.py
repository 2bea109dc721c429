"""Shards of a run, and prompts that failed."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

from reportgen.records.prompt import Prompt


@dataclass(frozen=True)
class Failure:
    """A failed prompt with its error message; ``details`` holds the traceback."""

    prompt: Prompt
    error: str
    details: str = field(default="", compare=False, repr=False)

    @classmethod
    def of(cls, prompt: Prompt, error: BaseException) -> Failure:
        """Create the record of a prompt that raised an error."""
        return cls(prompt, str(error), "".join(traceback.format_exception(error)))


@dataclass(frozen=True)
class Shard:
    """One shard of a run that is split over several processes or machines.

    Of ``count`` shards, shard ``number`` runs the batches ``number - 1``, ``number - 1 + count``, and so on.

    Attributes:
        number: 1-based number of the shard.
        count: number of shards.
    """

    number: int
    count: int

    def takes(self, place: int) -> bool:
        """Return whether the batch with this 0-based index belongs to the shard."""
        return place % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
