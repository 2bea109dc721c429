"""Scores of heads, measured in float32 on the weights of one layer while they stream by.

``reportgen.evidence.definitions`` says in words what each score means and where it comes from.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from reportgen.evidence.weighted import weighted_sink


class HeadMeasurer:
    """Measures the heads of one capture, layer by layer."""

    def __init__(self, token_ids: list[int], device: torch.device) -> None:
        """Find the pairs of equal tokens, which are the same in every layer."""
        ids = torch.tensor(token_ids, device=device)
        # [2, pair], ascending by query: each query position with each earlier position of the same token.
        self.duplicates = (ids[:, None] == ids[None, :]).tril(-1).nonzero().T
        query_pos, key_pos = self.duplicates
        followed = key_pos + 1 < query_pos
        self.inductions = torch.stack([query_pos[followed], key_pos[followed] + 1])
        self.num_duplicated = len(query_pos.unique()) or torch.nan
        self.num_inducing = len(self.inductions[0].unique()) or torch.nan
        self.positions = torch.arange(len(token_ids), dtype=torch.float32, device=device)

    def begin(self, num_heads: int, norms: torch.Tensor | None = None, *, has_sink: bool = False) -> LayerMeasurer:
        """Begin with a layer.

        Args:
            num_heads: how many heads are measured.
            norms: length of what each head writes per unit of weight on a key, ``[head, key_pos]``; ``None`` where it
                is not known.
            has_sink: rows may sum to less than 1, because a learned sink takes the rest.
        """
        return LayerMeasurer(self, num_heads, norms, has_sink)


class LayerMeasurer:
    """Adds up the scores of one layer's heads, some query rows at a time."""

    def __init__(self, pairs: HeadMeasurer, num_heads: int, norms: torch.Tensor | None, has_sink: bool) -> None:
        """Begin before the first row."""
        self._pairs, self._norms, self._has_sink = pairs, norms, has_sink
        zeros = pairs.positions.new_zeros(num_heads)
        self._sums = {
            name: zeros.clone()
            for name in ("sink", "sink_weighted", "previous", "duplicate", "induction", "self", "entropy")
        }
        self._distances = {name: (zeros.clone(), zeros.clone()) for name in ("distance", "distance_rest")}

    def add(self, first: int, weights: torch.Tensor) -> None:
        """Take some query rows.

        Args:
            first: their first query position.
            weights: attention, ``[head, row, key_pos]``; keys that no row sees can be left out at the end.
        """
        weights, last = weights.float(), first + weights.shape[1]
        for name, pairs in (("duplicate", self._pairs.duplicates), ("induction", self._pairs.inductions)):
            bounds = torch.searchsorted(pairs[0].contiguous(), torch.tensor([first, last], device=pairs.device))
            query_pos, key_pos = pairs[:, slice(*bounds.tolist())]
            self._sums[name] += weights[:, query_pos - first, key_pos].sum(-1)
        if first == 0:  # the first query has nothing to choose from
            first, weights = 1, weights[:, 1:]
        if first == last:
            return
        totals = weights.sum(-1)
        at_first = weights[:, :, 0]
        self._sums["sink"] += (at_first + (1 - totals if self._has_sink else 0)).sum(-1)
        self._sums["previous"] += weights.diagonal(first - 1, 1, 2).sum(-1)
        self._sums["self"] += weights.diagonal(first, 1, 2).sum(-1)
        queries = self._pairs.positions[first:last]
        self._sums["entropy"] += (torch.special.entr(weights).sum(-1) / torch.log(queries + 1)).sum(-1)
        if self._norms is not None:
            self._sums["sink_weighted"] += weighted_sink(weights, self._norms)
        reached = weights @ self._pairs.positions[: weights.shape[-1]]  # position 0 adds nothing to it
        self._add_distances("distance", queries - reached / totals, totals)
        skipped = int(first < 2)  # the query at 1 has one key that is not the first
        rest = totals[:, skipped:] - at_first[:, skipped:]
        self._add_distances("distance_rest", queries[skipped:] - reached[:, skipped:] / rest, rest)

    def _add_distances(self, name: str, distances: torch.Tensor, mass: torch.Tensor) -> None:
        """Rows that have no weight on the keys in question have no distance to them."""
        total, count = self._distances[name]
        total += distances.where(mass > 0, 0).sum(-1)
        count += (mass > 0).sum(-1)

    def result(self) -> dict[str, NDArray[np.float32]]:
        """Return the scores, once all rows were seen.

        Returns:
            By the names of ``evidence.definitions.HEAD_SCORES``, ``[head]`` each; NaN where a score is undefined.
        """
        queries = len(self._pairs.positions) - 1 or torch.nan
        counts = {"duplicate": self._pairs.num_duplicated, "induction": self._pairs.num_inducing}
        if self._norms is None:
            counts["sink_weighted"] = torch.nan
        scores = {name: total / counts.get(name, queries) for name, total in self._sums.items()}
        scores |= {name: total / count for name, (total, count) in self._distances.items()}
        return {name: score.cpu().numpy() for name, score in scores.items()}
