"""Logit lens (nostalgebraist 2020): what a network would say if it stopped after a layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from reportgen.evidence.kinds.lens import Lens
from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.anatomy import is_close, tolerance_of
from reportgen.instrumentation.observer import LayerTrace
from reportgen.instrumentation.unembedding import LogitScale, Unembedding
from reportgen.records import Token
from reportgen.records.errors import NoEvidence

_VOCABULARY = 2048
"""Tokens at a time: their logits for some hundred rows stay in the processor's cache, which halves the time."""


@dataclass(frozen=True)
class Readings:
    """What the lens says of each row, ``[row]`` each: of the chosen token, and of the most probable one."""

    logprobs: torch.Tensor
    ranks: torch.Tensor
    best_ids: torch.Tensor
    best_logprobs: torch.Tensor


def matches_output(unembed: Unembedding, last: torch.Tensor, unembedded: torch.Tensor) -> bool:
    """Say whether the lens shows the network itself behind the last layer; else it would show nothing of earlier ones.

    Args:
        unembed: final norm and unembedding.
        last: residual stream behind the last layer, ``[row, width]``.
        unembedded: what the unembedding read, ``[row, width]``.
    """
    if last.shape[-1] != unembedded.shape[-1]:
        return False
    return is_close(unembed.norm_module(last[None])[0], unembedded, tolerance_of(unembedded.dtype))


def read_lens(unembed: Unembedding, scale: LogitScale, stream: torch.Tensor, chosen: torch.Tensor) -> Readings:
    """Read the residual stream through final norm and unembedding.

    Args:
        unembed: final norm and unembedding; the norm is applied once, with the scale of the stream that it is given.
        scale: what the network does to logits behind them.
        stream: residual stream, ``[row, width]``.
        chosen: id of a token for each row.

    Returns:
        Natural logarithms of probabilities, and ranks from 0.
    """
    normed = unembed.norm_module(stream[None])[0].to(unembed.weight)
    chosen_logits = _chosen_logits(unembed, scale, normed, chosen)
    best = torch.full_like(chosen_logits, -torch.inf)
    best_chunk = torch.zeros_like(chosen)
    total, ranks = torch.zeros_like(chosen_logits), torch.zeros_like(chosen_logits)
    room = unembed.weight.new_empty(len(normed) * _VOCABULARY)
    for start in range(0, len(unembed.weight), _VOCABULARY):
        logits = _chunk(unembed, scale, normed, start, room)
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
    return Readings(chosen_logits - norms, ranks.long(), _best_ids(unembed, scale, normed, best_chunk), best - norms)


def _chosen_logits(unembed: Unembedding, scale: LogitScale, normed: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    logits = (normed.float() * unembed.weight[chosen].float()).sum(-1)
    return scale.apply(logits if unembed.bias is None else logits + unembed.bias[chosen].float())


def _best_ids(unembed: Unembedding, scale: LogitScale, normed: torch.Tensor, chunks: torch.Tensor) -> torch.Tensor:
    """Look for the largest logit's token in the chunk that held it; to note it on the way costs as much again."""
    found = torch.empty_like(chunks)
    for start in chunks.unique().tolist():
        rows = chunks == start
        found[rows] = start + _chunk(unembed, scale, normed[rows], start).argmax(-1)
    return found


def _chunk(
    unembed: Unembedding, scale: LogitScale, normed: torch.Tensor, start: int, room: torch.Tensor | None = None
) -> torch.Tensor:
    """Return logits of a part of the vocabulary; ``room`` is written over, which spares the memory's page faults."""
    part = slice(start, start + _VOCABULARY)
    if room is None or unembed.bias is not None:
        return scale.apply(unembed.logits(normed, part))
    weight = unembed.weight[part]
    logits = room[: len(normed) * len(weight)].view(len(normed), len(weight))
    return scale.apply(torch.matmul(normed, weight.T, out=logits).float())


class LensCollector(KindCollector):
    """Keeps the residual stream of the steps after each layer, and reads it when the pass is over."""

    kind = "lens"

    def __init__(self, run: TracedRun) -> None:
        """Find the unembedding."""
        super().__init__(run)
        self._unembed = run.unembed
        self._resid: dict[int, torch.Tensor] = {}

    def see_layer(self, trace: LayerTrace) -> None:
        """Keep what a layer left."""
        self._resid[trace.layer] = trace.resid_post

    def finish(self) -> Lens:
        """Read the residual stream.

        Raises:
            NoEvidence: the lens does not show the network's own output after the last layer.
        """
        unembedded, _, scale = self.run.output
        if not self._resid:
            raise NoEvidence("its layers were not seen to pass a residual stream on")
        layers = sorted(self._resid)
        if not matches_output(self._unembed, self._resid[layers[-1]], unembedded):
            raise NoEvidence("what its unembedding reads is not the normed residual stream")
        resid = torch.stack([self._resid[layer] for layer in layers])
        read = read_lens(self._unembed, scale, resid.flatten(0, 1), self.run.chosen.repeat(len(layers)))
        shape = len(layers), -1
        return Lens(
            layers=tuple(layers),
            logprobs=read.logprobs.reshape(shape).cpu().numpy(),
            ranks=read.ranks.reshape(shape).cpu().numpy(),
            best=tuple(self._make_tokens(row) for row in read.best_ids.reshape(shape)),
            best_logprobs=read.best_logprobs.reshape(shape).cpu().numpy(),
        )

    def _make_tokens(self, token_ids: torch.Tensor) -> tuple[Token, ...]:
        return tuple(self.run.make_token(token_id) for token_id in token_ids.tolist())
