"""Direct logit attribution (Elhage et al. 2021): what each part of the network added to a token's logit."""

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
"""How far the parts may be from what they must add up to, relative to the largest of them."""

SOURCE_THRESHOLD = 1e-3
"""Share of a step's strongest cell under which a cell is 0 on the page."""

_SUM_DIGITS = 8
"""Of what the page adds up and compares with the model's logit."""
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


class LogitAttribution(Kind):
    """Direct logit attribution, an ``Attribution``."""

    name = "attribution"
    annotation = Attribution
    definitions = (ATTRIBUTION,)
    needs_steps = True
    heatmap = Heatmap("grid", "head")
    template = "_wrote.html.jinja2"
    scripts = ("wrote.js", "grid.js")
    table = "attribution"

    def has_heatmap(self, capture: Capture) -> bool:
        """Return whether there is attribution or ablation: both have a number for each head and step."""
        return bool({"attribution", "ablations"} & capture.evidence.measured.keys())

    def list_modes(self, value: Attribution) -> tuple[str, ...]:
        """Return ``attribution``, by the token that a head reads."""
        return () if value.sources is None else ("attribution",)

    def list_grids(self, value: Attribution) -> Mapping[str, NDArray[np.float32]]:
        """Return ``attribution`` against the mean of the vocabulary, ``runner-up-1`` … against the runners-up."""
        names = ("attribution", *(f"runner-up-{rank}" for rank in range(1, len(value.heads))))
        return dict(zip(names, value.heads, strict=True))

    def describe(self, capture: Capture, value: Attribution) -> Mapping[str, Any]:
        """Return every part by contrast and step; heads as their sum, since grids hold them one by one."""
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
        """Return a row for each step, contrast and part."""
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
        """Return the shapes that its arrays must have."""
        contrasts, steps = len(value.heads), sizes.num_steps
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(
            ("embedding", "biases", "other_heads", "logits"), (contrasts, steps)
        )
        shapes |= {"heads": (contrasts, steps, sizes.num_layers, sizes.num_heads), "residuals": (steps,)}
        return [Shape(name, getattr(value, name), shape) for name, shape in shapes.items()]


def encode_sources(capture: Capture) -> Iterator[NDArray[np.int8] | None]:
    """Yield what each layer's heads wrote from each token, ``None`` where it is not known.

    Yields:
        For each captured head the rows of all steps one after the other: signed bytes, 127 times the square root of
        ``|value| / scale`` with the value's sign. Cells under ``SOURCE_THRESHOLD`` of the step's strongest are 0; the
        most negative number means that there is no value.
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
    """Return the strongest cell of each step over all heads, ``[step]``."""
    lengths = _row_lengths(capture)
    starts = np.cumsum(lengths) - lengths
    return np.maximum.reduceat(find_largest(sources, (0, 1)), starts)


def _row_lengths(capture: Capture) -> NDArray[np.int64]:
    """Return how many keys the row of each step has."""
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
