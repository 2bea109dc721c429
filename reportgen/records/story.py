"""Stories: a text in steps, each with a figure of the page."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from reportgen.records.address import parse_address
from reportgen.records.choices import HEAD_SCORE_NAMES
from reportgen.records.foil import explain_step
from reportgen.records.selection import Selection, explain_missing

FIGURES: Mapping[str, str] = {
    "head": "the pattern of the head",
    "heads": "every head of the layer",
    "layers": "the head in every layer",
    "read": "what attention read for each written token",
    "effect": "every head and MLP, by the effect on the written token",
    "map": "all heads, by effect, weight or a score",
}
"""Figures of a page that can be drawn without a browser, and what each shows."""
OF_EFFECTS = ("read", "effect")
"""Figures that only effects on a written token give."""
_UNDRAWN: Mapping[str, Mapping[str, Collection[str]]] = {
    "head": {"show": ("weighted", "attribution"), "words": ("on",)},
    "heads": {"layout": ("patterns",), "words": ("on",)},
    "layers": {"layout": ("patterns",), "words": ("on",)},
    "map": {"by": ("pattern",)},
}
"""What only the page's script draws, by figure and key of the address."""


@dataclass(frozen=True)
class StoryStep:
    """A step of a story.

    Attributes:
        figure: name of the figure, one of ``FIGURES``.
        text: the caption, in Markdown: emphasis, code and links.
        view: the address of the view, what stands behind ``#`` in that of the page; empty for the opening view.
    """

    figure: str
    text: str
    view: str = ""


def name_step(index: int) -> str:
    """Return what a step of a story is called in messages, and in the lines of a place, by its 0-based index."""
    return f"story[{index + 1}]"


def explain_undrawn(figure: str, address: Mapping[str, str]) -> str:
    """Return which part of an address keeps a figure from being drawn without a browser; empty if none does."""
    wrong = next((key for key, values in _UNDRAWN.get(figure, {}).items() if address.get(key) in values), "")
    return f"{wrong}={address[wrong]}" if wrong else ""


def find_wrong_steps(
    story: Iterable[StoryStep],
    *,
    evidence: Collection[str],
    without: Collection[str],
    num_foils: int,
    num_steps: int | None,
    advice: str = "raise max_new_tokens",
) -> Iterator[tuple[int, str]]:
    """Yield the index of each step that its prompt cannot show, and why.

    Args:
        story: steps of the story.
        evidence: evidence that the prompt asks for.
        without: what the prompt leaves out.
        num_foils: number of foils of the prompt.
        num_steps: largest number of generation steps; ``None`` if it is not known.
        advice: how to get more generation steps.
    """
    for index, step in enumerate(story):
        address = parse_address(step.view)
        if undrawn := explain_undrawn(step.figure, address):
            yield index, f"has {undrawn}, which only the page draws, no still of {step.figure!r}; leave it out"
        elif (needs := _find_need(step.figure, address)) in without:
            yield index, f"needs {needs!r}, which 'without' leaves out; keep one"
        elif missing := _find_missing(address, evidence, num_foils):
            yield index, missing
        elif num_steps is None or "step" not in address:
            continue
        elif wrong := explain_step(int(address["step"]), num_steps, advice):
            yield index, wrong


def _find_need(figure: str, address: Mapping[str, str]) -> str:
    """Return the usual evidence that a figure shows; empty if it shows weights."""
    by = address.get("by") if figure == "map" else ""
    if by in HEAD_SCORE_NAMES:
        return "scores"
    return "attribution" if figure in OF_EFFECTS or by == "effect" else ""


def _find_missing(address: Mapping[str, str], evidence: Collection[str], num_foils: int) -> str:
    """Return what a prompt lacks of what an address names."""
    measure = address.get("measure", "").replace("estimate", "ablation")
    method = measure.partition("-foil")[0]
    if "ablation" in method and method not in evidence:
        return f"needs the evidence {method!r}; add evidence: [{method}] to the prompt"
    for name in (address.get("contrast", ""), measure):
        _, is_foil, number = name.partition("foil-")
        if is_foil and not 1 <= int(number) <= num_foils:
            return f"names foil {number}, and the prompt has {num_foils or 'none'}; add it under 'foils'"
    return ""


def explain_place(
    address: Mapping[str, str], num_layers: int, num_heads: int, layers: Selection, heads: Selection
) -> str:
    """Return why a model or the selection of a prompt lacks the layer or the head of an address; empty if it does not.

    Args:
        address: keys of the address.
        num_layers: number of layers of the model.
        num_heads: number of heads of each of its layers.
        layers: layers that the prompt keeps.
        heads: heads that the prompt keeps.
    """
    asked = (("layer", num_layers, layers), ("head", num_heads, heads))
    wrong = (explain_missing(kind, int(address[kind]), count, kept) for kind, count, kept in asked if kind in address)
    return next(filter(None, wrong), "")


def explain_position(address: Mapping[str, str], num_tokens: int) -> str:
    """Return which position of an address a text of at most so many tokens does not have; empty if it has all."""
    for key in ("query", "key"):
        if key in address and int(address[key]) >= num_tokens:
            return f"has {key}={address[key]}, and the text has at most {num_tokens} tokens, from 0"
    return ""
