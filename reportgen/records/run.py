"""Parts of a run, and prompts that failed in it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

from reportgen.records.prompt import Prompt


@dataclass(frozen=True)
class Failure:
    """A prompt that gave no page, and why; ``details`` says where in the program."""

    prompt: Prompt
    error: str
    details: str = field(default="", compare=False, repr=False)

    @classmethod
    def of(cls, prompt: Prompt, error: BaseException) -> Failure:
        """Return why a prompt failed."""
        return cls(prompt, str(error), "".join(traceback.format_exception(error)))


@dataclass(frozen=True)
class Shard:
    """A part of a run, which others end: every so-manieth batch.

    Attributes:
        number: which part, from 1 on.
        count: how many there are.
    """

    number: int
    count: int

    def takes(self, place: int) -> bool:
        """Say whether what has this place, from 0 on, is of this part."""
        return place % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
