"""Which prompts run side by side: those that go on for as long, are chosen alike, and are about as long themselves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from reportgen.captures.encoding import encode
from reportgen.captures.generation import can_share
from reportgen.instrumentation.strategy import find_strategy
from reportgen.models.hf_errors import quiet
from reportgen.models.model import LoadedModel
from reportgen.records import Prompt
from reportgen.records.errors import PromptError

_PROMPTS = 16
"""Of a batch at most: beyond, a processor has no more to gain, and an error costs more to run again."""
_POSITIONS = 1024
"""Of a batch at most, padding among them: longer texts keep a processor busy alone."""
_PADDED = 1.5
"""How many times as long as the shortest text of a batch the longest may be."""


def make_batches(model: LoadedModel, prompts: Sequence[Prompt], batch_size: int = 0) -> list[list[Prompt]]:
    """Put prompts together.

    Args:
        model: that they run on.
        prompts: all of it.
        batch_size: at most so many at once, 1 for none together; 0 takes what suits their lengths.

    Returns:
        Batches in the order of their first prompts; within them the order of the prompts. A prompt that samples, has
        beams or a penalty, asks for extra evidence, or cannot be encoded is alone.
    """
    if batch_size == 1 or not _can_pad(model):
        return [[prompt] for prompt in prompts]
    lengths = {place: _length(model, prompt) for place, prompt in enumerate(prompts)}
    order = sorted(lengths, key=lambda place: (repr(_kind(prompts[place])), lengths[place], place))
    batches: list[list[int]] = []
    for _, group in groupby(order, key=lambda place: _kind(prompts[place])):
        batches += _cut(list(group), prompts, lengths, batch_size)
    return [[prompts[place] for place in sorted(batch)] for batch in sorted(batches, key=min)]


def _can_pad(model: LoadedModel) -> bool:
    try:
        with quiet():
            return find_strategy(model.network).supports_left_padding
    except Exception:  # each prompt will say what is wrong with the model
        return False


def _cut(places: list[int], prompts: Sequence[Prompt], lengths: dict[int, int], batch_size: int) -> list[list[int]]:
    """Cut places, ascending by length, into batches."""
    batches: list[list[int]] = []
    for place in places:
        alone = not lengths[place] or not can_share(prompts[place].generation) or prompts[place].evidence
        if batches and not alone:
            batch = batches[-1]
            fits = (len(batch) + 1) * (lengths[place] + prompts[place].max_new_tokens) <= _POSITIONS
            alike = 0 < lengths[place] <= _PADDED * lengths[batch[0]]
            if lengths[batch[0]] and len(batch) < (batch_size or _PROMPTS) and (batch_size or (fits and alike)):
                batch.append(place)
                continue
        batches.append([place])
    return batches


def _kind(prompt: Prompt) -> Any:
    """What prompts of one batch must have in common."""
    return prompt.max_new_tokens, prompt.generation, prompt.evidence


def _length(model: LoadedModel, prompt: Prompt) -> int:
    try:
        return len(encode(model, prompt))
    except PromptError:  # its own run will say so
        return 0
