"""Scores of heads, measured in float32 on the weights of one layer while they stream by.

``reportgen.evidence.kinds.scores`` says in words what each score means and where it comes from.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from reportgen.evidence.collectors.weighted import weighted_sink
from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.anatomy import has_sink
from reportgen.instrumentation.observer import HeadTrace, RowTrace
from reportgen.records.errors import NoEvidence


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
            By the names of ``kinds.scores.HEAD_SCORES``, ``[head]`` each; NaN where a score is undefined.
        """
        queries = len(self._pairs.positions) - 1 or torch.nan
        counts = {"duplicate": self._pairs.num_duplicated, "induction": self._pairs.num_inducing}
        if self._norms is None:
            counts["sink_weighted"] = torch.nan
        scores = {name: total / counts.get(name, queries) for name, total in self._sums.items()}
        scores |= {name: total / count for name, (total, count) in self._distances.items()}
        return {name: score.cpu().numpy() for name, score in scores.items()}


class ScoresCollector(KindCollector):
    """Measures the scores of the captured heads, layer by layer."""

    kind = "scores"

    def __init__(self, run: TracedRun) -> None:
        """Find the equal tokens of the text."""
        super().__init__(run)
        self._measurer = HeadMeasurer(run.token_ids, run.device)
        self._layers: dict[int, LayerMeasurer] = {}

    def see_heads(self, trace: HeadTrace) -> None:
        """Begin with a layer."""
        if trace.layer in self.run.layers:
            heads, norms = self.run.heads, self._find_norms(trace)
            self._layers[trace.layer] = self._measurer.begin(len(heads), norms, has_sink=has_sink(trace.module))

    def _find_norms(self, trace: HeadTrace) -> torch.Tensor | None:
        """Scores other than the weighted one need no norms."""
        try:
            return self.run.measure_norms(trace)[self.run.heads]
        except NoEvidence:
            return None

    def see_rows(self, trace: RowTrace) -> None:
        """Add some query rows."""
        if trace.layer in self._layers:
            heads, weights = self.run.heads, trace.weights
            self._layers[trace.layer].add(trace.first, weights if len(heads) == len(weights) else weights[heads])

    def finish(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the scores by name, ``[layer, head]``."""
        layers = [self._layers[layer].result() for layer in sorted(self._layers)]
        return {name: np.stack([scores[name] for scores in layers]) for name in layers[0]} if layers else None
