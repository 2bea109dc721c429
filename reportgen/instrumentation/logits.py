"""Logits of a pass, position by position: over a large vocabulary those of a long text do not fit beside anything."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from reportgen.instrumentation.observer import TracedText
from reportgen.instrumentation.trace import trace

_CELLS = 1 << 22
"""Of logits that may stay in memory: an unembedding takes about as long for one position as for as many as these."""


class Logits:
    """What a network says at each position of one text."""

    def __init__(self, ending: _Ending, place: int, length: int, vocabulary: int) -> None:
        """Keep the pass's ending, which texts that ran together share; work a short text's logits out at once."""
        self._ending, self._place = ending, place
        self._read = ending.read(place, slice(0, length)) if length * vocabulary <= _CELLS else None

    def read(self, rows: slice) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the logits at some positions, and what the unembedding read for them.

        Args:
            rows: positions.

        Returns:
            ``[row, vocabulary]`` and ``[row, width]``; the second is ``None`` where no unembedding was seen.
        """
        if self._read is None:
            return self._ending.read(self._place, rows)
        logits, unembedded = self._read
        return logits[rows], None if unembedded is None else unembedded[rows]


def run_pass(
    network: PreTrainedModel, texts: Sequence[TracedText], *, fast: bool = False, chunked_logits: bool = False
) -> list[Logits]:
    """Run one watched pass.

    Args:
        network: as ``trace`` takes it.
        texts: as ``trace`` takes them.
        fast: as ``trace`` takes it.
        chunked_logits: work logits out from the last residual stream when they are read, instead of all at once.

    Returns:
        The logits of each text.
    """
    if chunked_logits:
        with _keeping(network.base_model) as kept:
            trace(network, texts, fast=fast, logits_to_keep=1)
        ending: _Ending = _InParts(network, kept[0])
    else:
        read: list[torch.Tensor] = []
        with _unembedded(network, read):
            output = trace(network, texts, fast=fast)
        ending = _Whole(output.logits, read[-1] if read else None)
    vocabulary = network.config.get_text_config(decoder=True).vocab_size
    return [Logits(ending, place, len(text.token_ids), vocabulary) for place, text in enumerate(texts)]


def can_read_in_parts(network: PreTrainedModel) -> bool:
    """Say whether a network has a base whose output can be handed to its end again."""
    takes_rows = "logits_to_keep" in inspect.signature(network.forward).parameters
    return takes_rows and network.base_model is not network


class _Ending:
    """The end of a pass."""

    def read(self, place: int, rows: slice) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As ``Logits.read``, for one of the texts."""
        raise NotImplementedError


class _Whole(_Ending):
    """All logits, as the network gave them."""

    def __init__(self, logits: torch.Tensor, unembedded: torch.Tensor | None) -> None:
        self._logits, self._unembedded = logits, unembedded

    def read(self, place: int, rows: slice) -> tuple[torch.Tensor, torch.Tensor | None]:
        if self._unembedded is None:
            return self._logits[place, rows], None
        unembedded = self._unembedded.reshape(*self._logits.shape[:2], -1)
        return self._logits[place, rows], unembedded[place, rows]


class _InParts(_Ending):
    """What the network's base gave; its end is run on the positions that are asked for."""

    def __init__(self, network: PreTrainedModel, given: Any) -> None:
        self._network, self._given = network, given

    def read(self, place: int, rows: slice) -> tuple[torch.Tensor, torch.Tensor | None]:
        hidden = self._given[0][place : place + 1, rows]
        if isinstance(self._given, tuple):
            part: Any = (hidden, *self._given[1:])
        else:
            part = type(self._given)(**{**self._given, "last_hidden_state": hidden})
        read: list[torch.Tensor] = []
        input_ids = torch.zeros(hidden.shape[:2], dtype=torch.long, device=hidden.device)
        with torch.inference_mode(), _giving(self._network.base_model, part), _unembedded(self._network, read):
            logits = self._network(input_ids=input_ids, use_cache=False).logits[0]
        return logits, read[-1].reshape(len(logits), -1) if read else None


@contextmanager
def _keeping(base: nn.Module) -> Iterator[list[Any]]:
    """Keep what a network's base gives."""
    kept: list[Any] = []
    hook = base.register_forward_hook(lambda _, __, output: kept.append(output))
    try:
        yield kept
    finally:
        hook.remove()


@contextmanager
def _giving(base: nn.Module, output: Any) -> Iterator[None]:
    """Let a network's base give what it gave before, without running."""
    usual = vars(base).get("forward")
    vars(base)["forward"] = lambda *_, **__: output
    try:
        yield
    finally:
        del vars(base)["forward"]
        if usual is not None:
            vars(base)["forward"] = usual


@contextmanager
def _unembedded(network: PreTrainedModel, read: list[torch.Tensor]) -> Iterator[None]:
    """Note what the unembedding reads."""
    unembedding = network.get_output_embeddings()
    if not isinstance(unembedding, nn.Module):
        yield
        return
    hook = unembedding.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    try:
        yield
    finally:
        hook.remove()
