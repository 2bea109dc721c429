"""Compute direct logit attribution layer by layer during a forward pass.

Elhage et al. 2021: the residual stream is the sum of the outputs of embedding, heads and MLPs, and the logits are
linear in it if the scale of the final norm is frozen at its value in the run. The logit of a token, minus the mean over
the vocabulary or minus the logit of a runner-up, is therefore a sum over these parts. Two assumptions are checked: that
each layer adds the output of its heads to the residual stream, and that the parts of each step add up to the logit.
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
    """How a layer added the output of its attention module to the residual stream.

    Attributes:
        factor: factor of the added vector.
        norm: norm between the attention module and the residual stream; ``None`` if there is none.
        scales: scale of that norm in this run, ``[step]``; ``None`` if there is no norm.
        given: added vector before the factor, after the norm, ``[step, width]``.
    """

    factor: float
    norm: LinearNorm | None
    scales: torch.Tensor | None
    given: torch.Tensor

    def pull_back(self, directions: torch.Tensor) -> torch.Tensor:
        """Map directions in the residual stream to directions in the output of the output projection."""
        if self.norm is not None and self.scales is not None:
            directions = self.norm.pull_back(directions) * self.scales[:, None]
        return self.factor * directions


class Attributor:
    """Collects the parts of one forward pass.

    The scale of the final norm is known only after the pass, so all parts are multiplied by it in ``finish``.

    Attributes:
        heads: contributions of all heads before that scale, ``[contrast, step, head]``, by layer number.
        other_parts: contribution of each layer without its heads before that scale, ``[contrast, step]``, by layer
            number.
    """

    def __init__(
        self,
        unembed: Unembedding,
        chosen: torch.Tensor,
        runners_up: torch.Tensor,
        layers: Sequence[int],
        kept: Sequence[int],
    ) -> None:
        """Compute the logit directions of the steps.

        Args:
            unembed: final norm and unembedding.
            chosen: ids of the tokens that the steps chose, ``[step]``.
            runners_up: ids of the tokens to compare with, ``[step, rank]``.
            layers: numbers of the layers whose contributions by source token are stored.
            kept: numbers of the heads whose contributions by source token are stored.
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
        """Store the output of the attention module of the current layer until ``add_layer`` is called.

        Args:
            heads: split heads at the query positions of the steps.
            weights: attention weights at these positions, ``[head, step, key_pos]``.
            attn_out: output of the output projection at these positions, ``[step, width]``.
        """
        self._pending = heads, weights.float(), attn_out

    def add_layer(self, trace: LayerTrace) -> None:
        """Add the contributions of a layer and of its heads.

        Args:
            trace: residual stream before and after the layer.

        Raises:
            NoEvidence: the layer does not continue the residual stream of the layer before, or does not add the output
                of its heads to it.
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
            raise NoEvidence(f"layer {trace.layer} does not continue the residual stream of the layer before it")
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
        """Multiply all parts by the scale of the final norm and return them.

        Args:
            unembedded: inputs of the unembedding, ``[step, width]``.
            logits: logits of the network before a soft cap, ``[step, vocabulary]``.
            scale: scale and soft cap of the logits after the unembedding.

        Raises:
            NoEvidence: the inputs of the unembedding are not the output of the final norm.
        """
        if self._stream is None or self._embedding is None:
            raise NoEvidence("its layers do not pass on a residual stream that can be recorded")
        scales = self._unembed.norm.scales(self._stream, unembedded)
        if scales is None:
            raise NoEvidence("the input of its unembedding is not the normed residual stream")
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
    """Passes the traces of a forward pass to an ``Attributor``."""

    kind = "attribution"

    def __init__(self, run: TracedRun) -> None:
        """Prepare for the forward pass: find the unembedding and the logit directions."""
        super().__init__(run)
        self._attributor = Attributor(run.unembed, run.chosen, run.runners_up, run.layers, run.heads)
        self._layers: list[int] = []

    def see_heads(self, trace: HeadTrace) -> None:
        """Add the heads of a layer at the steps."""
        if trace.layer in self.run.layers:
            self._layers.append(trace.layer)
        self._attributor.add_heads(self.run.split(trace), trace.weights, trace.attn_out[self.run.rows].clone())

    def see_layer(self, trace: LayerTrace) -> None:
        """Add the contribution of a layer to the residual stream."""
        self._attributor.add_layer(trace)

    def finish(self) -> Attribution:
        """Return the parts of the logit of each step."""
        unembedded, logits, scale = self.run.output
        # A soft cap cannot be inverted once it saturates, so compute the logits before the cap from the unembedding.
        uncapped = logits.float() if scale.cap is None else self.run.unembed.logits(unembedded)
        make_token = self.run.make_token
        runners_up = tuple(tuple(make_token(token_id) for token_id in row) for row in self.run.runners_up.tolist())
        finished = self._attributor.finish(unembedded, uncapped, scale)
        return finished.record(runners_up, sorted(self._layers), self.run.heads)


@dataclass(frozen=True)
class _Finished:
    """All parts of one forward pass, named as in ``Attribution``, for all layers and heads."""

    heads: dict[int, torch.Tensor]  # [contrast, step, head]
    other_parts: dict[int, torch.Tensor]  # [contrast, step]
    sources: TokenAttribution  # not yet multiplied by the scale of the final norm
    by_step: torch.Tensor  # scale of the final norm and of the logits, [step]
    embedding: torch.Tensor
    biases: torch.Tensor
    logits: torch.Tensor
    note: str

    def record(
        self, runners_up: tuple[tuple[Token, ...], ...], layers: Sequence[int], heads: Sequence[int]
    ) -> Attribution:
        """Return the record for the layers and heads that a capture keeps.

        Args:
            runners_up: runners-up of each step, ``[step][rank]``.
            layers: numbers of the captured layers, which must have attention.
            heads: numbers of the captured heads.
        """
        all_heads = torch.stack([part.sum(-1) for part in self.heads.values()]).sum(0)
        kept = torch.stack([self.heads[layer][..., list(heads)] for layer in layers], 2)
        other_parts = torch.stack([self.other_parts[layer] for layer in sorted(self.other_parts)], 2)
        total = all_heads + other_parts.sum(-1) + self.embedding + self.biases
        parts = [self.logits.abs(), kept.abs().amax((2, 3)), other_parts.abs().amax(-1), self.embedding.abs()]
        residuals = ((total - self.logits).abs() / torch.stack(parts).amax(0)).amax(0)
        mask = torch.where(residuals <= SUM_TOLERANCE, 1.0, torch.nan)  # NaN withholds a step
        return Attribution(
            runners_up=runners_up,
            heads=_array(kept * mask[:, None, None]),
            other_parts=_array(other_parts * mask[:, None]),
            embedding=_array(self.embedding * mask),
            biases=_array(self.biases * mask),
            other_heads=_array((all_heads - kept.sum((2, 3))) * mask),
            logits=_array(self.logits * mask),
            residuals=_array(residuals),
            sources=self.sources.scale(self.by_step * mask),
            note=self.note,
        )


def _array(values: torch.Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()


def _find_written(trace: LayerTrace, attn_out: torch.Tensor) -> _Written:
    """Find how a layer added the output of its output projection to the residual stream, and check the result.

    Raises:
        NoEvidence: the layer does not add this output, with or without a norm and a factor.
    """
    before, added = trace.resid_pre.float(), trace.resid_post.float() - trace.resid_pre.float()
    norm, scales, written = None, None, attn_out.float()
    for call in trace.calls:
        reads_heads = call.given.shape == attn_out.shape and torch.equal(call.given, attn_out)
        if reads_heads and not torch.equal(call.given, call.gave):
            norm = LinearNorm.probe(call.module, attn_out.shape[-1], attn_out)
            scales = norm.scales(call.given, call.gave) if norm else None
            written = call.gave.float()
            if scales is None:
                raise NoEvidence(f"layer {trace.layer}: the module after its heads is not a norm")
            break
    tolerance = tolerance_of(trace.resid_post.dtype)
    for find_factor in (_factor_in_sequence, _factor_side_by_side):
        for call in reversed(trace.calls):  # modules that run after the heads are the last ones
            factor = find_factor(call, before, added, written)
            if factor is not None and factor[0] and is_close(*factor[1:], tolerance):
                return _Written(factor[0], norm, scales, written)
    raise NoEvidence(f"layer {trace.layer} does not add the output of its heads to the residual stream")


def _factor_in_sequence(
    call: Call, before: torch.Tensor, _: torch.Tensor, written: torch.Tensor
) -> tuple[float, torch.Tensor, torch.Tensor] | None:
    """Fit the factor if a later module of the layer reads the residual stream after the heads' output was added.

    Returns:
        The factor, which is usually 1, the change of the residual stream that it predicts, and the observed change;
        ``None`` if the inputs of the module have another shape.
    """
    if call.given.shape != before.shape:
        return None
    between = call.given.float() - before
    factor = _snap(float((between * written).sum() / (written * written).sum()))
    return factor, factor * written, between


def _factor_side_by_side(
    call: Call, _: torch.Tensor, added: torch.Tensor, written: torch.Tensor
) -> tuple[float, torch.Tensor, torch.Tensor] | None:
    """Fit the factor if the layer adds the output of its heads and that of another module, each times a factor.

    Returns:
        As ``_factor_in_sequence``; ``None`` if the module cannot be the other one.
    """
    if call.gave.shape != added.shape or torch.equal(call.gave.float(), written):
        return None
    columns = torch.stack([written.flatten(), call.gave.float().flatten()], 1)
    factors = torch.linalg.lstsq(columns.cpu(), added.flatten()[:, None].cpu()).solution[:, 0]
    factor, other = (_snap(float(value)) for value in factors)
    return factor, factor * written + other * call.gave.float(), added


def _snap(factor: float) -> float:
    """Return the nearest integer if the factor differs from it only by rounding; otherwise the factor."""
    nearest = round(factor) if isfinite(factor) else 0
    return float(nearest) if abs(factor - nearest) < _TOLERANCE else factor
