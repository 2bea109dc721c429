"""Ablation: change of the log-probabilities of the generated tokens when one head is removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.kind import Definition, Kind, Row
from reportgen.records.evidence import Shape, Sizes
from reportgen.records.sentences import HeadPart, Sentence, format_effect, make_sentence

ABLATIONS = (
    Definition(
        "ablation", "ablation, head set to zero",
        "Change of the log-probability of the step's token when the head's output is 0 at every position, the text "
        "held as it was generated.",
        "Zero ablation: Michel et al. 2019.",
        "Later layers repair much of the loss, so it is a lower bound; an output of 0 is not one that the model knows.",
    ),
    Definition(
        "mean-ablation", "ablation, head set to its mean",
        "The same with the head's output set to its mean over the positions of this text.",
        "Mean ablation: Wang et al. 2022, there over other texts.",
        "Keeps what the head always writes, and so measures only what depends on the position.",
    ),
)  # fmt: skip


class Ablations(Kind):
    """Change of the log-probability of each step's token without one head, float32 ``[step, layer, head]``.

    The value maps the names of the methods that a prompt requests, from ``records.EXTRA_EVIDENCE``, to such arrays.
    NaN is a head that was only estimated (``kinds.screening``).
    """

    name = "ablations"
    annotation = Mapping[str, NDArray[np.float32]]
    empty: Mapping[str, Any] = {}
    definitions = ABLATIONS
    needs_steps = True
    table = "ablation"

    def list_grids(self, value: Any) -> Mapping[str, NDArray[np.float32]]:
        """Return the change of the log-probability by method."""
        return {kind.name: value[kind.name] for kind in ABLATIONS if kind.name in value}

    def tabulate(self, capture: Capture, value: Any) -> Iterable[Row]:
        """Return a row for each method, step and head."""
        for method, changes in value.items():
            for step, row, column in np.ndindex(changes.shape):
                yield {
                    "method": method,
                    "step": step,
                    "layer": capture.layers[row],
                    "head": capture.heads[column],
                    "logprob_change": changes[step, row, column],
                }

    def find(self, capture: Capture, value: Any, step: int | None) -> Sentence:
        """Return the head whose removal lowers the log-probability of a step's token most, by method."""
        if step is None or not value:
            return ("Ablation",)
        found = [_say_drop(capture, value[kind.name][step], kind) for kind in ABLATIONS if kind.name in value]
        return make_sentence("Ablation: ", found[0], *(part for drop in found[1:] for part in ("; ", drop)))

    def shapes(self, value: Any, sizes: Sizes) -> Iterable[Shape]:
        """Return the required shapes of the value's arrays."""
        shape = sizes.num_steps, sizes.num_layers, sizes.num_heads
        return [Shape(name, changes, shape) for name, changes in value.items()]


class FoilAblations(Kind):
    """Change of the logit of each step's token minus that of a foil without one head.

    The value maps the names of the methods to float32 ``[foil, step, layer, head]``. NaN at the steps that a foil is
    not for, and where a head was only estimated.
    """

    name = "foil_ablations"
    annotation = Mapping[str, NDArray[np.float32]]
    empty: Mapping[str, Any] = {}
    needs_steps = True
    table = "foil-ablation"

    def list_grids(self, value: Any) -> Mapping[str, NDArray[np.float32]]:
        """Return the changes by method and foil: ``ablation-foil-1`` and so on."""
        return {
            f"{kind.name}-foil-{number + 1}": changes
            for kind in ABLATIONS
            for number, changes in enumerate(value.get(kind.name, ()))
        }

    def tabulate(self, capture: Capture, value: Any) -> Iterable[Row]:
        """Return a row for each method, foil and head."""
        for method, changes in value.items():
            for number, foil in enumerate(capture.measured_foils):
                for row, column in np.ndindex(changes.shape[2:]):
                    yield {
                        "method": method,
                        "step": foil.step,
                        "against_token_id": foil.token.token_id,
                        "against_text": foil.token.text,
                        "layer": capture.layers[row],
                        "head": capture.heads[column],
                        "logit_change": changes[number, foil.step, row, column],
                    }

    def shapes(self, value: Any, sizes: Sizes) -> Iterable[Shape]:
        """Return the required shapes of the value's arrays."""
        shape = len(sizes.foil_steps), sizes.num_steps, sizes.num_layers, sizes.num_heads
        return [Shape(name, changes, shape) for name, changes in value.items()]


def _say_drop(capture: Capture, changes: NDArray[np.float32], method: Definition) -> Sentence:
    """Return the largest drop of one method; ``changes`` is ``[layer, head]``."""
    without = "without" if method.name == "ablation" else "at its mean,"
    lowest = float(np.fmin.reduce(changes, axis=None))
    if not lowest < 0:
        which = "measured head" if np.isnan(changes).any() else "head"
        return (f"{without} any one {which}, no loss",)
    row, column = np.unravel_index(np.nanargmin(changes), changes.shape)
    return f"{without} ", HeadPart(capture.layers[row], capture.heads[column]), f", {format_effect(lowest)} nats"
