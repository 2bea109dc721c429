"""The first half of a capture: new tokens, made by ``generate`` with the model's fast attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedModel

from reportgen.instrumentation.anatomy import first_position, input_device
from reportgen.instrumentation.inputs import positions_behind
from reportgen.models.model import LoadedModel
from reportgen.records import Generation
from reportgen.records.errors import UnsupportedModel

_RIVALS = 3
"""Tokens that the chosen one of a step is compared with."""


@dataclass(frozen=True)
class GenerationResult:
    """What ``generate`` made.

    Attributes:
        token_ids: the new tokens, a stop token included.
        raw: logits of each step as the model gave them, ``[vocabulary]`` each.
        filtered: the same after sampling filters.
    """

    token_ids: tuple[int, ...] = ()
    raw: tuple[torch.Tensor, ...] = ()
    filtered: tuple[torch.Tensor, ...] = ()


def can_share(generation: Generation) -> bool:
    """Say whether texts that run side by side get what each would get alone.

    Sampling draws from one stream of random numbers, beams and penalties look at padding: those run alone.
    """
    return not generation.do_sample and generation.num_beams == 1 and generation.repetition_penalty is None


def generate(
    model: LoadedModel, texts: Sequence[list[int]], max_new_tokens: int, generation: Generation
) -> list[GenerationResult]:
    """Continue prompts.

    Args:
        model: the model, in evaluation mode.
        texts: of each prompt the token ids, at least one; several only where ``can_share`` says so.
        max_new_tokens: 0 makes nothing.
        generation: how tokens are chosen; the random state of the caller is left as it was.

    Returns:
        Of each prompt the new tokens with their logits.

    Raises:
        UnsupportedModel: the model predicts behind tokens that are not in the text.
    """
    if max_new_tokens == 0:
        return [GenerationResult() for _ in texts]
    network, length = model.network, max(map(len, texts))
    with _own_config(model) as config, _seeded(generation.seed), _watching(network, length):
        padding = [[config.pad_token_id] * (length - len(token_ids)) for token_ids in texts]
        # Padding stands before the text, so that all texts go on at the same place.
        input_ids = [[*before, *token_ids] for before, token_ids in zip(padding, texts, strict=True)]
        seen = [[0] * len(before) + [1] * len(token_ids) for before, token_ids in zip(padding, texts, strict=True)]
        mask = torch.tensor(seen, device=input_device(network))
        output = network.generate(  # pyright: ignore[reportCallIssue]
            torch.tensor(input_ids, device=input_device(network)),
            attention_mask=mask,
            **_positions(network, mask),
            max_new_tokens=max_new_tokens,
            return_dict_in_generate=True,
            output_logits=True,
            output_scores=True,
            **_settings(generation),
        )
        stops = config.eos_token_id
    return [
        _take(output, place, output.sequences[place, length:].tolist(), stops if isinstance(stops, list) else [stops])
        for place in range(len(texts))
    ]


def _take(output: Any, place: int, token_ids: list[int], stops: list[int | None]) -> GenerationResult:
    """Take one text out of what ``generate`` gave; behind its stop token there is padding."""
    ends = [step for step, token_id in enumerate(token_ids, 1) if token_id in stops]
    token_ids = token_ids[: ends[0]] if ends else token_ids
    rows = _rows_of(output, place, len(token_ids))
    return GenerationResult(
        token_ids=tuple(token_ids),
        raw=tuple(logits[row] for logits, row in zip(output.logits, rows, strict=False)),
        filtered=tuple(scores[row] for scores, row in zip(output.scores, rows, strict=False)),
    )


def find_runners_up(generated: GenerationResult, device: torch.device) -> torch.Tensor:
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


def _positions(network: PreTrainedModel, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """Positions where they do not begin at 0, which ``generate`` takes for granted."""
    return {"position_ids": positions_behind(network, mask)} if first_position(network) else {}


def _settings(generation: Generation) -> dict[str, Any]:
    """What was asked for and no more: left to itself, ``generate`` samples from the 50 most probable tokens."""
    given = generation.settings()
    return {"top_k": 0, **given} if generation.do_sample else given


def _rows_of(output: object, place: int, count: int) -> list[int]:
    """Which row of each step's logits became the sequence: beams swap places from step to step."""
    beam_indices = getattr(output, "beam_indices", None)
    return [place] * count if beam_indices is None else beam_indices[0, :count].tolist()


@contextmanager
def _own_config(model: LoadedModel) -> Iterator[GenerationConfig]:
    """Put the model's shipped generation config aside: of it, only the special tokens are used."""
    shipped = model.network.generation_config
    own = model.network.generation_config = GenerationConfig(
        eos_token_id=_first(getattr(shipped, "eos_token_id", None), model.tokenizer.eos_token_id),
        bos_token_id=_first(getattr(shipped, "bos_token_id", None), model.tokenizer.bos_token_id),
        pad_token_id=_first(model.tokenizer.pad_token_id, getattr(shipped, "pad_token_id", None), 0),
    )
    try:
        yield own
    finally:
        model.network.generation_config = shipped


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


@contextmanager
def _watching(network: PreTrainedModel, num_prompt_tokens: int) -> Iterator[None]:
    """See that the model reads the prompt and no more: XLM and XLNet put a token behind it, to be read in its place."""

    def see(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        hook.remove()  # later steps read what is new
        read = given[0] if given else named.get("input_ids")
        if isinstance(read, torch.Tensor) and read.shape[-1] > num_prompt_tokens:
            raise UnsupportedModel(
                f"{type(network).__name__}: it predicts behind a token that is not in the text, so that no row of "
                "attention is that of a step; set max_new_tokens to 0, or take a decoder such as GPT-2 or Llama"
            )

    hook = network.register_forward_pre_hook(see, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # manual_seed seeds every device; one that nobody has used yet has no state to keep.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices, device_type="cuda"):
        torch.manual_seed(seed)
        yield
