"""Screening: what ablation would do to each head, estimated to first order, and how well that agrees with ablation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.kind import Definition, Kind, Row
from reportgen.records.equality import WithArrays
from reportgen.records.evidence import Shape, Sizes

LARGEST, FLAGGED, DRAWN = 1, 2, 4
"""Why a head was ablated, added up: a large estimate, a flag, drawn by lot."""
_REASONS = {LARGEST: "largest", FLAGGED: "flagged", DRAWN: "drawn"}

ESTIMATES = (
    Definition(
        "estimate", "first-order estimate, head set to zero",
        "Gradient of the log-probability of the step's token by the head's output, times the change of that output to "
        "0, summed over the positions.",
        "Attribution patching: Nanda 2023; Kramár et al. 2024.",
        "An estimate from one backward pass, not an ablation: it fails where a softmax is saturated, where parts "
        "cancel, and where the change is large.",
    ),
    Definition(
        "mean-estimate", "first-order estimate, head set to its mean",
        "The same with the change of the head's output to its mean over the positions of this text.",
        "Attribution patching: Nanda 2023; Kramár et al. 2024.",
        "An estimate, as that of the head set to zero.",
    ),
)  # fmt: skip
ESTIMATE_OF = {"ablation": "estimate", "mean-ablation": "mean-estimate"}
"""Name of the estimate of each method of ablation."""


@dataclass(frozen=True, eq=False)
class Screen(WithArrays):
    """Estimates of one method of ablation, and which heads were ablated because of them.

    Attributes:
        estimates: first-order estimate of the change of the log-probability, in nats, float32 ``[step, layer, head]``.
        reasons: why each head was ablated, a sum of ``LARGEST``, ``FLAGGED`` and ``DRAWN``, uint8 ``[layer, head]``;
            0 if it was not.
        correlation: rank correlation (Spearman) of estimate and ablation over the drawn heads, by the largest absolute
            value of each over the steps; NaN if it is undefined.
        found: how many of the ``sought`` drawn heads with the largest ablation are among as many with the largest
            estimate.
        sought: 10, or half of the drawn heads if they are fewer than 20.
    """

    estimates: NDArray[np.float32]
    reasons: NDArray[np.uint8]
    correlation: float
    found: int
    sought: int


class Screening(Kind):
    """Estimates of the methods of ablation; the value maps the names of ``ESTIMATES`` to a ``Screen`` each.

    Empty if every head was ablated.
    """

    name = "screening"
    annotation = Mapping[str, Screen]
    empty: Mapping[str, Any] = {}
    definitions = ESTIMATES
    needs_steps = True
    table = "estimate"

    def list_grids(self, value: Mapping[str, Screen]) -> Mapping[str, NDArray[np.float32]]:
        """Return the estimates by name."""
        return {kind.name: value[kind.name].estimates for kind in ESTIMATES if kind.name in value}

    def describe(self, capture: Capture, value: Mapping[str, Screen]) -> Mapping[str, Any]:
        """Return, by the name of an ablation or an estimate, both names and what the page says of their agreement."""
        described = {}
        for ablation, estimate in ESTIMATE_OF.items():
            if estimate in value:
                says = _say_agreement(value[estimate])
                names = {"ablation": ablation, "estimate": estimate}
                described |= {name: {**names, "says": says} for name in names.values()}
        return {"screening": described}

    def tabulate(self, capture: Capture, value: Mapping[str, Screen]) -> Iterable[Row]:
        """Return a row for each method, step and head, which says why the head was ablated."""
        for method, screen in value.items():
            for step, row, column in np.ndindex(screen.estimates.shape):
                reasons = int(screen.reasons[row, column])
                yield {
                    "method": method,
                    "step": step,
                    "layer": capture.layers[row],
                    "head": capture.heads[column],
                    "logprob_change_estimate": screen.estimates[step, row, column],
                    "ablated_because": ", ".join(name for bit, name in _REASONS.items() if reasons & bit),
                }

    def shapes(self, value: Mapping[str, Screen], sizes: Sizes) -> Iterable[Shape]:
        """Return the required shapes of the arrays."""
        heads = sizes.num_layers, sizes.num_heads
        for name, screen in value.items():
            yield Shape(f"{name}.estimates", screen.estimates, (sizes.num_steps, *heads))
            yield Shape(f"{name}.reasons", screen.reasons, heads, np.uint8)


def _say_agreement(screen: Screen) -> str:
    ablated, drawn = int((screen.reasons > 0).sum()), int((screen.reasons & DRAWN > 0).sum())
    correlation = "n/a" if np.isnan(screen.correlation) else f"{screen.correlation:.2f}".replace("-", "−")
    return (
        f"{ablated} of {screen.reasons.size} heads were ablated: those with the largest estimates, those whose "
        f"estimate is doubtful, and {drawn} drawn by lot; the others are n/a. Estimate and ablation of the drawn "
        f"heads: rank correlation {correlation}; {screen.found} of the {screen.sought} largest ablations are among "
        f"the {screen.sought} largest estimates."
    )
