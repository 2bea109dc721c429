"""Evidence as blocks of a page; ``templates/js/evidence.js`` reads the same format.

What is looked up goes as JSON, block ``evidence``. Numbers for each head and step, *grids*, go as one block: 16-bit
signed numbers, ``value / scale * 32767``, all high bytes first, then all low ones; -32768 means that there is no value.
Each kind encodes its other arrays itself.
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
from reportgen.pages.encoding import encode_bytes, encode_json
from reportgen.records.json_values import list_numbers

_NO_GRID_VALUE = -(2**15)


def list_heatmap_modes(capture: Capture) -> list[str]:
    """Return what a heatmap of a head can show: ``weight``, and what the evidence adds to it."""
    return ["weight", *(mode for kind, value in list_measured(capture) for mode in kind.list_modes(value))]


def list_grids(capture: Capture) -> dict[str, NDArray[np.float32]]:
    """Return the numbers for every head at every step, ``[step, layer, head]``, by name."""
    return {name: grid for kind, value in list_measured(capture) for name, grid in kind.list_grids(value).items()}


def make_evidence_blocks(capture: Capture) -> dict[str, Markup]:
    """Return the blocks that hold for all layers, by name; evidence that was not measured has none."""
    grids = list_grids(capture)
    arrays: dict[str, bytes] = {}
    if grids:
        arrays["grids"] = _split_bytes(np.stack([_encode_grid(grid)[0] for grid in grids.values()]))
    for kind, value in list_measured(capture):
        arrays |= {name: array.tobytes() for name, array in kind.encode(capture, value).items()}
    described = describe_evidence(capture)
    if not arrays and described.keys() == {"missing"}:
        return {}
    return {"evidence": encode_json(described), **{name: encode_bytes(data) for name, data in arrays.items()}}


def encode_sources(capture: Capture) -> Iterator[Markup | None]:
    """Yield the block of what each layer's heads wrote from each token, ``None`` where it is not known."""
    for codes in attribution.encode_sources(capture):
        yield None if codes is None else encode_bytes(codes.tobytes())


def describe_evidence(capture: Capture) -> Mapping[str, Any]:
    """Return what the page's script looks up, and the scales of the arrays, as JSON."""
    described: dict[str, Any] = {"missing": dict(capture.evidence.missing)}
    for kind, value in list_measured(capture):
        described |= kind.describe(capture, value)
    if grids := list_grids(capture):
        described["grid_scales"] = {name: list_numbers(_encode_grid(grid)[1]) for name, grid in grids.items()}
    return described


def _encode_grid(grid: NDArray[np.float32]) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Return numbers ``[step, layer, head]`` and the scale of each step."""
    scales = find_largest(grid, (1, 2))
    codes = np.nan_to_num(np.rint(32767 * scale_by(grid, scales[:, None, None])), nan=_NO_GRID_VALUE)
    return codes.astype(np.int16), scales


def _split_bytes(numbers: NDArray[np.int16]) -> bytes:
    """Return the high bytes of numbers, which deflate somewhat, then the low ones."""
    return (numbers >> 8).astype(np.int8).tobytes() + numbers.astype(np.uint8).tobytes()
