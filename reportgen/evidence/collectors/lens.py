"""Compute the logit lens (nostalgebraist 2020): predictions of a network if it stopped after a given layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reportgen.evidence.kinds.lens import Lens
from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.anatomy import is_close, tolerance_of
from reportgen.instrumentation.observer import LayerTrace
from reportgen.instrumentation.unembedding import LogitScale, Unembedding
from reportgen.records import Token
from reportgen.records.errors import NoEvidence

_VOCABULARY = 2048
"""Vocabulary entries per chunk; the logits of a few hundred rows stay in the CPU's cache, which halves the time."""


@dataclass(frozen=True)
class Readings:
    """Predictions of the lens for rows of the residual stream.

    Attributes:
        logprobs: log-probability of the chosen token, ``[row]``.
        ranks: rank of the chosen token, 1 for the most probable, ``[row]``.
        best_ids: id of the most probable token, ``[row]``.
        best_logprobs: log-probability of the most probable token, ``[row]``.
    """

    logprobs: torch.Tensor
    ranks: torch.Tensor
    best_ids: torch.Tensor
    best_logprobs: torch.Tensor


def matches_output(unembed: Unembedding, last: torch.Tensor, unembedded: torch.Tensor) -> bool:
    """Return whether the lens after the last layer gives the network's own output.

    If it does not, the lens is also meaningless for earlier layers.

    Args:
        unembed: final norm and unembedding.
        last: residual stream after the last layer, ``[row, width]``.
        unembedded: inputs of the unembedding, ``[row, width]``.
    """
    if last.shape[-1] != unembedded.shape[-1]:
        return False
    return is_close(unembed.norm_module(last[None])[0], unembedded, tolerance_of(unembedded.dtype))


def read_lens(unembed: Unembedding, scale: LogitScale, stream: torch.Tensor, chosen: torch.Tensor) -> Readings:
    """Apply the final norm and the unembedding to the residual stream.

    The logits are computed for one chunk of the vocabulary at a time, with a running softmax.

    Args:
        unembed: final norm and unembedding; the norm uses the scale of ``stream``, not that of the last layer.
        scale: scale and soft cap of the logits after the unembedding.
        stream: residual stream, ``[row, width]``.
        chosen: id of the chosen token of each row, ``[row]``.

    Returns:
        Log-probabilities (natural logarithms) and ranks from 1.
    """
    normed = unembed.norm_module(stream[None])[0].to(unembed.weight)
    chosen_logits = _chosen_logits(unembed, scale, normed, chosen)
    best = torch.full_like(chosen_logits, -torch.inf)
    best_chunk = torch.zeros_like(chosen)
    total, ranks = torch.zeros_like(chosen_logits), torch.ones_like(chosen)
    buffer = unembed.weight.new_empty(len(normed) * _VOCABULARY)
    for start in range(0, len(unembed.weight), _VOCABULARY):
        logits = _chunk(unembed, scale, normed, start, buffer)
        inside = ((chosen >= start) & (chosen < start + logits.shape[1])).nonzero()[:, 0]
        # Use the same value on both sides of the comparison, so that rounding cannot let a token outrank itself.
        logits[inside, chosen[inside] - start] = chosen_logits[inside]
        largest = logits.amax(-1)
        ranks += (logits > chosen_logits[:, None]).sum(-1, dtype=ranks.dtype)
        best_chunk = torch.where(largest > best, start, best_chunk)
        higher = torch.maximum(best, largest)
        total = total * torch.exp(best - higher) + logits.sub_(higher[:, None]).exp_().sum(-1)
        best = higher
    norms = best + total.log()
    return Readings(chosen_logits - norms, ranks, _best_ids(unembed, scale, normed, best_chunk), best - norms)


