"""What an address selects on a page, as ``templates/js/page/state.js`` reads it; what is wrong is an error here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.attribution import LogitAttribution
from reportgen.evidence.opening import Opening
from reportgen.pages.evidence_blocks import list_grids
from reportgen.records.address import FIRSTS, NUMBERS, SCALES


@dataclass(frozen=True)
class View(Opening):
    """What a page shows, as far as figures without a script follow it.

    Attributes:
        scale: scale of the colours of weights.
        first: what becomes of the first token as one that is read.
        span: first and last position that figures show; ``None`` for all.
        all: figures that show all of their rows, and ``columns``.
        marks: whether the strongest cell of each row of weights is marked.
        contrast: what effects are against, one of ``list_contrasts``; empty if there are none.
        measure: what the figure of all heads and MLPs shows, one of ``list_grids``; empty if there are none.
        by: what the map of all heads shows: ``effect``, ``weight`` or a score.
    """

    scale: str = SCALES[0]
    first: str = FIRSTS[0]
    span: tuple[int, int] | None = None
    all: tuple[str, ...] = ()
    marks: bool = False
    contrast: str = ""
    measure: str = ""
    by: str = "weight"

    def is_for_step(self, capture: Capture) -> bool:
        """Whether the position that reads is the one that predicted the token of the step."""
        return self.step is not None and self.query_pos == capture.query_pos_of_step(self.step)


def open_view(capture: Capture, opening: Opening) -> View:
    """Return the view that a page opens with, of what is selected."""
    contrasts, grids = list_contrasts(capture), list_grids(capture)
    by = "effect" if contrasts else "weight"
    return View(**asdict(opening), contrast=next(iter(contrasts), ""), measure=next(iter(grids), ""), by=by)


def list_contrasts(capture: Capture) -> list[str]:
    """Return the names of what effects can be against, in the order in which a page offers them."""
    measured = capture.evidence.attribution
    return list(LogitAttribution().list_grids(measured)) if measured else []


def find_foil(capture: Capture, name: str, step: int) -> int | None:
    """Return the number of the measured foil that a contrast or a measure compares with at a step; ``None`` if none.

    Where its foil is for another step, it is the step's own foil.
    """
    _, is_foil, number = name.partition("foil-")
    if not is_foil:
        return None
    asked, foils = int(number) - 1, capture.measured_foils
    return asked if asked < len(foils) and foils[asked].step == step else capture.foil_of_step(step)


def hold(capture: Capture, name: str, step: int) -> str:
    """Return which numbers a contrast or a measure stands for at a step; without a foil, against the alternatives."""
    before, is_foil, _ = name.partition("foil-")
    if not is_foil:
        return name
    number = find_foil(capture, name, step)
    return (before + f"foil-{number + 1}" if number is not None else before.rstrip("-")) or "attribution"


def select_view(view: View, capture: Capture, address: Mapping[str, str]) -> View:
    """Return the view of an address.

    Args:
        view: what the page opens with.
        capture: the capture.
        address: keys of the address, as ``parse_address`` returns them.

    Raises:
        ValueError: the page does not have what a key selects.
    """
    number = _find_numbers(capture, address)
    step, query_pos, key_pos = view.step, view.query_pos, view.key_pos
    if "step" in number:
        step, query_pos, key_pos = number["step"], capture.query_pos_of_step(number["step"]), None
    query_pos = number.get("query", query_pos)
    key_pos = number.get("key", None if query_pos != view.query_pos else key_pos)
    if key_pos is not None and key_pos > query_pos:
        raise ValueError(f"no key {key_pos} at the position {query_pos}, which reads what is before it")
    return View(
        layer=number.get("layer", view.layer),
        head=number.get("head", view.head),
        step=step,
        query_pos=query_pos,
        key_pos=key_pos,
        span=_find_span(address.get("tokens", ""), capture.num_tokens),
        all=tuple(filter(None, address.get("all", "").split(","))),
        marks="marks" in address,
        **_find_words(view, capture, address),
    )


def _find_numbers(capture: Capture, address: Mapping[str, str]) -> dict[str, int]:
    number = {key: int(address[key]) for key in NUMBERS if key in address}
    for key, there in (("layer", capture.layers), ("head", capture.heads)):
        if key in number and number[key] not in there:
            raise ValueError(f"no {key} {number[key]}; it has {', '.join(map(str, there))}")
    for key, count in (("query", capture.num_tokens), ("step", len(capture.steps)), ("key", capture.num_tokens)):
        if key in number and number[key] >= count:
            advice = f"it has 0 to {count - 1}" if count else "nothing was generated"
            raise ValueError(f"no {key} {number[key]}; {advice}")
    return number


def _find_words(view: View, capture: Capture, address: Mapping[str, str]) -> dict[str, str]:
    contrasts = list_contrasts(capture)
    there = {
        "scale": SCALES,
        "first": FIRSTS,
        "contrast": contrasts,
        "measure": [*list_grids(capture)],
        "by": ["effect"] * bool(contrasts) + ["weight", *capture.evidence.scores],
    }
    for name, words in there.items():
        if name in address and address[name] not in words:
            raise ValueError(f"no {name} {address[name]}; it has {', '.join(words) or 'none'}")
    return {name: address.get(name, getattr(view, name)) for name in there}


def _find_span(text: str, num_tokens: int) -> tuple[int, int] | None:
    """Return the positions of ``from-to``, cut to those that there are; ``None`` for all of them."""
    if not text:
        return None
    first, last = map(int, text.split("-"))
    last = min(last, num_tokens - 1)
    if first >= last:
        raise ValueError(f"no range of tokens {text}; write two positions from 0 to {num_tokens - 1}, such as 2-9")
    return None if (first, last) == (0, num_tokens - 1) else (first, last)
