"""Evidence to the compact blocks that a page carries; ``templates/js/evidence.js`` reads the very same format.

Numbers that are looked up go as JSON. Arrays go as codes, each with a scale that stands in the JSON:

- *grids*, a number for each head: 16-bit signed numbers, ``value / scale * 32767``; all high bytes, then all low ones.
- *sources*, a number for each head and cell: signed bytes, ``127`` times the square root of ``|value| / scale``, with
  the value's sign. Cells under ``SOURCE_FLOOR`` of the step's strongest are 0.
- *norms*: bytes, ``255`` times the square root of ``norm / scale``.
- *rollout*, a lower triangle: little-endian 16-bit numbers, ``65535`` times the square root of the value. The eight
  bits of attention would be too few: on SmolLM2 all that does not go to the first token is some ten-thousandths.

The most negative number of a signed type means that there is no value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reportgen.captures.quantization import quantize_sqrt
from reportgen.captures.record import Capture
from reportgen.evidence.definitions import ABLATIONS, SUM_TOLERANCE
from reportgen.pages.encoding import describe_token, encode_bytes, encode_json, shorten
from reportgen.records.evidence import Attribution, Evidence, Lens

SOURCE_FLOOR = 1e-3
"""Share of a step's strongest cell under which a cell is 0 on the page."""

_DIGITS = 5
_SUM_DIGITS = 8
"""Of what the page adds up and holds against the model's logit."""
_NO_GRID_VALUE = -(2**15)
_NO_SOURCE = -128


def list_heatmap_modes(evidence: Evidence) -> list[str]:
    """Return what a heatmap of a head can show: ``weight``, and what the evidence adds to it."""
    has_sources = evidence.attribution is not None and evidence.attribution.sources is not None
    return ["weight", *["weighted"] * (evidence.value_norms is not None), *["attribution"] * has_sources]


def list_grid_metrics(evidence: Evidence) -> dict[str, NDArray[np.float32]]:
    """Return what there is for every head at every step, ``[step, layer, head]``, by the name of the measure.

    Returns:
        ``attribution`` against the mean of the vocabulary, ``runner-up-1`` … against the rivals of a step, then the
        ablations in the order of ``definitions.ABLATIONS``.
    """
    heads = () if evidence.attribution is None else evidence.attribution.heads
    grids = {f"runner-up-{contrast}" if contrast else "attribution": grid for contrast, grid in enumerate(heads)}
    return grids | {kind.name: evidence.ablations[kind.name] for kind in ABLATIONS if kind.name in evidence.ablations}


def make_evidence_blocks(capture: Capture) -> dict[str, Markup]:
    """Return the blocks that hold for all layers, by name; what there is no evidence of has none."""
    evidence = capture.evidence
    grids = list_grid_metrics(evidence)
    if not grids and all(part is None for part in (evidence.value_norms, evidence.lens, evidence.rollout)):
        return {}
    made = {"evidence": encode_json(describe_evidence(capture))}
    if grids:
        made["grids"] = encode_bytes(_part(np.stack([_encode_grid(grid)[0] for grid in grids.values()])))
    if evidence.value_norms is not None:
        made["norms"] = encode_bytes(_encode_norms(evidence.value_norms)[0].tobytes())
    if evidence.rollout is not None:
        made["rollout"] = encode_bytes(_encode_rollout(evidence.rollout).tobytes())
    return made


def encode_sources(capture: Capture) -> Iterator[Markup | None]:
    """Yield the block of what each layer's heads wrote from each token, ``None`` where it is not known.

    Yields:
        For each captured head the codes of the rows of all steps, one after the other.
    """
    attribution = capture.evidence.attribution
    if attribution is None or attribution.sources is None:
        yield from (None for _ in capture.layers)
        return
    scales = np.repeat(_source_scales(capture, attribution.sources), _row_lengths(capture))
    scales = np.maximum(scales, np.finfo(np.float32).tiny)
    for sources in attribution.sources:
        share = sources / scales
        codes = np.copysign(np.rint(127 * np.sqrt(np.abs(share))), share)
        codes[np.abs(share) < SOURCE_FLOOR] = 0
        yield encode_bytes(np.nan_to_num(codes, nan=_NO_SOURCE).astype(np.int8).tobytes())


