"""What a network is called with, and the implementation of attention that it uses meanwhile."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from reportgen.instrumentation.anatomy import first_position, input_device


def make_inputs(network: PreTrainedModel, texts: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return what a forward pass over some texts takes: everything explicit, nothing cached.

    Shorter texts are padded at their end, with their own first token: causal attention looks at nothing behind.
    """
    length = max(len(token_ids) for token_ids in texts)
    supports_left_padding = [[*token_ids, *[token_ids[0]] * (length - len(token_ids))] for token_ids in texts]
    device = input_device(network)
    input_ids = torch.tensor(supports_left_padding, device=device)
    inputs: dict[str, Any] = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "use_cache": False}
    # Models that know positions by distance alone, such as BLOOM, do not take them.
    if "position_ids" in inspect.signature(network.forward).parameters:
        first = first_position(network)
        inputs["position_ids"] = torch.arange(first, first + length, device=device).expand_as(input_ids)
    return inputs


def positions_behind(network: PreTrainedModel, mask: torch.Tensor) -> torch.Tensor:
    """Return positions of texts behind padding, counted as if they stood alone; those of the padding do not matter.

    Args:
        network: that counts from 0 or, as RoBERTa and its kin, from further on.
        mask: 0 at padding and 1 at tokens, ``[batch, position]``.
    """
    return first_position(network) + (mask.cumsum(-1) - 1).clamp(min=0)


@contextmanager
def using(network: PreTrainedModel, implementation: str) -> Iterator[None]:
    """Let a network use one implementation of attention for a while; only eager attention hands weights out."""
    # A model that also sees or hears may hold parts that refuse what the whole uses.
    usual: list[tuple[Any, Any]] = [
        (module.config, module.config._attn_implementation)
        for module in network.modules()
        if isinstance(module, PreTrainedModel)
    ]
    try:
        network.set_attn_implementation(implementation)
        # Falcon looks at its config alone, and transformers therefore declines to set it there.
        network.config._attn_implementation = implementation
        yield
    finally:
        for config, before in usual:
            config._attn_implementation = before
