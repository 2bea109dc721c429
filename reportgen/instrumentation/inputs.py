"""Build the inputs of a forward pass and select the attention implementation."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel

from reportgen.instrumentation.anatomy import first_position, input_device


def make_inputs(network: PreTrainedModel, texts: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return the keyword arguments of a forward pass over a batch, with explicit positions and without a cache.

    Shorter texts are padded on the right with their first token; causal attention does not see later positions.
    """
    length = max(len(token_ids) for token_ids in texts)
    padded = [[*token_ids, *[token_ids[0]] * (length - len(token_ids))] for token_ids in texts]
    device = input_device(network)
    input_ids = torch.tensor(padded, device=device)
    inputs: dict[str, Any] = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "use_cache": False}
    # Models with relative positions only, such as BLOOM, have no such argument.
    if "position_ids" in inspect.signature(network.forward).parameters:
        first = first_position(network)
        inputs["position_ids"] = torch.arange(first, first + length, device=device).expand_as(input_ids)
    return inputs


def make_prompts(
    network: PreTrainedModel, texts: Sequence[Sequence[int]], pad_token_id: int
) -> dict[str, torch.Tensor]:
    """Return the arguments of ``generate`` for a batch of prompts.

    Shorter prompts are padded on the left, so that all continue at the same position.
    """
    length, device = max(len(token_ids) for token_ids in texts), input_device(network)
    padding = [length - len(token_ids) for token_ids in texts]
    input_ids = [[pad_token_id] * pad + list(token_ids) for pad, token_ids in zip(padding, texts, strict=True)]
    mask = torch.tensor([[0] * pad + [1] * (length - pad) for pad in padding], device=device)
    inputs = {"inputs": torch.tensor(input_ids, device=device), "attention_mask": mask}
    # ``generate`` assumes that positions begin at 0.
    return {**inputs, "position_ids": positions_behind(network, mask)} if first_position(network) else inputs


def positions_behind(network: PreTrainedModel, mask: torch.Tensor) -> torch.Tensor:
    """Return the position ids of left-padded texts, as if there were no padding; those of the padding are arbitrary.

    Args:
        network: the network; its positions begin at 0, except in RoBERTa-like models, see ``first_position``.
        mask: 0 at padding and 1 at tokens, ``[batch, position]``.
    """
    return first_position(network) + (mask.cumsum(-1) - 1).clamp(min=0)


@contextmanager
def generating(network: PreTrainedModel, config: GenerationConfig) -> Iterator[None]:
    """Replace the generation config of a network inside a ``with`` block."""
    shipped = network.generation_config
    network.generation_config = config
    try:
        yield
    finally:
        network.generation_config = shipped


@contextmanager
def using(network: PreTrainedModel, implementation: str) -> Iterator[None]:
    """Switch the attention implementation inside a ``with`` block; only eager attention returns weights."""
    # Submodels for images or audio may not support the implementation of the whole model; restore each config.
    usual: list[tuple[Any, Any]] = [
        (module.config, module.config._attn_implementation)
        for module in network.modules()
        if isinstance(module, PreTrainedModel)
    ]
    try:
        network.set_attn_implementation(implementation)
        # Falcon reads only its config, and transformers does not set the implementation there.
        network.config._attn_implementation = implementation
        yield
    finally:
        for config, before in usual:
            config._attn_implementation = before
