"""What a comparison shows of activation patching: a finding, maps of both directions, and the heads that move most.

``templates/js/figures/patching.js`` draws the same maps again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.kind import Definition
from reportgen.evidence.kinds.patching import INTO, PATCHING, Patching
from reportgen.pages.pair_answer import PairRead
from reportgen.pages.pair_panels import PairOpening
from reportgen.pages.panels import Panel, label_axis, label_map
from reportgen.pages.sentences import to_json
from reportgen.pages.stills import draw_differences, pool
from reportgen.records import Token
from reportgen.records.json_values import list_numbers
from reportgen.records.sentences import HeadPart, Sentence, SidePart, TokenPart, make_sentence

_PIXELS = 280
"""Usual width of the cells of one of three maps in a row."""
_HEADS = ("heads", "last")
_TITLES = {
    "heads": "heads, at all positions",
    "last": "heads, at the last position",
    "stream": "residual stream before a layer",
}
_SIGNS = (1, -1)
LEAST_SHARE = 0.005
"""Smallest share that is not printed as 0 %."""


@dataclass(frozen=True)
class PatchMap:
    """One map: what is patched, and how far its strongest cell moves the difference, as text."""

    title: str
    panel: Panel
    limit: str


@dataclass(frozen=True)
class PatchView:
    """Activation patching for the template; sentences as ``sentences.to_json`` gives them.

    Attributes:
        finding: title of the card.
        reason: why nothing was measured; empty if it was.
        compared: what the shares are parts of.
        directions: title of each direction, and its maps.
        definition: definition of the shares.
    """

    finding: Sequence[Any]
    reason: str = ""
    compared: Sequence[Any] = ()
    directions: Sequence[tuple[str, Sequence[PatchMap]]] = ()
    definition: Definition = PATCHING


def view_patching(
    captures: tuple[Capture, Capture], patching: Patching | str, opening: PairOpening
) -> PatchView | None:
    """Return what a comparison shows of activation patching; ``None`` if none was asked for.

    Args:
        captures: both sides.
        patching: what was measured, or why it was not; empty if it was not asked for.
        opening: the head that the page opens on.
    """
    if not patching:
        return None
    if isinstance(patching, str):
        return PatchView(("Activation patching: n/a",), reason=patching)
    return PatchView(
        finding=to_json(find_strongest(patching)),
        compared=to_json(_say_compared(patching)),
        directions=[
            (into, [_draw_map(captures, patching, name, number, opening) for name in _TITLES])
            for number, into in enumerate(INTO)
        ],
    )


def describe_patching(captures: tuple[Capture, Capture], patching: Patching | str) -> Mapping[str, Any] | None:
    """Return what the scripts read of activation patching, as JSON values."""
    if not isinstance(patching, Patching):
        return None
    return {
        "layers": list(patching.layers),
        "stream_layers": list(patching.stream_layers),
        "tokens": _list_tokens(captures, patching),
        "limits": {name: _find_limit(patching, name) for name in _TITLES},
        "titles": _TITLES,
        "into": INTO,
        "shares": {name: list_numbers(getattr(patching, name)) for name in _TITLES},
    }


def find_strongest(patching: Patching) -> Sentence:
    """Return the head of A that moves B farthest towards A, as the title of the card."""
    shares = patching.heads[0]
    row, head = np.unravel_index(np.nanargmax(shares), shares.shape)
    share = float(shares[row, head])
    wanted = TokenPart(patching.answers[0].shown)
    if share < LEAST_SHARE:
        whom = SidePart("b"), ", no head of ", SidePart("a")
        return make_sentence("Put into ", *whom, " moves it towards ", wanted)
    back = patching.find_share(patching.layers[row], int(head), 1)
    return make_sentence(
        "Put into ", SidePart("b"), ", ", HeadPart(patching.layers[row], int(head)), " of ", SidePart("a"),
        f" moves it {format_share(share)} of the way to ", wanted, ", more than any other head; the other way ",
        f"{format_share(back)}",
    )  # fmt: skip


def say_patched(patching: Patching, reads: Sequence[PairRead]) -> Sentence:
    """Return what patching found, for the answer: the strongest head, and the one that reads most differently.

    Args:
        patching: what was measured.
        reads: what the heads that differ most read, the first of which the answer names.
    """
    strongest = find_strongest(patching)
    heads = [(part.layer, part.head) for part in strongest if isinstance(part, HeadPart)]
    named = [(read.layer, read.head) for read in reads[:1]]
    share = patching.find_share(*named[0]) if named and named != heads else None
    if share is None:
        return make_sentence(*strongest, ". ")
    return make_sentence(*strongest, ". ", HeadPart(*named[0]), f" moves it {format_share(share)}. ")


def format_share(share: float | None) -> str:
    """Return a share in percent, with a minus sign below 0; ``n/a`` for ``None`` and NaN."""
    if share is None or np.isnan(share):
        return "n/a"
    text = f"{100 * share:.0f}" if abs(share) >= 0.0995 else f"{100 * share:.1f}"
    return f"{text.replace('-', '−')} %" if text.strip("-0.") else "0 %"


def _say_compared(patching: Patching) -> Sentence:
    first, second = (TokenPart(token.shown) for token in patching.answers)
    ours, theirs = (f"{value:+.2f}".replace("-", "−") for value in patching.differences)
    return make_sentence(
        "log p(", first, ") − log p(", second, f") is {ours} nats in ", SidePart("a"), f" and {theirs} in ",
        SidePart("b"), ". A cell puts one activation of the other run in its place: 0 % leaves the difference as it "
        "is, 100 % makes it that of the other run.",
    )  # fmt: skip


def _draw_map(
    captures: tuple[Capture, Capture], patching: Patching, name: str, direction: int, opening: PairOpening
) -> PatchMap:
    shares: NDArray[np.float32] = getattr(patching, name)[direction]
    limit = _find_limit(patching, name)
    is_of_heads = name in _HEADS
    layers = patching.layers if is_of_heads else patching.stream_layers
    numbers = range(shares.shape[1])
    rows, columns = label_map(layers, numbers, opening.layer if is_of_heads else -1)
    if not is_of_heads:
        columns = label_axis(_list_tokens(captures, patching), None, _PIXELS)
    frame = None
    if is_of_heads and opening.layer in layers:
        frame = (opening.head, len(layers) - 1 - layers.index(opening.layer), 1, 1)
    # A colour is that of the run that a patch leads to.
    still = draw_differences(pool(_SIGNS[direction] * shares[::-1]), limit)
    alt = f"{INTO[direction]}: what patching changes, {_TITLES[name]}, layers from the last at the top"
    panel = Panel(f"patch-{name}-{direction}", still, rows, columns, frame=frame, count=len(layers), alt=alt)
    return PatchMap(_TITLES[name], panel, format_share(limit))


def _find_limit(patching: Patching, name: str) -> float:
    """Return the absolute share with the strongest colour, which maps of the same activations have in common."""
    shown = _HEADS if name in _HEADS else (name,)
    return max(float(np.nanmax(np.abs(getattr(patching, other)), initial=0)) for other in shown) or 1e-9


def _list_tokens(captures: tuple[Capture, Capture], patching: Patching) -> list[str]:
    """Return the aligned tokens, both where they differ."""
    sides = [
        capture.tokens[start : start + patching.length]
        for capture, start in zip(captures, patching.starts, strict=True)
    ]
    return [_name(one, other) for one, other in zip(*sides, strict=True)]


def _name(one: Token, other: Token) -> str:
    return one.shown if one.shown == other.shown else f"{one.shown} | {other.shown}"
