"""How tokens are chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from reportgen.records.short_repr import ShortRepr

SAMPLING_KEYS = ("temperature", "top_k", "top_p", "min_p")
"""Settings that need ``do_sample``."""
_OURS = ("seed", "return_sequence")
"""Settings that ``generate`` does not take."""


@dataclass(frozen=True, repr=False)
class Generation(ShortRepr):
    """How tokens are chosen; the names are those of ``transformers.GenerationConfig``.

    ``None`` leaves a setting unset, so that no filter is applied that was not requested. The generation config that
    comes with a model is never used, so that a prompt file samples all models in the same way.

    Attributes:
        return_sequence: number of the sequence that a prompt is about, from 1 to ``num_return_sequences``; ``None`` for
            a page each. This and the seed are not settings of ``generate``.
    """

    do_sample: bool = False
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    num_beams: int = 1
    num_return_sequences: int = 1
    return_sequence: int | None = None
    stop_strings: tuple[str, ...] = ()
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """Return the settings that are given as keyword arguments of ``generate``, without the seed."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in _OURS}
        if self.num_return_sequences == 1:
            del values["num_return_sequences"]
        return {name: value for name, value in values.items() if value not in (None, ())}

    def find_problems(self, max_new_tokens: int) -> Iterator[tuple[str, str]]:
        """Yield the settings that contradict one another, and what is wrong.

        Args:
            max_new_tokens: maximum number of tokens to generate.
        """
        count, chosen = self.num_return_sequences, self.return_sequence
        if count > 1 and max_new_tokens == 0:
            yield "num_return_sequences", f"is {count}, and nothing is generated; set max_new_tokens to 1 or more"
        elif count > 1 and self.num_beams == 1 and not self.do_sample:
            advice = f"add do_sample, or num_beams of {count} or more"
            yield "num_return_sequences", f"is {count}, and without sampling they are all the same; {advice}"
        elif 1 < self.num_beams < count:
            yield "num_return_sequences", f"is {count}, and there are {self.num_beams} beams; set num_beams to {count}"
        if chosen is not None and chosen > count:
            yield "return_sequence", f"is {chosen}, and num_return_sequences is {count}; give a number up to that"
