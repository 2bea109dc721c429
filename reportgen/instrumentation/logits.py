"""Compute the logits of a pass in parts.

With a large vocabulary, the logits of a long text do not fit into memory.
"""

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
"""Maximum number of logits kept in memory, in case the same are read next."""


class Logits:
    """Logits of one text at all positions, which are computed when they are read.

    Those of the same positions are always computed in the same way, whatever else is read.
    """

    def __init__(self, ending: Ending, place: int, first: int = 0) -> None:
        """Store the end of the pass, which the texts of a batch share.

        Args:
            ending: the end of the pass.
            place: index of the text in the batch.
            first: position of its first token in the pass; those before it are padding.
        """
        self._ending, self._place, self._first = ending, place, first
        self._last: tuple[slice, tuple[torch.Tensor, torch.Tensor | None]] | None = None

    def read(self, rows: slice) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the logits and the inputs of the unembedding at the given positions.

        Args:
            rows: the positions.

        Returns:
            Logits, ``[row, vocabulary]``, and inputs of the unembedding, ``[row, width]``; the second is ``None`` if
            the network has no unembedding module.
        """
        if self._last is None or self._last[0] != rows:
            read = self._ending.read(self._place, slice(self._first + rows.start, self._first + rows.stop))
            self._last = (rows, read) if read[0].numel() <= _CELLS else None
            return read
        return self._last[1]


def run_pass(
    network: PreTrainedModel, texts: Sequence[TracedText], *, fast: bool = False, chunked_logits: bool = False
) -> list[Logits]:
    """Run one traced forward pass and return its logits.

    Args:
        network: as in ``trace``.
        texts: as in ``trace``.
        fast: as in ``trace``.
        chunked_logits: compute logits from the last residual stream when they are read, instead of all at once.

    Returns:
        The logits of each text.
    """
    if chunked_logits:
        with _keeping(network.base_model) as kept:
            trace(network, texts, fast=fast, logits_to_keep=1)
        ending: Ending = InParts(network, kept[0])
    else:
        read: list[torch.Tensor] = []
        with _unembedded(network, read):
            output = trace(network, texts, fast=fast)
        ending = _Whole(output.logits, read[-1] if read else None)
    return [Logits(ending, place) for place in range(len(texts))]


def can_read_in_parts(network: PreTrainedModel) -> bool:
    """Return whether the end of a network can be run again on a part of its base model's output."""
    return takes_rows(network) and network.base_model is not network


def takes_rows(network: PreTrainedModel) -> bool:
    """Return whether the forward pass of a network takes ``logits_to_keep``, for how many rows to compute logits."""
    return "logits_to_keep" in inspect.signature(network.forward).parameters


class Ending:
    """End of a pass, from the output of the base model to the logits."""

    def read(self, place: int, rows: slice) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the same as ``Logits.read``, for the text at index ``place`` of the batch."""
        raise NotImplementedError


class _Whole(Ending):
    """All logits, as the network returned them."""

    def __init__(self, logits: torch.Tensor, unembedded: torch.Tensor | None) -> None:
        self._logits, self._unembedded = logits, unembedded

    def read(self, place: int, rows: slice) -> tuple[torch.Tensor, torch.Tensor | None]:
        if self._unembedded is None:
            return self._logits[place, rows], None
        unembedded = self._unembedded.reshape(*self._logits.shape[:2], -1)
        return self._logits[place, rows], unembedded[place, rows]


class InParts(Ending):
    """Output of the base model; the rest of the network is run on the requested positions."""

    def __init__(self, network: PreTrainedModel, base_output: Any) -> None:
        self._network, self._base_output = network, base_output

    def read(self, place: int, rows: slice) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Run the end of the network on the given positions."""
        output = self._base_output
        hidden = output[0][place : place + 1, rows]
        if isinstance(output, tuple):
            part: Any = (hidden, *output[1:])
        else:
            part = type(output)(**{**output, "last_hidden_state": hidden})
        read: list[torch.Tensor] = []
        input_ids = torch.zeros(hidden.shape[:2], dtype=torch.long, device=hidden.device)
        with torch.inference_mode(), _giving(self._network.base_model, part), _unembedded(self._network, read):
            logits = self._network(input_ids=input_ids, use_cache=False).logits[0]
        return logits, read[-1].reshape(len(logits), -1) if read else None


@contextmanager
def _keeping(base: nn.Module) -> Iterator[list[Any]]:
    """Record the outputs of a base model."""
    kept: list[Any] = []
    hook = base.register_forward_hook(lambda _, __, output: kept.append(output))
    try:
        yield kept
    finally:
        hook.remove()


@contextmanager
def _giving(base: nn.Module, output: Any) -> Iterator[None]:
    """Replace the forward pass of a base model by a fixed output."""
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
    """Record the inputs of the unembedding."""
    unembedding = network.get_output_embeddings()
    if not isinstance(unembedding, nn.Module):
        yield
        return
    hook = unembedding.register_forward_pre_hook(lambda _, args: read.append(args[0]))
    try:
        yield
    finally:
        hook.remove()
