"""Summarize what a capture says of each head in a few kilobytes, so that heads can be compared over many prompts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.ablation import ABLATIONS
from reportgen.evidence.kinds.scores import HEAD_SCORES
from reportgen.evidence.opening import find_opening
from reportgen.evidence.top_heads import EFFECT, list_numbers

OVER_STEPS = "_over_steps"
"""Suffix of the name of a mean over the steps; the name without it is the number at the opening step."""
OF_STEPS = (EFFECT, *(kind.name for kind in ABLATIONS))
"""Numbers that a head has at each step."""
SUMMARY_NUMBERS = (*(name + end for name in OF_STEPS for end in ("", OVER_STEPS)), *(kind.name for kind in HEAD_SCORES))
"""Names of the numbers of a summary, in their order on pages and in tables."""
_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, eq=False)
class HeadSummary:
    """The numbers of each head on one prompt.

    Attributes:
        model: name of the model, with that of its adapter.
        revision: commit of the model, and that of its adapter; empty if unknown.
        layers: numbers of the captured layers in the model.
        heads: numbers of the captured heads in each layer.
        step: step that the page opens with; ``None`` if nothing was generated.
        numbers: values by name, one of ``SUMMARY_NUMBERS``, float16 ``[layer, head]`` each; NaN where a number is
            undefined. Names that the capture does not have are missing.
    """

    model: str
    revision: str
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    step: int | None
    numbers: Mapping[str, NDArray[np.float16]]


def summarize_heads(capture: Capture) -> HeadSummary:
    """Return the summary of a capture.

    Effects are those against the alternatives, whatever foils the prompt names, so that prompts can be compared. A mean
    over the steps is over those where the number is defined.
    """
    step = find_opening(capture).step
    numbers: dict[str, NDArray[np.floating[Any]]] = {}
    for name, values in list_numbers(capture).items():
        if values.ndim == 2:
            numbers[name] = values
        elif name in OF_STEPS and step is not None:
            numbers[name] = values[step]
            numbers[name + OVER_STEPS] = mean_known(values)
    model = capture.model
    return HeadSummary(
        model=model.title,
        revision=" ".join(filter(None, (model.revision, model.adapter_revision))),
        layers=capture.layers,
        heads=capture.heads,
        step=step,
        numbers={name: _round(numbers[name]) for name in SUMMARY_NUMBERS if name in numbers},
    )


def mean_known(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the mean over the first axis of the values that are not NaN, in float64; NaN where there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all are NaN
        return np.nanmean(values.astype(np.float64), axis=0)


def _round(values: NDArray[np.floating[Any]]) -> NDArray[np.float16]:
    """Return float16 numbers, of which equal ones have equal bytes."""
    halves = np.clip(values, -_LARGEST, _LARGEST).astype(np.float16) + np.float16(0)  # -0 becomes 0
    return np.where(np.isnan(halves), np.float16(np.nan), halves)
