"""Types of the keyword arguments of a prompt, as editors and type checkers know them.

They are wider than the fields of ``Prompt`` and ``Generation``, which convert what they are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Required, TypeAlias, TypedDict

from reportgen.records.foil import Foil
from reportgen.records.generation import Generation
from reportgen.records.selection import Selection
from reportgen.records.story import StoryStep

SelectionLike: TypeAlias = Selection | int | str | Sequence[int | str]
"""Layers or heads as a number, a text such as ``"0-4, -1"``, a range, or a list of numbers and texts."""


class GenerationArguments(TypedDict, total=False):
    """The fields of ``Generation``."""

    do_sample: bool
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    num_beams: int
    num_return_sequences: int
    return_sequence: int | None
    stop_strings: Sequence[str]
    seed: int


class FoilArguments(TypedDict, total=False):
    """The fields of ``Foil``."""

    token: Required[str]
    step: int


class StepArguments(TypedDict, total=False):
    """The fields of ``StoryStep``."""

    view: str
    figure: Required[str]
    text: Required[str]


class RunArguments(TypedDict, total=False):
    """The fields of ``Prompt`` that say what is run and measured, except the text."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]]
    chat_template: str
    chat_template_kwargs: Mapping[str, Any]
    continue_final_message: bool
    title: str
    slug: str
    tags: Sequence[str]
    note: str
    layers: SelectionLike
    heads: SelectionLike
    max_new_tokens: int
    generation: Generation | GenerationArguments
    add_special_tokens: bool
    evidence: Sequence[Literal["ablation", "mean-ablation"]]
    continuation: str | Sequence[str]
    foils: Sequence[str | Foil | FoilArguments]
    without: Sequence[str]
    claims: Sequence[Mapping[str, Any]]
    story: Sequence[StoryStep | StepArguments]
    spans: Mapping[str, str | Mapping[str, Any]]


class PromptArguments(RunArguments, total=False):
    """The fields of ``Prompt``, except the text."""

    model: str
    adapter: str
    place: Any


class CaptureArguments(RunArguments, GenerationArguments, total=False):
    """The keyword arguments of ``capture``: fields of ``Prompt`` and of ``Generation``."""
