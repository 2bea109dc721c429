"""Logit lens (nostalgebraist 2020): what a network would say if it stopped after a layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from reportgen.instrumentation.anatomy import is_close, tolerance_of
from reportgen.instrumentation.unembedding import LogitScale, Unembedding

_VOCABULARY = 2048
"""Tokens at a time: their logits for some hundred rows stay in the processor's cache, which halves the time."""


@dataclass(frozen=True)
class Readings:
    """What the lens says of each row, ``[row]`` each: of the chosen token, and of the most probable one."""

    logprobs: torch.Tensor
    ranks: torch.Tensor
    best_ids: torch.Tensor
    best_logprobs: torch.Tensor


def matches_output(end: Unembedding, last: torch.Tensor, unembedded: torch.Tensor) -> bool:
    """Say whether the lens shows the network itself behind the last layer; else it would show nothing of earlier ones.

    Args:
        end: final norm and unembedding.
        last: residual stream behind the last layer, ``[row, width]``.
        unembedded: what the unembedding read, ``[row, width]``.
    """
    if last.shape[-1] != unembedded.shape[-1]:
        return False
    return is_close(end.norm_module(last[None])[0], unembedded, tolerance_of(unembedded.dtype))


def read_lens(end: Unembedding, scale: LogitScale, stream: torch.Tensor, chosen: torch.Tensor) -> Readings:
    """Read the residual stream through final norm and unembedding.

    Args:
        end: final norm and unembedding; the norm is applied once, with the scale of the stream that it is given.
        scale: what the network does to logits behind them.
        stream: residual stream, ``[row, width]``.
        chosen: id of a token for each row.

    Returns:
        Natural logarithms of probabilities, and ranks from 0.
    """
    normed = end.norm_module(stream[None])[0].to(end.weight)
    chosen_logits = _chosen_logits(end, scale, normed, chosen)
    best = torch.full_like(chosen_logits, -torch.inf)
    best_chunk = torch.zeros_like(chosen)
    total, ranks = torch.zeros_like(chosen_logits), torch.zeros_like(chosen_logits)
    room = end.weight.new_empty(len(normed) * _VOCABULARY)
    for start in range(0, len(end.weight), _VOCABULARY):
        logits = _chunk(end, scale, normed, start, room)
        inside = ((chosen >= start) & (chosen < start + logits.shape[1])).nonzero()[:, 0]
        # To the last digit what it is compared with: rounding must not let a token outrank itself.
        logits[inside, chosen[inside] - start] = chosen_logits[inside]
        largest = logits.amax(-1)
        ranks += (logits > chosen_logits[:, None]).sum(-1, dtype=ranks.dtype)
        best_chunk = torch.where(largest > best, start, best_chunk)
        higher = torch.maximum(best, largest)
        total = total * torch.exp(best - higher) + logits.sub_(higher[:, None]).exp_().sum(-1)
        best = higher
    norms = best + total.log()
    return Readings(chosen_logits - norms, ranks.long(), _best_ids(end, scale, normed, best_chunk), best - norms)


def _chosen_logits(end: Unembedding, scale: LogitScale, normed: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    logits = (normed.float() * end.weight[chosen].float()).sum(-1)
    return scale.apply(logits if end.bias is None else logits + end.bias[chosen].float())


def _best_ids(end: Unembedding, scale: LogitScale, normed: torch.Tensor, chunks: torch.Tensor) -> torch.Tensor:
    """Look for the largest logit's token in the chunk that held it; to note it on the way costs as much again."""
    found = torch.empty_like(chunks)
    for start in chunks.unique().tolist():
        rows = chunks == start
        found[rows] = start + _chunk(end, scale, normed[rows], start).argmax(-1)
    return found


def _chunk(
    end: Unembedding, scale: LogitScale, normed: torch.Tensor, start: int, room: torch.Tensor | None = None
) -> torch.Tensor:
    """Return logits of a part of the vocabulary; ``room`` is written over, which spares the memory's page faults."""
    part = slice(start, start + _VOCABULARY)
    if room is None or end.bias is not None:
        return scale.apply(end.logits(normed, part))
    weight = end.weight[part]
    logits = room[: len(normed) * len(weight)].view(len(normed), len(weight))
    return scale.apply(torch.matmul(normed, weight.T, out=logits).float())
