"""The first half of a capture: new tokens, made by ``generate`` with the model's fast attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig

from reportgen.models.model import LoadedModel
from reportgen.network.parts import input_device
from reportgen.records import Generation

_RIVALS = 3
"""Tokens that the chosen one of a step is compared with."""


@dataclass(frozen=True)
class Generated:
    """What ``generate`` made.

    Attributes:
        token_ids: the new tokens, a stop token included.
        raw: logits of each step as the model gave them, ``[vocabulary]`` each.
        filtered: the same after sampling filters.
    """

    token_ids: tuple[int, ...] = ()
    raw: tuple[torch.Tensor, ...] = ()
    filtered: tuple[torch.Tensor, ...] = ()


def generate(model: LoadedModel, prompt_ids: list[int], max_new_tokens: int, generation: Generation) -> Generated:
    """Continue a prompt.

    Args:
        model: the model, in evaluation mode.
        prompt_ids: at least one token.
        max_new_tokens: 0 makes nothing.
        generation: how tokens are chosen; the random state of the caller is left as it was.

    Returns:
        The new tokens with their logits.
    """
    if max_new_tokens == 0:
        return Generated()
    input_ids = torch.tensor([prompt_ids], device=input_device(model.network))
    with _own_config(model), _seeded(generation.seed):
        output = model.network.generate(  # pyright: ignore[reportCallIssue]
            input_ids,
            attention_mask=torch.ones_like(input_ids),
            max_new_tokens=max_new_tokens,
            return_dict_in_generate=True,
            output_logits=True,
            output_scores=True,
            **_settings(generation),
        )
    token_ids = tuple(output.sequences[0, len(prompt_ids) :].tolist())
    rows = _rows_of(output, len(token_ids))
    return Generated(
        token_ids,
        raw=tuple(logits[row] for logits, row in zip(output.logits, rows, strict=False)),
        filtered=tuple(scores[row] for scores, row in zip(output.scores, rows, strict=False)),
    )


def find_rivals(generated: Generated, device: torch.device) -> torch.Tensor:
    """Return the most probable tokens of each step beside the one that was chosen.

    Args:
        generated: what ``generate`` made.
        device: where the result shall be.

    Returns:
        Ids, best first, ``[step, rival]``; no rows where nothing was generated.
    """
    rows = [
        [token_id for token_id in raw.topk(min(_RIVALS + 1, len(raw))).indices.tolist() if token_id != chosen][:_RIVALS]
        for raw, chosen in zip(generated.raw, generated.token_ids, strict=True)
    ]
    return torch.tensor(rows, dtype=torch.long, device=device).reshape(len(rows), len(rows[0]) if rows else 0)


def _settings(generation: Generation) -> dict[str, Any]:
    """What was asked for and no more: left to itself, ``generate`` samples from the 50 most probable tokens."""
    given = generation.settings()
    return {"top_k": 0, **given} if generation.do_sample else given


def _rows_of(output: object, count: int) -> list[int]:
    """Which row of each step's logits became the sequence: beams swap places from step to step."""
    beam_indices = getattr(output, "beam_indices", None)
    return [0] * count if beam_indices is None else beam_indices[0, :count].tolist()


@contextmanager
def _own_config(model: LoadedModel) -> Iterator[None]:
    """Put the model's shipped generation config aside: of it, only the special tokens are used."""
    shipped = model.network.generation_config
    model.network.generation_config = GenerationConfig(
        eos_token_id=_first(getattr(shipped, "eos_token_id", None), model.tokenizer.eos_token_id),
        bos_token_id=_first(getattr(shipped, "bos_token_id", None), model.tokenizer.bos_token_id),
        pad_token_id=_first(model.tokenizer.pad_token_id, getattr(shipped, "pad_token_id", None), 0),
    )
    try:
        yield
    finally:
        model.network.generation_config = shipped


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # manual_seed seeds every device; one that nobody has used yet has no state to keep.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices, device_type="cuda"):
        torch.manual_seed(seed)
        yield
