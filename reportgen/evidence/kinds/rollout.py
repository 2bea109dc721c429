"""Attention rollout (Abnar and Zuidema 2020): attention multiplied over all layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.kind import Definition, Kind
from reportgen.evidence.kinds.scaling import encode_roots
from reportgen.records.evidence import Shape, Sizes
from reportgen.records.sentences import Sentence, TokenPart, make_sentence

ROLLOUT = Definition(
    "rollout", "attention rollout",
    "Product over layers of ½ · (mean over heads of a + I), rows summing to 1.",
    "Abnar and Zuidema 2020.",
    "An average over all heads that drifts to the first token with every layer; it knows nothing of values and MLPs.",
)  # fmt: skip


class Rollout(Kind):
    """Attention rollout, float32 ``[cell]``: the lower triangle of ``[query_pos, key_pos]``, row by row."""

    name = "rollout"
    annotation = NDArray[np.float32]
    definitions = (ROLLOUT,)
    template = "sections/rollout.html.jinja2"

    def encode(self, capture: Capture, value: Any) -> Mapping[str, NDArray[Any]]:
        """Return ``rollout``: 16-bit codes.

        The eight bits used for attention are too few: on SmolLM2, the weight that is not on the first token is a few
        ten-thousandths.
        """
        return {"rollout": encode_roots(np.nan_to_num(value))}

    def find(self, capture: Capture, value: Any, step: int | None) -> Sentence:
        """Return the token that has most of the query that predicts a step, or of the last query of the prompt."""
        query_pos = capture.num_prompt_tokens - 1 if step is None else capture.query_pos_of_step(step)
        row = np.nan_to_num(value[capture.row(query_pos)])
        key_pos = int(row.argmax())
        token = TokenPart(capture.tokens[key_pos].shown, key_pos) if key_pos else "the first token"
        share = "over 0.9999" if 0.99995 <= row[key_pos] < 1 else f"{row[key_pos]:.4f}"
        return make_sentence(f"Rollout: {share} on ", token)

    def shapes(self, value: Any, sizes: Sizes) -> Iterable[Shape]:
        """Return the required shape of the value's array."""
        return [Shape("", value, (sizes.num_cells,))]
