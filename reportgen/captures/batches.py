"""Group prompts into batches: same generation settings, same number of new tokens, similar length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from reportgen.captures.generation import can_share, count_new_tokens
from reportgen.captures.tokenization import encode_prompt
from reportgen.instrumentation.strategy import find_strategy
from reportgen.models.config import find_rope_switch
from reportgen.models.hf_errors import quiet
from reportgen.models.model import LoadedModel
from reportgen.records import EncodedPrompt, Prompt

_PROMPTS = 16
"""Maximum number of prompts in a batch; larger ones are not faster on a CPU and cost more to repeat after an error."""
_POSITIONS = 1024
"""Maximum number of positions in a batch, including padding; longer texts use the whole CPU without batching."""
_PADDED = 1.5
"""Maximum ratio of the longest to the shortest text in a batch."""


def make_batches(model: LoadedModel, prompts: Sequence[Prompt], batch_size: int = 0) -> list[list[EncodedPrompt]]:
    """Tokenize the prompts of one model and group them into batches.

    Args:
        model: the model that runs the prompts.
        prompts: all prompts of the model.
        batch_size: maximum size of a batch; 1 disables batching, 0 derives the size from the lengths of the prompts.

    Returns:
        Batches in the order of their first prompts; the prompts of a batch keep their order. A prompt with sampling,
        beam search, a repetition penalty, stop strings, a continuation or additional evidence, or that cannot be
        encoded, forms a batch alone. So does one that is so long that the model's rotary positions depend on the
        length. The return sequences of a prompt, which one generation gives, are a batch.
    """
    encoded = [encode_prompt(model, prompt) for prompt in prompts]
    if batch_size == 1 or not _can_pad(model):
        return [[prompt] for prompt in encoded]
    settings = [_settings_of(prompt) for prompt in prompts]
    order = sorted(range(len(encoded)), key=lambda index: (repr(settings[index]), len(encoded[index].token_ids), index))
    batches: list[list[int]] = []
    for _, group in groupby(order, key=settings.__getitem__):
        batches += _cut(model, list(group), encoded, batch_size)
    return [[encoded[index] for index in sorted(batch)] for batch in sorted(batches, key=min)]


def _can_pad(model: LoadedModel) -> bool:
    try:
        with quiet():
            return find_strategy(model.network).supports_left_padding
    except Exception:  # the error is reported when the prompts run
        return False


def _cut(model: LoadedModel, indices: list[int], encoded: Sequence[EncodedPrompt], batch_size: int) -> list[list[int]]:
    """Split indices of prompts, sorted by length, into batches; prompts beyond the switch of the rope run alone."""
    switch = find_rope_switch(model.network.config)
    batches: list[list[int]] = []
    for index in indices:
        prompt, length = encoded[index].prompt, len(encoded[index].token_ids)
        positions = length + count_new_tokens(encoded[index], model.info.context_window)
        alone = not length or not can_share(prompt.generation) or prompt.evidence or prompt.continuation
        alone = alone or (switch is not None and positions > switch)
        if batches and _are_siblings(encoded[batches[-1][0]].prompt, prompt):
            batches[-1].append(index)
            continue
        if batches and not alone:
            batch, shortest = batches[-1], len(encoded[batches[-1][0]].token_ids)
            fits = (len(batch) + 1) * positions <= _POSITIONS
            alike = length <= _PADDED * shortest
            if shortest and len(batch) < (batch_size or _PROMPTS) and (batch_size or (fits and alike)):
                batch.append(index)
                continue
        batches.append([index])
    return batches


def _settings_of(prompt: Prompt) -> Any:
    """Return the settings that must be equal for all prompts of a batch."""
    generation = replace(prompt.generation, return_sequence=None)
    return prompt.continuation, prompt.max_new_tokens, generation, prompt.evidence, prompt.without


def _are_siblings(prompt: Prompt, other: Prompt) -> bool:
    """Return whether two prompts are return sequences of one generation; ablation runs each of them alone."""
    if prompt.generation.num_return_sequences == 1 or prompt.evidence:
        return False
    family = [
        replace(one, slug="", title="", generation=replace(one.generation, return_sequence=None))
        for one in (prompt, other)
    ]
    return family[0] == family[1]