def _chosen_logits(unembed: Unembedding, scale: LogitScale, normed: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    logits = (normed.float() * unembed.weight[chosen].float()).sum(-1)
    return scale.apply(logits if unembed.bias is None else logits + unembed.bias[chosen].float())


def subtract_logits(
    unembed: Unembedding, scale: LogitScale, stream: torch.Tensor, chosen: torch.Tensor | int, foil: torch.Tensor | int
) -> torch.Tensor:
    """Return the logit of a token minus that of a foil after the lens, ``[row]``, from ``[row, width]``."""
    normed = unembed.norm_module(stream[None])[0].to(unembed.weight)
    rows = torch.ones(len(stream), dtype=torch.long, device=stream.device)
    return _chosen_logits(unembed, scale, normed, rows * chosen) - _chosen_logits(unembed, scale, normed, rows * foil)


def _best_ids(unembed: Unembedding, scale: LogitScale, normed: torch.Tensor, chunks: torch.Tensor) -> torch.Tensor:
    """Return the token with the largest logit of each row, from the chunk that contains it.

    Recording the token for every chunk would take as long again as computing the logits.
    """
    best_ids = torch.empty_like(chunks)
    for start in chunks.unique().tolist():
        rows = chunks == start
        best_ids[rows] = start + _chunk(unembed, scale, normed[rows], start).argmax(-1)
    return best_ids


def _chunk(
    unembed: Unembedding, scale: LogitScale, normed: torch.Tensor, start: int, room: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the logits of one chunk of the vocabulary; reusing ``room`` as a buffer avoids page faults."""
    part = slice(start, start + _VOCABULARY)
    if room is None or unembed.bias is not None:
        return scale.apply(unembed.logits(normed, part))
    weight = unembed.weight[part]
    logits = room[: len(normed) * len(weight)].view(len(normed), len(weight))
    return scale.apply(torch.matmul(normed, weight.T, out=logits).float())


class LensCollector(KindCollector):
    """Stores the residual stream after each layer at the steps, and applies the lens after the pass."""

    kind = "lens"

    def __init__(self, run: TracedRun) -> None:
        """Prepare for the forward pass: find the unembedding."""
        super().__init__(run)
        self._unembed = run.unembed
        self._resid: dict[int, torch.Tensor] = {}

    def see_layer(self, trace: LayerTrace) -> None:
        """Store the residual stream after a layer."""
        self._resid[trace.layer] = trace.resid_post

    def finish(self) -> Lens:
        """Apply the lens to the stored residual streams.

        Raises:
            NoEvidence: the lens does not show the network's own output after the last layer.
        """
        unembedded, _, scale = self.run.output
        if not self._resid:
            raise NoEvidence("its layers do not pass on a residual stream that can be recorded")
        layers = sorted(self._resid)
        if not matches_output(self._unembed, self._resid[layers[-1]], unembedded):
            raise NoEvidence("the input of its unembedding is not the normed residual stream")
        resid = torch.stack([self._resid[layer] for layer in layers])
        readings = read_lens(self._unembed, scale, resid.flatten(0, 1), self.run.chosen.repeat(len(layers)))
        shape = len(layers), -1
        return Lens(
            layers=tuple(layers),
            logprobs=readings.logprobs.reshape(shape).cpu().numpy(),
            ranks=readings.ranks.reshape(shape).cpu().numpy(),
            best=tuple(self._make_tokens(row) for row in readings.best_ids.reshape(shape)),
            best_logprobs=readings.best_logprobs.reshape(shape).cpu().numpy(),
            foil_logprobs=self._read_foils(scale, resid),
        )

    def _read_foils(self, scale: LogitScale, resid: torch.Tensor) -> NDArray[np.float32]:
        """Return the log-probability of each foil at its step, ``[layer, foil]``, from ``[layer, step, width]``."""
        if not self.run.foils:
            return np.empty((len(resid), 0), np.float32)
        steps, token_ids = zip(*self.run.foils, strict=True)
        foils = self.run.chosen.new_tensor(token_ids).repeat(len(resid))
        readings = read_lens(self._unembed, scale, resid[:, list(steps)].flatten(0, 1), foils)
        return readings.logprobs.reshape(len(resid), -1).cpu().numpy()

    def _make_tokens(self, token_ids: torch.Tensor) -> tuple[Token, ...]:
        return tuple(self.run.make_token(token_id) for token_id in token_ids.tolist())
