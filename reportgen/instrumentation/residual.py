"""How a layer adds the output of its attention module to the residual stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

import torch

from reportgen.instrumentation.anatomy import is_close, tolerance_of
from reportgen.instrumentation.norms import LinearNorm
from reportgen.instrumentation.observer import Call, LayerTrace
from reportgen.records.errors import NoEvidence

_SNAP = 1e-3
_HALF = (torch.bfloat16, torch.float16)
_Fit = tuple[float, torch.Tensor, torch.Tensor]
"""Factor of the heads' output, the change of the residual stream that it predicts, and the observed change."""


@dataclass(frozen=True)
class AddedHeads:
    """How a layer added the output of its attention module to the residual stream.

    Attributes:
        factor: factor of the added vector.
        norm: norm between the attention module and the residual stream; ``None`` if there is none.
        scales: scale of that norm in this run, ``[step]``; ``None`` if there is no norm.
        vector: added vector before the factor, after the norm, float32 ``[step, width]``.
    """

    factor: float
    norm: LinearNorm | None
    scales: torch.Tensor | None
    vector: torch.Tensor

    def pull_back(self, directions: torch.Tensor) -> torch.Tensor:
        """Map directions in the residual stream to directions in the output of the output projection."""
        if self.norm is not None and self.scales is not None:
            directions = self.norm.pull_back(directions) * self.scales[:, None]
        return self.factor * directions


def find_added_heads(trace: LayerTrace, attn_out: torch.Tensor) -> AddedHeads:
    """Find how a layer added the output of its output projection to the residual stream, and check the result.

    Args:
        trace: residual stream before and after the layer, and the calls of its submodules.
        attn_out: output of the output projection, ``[step, width]``.

    Raises:
        NoEvidence: the layer does not add this output, with or without a norm and a factor.
    """
    dtype = trace.resid_post.dtype
    if not torch.isfinite(trace.resid_post).all():
        advice = "; load the model with bfloat16 or float32" if dtype == torch.float16 else ""
        raise NoEvidence(f"the residual stream overflows {name_of(dtype)} in layer {trace.layer}{advice}")
    norm, scales, vector = None, None, attn_out.float()
    for call in trace.calls:
        reads_heads = call.given.shape == attn_out.shape and torch.equal(call.given, attn_out)
        if reads_heads and not torch.equal(call.given, call.gave):
            norm = LinearNorm.probe(call.module, attn_out.shape[-1], attn_out)
            scales = norm.scales(call.given, call.gave) if norm else None
            vector = call.gave.float()
            if scales is None:
                raise NoEvidence(f"layer {trace.layer}: the module after its heads is not a norm")
            break
    fits: tuple[Callable[[LayerTrace, Call, torch.Tensor], _Fit | None], ...] = (_fit_in_sequence, _fit_side_by_side)
    for fit in fits:
        for call in reversed(trace.calls):  # modules that run after the heads are the last ones
            found = fit(trace, call, vector)
            if found is not None and found[0] and _agrees(found, trace, vector):
                return AddedHeads(found[0], norm, scales, vector)
    raise NoEvidence(f"layer {trace.layer} does not add the output of its heads to the residual stream")


def find_other_part(trace: LayerTrace, added: AddedHeads | None) -> torch.Tensor:
    """Return what a layer added to the residual stream without its heads.

    In half precision the residual stream is rounded after every addition, often by more than what was added. There the
    output of the module that was added, usually the MLP, is returned if it is found; the rounding is then a rest of its
    own.

    Args:
        trace: residual stream before and after the layer, and the calls of its submodules.
        added: how the heads were added; ``None`` if the layer has no attention.

    Returns:
        float32 ``[step, width]``.
    """
    rest = trace.resid_post.float() - trace.resid_pre.float()
    if added is not None:
        rest = rest - added.factor * added.vector
    if trace.resid_post.dtype not in _HALF:
        return rest
    noise = _rounding(trace, rest)
    assert noise is not None
    for call in reversed(trace.calls):
        output = call.gave.float()
        if output.shape != rest.shape or (added is not None and torch.equal(output, added.vector)):
            continue
        factor = _snap(*_fit_factor(output, rest, noise))
        if factor and _within(factor * output, rest, noise):
            return factor * output
    return rest


