"""Heads taken apart: what the output projection makes of each of them alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from reportgen.instrumentation.anatomy import bias_of, is_close, tolerance_of, weight_of
from reportgen.instrumentation.observer import HeadTrace
from reportgen.records.errors import NoEvidence


@dataclass(frozen=True)
class SplitHeads:
    """The heads of one attention module, as far as they can be told apart behind it.

    Attributes:
        outputs: what the output projection read of each head at some positions, float32 ``[head, row, size]``.
        values: what each head's weights mix, float32 ``[head, key_pos, size]``.
        gates: what multiplied each head's mixture on its way to the projection, float32 ``[head, row, size]``; ``None``
            where nothing did.
        weight: of the output projection, float32 ``[head, size, width]``.
        bias: of the output projection, float32 ``[width]``.
    """

    outputs: torch.Tensor
    values: torch.Tensor
    gates: torch.Tensor | None
    weight: torch.Tensor
    bias: torch.Tensor


def split_heads(trace: HeadTrace, rows: slice) -> SplitHeads:
    """Take the heads of one attention module apart.

    Args:
        trace: what the module did.
        rows: positions at which to look, those of the trace's weights.

    Returns:
        Heads whose outputs are their weights times their values, times a gate between 0 and 1 at most: only then is a
        slice of what the projection reads the work of one head.

    Raises:
        NoEvidence: they cannot be told apart.
    """
    num_heads = trace.shape[0]
    if trace.projection is None or trace.z.shape[-1] % num_heads:
        raise NoEvidence("no linear map follows its heads")
    if trace.values is None:
        raise NoEvidence("what its weights are multiplied with was not seen")
    outputs = _by_head(trace.z[rows], num_heads)
    values = trace.values.float()
    mixture = trace.weights.float() @ values
    if mixture.shape != outputs.shape:
        raise NoEvidence("its heads are not laid side by side before the output projection")
    weight, bias = weight_of(trace.projection).to(outputs.device), bias_of(trace.projection)
    bias = weight.new_zeros(weight.shape[-1]) if bias is None else bias.float().to(outputs.device)
    _check_attn_out(trace, rows, weight, bias)
    weight = weight.reshape(num_heads, outputs.shape[-1], -1)
    return SplitHeads(outputs, values, _gates(mixture, outputs, trace.z.dtype), weight, bias)


def _check_attn_out(trace: HeadTrace, rows: slice, weight: torch.Tensor, bias: torch.Tensor) -> None:
    """Raise where the map does more than its weight says, as with an adapter beside it or a scale of its own."""
    given, gave = trace.z[rows].float(), trace.attn_out[rows].float()
    if given.shape[-1] != len(weight) or gave.shape[-1] != len(bias):
        raise NoEvidence("its output projection is not the linear map that its weight is")
    if (given @ weight + bias - gave).abs().max() > tolerance_of(trace.z.dtype) * gave.abs().max():
        raise NoEvidence("its output projection does more than its weight says")


def _by_head(z: torch.Tensor, num_heads: int) -> torch.Tensor:
    return z.float().reshape(len(z), num_heads, -1).transpose(0, 1)


def _gates(mixture: torch.Tensor, outputs: torch.Tensor, dtype: torch.dtype) -> torch.Tensor | None:
    tolerance = tolerance_of(dtype)
    if is_close(mixture, outputs, tolerance):
        return None
    gates = torch.where(mixture == 0, 0, outputs / mixture)
    # A sigmoid. Heads that are mixed with one another, or normed together, give ratios of any size and sign.
    if (gates < -tolerance).any() or (gates > 1 + tolerance).any():
        raise NoEvidence("its heads are mixed with one another or normed before the output projection")
    return gates
