"""Direct logit attribution, summed up layer by layer while a pass streams by.

Elhage et al. 2021: the residual stream is the sum of what embedding, heads and MLPs wrote into it, and the logits are
linear in it once the final norm's scale is held at what it was. So a token's logit, against the mean over the
vocabulary or against a runner-up, is a sum over those parts. Nothing here is taken on trust: that the layer added
what its heads wrote is checked at every layer, and that the parts give back the logit at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch
from numpy.typing import NDArray

from reportgen.evidence.collectors.token_attribution import TokenAttribution
from reportgen.evidence.kinds.attribution import SUM_TOLERANCE, Attribution
from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.anatomy import is_close, tolerance_of
from reportgen.instrumentation.heads import SplitHeads
from reportgen.instrumentation.norms import LinearNorm
from reportgen.instrumentation.observer import Call, HeadTrace, LayerTrace
from reportgen.instrumentation.unembedding import LogitScale, Unembedding
from reportgen.records import Token
from reportgen.records.errors import NoEvidence

_TOLERANCE = 1e-3


@dataclass(frozen=True)
class _Written:
    """How what an attention module wrote reached the residual stream: a norm of its own, then a factor."""

    factor: float
    norm: LinearNorm | None
    scales: torch.Tensor | None
    given: torch.Tensor

    def pull_back(self, directions: torch.Tensor) -> torch.Tensor:
        """Return directions in the residual stream as directions right behind the output projection."""
        if self.norm is not None and self.scales is not None:
            directions = self.norm.pull_back(directions) * self.scales[:, None]
        return self.factor * directions


class Attributor:
    """Collects the parts of one pass; the final norm's scale, known at its end alone, is multiplied in last."""

    def __init__(
        self,
        unembed: Unembedding,
        chosen: torch.Tensor,
        runners_up: torch.Tensor,
        layers: Sequence[int],
        kept: Sequence[int],
    ) -> None:
        """Set out the directions.

        Args:
            unembed: final norm and unembedding.
            chosen: ids of the tokens that the steps chose, ``[step]``.
            runners_up: ids of other tokens, ``[step, rank]``.
            layers: whose heads' sources are kept.
            kept: those heads.
        """
        self._unembed, self._chosen, self._runners_up = unembed, chosen, runners_up
        self._sources = TokenAttribution(layers, kept)
        self._logit_directions, self._bias = unembed.directions(chosen, runners_up)
        self._directions = unembed.norm.pull_back(self._logit_directions)  # [contrast, step, width]
        self._pending: tuple[SplitHeads, torch.Tensor, torch.Tensor] | None = None
        self._embedding: torch.Tensor | None = None
        self._stream: torch.Tensor | None = None
        self._biases = torch.zeros_like(self._bias)
        self.heads: dict[int, torch.Tensor] = {}
        self.other_parts: dict[int, torch.Tensor] = {}

    def add_heads(self, heads: SplitHeads, weights: torch.Tensor, attn_out: torch.Tensor) -> None:
        """Take what the attention module of the layer at work did.

        Args:
            heads: at the query positions of the steps.
            weights: attention there, ``[head, step, key_pos]``.
            attn_out: what the output projection gave there, ``[step, width]``.
        """
        self._pending = heads, weights.float(), attn_out

    def add_layer(self, trace: LayerTrace) -> None:
        """Take what a layer added to the residual stream, that of its heads among it.

        Raises:
            NoEvidence: it is not seen to add what its heads wrote.
        """
        self._check_stream(trace)
        added = trace.resid_post.float() - trace.resid_pre.float()
        if self._pending is not None:
            (heads, weights, attn_out), self._pending = self._pending, None
            written = _find_written(trace, attn_out)
            added = added - written.factor * written.given
            self._attribute(trace.layer, heads, weights, written)
        self.other_parts[trace.layer] = self._project(added)

    def _check_stream(self, trace: LayerTrace) -> None:
        if self._stream is None:
            self._embedding = self._project(trace.resid_pre.float())
        elif not torch.equal(self._stream, trace.resid_pre):
            raise NoEvidence(f"layer {trace.layer} does not go on from what the layer before it left")
        self._stream = trace.resid_post

    def _project(self, written: torch.Tensor) -> torch.Tensor:
        return (written * self._directions).sum(-1)

    def _attribute(self, layer: int, heads: SplitHeads, weights: torch.Tensor, written: _Written) -> None:
        directions = written.pull_back(self._directions)
        flat = directions.flatten(0, 1) @ heads.weight.flatten(0, 1).T  # [contrast * step, head * size]
        along = flat.reshape(*directions.shape[:2], *heads.weight.shape[:2]).transpose(1, 2)
        self.heads[layer] = (along * heads.outputs).sum(-1).transpose(1, 2)
        self._biases += (heads.bias * directions).sum(-1)
        if written.norm is not None:
            self._biases += written.factor * (written.norm.bias * self._directions).sum(-1)
        self._sources.add(layer, heads, weights, along[0] if heads.gates is None else along[0] * heads.gates)

    def finish(self, unembedded: torch.Tensor, logits: torch.Tensor, scale: LogitScale) -> _Finished:
        """Multiply the final norm's scale in.

        Args:
            unembedded: what the unembedding read, ``[step, width]``.
            logits: what the network gave there, but for a soft cap, ``[step, vocabulary]``.
            scale: by what the network multiplies what comes out of its unembedding.

        Raises:
            NoEvidence: the final norm did not make what the unembedding read.
        """
        if self._stream is None or self._embedding is None:
            raise NoEvidence("its layers were not seen to pass a residual stream on")
        scales = self._unembed.norm.scales(self._stream, unembedded)
        if scales is None:
            raise NoEvidence("what its unembedding reads is not the normed residual stream")
        by_step = scale.factor * scales
        constants = scale.factor * ((self._unembed.norm.bias * self._logit_directions).sum(-1) + self._bias)
        compared = torch.stack([logits.mean(-1), *logits.gather(1, self._runners_up).T])
        return _Finished(
            heads={layer: part * by_step[:, None] for layer, part in self.heads.items()},
            other_parts={layer: part * by_step for layer, part in self.other_parts.items()},
            sources=self._sources,
            by_step=by_step,
            embedding=self._embedding * by_step,
            biases=self._biases * by_step + constants,
            logits=logits.gather(1, self._chosen[:, None]).T - compared,
            note="" if scale.cap is None else f"Parts of the logit before the model caps it at ±{scale.cap:g}.",
        )