def name_of(dtype: torch.dtype) -> str:
    """Return the name of a dtype, such as ``bfloat16``."""
    return str(dtype).removeprefix("torch.")


def _fit_in_sequence(trace: LayerTrace, call: Call, vector: torch.Tensor) -> _Fit | None:
    """Fit the factor if a later module of the layer reads the residual stream after the heads' output was added."""
    if call.given.shape != trace.resid_pre.shape:
        return None
    between = call.given.float() - trace.resid_pre.float()
    factor = _snap(*_fit_factor(vector, between, _rounding(trace, vector)))
    return factor, factor * vector, between


def _fit_side_by_side(trace: LayerTrace, call: Call, vector: torch.Tensor) -> _Fit | None:
    """Fit the factor if the layer adds the output of its heads and that of another module, each times a factor."""
    added, output = trace.resid_post.float() - trace.resid_pre.float(), call.gave.float()
    if output.shape != added.shape or torch.equal(output, vector):
        return None
    noise = _rounding(trace, vector)
    weight = 1 if noise is None else 1 / noise
    columns = torch.stack([(vector * weight).flatten(), (output * weight).flatten()], 1)
    factors = torch.linalg.lstsq(columns.cpu(), (added * weight).flatten()[:, None].cpu()).solution[:, 0].tolist()
    errors = [0.0, 0.0] if noise is None else columns.square().sum(0).rsqrt().tolist()
    factor, other = map(_snap, factors, errors)
    return factor, factor * vector + other * output, added


def _rounding(trace: LayerTrace, vector: torch.Tensor) -> torch.Tensor | None:
    """Return how far rounding moves each number of the residual stream, ``[step, width]``.

    Returns:
        ``None`` in float32, where rounding is far below what is added.
    """
    dtype = trace.resid_post.dtype
    if dtype not in _HALF:
        return None
    size = torch.maximum(trace.resid_pre.float().abs(), trace.resid_post.float().abs()) + vector.abs()
    return torch.finfo(dtype).eps * size.clamp(min=torch.finfo(dtype).tiny)


def _fit_factor(vector: torch.Tensor, observed: torch.Tensor, noise: torch.Tensor | None) -> tuple[float, float]:
    """Return the factor of a vector in an observed sum, by least squares, and its standard error for that noise."""
    if noise is None:
        return float((observed * vector).sum() / (vector * vector).sum()), 0.0
    weighted = vector / noise
    power = (weighted * weighted).sum()
    return float((weighted * (observed / noise)).sum() / power), float(power.rsqrt())


def _snap(factor: float, error: float) -> float:
    """Return the nearest integer if the factor differs from it only by rounding; otherwise the factor."""
    nearest = round(factor) if isfinite(factor) else 0
    return float(nearest) if abs(factor - nearest) < max(_SNAP, min(3 * error, 0.1)) else factor


def _agrees(fit: _Fit, trace: LayerTrace, vector: torch.Tensor) -> bool:
    _, predicted, observed = fit
    if is_close(predicted, observed, tolerance_of(trace.resid_post.dtype)):
        return True
    noise = _rounding(trace, vector)
    return noise is not None and _within(predicted, observed, noise)


def _within(predicted: torch.Tensor, observed: torch.Tensor, noise: torch.Tensor) -> bool:
    """Return whether two vectors differ by no more than rounding, and by less than what one of them explains."""
    apart, size = (predicted - observed) / noise, observed / noise
    return bool(apart.abs().max() <= 2 and apart.square().mean() <= 0.25 * size.square().mean())