def describe_evidence(capture: Capture) -> dict[str, Any]:
    """Return what the page's script looks up, and the scales of the arrays, as JSON values."""
    evidence = capture.evidence
    attribution, norms = evidence.attribution, evidence.value_norms
    sources = None if attribution is None else attribution.sources
    return {
        "grid_scales": {name: _list(_encode_grid(grid)[1]) for name, grid in list_grid_metrics(evidence).items()},
        "norm_scales": None if norms is None else _list(_encode_norms(norms)[1]),
        "source_scales": None if sources is None else _list(_source_scales(capture, sources)),
        "attribution": None if attribution is None else _describe_attribution(attribution),
        "lens": None if evidence.lens is None else _describe_lens(evidence.lens),
        "missing": dict(evidence.missing),
    }


def _describe_attribution(attribution: Attribution) -> dict[str, Any]:
    """Return every part by contrast and step; heads as their sum, since the grids hold them one by one."""
    parts = {
        "heads": attribution.heads.sum((2, 3)),
        "other_heads": attribution.other_heads,
        "other_parts_sum": attribution.other_parts.sum(2),
        "embedding": attribution.embedding,
        "biases": attribution.biases,
        "logits": attribution.logits,
    }
    return {
        "runners_up": [[describe_token(token) for token in runners_up] for runners_up in attribution.runners_up],
        **{name: _list(values, _SUM_DIGITS) for name, values in parts.items()},
        "other_parts": _list(attribution.other_parts),
        "residuals": _list(attribution.residuals),
        "tolerance": SUM_TOLERANCE,
        "note": attribution.note,
    }


def _describe_lens(lens: Lens) -> dict[str, Any]:
    return {
        "layers": list(lens.layers),
        "logprobs": _list(lens.logprobs),
        "ranks": lens.ranks.tolist(),
        "best": [[describe_token(token) for token in row] for row in lens.best],
        "best_logprobs": _list(lens.best_logprobs),
    }


def _encode_grid(grid: NDArray[np.float32]) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Return codes ``[step, layer, head]`` and the scale of each step."""
    scales = _largest(grid, (1, 2))
    share = grid / np.maximum(scales, np.finfo(np.float32).tiny)[:, None, None]
    codes = np.nan_to_num(np.rint(32767 * share), nan=_NO_GRID_VALUE)
    return codes.astype(np.int16), scales


def _part(numbers: NDArray[np.int16]) -> bytes:
    """Return the high bytes of numbers, which deflate somewhat, and after them the low ones."""
    return (numbers >> 8).astype(np.int8).tobytes() + numbers.astype(np.uint8).tobytes()


def _encode_norms(norms: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return codes ``[layer, head, key_pos]`` and the scale of each head."""
    scales = _largest(norms, (2,))
    return quantize_sqrt(np.nan_to_num(norms / np.maximum(scales, np.finfo(np.float32).tiny)[:, :, None])), scales


def _encode_rollout(rollout: NDArray[np.float32]) -> NDArray[np.uint16]:
    return np.rint(65535 * np.sqrt(np.clip(np.nan_to_num(rollout), 0, 1))).astype("<u2")


def _source_scales(capture: Capture, sources: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the strongest cell of each step over all heads, ``[step]``."""
    lengths = _row_lengths(capture)
    starts = np.cumsum(lengths) - lengths
    return np.maximum.reduceat(_largest(sources, (0, 1)), starts)


def _row_lengths(capture: Capture) -> NDArray[np.int64]:
    """Return how many keys the row of each step has."""
    return np.array([capture.query_pos_of_step(step.step) + 1 for step in capture.steps])


def _largest(values: NDArray[np.float32], axes: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the largest absolute value over some axes; what is not a number counts as 0."""
    return np.abs(np.nan_to_num(values, nan=0, posinf=0, neginf=0)).max(axis=axes, initial=0)


def _list(values: NDArray[Any], digits: int = _DIGITS) -> list[Any]:
    """Return numbers as nested lists, short, null where they are undefined."""
    return [_list(item, digits) if item.ndim else shorten(float(item), digits) for item in values]
