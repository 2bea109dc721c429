"""Group prompts into batches: same generation settings, same number of new tokens, similar length."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from reportgen.captures.generation import can_share
from reportgen.captures.tokenization import tokenize
from reportgen.instrumentation.strategy import find_strategy
from reportgen.models.hf_errors import quiet
from reportgen.models.model import LoadedModel
from reportgen.records import Prompt
from reportgen.records.errors import PromptError

_PROMPTS = 16
"""Most prompts in a batch; larger batches are not faster on a CPU, and repeating them after an error costs more."""
_POSITIONS = 1024
"""Most positions in a batch, including padding; longer texts use the whole CPU without batching."""
_PADDED = 1.5
"""Largest ratio of the longest to the shortest text of a batch."""


def make_batches(model: LoadedModel, prompts: Sequence[Prompt], batch_size: int = 0) -> list[list[Prompt]]:
    """Group the prompts of one model into batches.

    Args:
        model: the model that they run on.
        prompts: all prompts of the model.
        batch_size: maximum size of a batch; 1 disables batching, 0 chooses the size by the lengths of the prompts.

    Returns:
        Batches in the order of their first prompts; the prompts of a batch keep their order. A prompt with sampling,
        beam search, a repetition penalty or additional evidence, or that cannot be encoded, is a batch of its own.
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
    except Exception:  # the error is reported when the prompts run
        return False


def _cut(places: list[int], prompts: Sequence[Prompt], lengths: dict[int, int], batch_size: int) -> list[list[int]]:
    """Split indices of prompts, sorted by length, into batches."""
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
    """Return the settings that must be equal for all prompts of a batch."""
    return prompt.max_new_tokens, prompt.generation, prompt.evidence


def _length(model: LoadedModel, prompt: Prompt) -> int:
    try:
        return len(tokenize(model, prompt))
    except PromptError:  # the error is reported when the prompt runs
        return 0
