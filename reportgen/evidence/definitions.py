"""Numbers that say what a head does: what they are called, what they mean, which heads they single out.

``reportgen.evidence.head_scores`` measures them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.quantization import dequantize_sqrt
from reportgen.captures.record import Capture

LABEL_FROM = 0.5
"""Share of the weight from which on a head is called by what it does."""

SUM_TOLERANCE = 1e-3
"""How far the parts of an attribution may be from what they must add up to, relative to the largest of them."""

_CELLS = 1 << 14
"""So many cells are looked at together, or those of one head: many small ones for the sake of time."""


@dataclass(frozen=True)
class HeadScore:
    """One score, as pages and tables name it.

    Attributes:
        name: key of ``Evidence.scores``.
        title: what a reader sees.
        definition: the formula in words; ``a`` is attention, ``q`` the query's position, ``k`` the key's.
        source: who defined it, or why it is defined so.
        is_share: whether it is a share between 0 and 1; else it counts tokens.
        label: what a head is called whose score is ``LABEL_FROM`` or more; empty where no score earns a name.
    """

    name: str
    title: str
    definition: str
    source: str
    is_share: bool = True
    label: str = ""


HEAD_SCORES = (
    HeadScore(
        "sink", "first token",
        "Mean over queries q ≥ 1 of the weight on position 0; where a model learns a sink, what it takes counts too.",
        "Attention sink: Xiao et al. 2023. Says that a head has little to find, not that the first token matters.",
        label="rests on the first token",
    ),
    HeadScore(
        "sink_weighted", "first token, weighted",
        "Mean over queries q ≥ 1 of ‖a[q, 0] · v_0 W_O‖ as a share of its sum over the row. n/a where heads are gated.",
        "Norms of Kobayashi et al. 2020. Far below the score before it, the head reads that token and writes little.",
    ),
    HeadScore(
        "previous", "previous token", "Mean over queries q ≥ 1 of a[q, q−1].",
        "Previous-token heads: Elhage et al. 2021.", label="previous-token head",
    ),
    HeadScore(
        "duplicate", "duplicate token",
        "Mean over queries whose token stood before, of the summed weight on its earlier places. n/a without repeats.",
        "Duplicate-token heads: Wang et al. 2022.", label="duplicate-token head",
    ),
    HeadScore(
        "induction", "induction",
        "Mean over queries whose token stood before, of the summed weight on what followed it there (k + 1 < q). "
        "n/a without repeats.",
        "Prefix matching: Olsson et al. 2022. Other definitions are in use; on text that does not repeat itself, "
        "few queries count.",
        label="induction head",
    ),
    HeadScore(
        "self", "itself", "Mean over queries q ≥ 1 of a[q, q].",
        "The diagonal without its first cell, which is always 1.", label="attends to itself",
    ),
    HeadScore(
        "entropy", "entropy",
        "Mean over queries q ≥ 1 of −Σ a ln a, divided by ln(q + 1): 0 is one key, 1 is all alike.",
        "The division is ours: early queries have fewer keys, and so a lower ceiling.",
    ),
    HeadScore(
        "distance", "distance", "Mean over queries q ≥ 1 of Σ a · (q − k), in tokens.",
        "Mean attention distance: Vig and Belinkov 2019. A head that rests on the first token seems to look far.",
        is_share=False,
    ),
    HeadScore(
        "distance_rest", "distance, first left out",
        "The same over keys k ≥ 1, for queries q ≥ 2, the weights there made to sum to 1.",
        "Ours, so that the first token does not decide.", is_share=False,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """One kind of evidence beside the head scores, as pages and documents name it.

    Attributes:
        name: of the field of ``Evidence``, or of an entry of ``Evidence.ablations`` and of ``records.EXTRA_EVIDENCE``.
        title: what a reader sees.
        definition: the formula in words; ``a`` is attention, ``q`` the query's position, ``k`` the key's.
        source: who defined it.
        caution: how it misleads.
    """

    name: str
    title: str
    definition: str
    source: str
    caution: str


WEIGHTED = Measure(
    "value_norms", "weighted attention",
    "‖a[q,k] · v_k W_O‖, the length of what the head writes from a key, as a share of its sum over the row.",
    "Kobayashi et al. 2020.",
    "A long vector need not point anywhere that matters, and lengths of several heads do not add up.",
)  # fmt: skip
ATTRIBUTION = Measure(
    "attribution", "direct logit attribution",
    "What a part wrote into the residual stream, through the final norm at the scale that it had in this run, along "
    "the unembedding of the chosen token minus the mean over the vocabulary (or minus a rival token).",
    "Direct logit attribution: Elhage et al. 2021, nostalgebraist 2020.",
    "The direct path alone: what later layers make of it is counted there. A part that writes for every token alike "
    "counts as nothing.",
)  # fmt: skip
LENS = Measure(
    "lens", "logit lens",
    "softmax(W_U · norm(residual stream after the layer)): what the model would say if it stopped there.",
    "Logit lens: nostalgebraist 2020.",
    "Early layers do not yet write in the language of the unembedding, so their best tokens can be noise.",
)  # fmt: skip
ROLLOUT = Measure(
    "rollout", "attention rollout",
    "Product over layers of ½ · (mean over heads of a + I), rows summing to 1.",
    "Abnar and Zuidema 2020.",
    "An average over all heads that drifts to the first token with every layer; it knows nothing of values and MLPs.",
)  # fmt: skip
ABLATIONS = (
    Measure(
        "ablation", "ablation, head set to zero",
        "Change of the log-probability of the step's token when the head's output is 0 at every position, the text "
        "held as it was generated.",
        "Zero ablation: Michel et al. 2019.",
        "Later layers repair much of the loss, so it is a lower bound; an output of 0 is not one that the model knows.",
    ),
    Measure(
        "mean-ablation", "ablation, head set to its mean",
        "The same with the head's output set to its mean over the positions of this text.",
        "Mean ablation: Wang et al. 2022, there over other texts.",
        "Keeps what the head always writes, and so measures only what depends on the position.",
    ),
)  # fmt: skip


def find_default_head(capture: Capture) -> tuple[int, int]:
    """Return the head that a page opens on: the one that singles out a token where most heads do not look.

    Most heads put most of their weight on the first token, on the query itself or on the token before it. Among the
    other keys each query has one that it reads most beyond what that key gets from all queries; the page opens on the
    head where this surplus is the largest, as the mean over the queries that have such keys. Neither a head that
    spreads its weight nor one that always reads the same token is one to open on.

    Returns:
        ``(layer, head)``; the first captured one where no two queries have such keys.
    """
    if capture.num_tokens < 5:  # up to the fourth token no key is read by two queries and is none of the three
        return capture.layers[0], capture.heads[0]
    surplus = np.concatenate(list(_measure_surplus(capture)))
    layer, head = divmod(int(surplus.argmax()), len(capture.heads))
    return capture.layers[layer], capture.heads[head]


def _measure_surplus(capture: Capture) -> Iterator[NDArray[np.floating]]:
    """Yield, of some heads after the other, the mean over queries of the largest weight beyond its key's mean."""
    query_pos, key_pos = np.tril_indices(capture.num_tokens)
    elsewhere = np.flatnonzero((key_pos >= 1) & (key_pos <= query_pos - 2))
    query_pos, key = query_pos[elsewhere], key_pos[elsewhere] - 1
    rows, by_key = np.flatnonzero(np.diff(query_pos, prepend=0)), np.argsort(key, kind="stable")
    counts = np.bincount(key)
    columns = np.cumsum(counts) - counts
    some = max(1, _CELLS // len(elsewhere))
    for layer, start in product(range(len(capture.layers)), range(0, len(capture.heads), some)):
        weights = dequantize_sqrt(capture.attention[layer, start : start + some][:, elsewhere]).astype(np.float32)
        means = np.add.reduceat(weights[:, by_key], columns, axis=1) / counts
        yield np.maximum.reduceat(weights - means[:, key], rows, axis=1).mean(axis=1)
