"""Tokens that a model might have written, as a prompt names them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Foil:
    """A token that the model might have written, which the written token of one step is compared with.

    Attributes:
        token: exact text of the token, with its leading space.
        step: 0-based step of the written token.
    """

    token: str
    step: int = 0


def find_wrong_foil(foils: Iterable[Foil], num_steps: int, advice: str = "raise max_new_tokens") -> str:
    """Return what is wrong with a foil of a step that is never reached; empty if there is none."""
    wrong = ((foil, explain_step(foil.step, num_steps, advice)) for foil in foils)
    return next((f"the foil {foil.token!r} {why}" for foil, why in wrong if why), "")


def explain_step(step: int, num_steps: int, advice: str) -> str:
    """Return what is wrong with a step that is never reached, and how to reach it; empty if it can be."""
    last = max(num_steps, 1) - 1
    return f"is for step {step}, and the last step is {last}; lower its step or {advice}" if step > last else ""
