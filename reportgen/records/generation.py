"""How tokens are chosen."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

SAMPLING_KEYS = ("temperature", "top_k", "top_p")
"""Settings that need ``do_sample``."""


@dataclass(frozen=True)
class Generation:
    """How tokens are chosen; the names are those of ``transformers.GenerationConfig``.

    ``None`` leaves a setting unset, so that no filter is applied that was not requested. The generation config that
    comes with a model is never used, so that a prompt file samples all models in the same way.
    """

    do_sample: bool = False
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    num_beams: int = 1
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """Return the settings that are not ``None`` as keyword arguments, without the seed."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "seed"}
        return {name: value for name, value in values.items() if value is not None}
