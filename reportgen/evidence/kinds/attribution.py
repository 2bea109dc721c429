"""Direct logit attribution (Elhage et al. 2021): contribution of each part of the network to a token's logit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.kind import Definition, Heatmap, Kind, Row
from reportgen.evidence.kinds.scaling import find_largest, scale_by
from reportgen.records import Token
from reportgen.records.evidence import Shape, Sizes
from reportgen.records.json_values import describe_token, list_numbers

SUM_TOLERANCE = 1e-3
"""Accepted difference between the sum of the parts and the logit, relative to the largest part."""

SOURCE_THRESHOLD = 1e-3
"""Threshold, as a share of a step's strongest cell, below which a cell is shown as 0 on the page."""

_SUM_DIGITS = 8
"""Number of digits of the values that the page adds up and compares with the model's logit."""
_NO_SOURCE = -128

ATTRIBUTION = Definition(
    "attribution", "direct logit attribution",
    "What a part wrote into the residual stream, through the final norm at the scale that it had in this run, along "
    "the unembedding of the chosen token minus the mean over the vocabulary (or minus a rival token).",
    "Direct logit attribution: Elhage et al. 2021, nostalgebraist 2020.",
    "The direct path alone: what later layers make of it is counted there. A part that writes for every token alike "
    "counts as nothing.",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Attribution:
    """Direct logit attribution: contribution of each part of the network to the logit of each step's chosen token.

    Every value is a part of a logit difference: the logit of the chosen token minus that of a comparison. *Contrast* 0
    compares with the mean over the vocabulary, contrast ``1 + i`` with runner-up ``i`` of the step. A value is NaN if
    the step has fewer runners-up, or if its values are withheld because the parts did not add up.

    Attributes:
        runners_up: most probable tokens that each step did not choose, best first, ``[step][runner_up]``.
        heads: contributions of the captured heads, float32 ``[contrast, step, layer, head]``.
        other_parts: contribution of each layer without its heads, mostly its MLP, float32
            ``[contrast, step, layer]``; axis 2 covers all layers of the model.
        embedding: contribution of the residual stream before the first layer, float32 ``[contrast, step]``.
        biases: contribution of the biases of output projections, final norm and unembedding, float32
            ``[contrast, step]``.
        other_heads: sum of the contributions of the heads that were not captured, float32 ``[contrast, step]``.
        logits: logit difference that the parts must add up to, float32 ``[contrast, step]``.
        residuals: absolute difference between the sum of the parts and ``logits``, relative to the largest part or
            ``logits``, float32 ``[step]``.
        sources: contribution of each head by the token that it reads, against the mean over the vocabulary, float32
            ``[layer, head, cell]``: the rows of the steps one after the other, each with keys from 0 to the row's
            query; ``None`` if the heads cannot be split by the tokens that they read.
        note: further information for the reader, such as a soft cap after the sum; usually empty.
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


class LogitAttribution(Kind):
    """Direct logit attribution; the value is an ``Attribution``."""

    name = "attribution"
    annotation = Attribution
    definitions = (ATTRIBUTION,)
    needs_steps = True
    heatmap = Heatmap("grid", "head")
    template = "_wrote.html.jinja2"
    scripts = ("wrote.js", "grid.js")
    table = "attribution"

    def has_heatmap(self, capture: Capture) -> bool:
        """Return whether the capture has attribution or ablation, which both have a number for each head and step."""
        return bool({"attribution", "ablations"} & capture.evidence.measured.keys())

    def list_modes(self, value: Attribution) -> tuple[str, ...]:
        """Return the mode ``attribution``, the contribution by the token that a head reads; none without sources."""
        return () if value.sources is None else ("attribution",)

    def list_grids(self, value: Attribution) -> Mapping[str, NDArray[np.float32]]:
        """Return the heads' contributions by contrast.

        ``attribution`` compares with the mean over the vocabulary, ``runner-up-1`` and so on with the runners-up.
        """
        names = ("attribution", *(f"runner-up-{rank}" for rank in range(1, len(value.heads))))
        return dict(zip(names, value.heads, strict=True))

    def describe(self, capture: Capture, value: Attribution) -> Mapping[str, Any]:
        """Return the parts by contrast and step; heads only as their sum, because the grids hold each head."""
        parts = {
            "heads": value.heads.sum((2, 3)),
            "other_heads": value.other_heads,
            "other_parts_sum": value.other_parts.sum(2),
            "embedding": value.embedding,
            "biases": value.biases,
            "logits": value.logits,
        }
        return {
            "source_scales": None if value.sources is None else list_numbers(_scale_sources(capture, value.sources)),
            "attribution": {
                "runners_up": [[describe_token(token) for token in tokens] for tokens in value.runners_up],
                **{name: list_numbers(values, _SUM_DIGITS) for name, values in parts.items()},
                "other_parts": list_numbers(value.other_parts),
                "residuals": list_numbers(value.residuals),
                "tolerance": SUM_TOLERANCE,
                "note": value.note,
            },
        }

    def tabulate(self, capture: Capture, value: Attribution) -> Iterable[Row]:
        """Return a table row for each step, contrast and part."""
        for step, runners_up in enumerate(value.runners_up):
            for contrast, token in enumerate((None, *runners_up)):
                against = {
                    "step": step,
                    "against_token_id": token.token_id if token else None,
                    "against_text": token.text if token else None,
                }
                for part, layer, head, logit in _list_parts(capture, value, contrast, step):
                    yield {**against, "part": part, "layer": layer, "head": head, "logit": logit}

    def shapes(self, value: Attribution, sizes: Sizes) -> Iterable[Shape]:
        """Return the required shapes of the value's arrays."""
        contrasts, steps = len(value.heads), sizes.num_steps
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(
            ("embedding", "biases", "other_heads", "logits"), (contrasts, steps)
        )
        shapes |= {"heads": (contrasts, steps, sizes.num_layers, sizes.num_heads), "residuals": (steps,)}
        return [Shape(name, getattr(value, name), shape) for name, shape in shapes.items()]


def encode_sources(capture: Capture) -> Iterator[NDArray[np.int8] | None]:
    """Quantize the contributions of each layer's heads by source token to one byte each.

    Yields:
        For each captured layer an array ``[head, cell]`` with the rows of all steps one after the other, or ``None`` if
        the contributions are unknown. A code is 127 times the square root of ``|value| / scale``, with the sign of the
        value. Cells below ``SOURCE_THRESHOLD`` of the step's strongest cell are 0; -128 means that there is no value.
    """
    attribution: Attribution | None = capture.evidence.attribution
    if attribution is None or attribution.sources is None:
        yield from (None for _ in capture.layers)
        return
    scales = np.repeat(_scale_sources(capture, attribution.sources), _row_lengths(capture))
    for sources in attribution.sources:
        share = scale_by(sources, scales)
        codes = np.copysign(np.rint(127 * np.sqrt(np.abs(share))), share)
        codes[np.abs(share) < SOURCE_THRESHOLD] = 0
        yield np.nan_to_num(codes, nan=_NO_SOURCE).astype(np.int8)


def _scale_sources(capture: Capture, sources: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest absolute value of each step over all heads, ``[step]``."""
    lengths = _row_lengths(capture)
    starts = np.cumsum(lengths) - lengths
    return np.maximum.reduceat(find_largest(sources, (0, 1)), starts)


def _row_lengths(capture: Capture) -> NDArray[np.int64]:
    """Return the number of keys in the row of each step, ``[step]``."""
    return np.array([capture.query_pos_of_step(step.step) + 1 for step in capture.steps])


def _list_parts(
    capture: Capture, value: Attribution, contrast: int, step: int
) -> Iterator[tuple[str, int | None, int | None, float]]:
    for row, layer in enumerate(capture.layers):
        for column, head in enumerate(capture.heads):
            yield "head", layer, head, value.heads[contrast, step, row, column]
    for layer, logit in enumerate(value.other_parts[contrast, step]):
        yield "other parts", layer, None, logit
    yield "other heads", None, None, value.other_heads[contrast, step]
    yield "embedding", None, None, value.embedding[contrast, step]
    yield "biases", None, None, value.biases[contrast, step]
    yield "all", None, None, value.logits[contrast, step]
