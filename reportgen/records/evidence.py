"""What stands beside the weights of a capture: numbers that say what a head does, and whether it matters.

``reportgen.evidence.definitions`` says in words what each means, where it comes from and how it misleads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reportgen.records import Token


@dataclass(frozen=True)
class Attribution:
    """Direct logit attribution: what each part of the network wrote towards the token that a step chose.

    Every value is a share of a logit, against what the step's token is compared with. *Contrast* 0 compares it with
    the mean over the vocabulary, contrast ``1 + i`` with runner-up ``i`` of that step; NaN where a step has fewer
    runners-up or was withheld, because its parts did not add up.

    Attributes:
        runners_up: the most probable other tokens of each step, best first, ``[step][runner_up]``.
        heads: captured heads, float32 ``[contrast, step, layer, head]``.
        other_parts: what each of the model's layers wrote beside its heads, mostly its MLP, float32
            ``[contrast, step, layer]``, axis 2 over all layers of the model.
        embedding: what stood in the residual stream before the first layer, float32 ``[contrast, step]``.
        biases: of output projections, final norm and unembedding, float32 ``[contrast, step]``.
        other_heads: heads that were not captured, together, float32 ``[contrast, step]``.
        logits: what the parts must add up to, float32 ``[contrast, step]``.
        residuals: how far the parts were from that, relative to the largest of parts and sum, float32 ``[step]``.
        sources: what each head wrote towards the token from each token that it read, against the mean over the
            vocabulary, float32 ``[layer, head, cell]``: the rows of the steps one after the other, keys from 0 to the
            row's query; ``None`` where heads cannot be taken apart by what they read.
        note: what a reader must know beside that, such as a soft cap after the sum; mostly empty.
    """

    runners_up: tuple[tuple[Token, ...], ...]
    heads: NDArray[np.float32]
    other_parts: NDArray[np.float32]
    embedding: NDArray[np.float32]
    biases: NDArray[np.float32]
    other_heads: NDArray[np.float32]
    logits: NDArray[np.float32]
    residuals: NDArray[np.float32]
    sources: NDArray[np.float32] | None = None
    note: str = ""


@dataclass(frozen=True)
class Lens:
    """Logit lens: what the model would have said after each layer.

    Attributes:
        layers: the model's own numbers of the layers, all of them.
        logprobs: of the token that each step chose, float32 ``[layer, step]``.
        ranks: of that token, 0 for the most probable, int64 ``[layer, step]``.
        best: the most probable token, ``[layer][step]``.
        best_logprobs: float32 ``[layer, step]``.
    """

    layers: tuple[int, ...]
    logprobs: NDArray[np.float32]
    ranks: NDArray[np.int64]
    best: tuple[tuple[Token, ...], ...]
    best_logprobs: NDArray[np.float32]


@dataclass(frozen=True)
class Evidence:
    """All evidence of one capture; axes ``layer`` and ``head`` follow those of the capture.

    Attributes:
        scores: of each head, by the names of ``definitions.HEAD_SCORES``, float32 ``[layer, head]``; NaN where one is
            undefined.
        value_norms: ``‖v_k W_O‖``, length of what a head writes per unit of weight on a key, float32
            ``[layer, head, key_pos]``; ``None`` where it cannot be had.
        attribution: ``None`` where it cannot be had.
        lens: ``None`` where it cannot be had.
        rollout: attention rollout over all layers and heads, float32 ``[cell]``, the lower triangle of
            ``[query_pos, key_pos]`` row by row; ``None`` where it cannot be had.
        ablations: by the names of ``definitions.ABLATIONS``, change of the log-probability of each step's token when
            one head is ablated, float32 ``[step, layer, head]``; only what was asked for.
        missing: why what is ``None`` or was asked for could not be had, by name of the field.
    """

    scores: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    value_norms: NDArray[np.float32] | None = None
    attribution: Attribution | None = None
    lens: Lens | None = None
    rollout: NDArray[np.float32] | None = None
    ablations: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
