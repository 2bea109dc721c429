"""Activation patching: what changes in one run when an activation of another run is put in its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reportgen.evidence.kinds.kind import Definition, Row
from reportgen.records import Token
from reportgen.records.equality import WithArrays

PATCHING = Definition(
    "patching", "activation patching",
    "Change of log p(answer of A) − log p(answer of B) behind a prompt when an activation of the other run is put in "
    "its place, as a share of the difference between the runs: 0 changes nothing, 1 gives the other run's difference.",
    "Activation patching: Vig et al. 2020, Meng et al. 2022; conventions of Heimersheim and Nanda 2024.",
    "A share belongs to these two prompts and answers. Shares of parts do not add up to 1: parts can stand in for one "
    "another, or need one another.",
)  # fmt: skip
INTO = ("A into B", "B into A")
"""Directions of a patch. With A the clean run and B the corrupted one, the first is denoising, the second noising."""
LEAST_DIFFERENCE = 0.05
"""Least difference between the runs, in nats, that is divided by."""


@dataclass(frozen=True, eq=False)
class Patching(WithArrays):
    """What patches between two runs A and B change.

    Shares are of the difference between the runs, 0 for no change and 1 for the difference of the run that the
    activation is from. The axis ``direction`` is that of ``INTO``. NaN is a head that a layer does not have.

    Attributes:
        answers: the tokens whose log-probabilities are compared, that of A and that of B.
        differences: log-probability of the first answer minus that of the second at the last token of the prompt, in A
            and in B, in nats.
        starts: first aligned position, in A and in B.
        length: number of aligned positions, which end with the prompts.
        layers: numbers of the layers that have heads.
        heads: share of each head, patched at all aligned positions, float32 ``[direction, layer, head]``.
        last: share of each head, patched at the last position, float32 ``[direction, layer, head]``.
        stream_layers: numbers of all layers.
        stream: share of the residual stream before each layer at each aligned position, float32
            ``[direction, stream_layer, place]``.
    """

    answers: tuple[Token, Token]
    differences: tuple[float, float]
    starts: tuple[int, int]
    length: int
    layers: tuple[int, ...]
    heads: NDArray[np.float32]
    last: NDArray[np.float32]
    stream_layers: tuple[int, ...]
    stream: NDArray[np.float32]

    @property
    def difference(self) -> float:
        """Difference of A minus that of B, in nats; the shares are parts of it."""
        return self.differences[0] - self.differences[1]

    def find_share(self, layer: int, head: int, direction: int = 0) -> float | None:
        """Return the share of a head at all positions; ``None`` if the model has no such head."""
        if layer not in self.layers or head >= self.heads.shape[2]:
            return None
        share = float(self.heads[direction, self.layers.index(layer), head])
        return None if np.isnan(share) else share

    def tabulate(self) -> Iterable[Row]:
        """Return a table row for each patch: the run that is changed, what is patched, the share, and the nats."""
        grids = (
            ("head", self.heads, self.layers),
            ("head at the last position", self.last, self.layers),
            ("residual stream", self.stream, self.stream_layers),
        )
        for direction, into in enumerate("BA"):
            for name, shares, layers in grids:
                for row, column in np.ndindex(shares.shape[1:]):
                    share = float(shares[direction, row, column])
                    is_head = shares is not self.stream
                    yield {
                        "into": into,
                        "activation": name,
                        "layer": layers[row],
                        "head": column if is_head else None,
                        "position": None if is_head else self.starts[1 - direction] + column,
                        "share": share,
                        "change": share * (self.difference if into == "B" else -self.difference),
                    }
