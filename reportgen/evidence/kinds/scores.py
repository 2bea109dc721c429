"""Head scores, which summarize what each head attends to on average."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.kind import Kind, Row
from reportgen.records.evidence import Shape, Sizes
from reportgen.records.sentences import Sentence

QUESTION, NEEDLE = "question", "needle"
"""Names of the spans that the score ``retrieval`` is about."""

LABEL_FROM = 0.5
"""Score, as a share of the attention weight, from which a head gets a label."""


@dataclass(frozen=True)
class HeadScore:
    """Definition of one score, as shown on pages and in tables.

    Attributes:
        name: key of the score in ``evidence.scores``.
        title: title shown to the reader.
        definition: the formula in words; ``a`` is attention, ``q`` the query position, ``k`` the key position.
        source: publication that defined the score, or the reason for the definition.
        is_share: whether the score is a share between 0 and 1; otherwise it is a number of tokens.
        label: label of a head whose score is ``LABEL_FROM`` or more; empty if this score gives no label.
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
        "Mean over queries q ≥ 1 that see position 0 of the weight on it, and of what a learned sink takes.",
        "Attention sink: Xiao et al. 2023. Says that a head has little to find, not that the first token matters.",
        label="rests on the first token",
    ),
    HeadScore(
        "sink_weighted", "first token, weighted",
        "Mean over queries q ≥ 1 that see position 0 of ‖a[q, 0] · v_0 W_O‖ as a share of its sum over the row. "
        "n/a where heads are gated.",
        "Norms of Kobayashi et al. 2020. Far below the score before it, the head reads that token and writes little.",
    ),
    HeadScore(
        "previous", "previous token", "Mean over queries q ≥ 1 of a[q, q−1].",
        "Previous-token heads: Elhage et al. 2021.", label="previous-token head",
    ),
    HeadScore(
        "duplicate", "duplicate token",
        "Mean over queries that see an earlier place of their token, of the summed weight on those places. "
        "n/a without repeats.",
        "Duplicate-token heads: Wang et al. 2022.", label="duplicate-token head",
    ),
    HeadScore(
        "induction", "induction",
        "Mean over queries that see what followed an earlier place of their token (k + 1 < q), of the summed weight on "
        "it. n/a without repeats.",
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
        "Mean over queries that see two keys or more of −Σ a ln a, divided by the logarithm of the number of keys that "
        "they see: 0 is one key, 1 is all alike.",
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
    HeadScore(
        "retrieval", "retrieval",
        "Mean over the queries of the span “question” of the summed weight on the span “needle”. Only with spans of "
        "these names; n/a if the needle is behind the question.",
        "Ours, after the retrieval heads of Wu et al. 2024, who count the tokens of the needle that a head reads while "
        "they are written.",
    ),
)  # fmt: skip


class HeadScores(Kind):
    """Scores by the names of ``HEAD_SCORES``, float32 ``[layer, head]`` each; NaN if a score is undefined."""

    name = "scores"
    annotation = Mapping[str, NDArray[np.float32]]
    empty: Mapping[str, Any] = {}
    table = "heads"

    def tabulate(self, capture: Capture, value: Any) -> Iterable[Row]:
        """Return a table row for each head, with a column for each score."""
        for row, layer in enumerate(capture.layers):
            for column, head in enumerate(capture.heads):
                yield {"layer": layer, "head": head} | {name: values[row, column] for name, values in value.items()}

    def find(self, capture: Capture, value: Any, step: int | None) -> Sentence:
        """Return how many heads have each label; a head may have several."""
        counts = {
            score.title: int((value[score.name] >= LABEL_FROM).sum())
            for score in HEAD_SCORES
            if score.label and score.name in value
        }
        named = ", ".join(f"{title} {count}" for title, count in counts.items() if count)
        return (f"Head types: {named or 'none has a label'}, of {len(capture.layers) * len(capture.heads)} heads",)

    def shapes(self, value: Any, sizes: Sizes) -> Iterable[Shape]:
        """Return the required shapes of the value's arrays."""
        return [Shape(name, scores, (sizes.num_layers, sizes.num_heads)) for name, scores in value.items()]
