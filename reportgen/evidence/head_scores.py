"""Scores of heads, measured in float32 on the weights of one layer while they are alive.

``reportgen.evidence.definitions`` says in words what each score means and where it comes from.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from reportgen.evidence.weighted import weighted_sink

_CELLS = 1 << 18
"""Of patterns whose logarithms are taken at once."""


class HeadMeasurer:
    """Measures the heads of one capture, layer by layer."""

    def __init__(self, token_ids: list[int], device: torch.device) -> None:
        """Find the pairs of equal tokens, which are the same in every layer."""
        ids = torch.tensor(token_ids, device=device)
        # [2, pair]: each query position with each earlier position of the same token.
        self._duplicates = (ids[:, None] == ids[None, :]).tril(-1).nonzero().T
        query_pos, key_pos = self._duplicates
        followed = key_pos + 1 < query_pos
        self._inductions = torch.stack([query_pos[followed], key_pos[followed] + 1])
        self._num_duplicated = len(query_pos.unique()) or torch.nan
        self._num_inducing = len(self._inductions[0].unique()) or torch.nan
        self._positions = torch.arange(len(token_ids), dtype=torch.float32, device=device)

    def measure(
        self, weights: torch.Tensor, norms: torch.Tensor | None = None, *, has_sink: bool = False
    ) -> dict[str, NDArray[np.float32]]:
        """Return the scores of one layer's heads.

        Args:
            weights: attention, ``[head, query_pos, key_pos]``.
            norms: length of what each head writes per unit of weight on a key, ``[head, key_pos]``; ``None`` where it
                is not known.
            has_sink: rows may sum to less than 1, because a learned sink takes the rest.

        Returns:
            By the names of ``evidence.definitions.HEAD_SCORES``, ``[head]`` each; NaN where a score is undefined.
        """
        weights = weights.float()
        later = weights[:, 1:]  # the first query has nothing to choose from
        sink = later[:, :, 0] + (1 - later.sum(-1) if has_sink else 0)
        scores = {
            "sink": sink.mean(-1),
            "sink_weighted": sink.new_full((len(sink),), torch.nan) if norms is None else weighted_sink(weights, norms),
            "previous": weights.diagonal(-1, 1, 2).mean(-1),
            "duplicate": _sum_of_pairs(weights, self._duplicates) / self._num_duplicated,
            "induction": _sum_of_pairs(weights, self._inductions) / self._num_inducing,
            "self": weights.diagonal(0, 1, 2)[:, 1:].mean(-1),
            "entropy": self._entropy(weights),
            **self._distances(weights),
        }
        return {name: score.cpu().numpy() for name, score in scores.items()}

    def _entropy(self, weights: torch.Tensor) -> torch.Tensor:
        # Some heads at a time: the terms of all at once would take as much memory as the layer.
        at_once = max(1, _CELLS // weights[0].numel())
        entropies = torch.cat([torch.special.entr(some[:, 1:]).sum(-1) for some in weights.split(at_once)])
        return (entropies / torch.log(self._positions[1:] + 1)).mean(-1)

    def _distances(self, weights: torch.Tensor) -> dict[str, torch.Tensor]:
        """Mean distances to all keys, and to those from 1 on, over the queries that have two of them or more."""
        reached = weights @ self._positions  # position 0 adds nothing, so it is the same for both
        rest = weights[:, :, 1:].sum(-1)
        mass = {"distance": (weights[:, :, 0] + rest, 1), "distance_rest": (rest, 2)}
        return {
            name: (self._positions[first:] - reached[:, first:] / some[:, first:])
            .where(some[:, first:] > 0, torch.nan)
            .nanmean(-1)
            for name, (some, first) in mass.items()
        }


def _sum_of_pairs(weights: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """Sum of the weights at ``[2, pair]`` of (query, key), by head."""
    query_pos, key_pos = pairs
    return weights[:, query_pos, key_pos].sum(-1)
