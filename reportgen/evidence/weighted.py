"""Weighted attention: how long what a head writes from each key is (Kobayashi et al. 2020)."""

from __future__ import annotations

import torch

from reportgen.instrumentation.heads import SplitHeads
from reportgen.records.errors import NoEvidence


def measure_value_norms(heads: SplitHeads) -> torch.Tensor:
    """Return ``‖v_k W_O‖``, the length of what a head writes per unit of weight on a key.

    Args:
        heads: of one layer.

    Returns:
        float32 ``[head, key_pos]``.

    Raises:
        NoEvidence: heads are gated, so that the length depends on the query too.
    """
    if heads.gates is not None:
        raise NoEvidence("its heads are gated before the output projection, so their length differs by query")
    # ‖v W‖² = v (W Wᵀ) vᵀ: the product in the middle is as small as a head.
    gram = heads.weight @ heads.weight.transpose(1, 2)
    return (heads.values @ gram * heads.values).sum(-1).clamp(min=0).sqrt()


def weighted_sink(weights: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
    """Return the share of weighted attention on the first token, summed over some queries.

    Args:
        weights: float32 ``[head, row, key_pos]``; keys that no row sees can be left out at the end.
        norms: ``[head, key_pos]``.

    Returns:
        ``[head]``; NaN where there is a row in which nothing is written.
    """
    written = weights @ norms[:, : weights.shape[-1], None]
    return (weights[:, :, 0] * norms[:, None, 0] / written[:, :, 0]).sum(-1)
