"""Logit lens (nostalgebraist 2020): prediction of the model if it stopped after a given layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.kind import Definition, Kind, Row
from reportgen.records import Token
from reportgen.records.equality import WithArrays
from reportgen.records.evidence import Shape, Sizes
from reportgen.records.json_values import describe_token, list_numbers
from reportgen.records.sentences import Sentence, TokenPart, make_sentence

LENS = Definition(
    "lens", "logit lens",
    "softmax(W_U · norm(residual stream after the layer)): what the model would say if it stopped there.",
    "Logit lens: nostalgebraist 2020.",
    "Early layers do not yet write in the language of the unembedding, so their best tokens can be noise.",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Lens(WithArrays):
    """Predictions of the logit lens after each layer.

    Attributes:
        layers: numbers of the layers, all of the model.
        logprobs: log-probability of the token that each step chose, float32 ``[layer, step]``.
        ranks: rank of that token, 1 for the most probable, int64 ``[layer, step]``.
        best: most probable token, ``[layer][step]``.
        best_logprobs: log-probability of the most probable token, float32 ``[layer, step]``.
        foil_logprobs: log-probability of each measured foil at its step, float32 ``[layer, foil]``. What the chosen
            token has more is the difference of their logits.
    """

    layers: tuple[int, ...]
    logprobs: NDArray[np.float32]
    ranks: NDArray[np.int64]
    best: tuple[tuple[Token, ...], ...]
    best_logprobs: NDArray[np.float32]
    foil_logprobs: NDArray[np.float32]


class LogitLens(Kind):
    """Logit lens; the value is a ``Lens``."""

    name = "lens"
    annotation = Lens
    definitions = (LENS,)
    needs_steps = True
    template = "sections/lens.html.jinja2"
    scripts = ("lens.js",)
    table = "lens"

    def describe(self, capture: Capture, value: Lens) -> Mapping[str, Any]:
        """Return all values of the lens, which are only a few for each step."""
        return {
            "lens": {
                "layers": list(value.layers),
                "logprobs": list_numbers(value.logprobs),
                "ranks": value.ranks.tolist(),
                "best": [[describe_token(token) for token in tokens] for tokens in value.best],
                "best_logprobs": list_numbers(value.best_logprobs),
                "foil_logprobs": list_numbers(value.foil_logprobs),
            }
        }

    def tabulate(self, capture: Capture, value: Lens) -> Iterable[Row]:
        """Return a table row for each layer and step, and for each further foil of the step."""
        for row, layer in enumerate(value.layers):
            for step in range(len(capture.steps)):
                token = value.best[row][step]
                said = {
                    "layer": layer,
                    "step": step,
                    "logprob": value.logprobs[row, step],
                    "rank": int(value.ranks[row, step]),
                    "best_token_id": token.token_id,
                    "best_text": token.text,
                    "best_logprob": value.best_logprobs[row, step],
                }
                foils = [(n, foil.token) for n, foil in enumerate(capture.measured_foils) if foil.step == step]
                for number, foil in foils or [(0, None)]:
                    yield said | {
                        "against_token_id": foil and foil.token_id,
                        "against_text": foil and foil.text,
                        "logit_difference": foil and value.logprobs[row, step] - value.foil_logprobs[row, number],
                    }

    def find(self, capture: Capture, value: Lens, step: int | None) -> Sentence:
        """Return from which layer on the token of a step is the best one."""
        if step is None:
            return super().find(capture, value, step)
        position = capture.query_pos_of_step(step) + 1
        is_other = value.ranks[:, step] != 1
        if is_other.all():
            found = "is not best after any layer"
        elif is_other[-1]:
            found = "is not best after the last layer"
        else:
            settled = max(np.flatnonzero(is_other), default=-1) + 1
            found = f"is best from layer {value.layers[settled]} on"
        return make_sentence("Logit lens: ", TokenPart(capture.tokens[position].shown, position), f" {found}")

    def shapes(self, value: Lens, sizes: Sizes) -> Iterable[Shape]:
        """Return the required shapes of the value's arrays."""
        shape = len(value.layers), sizes.num_steps
        floats = [Shape(name, getattr(value, name), shape) for name in ("logprobs", "best_logprobs")]
        foils = Shape("foil_logprobs", value.foil_logprobs, (len(value.layers), len(sizes.foil_steps)))
        return [*floats, foils, Shape("ranks", value.ranks, shape, np.int64)]
