"""Encode evidence as blocks of a page; ``templates/js/evidence.js`` decodes them.

The block ``evidence`` is JSON with the values that the script looks up. The block ``grids`` holds the numbers for each
head and step, called *grids*: 16-bit signed integers, ``value / scale * 32767``, first all high bytes, then all low
bytes; -32768 means that there is no value. Each kind of evidence encodes its other arrays itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds import attribution, list_measured
from reportgen.evidence.kinds.scaling import find_largest, scale_by
from reportgen.pages.encoding import encode_bytes, encode_codes, encode_json
from reportgen.records.json_values import list_numbers

_NO_GRID_VALUE = -(2**15)


def list_heatmap_modes(capture: Capture) -> list[str]:
    """Return the modes of a head's heatmap: ``weight``, and those of the measured evidence."""
    return ["weight", *(mode for kind, value in list_measured(capture) for mode in kind.list_modes(value))]


def list_grids(capture: Capture) -> dict[str, NDArray[np.float32]]:
    """Return the grids of the measured evidence, ``[step, layer, head]`` each, by name."""
    return {name: grid for kind, value in list_measured(capture) for name, grid in kind.list_grids(value).items()}


def make_evidence_blocks(capture: Capture) -> dict[str, Markup]:
    """Return the evidence blocks that apply to all layers, by name; evidence that was not measured has none."""
    codes = encode_grids(capture)
    arrays: dict[str, bytes] = {} if codes is None else {"grids": _split_bytes(codes)}
    for kind, value in list_measured(capture):
        arrays |= {name: array.tobytes() for name, array in kind.encode(capture, value).items()}
    described = describe_evidence(capture)
    if not arrays and described.keys() == {"missing"}:
        return {}
    return {"evidence": encode_json(described), **{name: encode_bytes(data) for name, data in arrays.items()}}


def encode_grids(capture: Capture) -> NDArray[np.int16] | None:
    """Return the codes of all grids, ``[grid, step, layer, head]``; ``None`` if there are none."""
    grids = list_grids(capture)
    return np.stack([_encode_grid(grid) for grid in grids.values()]) if grids else None


def encode_sources(capture: Capture) -> Iterator[Markup | None]:
    """Yield the block of the attribution of each layer's heads by key; ``None`` if it is unknown."""
    for codes in attribution.encode_sources(capture):
        yield None if codes is None else encode_codes(codes.tobytes())


def describe_evidence(capture: Capture) -> Mapping[str, Any]:
    """Return the evidence that the page's script looks up, and the scales of the arrays, as JSON values."""
    described: dict[str, Any] = {"missing": dict(capture.evidence.missing)}
    for kind, value in list_measured(capture):
        described |= kind.describe(capture, value)
    if grids := list_grids(capture):
        described["grid_scales"] = {name: list_numbers(_find_scales(grid)) for name, grid in grids.items()}
    return described


def _find_scales(grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scale of each step of a grid, ``[step, layer, head]``."""
    return find_largest(grid, (1, 2))


def _encode_grid(grid: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return the codes of a grid, ``[step, layer, head]``."""
    shares = scale_by(grid, _find_scales(grid)[:, None, None])
    return np.nan_to_num(np.rint(32767 * shares), nan=_NO_GRID_VALUE).astype(np.int16)


def _split_bytes(numbers: NDArray[np.int16]) -> bytes:
    """Return all high bytes, which can be compressed a little, followed by all low bytes."""
    return (numbers >> 8).astype(np.int8).tobytes() + numbers.astype(np.uint8).tobytes()
