"""Direct logit attribution (Elhage et al. 2021): contribution of each part of the network to a token's logit."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.kind import Definition, Kind, Row
from reportgen.evidence.kinds.scaling import find_largest, scale_by
from reportgen.records import Token
from reportgen.records.equality import WithArrays
from reportgen.records.evidence import Shape, Sizes
from reportgen.records.json_values import describe_token, list_numbers

SUM_TOLERANCE = 1e-3
"""In float32: how far the parts may be from what they must add up to, relative to the largest of them."""

CONTRASTS = ("alternatives", "mean")
"""What a chosen token is compared with, by the first numbers of the axis ``contrast``; runners-up and foils follow."""

FOIL_WITHHELD = "its foil is for another token"
"""Why a foil's contrast has no value at other steps than its own."""

SOURCE_THRESHOLD = 1e-3
"""Threshold, as a share of a row's largest cell, below which a cell is shown as 0 on the page."""

_SUM_DIGITS = 8
"""Number of digits of the values that the page adds up and compares with the model's logit."""
_NO_SOURCE = -128

ATTRIBUTION = Definition(
    "attribution", "direct logit attribution",
    "What a part added to the residual stream, through the final norm at the scale that it had in this run, along the "
    "unembedding of the chosen token minus that of the alternatives: all other tokens, weighted by their probability "
    "among them. It is the part times the gradient of the chosen token's log-odds. Or minus the mean over the "
    "vocabulary, minus a runner-up, or minus a foil that the prompt names.",
    "Direct logit attribution: Elhage et al. 2021, nostalgebraist 2020; the alternatives are ours.",
    "The direct path alone: what later layers make of it is counted there. First order: a large part moves the "
    "alternatives too. A nearly certain token is compared with what little is left.",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Attribution(WithArrays):
    """Direct logit attribution: what each part of the network added to the logit of the token that a step chose.

    Every value is part of a logit difference. The axis ``contrast`` says between what: 0 compares the chosen token with
    the *alternatives*, all other tokens weighted by their probability among them; 1 with the mean over the vocabulary;
    ``2 + i`` with runner-up ``i`` of that step; the last ones with the measured foils of the capture, each at its own
    step. NaN if a step has fewer runners-up, is not that of the foil, or was withheld.

    Attributes:
        runners_up: the most probable other tokens of each step, best first, ``[step][runner_up]``.
        heads: captured heads, float32 ``[contrast, step, layer, head]``.
        other_parts: what each of the model's layers added next to its heads, mostly its MLP, float32
            ``[contrast, step, layer]``, axis 2 over all layers of the model.
        embedding: the residual stream before the first layer, float32 ``[contrast, step]``.
        biases: biases of output projections, final norm and unembedding, float32 ``[contrast, step]``.
        other_heads: sum of the heads that were not captured, float32 ``[contrast, step]``.
        rounding: what the sum of these parts lacks of the logit: the rounding of the model's own run, float32
            ``[contrast, step]``.
        logits: logit of the chosen token minus that of what it is compared with, before a soft cap, float32
            ``[contrast, step]``; the sum of all parts and the rounding.
        log_odds: log-odds of the chosen token, ``logits[0] + soft_cap - entropy``, in nats, float32 ``[step]``.
        entropy: entropy of the alternatives, in nats, float32 ``[step]``.
        soft_cap: what a soft cap of the logits changes of ``logits[0]``; 0 without one, float32 ``[step]``.
        withheld: why the values of a step are not shown, ``[contrast][step]``; empty if they are.
        sources: captured heads by the token that they read, float32 ``[layer, head, cell]``: the rows of the steps one
            after the other, against the alternatives, then a row against each measured foil, keys from 0 to the row's
            query; ``None`` if heads cannot be split by the tokens that they read.
        read: the same summed over all heads of all layers, captured or not, float32 ``[cell]``. A row adds up to the
            part of attention, ``heads`` and ``other_heads`` of its contrast.
        dtype: dtype of the residual stream, such as ``bfloat16``.
        note: what a reader must know in addition, such as a soft cap after the sum; usually empty.
    """

    runners_up: tuple[tuple[Token, ...], ...]
    heads: NDArray[np.float32]
    other_parts: NDArray[np.float32]
    embedding: NDArray[np.float32]
    biases: NDArray[np.float32]
    other_heads: NDArray[np.float32]
    rounding: NDArray[np.float32]
    logits: NDArray[np.float32]
    log_odds: NDArray[np.float32]
    entropy: NDArray[np.float32]
    soft_cap: NDArray[np.float32]
    withheld: tuple[tuple[str, ...], ...]
    sources: NDArray[np.float32] | None = None
    read: NDArray[np.float32] | None = None
    dtype: str = "float32"
    note: str = ""

    @property
    def num_runners_up(self) -> int:
        """Number of runners-up of a step."""
        return len(self.runners_up[0]) if self.runners_up else 0

    def foil_contrast(self, number: int | None) -> int:
        """Return the index of a measured foil on the axis ``contrast``; of the alternatives for ``None``."""
        return 0 if number is None else len(CONTRASTS) + self.num_runners_up + number


class LogitAttribution(Kind):
    """Direct logit attribution; the value is an ``Attribution``."""

    name = "attribution"
    annotation = Attribution
    definitions = (ATTRIBUTION,)
    needs_steps = True
    table = "attribution"

    def list_modes(self, value: Attribution) -> tuple[str, ...]:
        """Return the mode ``attribution``, the effect through each token read; none without sources."""
        return () if value.sources is None else ("attribution",)

    def list_grids(self, value: Attribution) -> Mapping[str, NDArray[np.float32]]:
        """Return the heads' contributions by contrast.

        ``attribution`` compares with the alternatives, ``attribution-mean`` with the mean over the vocabulary,
        ``runner-up-1`` and so on with the runners-up, ``foil-1`` and so on with the measured foils. Foils come first,
        because a page opens on them.
        """
        grids = dict(zip(self.name_contrasts(value), value.heads, strict=True))
        return {name: grids[name] for name in sorted(grids, key=lambda name: not name.startswith("foil"))}

    @staticmethod
    def name_contrasts(value: Attribution) -> list[str]:
        """Return the names of the grids in the order of the axis ``contrast``."""
        num_foils = len(value.heads) - len(CONTRASTS) - value.num_runners_up
        runners_up = [f"runner-up-{rank + 1}" for rank in range(value.num_runners_up)]
        return ["attribution", "attribution-mean", *runners_up, *(f"foil-{n + 1}" for n in range(num_foils))]

    def describe(self, capture: Capture, value: Attribution) -> Mapping[str, Any]:
        """Return the parts by contrast and step; heads only as their sum, because the grids hold each head."""
        parts = {
            "heads": value.heads.sum((2, 3)),
            "other_heads": value.other_heads,
            "other_parts_sum": value.other_parts.sum(2),
            "embedding": value.embedding,
            "biases": value.biases,
            "rounding": value.rounding,
            "logits": value.logits,
            "log_odds": value.log_odds,
            "entropy": value.entropy,
            "soft_cap": value.soft_cap,
        }
        return {
            "source_scales": None if value.sources is None else list_numbers(_scale_sources(capture, value.sources)),
            "attribution": {
                "contrasts": self.name_contrasts(value),
                "foils": [describe_token(foil.token) for foil in capture.measured_foils],
                "runners_up": [[describe_token(token) for token in tokens] for tokens in value.runners_up],
                **{name: list_numbers(values, _SUM_DIGITS) for name, values in parts.items()},
                "other_parts": list_numbers(value.other_parts),
                "withheld": [list(reasons) for reasons in value.withheld],
                "dtype": value.dtype,
                "note": value.note,
            },
        }

    def encode(self, capture: Capture, value: Attribution) -> Mapping[str, NDArray[Any]]:
        """Return ``read``: little-endian float32 ``[cell]``, so that its rows add up on the page."""
        return {} if value.read is None else {"read": value.read.astype("<f4")}

    def tabulate(self, capture: Capture, value: Attribution) -> Iterable[Row]:
        """Return the parts of each step by contrast, then its account, then attention by the token that it read.

        The parts of a contrast add up to its part ``all``.
        """
        columns = ("step", "against", "against_token_id", "against_text", "part", "layer", "head", "key_pos", "logit")
        foils = [(value.foil_contrast(number), foil) for number, foil in enumerate(capture.measured_foils)]
        for step, runners_up in enumerate(value.runners_up):
            contrasts = [*((name, None) for name in CONTRASTS), *(("runner-up", token) for token in runners_up)]
            numbered = [*enumerate(contrasts), *((i, ("foil", foil.token)) for i, foil in foils if foil.step == step)]
            for contrast, (against, token) in numbered:
                place = {"step": step, "against": against}
                if token is not None:
                    place |= {"against_token_id": token.token_id, "against_text": token.text}
                for part in _list_parts(capture, value, contrast, step):
                    yield {**dict.fromkeys(columns), **place, **part}
            for part in _list_account(capture, value, step):
                yield {**dict.fromkeys(columns), "step": step, **part}

    def shapes(self, value: Attribution, sizes: Sizes) -> Iterable[Shape]:
        """Return the shapes that its arrays must have."""
        contrasts, steps = len(value.heads), sizes.num_steps
        first = sizes.num_tokens - steps
        cells = sum(first + step for step in (*range(steps), *sizes.foil_steps))
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(
            ("embedding", "biases", "other_heads", "rounding", "logits"), (contrasts, steps)
        )
        shapes |= dict.fromkeys(("log_odds", "entropy", "soft_cap"), (steps,))
        shapes |= {"heads": (contrasts, steps, sizes.num_layers, sizes.num_heads)}
        shapes |= {"sources": (sizes.num_layers, sizes.num_heads, cells), "read": (cells,)}
        arrays = {name: getattr(value, name) for name in shapes}
        return [Shape(name, array, shapes[name]) for name, array in arrays.items() if array is not None]


def list_rows(capture: Capture) -> list[slice]:
    """Return the cells of each step in ``Attribution.sources`` and ``Attribution.read``, ``[step]``."""
    return _list_all_rows(capture)[: len(capture.steps)]


def list_foil_rows(capture: Capture) -> list[slice]:
    """Return the cells of each measured foil in ``Attribution.sources`` and ``Attribution.read``, ``[foil]``."""
    return _list_all_rows(capture)[len(capture.steps) :]


def find_row(capture: Capture, step: int, foil: int | None) -> slice:
    """Return the cells of a step in ``Attribution.sources`` and ``read``, against a measured foil by its number.

    ``None`` stands for the alternatives, as ``Capture.foil_of_step`` returns it.
    """
    return list_rows(capture)[step] if foil is None else list_foil_rows(capture)[foil]


def _list_all_rows(capture: Capture) -> list[slice]:
    bounds = [0, *np.cumsum(_row_lengths(capture)).tolist()]
    return list(itertools.starmap(slice, itertools.pairwise(bounds)))


def encode_sources(capture: Capture) -> Iterator[NDArray[np.int8] | None]:
    """Quantize the contributions of each layer's heads by source token to one byte each.

    Yields:
        For each captured layer an array ``[head, cell]`` with the rows of ``Attribution.sources``, or ``None`` if
        the contributions are unknown. A code is 127 times the square root of ``|value| / scale``, with the sign of the
        value. Cells below ``SOURCE_THRESHOLD`` of the row's largest cell are 0; -128 means that there is no value.
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
    """Return the largest absolute value of each row over all heads, ``[row]``."""
    lengths = _row_lengths(capture)
    starts = np.cumsum(lengths) - lengths
    return np.maximum.reduceat(find_largest(sources, (0, 1)), starts)


def _row_lengths(capture: Capture) -> NDArray[np.int64]:
    """Return the number of keys in the row of each step, then of each measured foil, ``[row]``."""
    steps = [step.step for step in capture.steps] + [foil.step for foil in capture.measured_foils]
    return np.array([capture.query_pos_of_step(step) + 1 for step in steps])


def _list_parts(capture: Capture, value: Attribution, contrast: int, step: int) -> Iterator[Row]:
    for row, layer in enumerate(capture.layers):
        for column, head in enumerate(capture.heads):
            yield {"part": "head", "layer": layer, "head": head, "logit": value.heads[contrast, step, row, column]}
    for layer, logit in enumerate(value.other_parts[contrast, step]):
        yield {"part": "other parts", "layer": layer, "logit": logit}
    others = () if capture.has_all_heads else ("other heads",)
    for part in (*others, "embedding", "biases", "rounding"):
        yield {"part": part, "logit": getattr(value, part.replace(" ", "_"))[contrast, step]}
    yield {"part": "all", "logit": value.logits[contrast, step]}


def _list_account(capture: Capture, value: Attribution, step: int) -> Iterator[Row]:
    account = {"soft cap": value.soft_cap, "entropy": value.entropy, "log-odds": value.log_odds}
    for part, values in account.items():
        yield {"against": "account", "part": part, "logit": values[step]}
    if value.read is not None:
        for key_pos, logit in enumerate(value.read[list_rows(capture)[step]]):
            yield {"against": "alternatives, by token read", "part": "attention", "key_pos": key_pos, "logit": logit}
        for foil, cells in zip(capture.measured_foils, list_foil_rows(capture), strict=True):
            token = {"against_token_id": foil.token.token_id, "against_text": foil.token.text}
            for key_pos, logit in enumerate(value.read[cells] if foil.step == step else ()):
                against = {"against": "foil, by token read", **token}
                yield {**against, "part": "attention", "key_pos": key_pos, "logit": logit}