class AttributionCollector(KindCollector):
    """Feeds an ``Attributor`` while the pass runs."""

    kind = "attribution"

    def __init__(self, run: TracedRun) -> None:
        """Find the unembedding."""
        super().__init__(run)
        self._attributor = Attributor(run.unembed, run.chosen, run.runners_up, run.layers, run.heads)
        self._layers: list[int] = []

    def see_heads(self, trace: HeadTrace) -> None:
        """Take the heads of a layer at the steps."""
        if trace.layer in self.run.layers:
            self._layers.append(trace.layer)
        self._attributor.add_heads(self.run.split(trace), trace.weights, trace.attn_out[self.run.rows].clone())

    def see_layer(self, trace: LayerTrace) -> None:
        """Take what a layer added to the residual stream."""
        self._attributor.add_layer(trace)

    def finish(self) -> Attribution:
        """Return the parts of every step's logit."""
        unembedded, logits, scale = self.run.output
        # A cap cannot be taken off where it holds; what comes out of the unembedding has none.
        uncapped = logits.float() if scale.cap is None else self.run.unembed.logits(unembedded)
        make = self.run.make_token
        runners_up = tuple(tuple(make(token_id) for token_id in row) for row in self.run.runners_up.tolist())
        finished = self._attributor.finish(unembedded, uncapped, scale)
        return finished.record(runners_up, sorted(self._layers), self.run.heads)


