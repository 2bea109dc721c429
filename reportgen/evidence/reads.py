"""Find the largest effects of heads through single tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.attribution import list_foil_rows, list_rows


@dataclass(frozen=True)
class Read:
    """What one head read from one token for the prediction of a step.

    Attributes:
        layer: number of the layer in the model.
        head: number of the head in the model.
        key_pos: position of the token that was read.
        weight: attention weight, 0 to 1.
        effect: effect of the head through this token, in logits against the alternatives or a foil.
    """

    layer: int
    head: int
    key_pos: int
    weight: float
    effect: float


def find_reads(capture: Capture, keys: NDArray[np.bool_], count: int, sign: int = 1) -> list[tuple[Read, ...]]:
    """Return the reads of each step with the largest effects of one sign through one token.

    Args:
        capture: a capture.
        keys: which tokens may be read, ``[position]``. The first token, on which heads rest, and the position that
            predicts are left out in any case.
        count: maximum number of reads of a step.
        sign: 1 for effects above 0, -1 for those below.

    Returns:
        The reads of each step, the largest effect first, ``[step]``; none where the step was withheld, or where the
        effects through single tokens are unknown.
    """
    return _find(capture, keys, count, sign, list_rows(capture), [step.step for step in capture.steps])


def find_foil_reads(capture: Capture, keys: NDArray[np.bool_], count: int, sign: int = 1) -> list[tuple[Read, ...]]:
    """Return the same against each measured foil, at the step of the foil, ``[foil]``."""
    return _find(capture, keys, count, sign, list_foil_rows(capture), [foil.step for foil in capture.measured_foils])


def _find(
    capture: Capture, keys: NDArray[np.bool_], count: int, sign: int, rows: list[slice], steps: Sequence[int]
) -> list[tuple[Read, ...]]:
    """Return the reads of some rows of the effects, each of the step of the same index."""
    attribution = capture.evidence.attribution
    found: list[tuple[Read, ...]] = [()] * len(rows)
    if attribution is None or attribution.sources is None or not found:
        return found
    effects = attribution.sources.reshape(-1, attribution.sources.shape[-1])
    wanted = np.zeros(effects.shape[1], bool)
    for row in rows:
        last = row.stop - row.start - 1
        wanted[row.start + 1 : row.stop - 1] = keys[1:last]
    for i, extremes in _find_extremes(effects, wanted, rows, sign):
        places = _find_largest(effects[:, rows[i]], wanted[rows[i]], extremes, count, sign)
        found[i] = tuple(_make_read(capture, steps[i], *place) for place in places)
    return found


def _find_extremes(
    effects: NDArray[np.float32], wanted: NDArray[np.bool_], rows: list[slice], sign: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield each row that has wanted cells, with the largest effect of each head, times the sign, ``[head]``.

    Cells are taken run by run and never copied, because the effects of a long generation take half a gigabyte.
    """
    starts = np.flatnonzero(np.diff(wanted, prepend=~wanted[:1]))
    extremes = (np.fmax if sign > 0 else np.fmin).reduceat(effects, starts, axis=1)[:, wanted[starts]]
    numbers = np.searchsorted([row.stop for row in rows], starts[wanted[starts]], side="right")
    for number in np.unique(numbers):
        yield int(number), np.fmax.reduce(sign * extremes[:, numbers == number], axis=1)


def _find_largest(
    effects: NDArray[np.float32], wanted: NDArray[np.bool_], extremes: NDArray[np.float32], count: int, sign: int
) -> list[tuple[int, int, float]]:
    """Return the places of the largest effects of a step, as head, key and effect.

    Args:
        effects: effects of the step, ``[head, key_pos]``.
        wanted: which keys count, ``[key_pos]``.
        extremes: the largest effect of each head, times the sign, ``[head]``.
        count: maximum number of places.
        sign: 1 for effects above 0, -1 for those below.
    """
    above = np.sort(extremes[extremes > 0])[::-1]
    if not len(above):
        return []
    # No effect below the largest ones of so many heads is looked for.
    least = above[count - 1] if len(above) >= count else np.finfo(np.float32).tiny
    heads, key_pos = np.flatnonzero(extremes >= least), np.flatnonzero(wanted)
    values = sign * effects[heads][:, key_pos]
    rows, columns = np.nonzero(values >= least)  # in the order of heads and keys, which decides between equal effects
    order = np.argsort(-values[rows, columns], kind="stable")[:count]
    return [
        (int(heads[row]), int(key_pos[column]), sign * float(values[row, column]))
        for row, column in zip(rows[order], columns[order], strict=True)
    ]


def _make_read(capture: Capture, step: int, place: int, key_pos: int, effect: float) -> Read:
    row, column = divmod(place, len(capture.heads))
    layer, head = capture.layers[row], capture.heads[column]
    weight = float(capture.attention[layer, head, capture.query_pos_of_step(step), key_pos])
    return Read(layer, head, key_pos, weight, effect)