@dataclass(frozen=True)
class _Finished:
    """All parts of one pass, as ``Attribution`` names them, by layer and over all heads."""

    heads: dict[int, torch.Tensor]  # [contrast, step, head]
    other_parts: dict[int, torch.Tensor]  # [contrast, step]
    sources: TokenAttribution  # before the final norm's scale
    by_step: torch.Tensor  # that scale
    embedding: torch.Tensor
    biases: torch.Tensor
    logits: torch.Tensor
    note: str

    def record(
        self, runners_up: tuple[tuple[Token, ...], ...], layers: Sequence[int], heads: Sequence[int]
    ) -> Attribution:
        """Return the record for the layers and heads that a capture keeps.

        Args:
            runners_up: of each step.
            layers: kept ones, all of them with attention.
            heads: kept ones.
        """
        everything = torch.stack([part.sum(-1) for part in self.heads.values()]).sum(0)
        kept = torch.stack([self.heads[layer][..., list(heads)] for layer in layers], 2)
        other_parts = torch.stack([self.other_parts[layer] for layer in sorted(self.other_parts)], 2)
        total = everything + other_parts.sum(-1) + self.embedding + self.biases
        parts = [self.logits.abs(), kept.abs().amax((2, 3)), other_parts.abs().amax(-1), self.embedding.abs()]
        residuals = ((total - self.logits).abs() / torch.stack(parts).amax(0)).amax(0)
        hold = torch.where(residuals <= SUM_TOLERANCE, 1.0, torch.nan)
        return Attribution(
            runners_up=runners_up,
            heads=_array(kept * hold[:, None, None]),
            other_parts=_array(other_parts * hold[:, None]),
            embedding=_array(self.embedding * hold),
            biases=_array(self.biases * hold),
            other_heads=_array((everything - kept.sum((2, 3))) * hold),
            logits=_array(self.logits * hold),
            residuals=_array(residuals),
            sources=self.sources.scale(self.by_step * hold),
            note=self.note,
        )


def _array(values: torch.Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()


def _find_written(trace: LayerTrace, attn_out: torch.Tensor) -> _Written:
    """Find how the output projection's result reached the residual stream, and see that it did."""
    before, added = trace.resid_pre.float(), trace.resid_post.float() - trace.resid_pre.float()
    norm, scales, given = None, None, attn_out.float()
    for call in trace.calls:
        normed = call.given.shape == attn_out.shape and torch.equal(call.given, attn_out)
        if normed and not torch.equal(call.given, call.gave):
            norm = LinearNorm.probe(call.module, attn_out.shape[-1], attn_out)
            scales = norm.scales(call.given, call.gave) if norm else None
            given = call.gave.float()
            if scales is None:
                raise NoEvidence(f"layer {trace.layer}: what follows its heads is no norm")
            break
    tolerance = tolerance_of(trace.resid_post.dtype)
    for find_factor in (_factor_in_sequence, _factor_side_by_side):
        for call in reversed(trace.calls):  # what comes after the heads shows it, and stands further back
            factor = find_factor(call, before, added, given)
            if factor is not None and factor[0] and is_close(*factor[1:], tolerance):
                return _Written(factor[0], norm, scales, given)
    raise NoEvidence(f"layer {trace.layer} is not seen to add what its heads wrote to the residual stream")


def _factor_in_sequence(
    call: Call, before: torch.Tensor, _: torch.Tensor, written: torch.Tensor
) -> tuple[float, torch.Tensor, torch.Tensor] | None:
    """A later part of the layer was given the residual stream with the heads' part in it, times a factor: mostly 1.

    Returns:
        The factor, what was added by it, and what was added in truth.
    """
    if call.given.shape != before.shape:
        return None
    between = call.given.float() - before
    factor = _snap(float((between * written).sum() / (written * written).sum()))
    return factor, factor * written, between


def _factor_side_by_side(
    call: Call, _: torch.Tensor, added: torch.Tensor, written: torch.Tensor
) -> tuple[float, torch.Tensor, torch.Tensor] | None:
    """The layer added the heads' part and what another part of it gave, each times a factor; returns as above."""
    if call.gave.shape != added.shape or torch.equal(call.gave.float(), written):
        return None
    columns = torch.stack([written.flatten(), call.gave.float().flatten()], 1)
    solved = torch.linalg.lstsq(columns.cpu(), added.flatten()[:, None].cpu()).solution[:, 0]
    factor, other = (_snap(float(value)) for value in solved)
    return factor, factor * written + other * call.gave.float(), added


def _snap(factor: float) -> float:
    """A factor that differs from 1 by rounding alone is 1, and one of nothing is 0."""
    nearest = round(factor) if isfinite(factor) else 0
    return float(nearest) if abs(factor - nearest) < _TOLERANCE else factor
