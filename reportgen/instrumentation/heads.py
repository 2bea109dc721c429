"""Split the output of an attention module into the contributions of its heads."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from reportgen.instrumentation.anatomy import bias_of, is_close, tolerance_of, weight_of
from reportgen.instrumentation.observer import HeadTrace
from reportgen.records.errors import NoEvidence


@dataclass(frozen=True)
class SplitHeads:
    """The heads of one attention module, split at the input of the output projection.

    Attributes:
        outputs: each head's part of the input of the output projection, float32 ``[head, row, size]``.
        values: each head's values, float32 ``[head, key_pos, size]``.
        gates: factors between each head's weighted values and its output, float32 ``[head, row, size]``; ``None`` if
            the module has no gate.
        weight: weight of the output projection, float32 ``[head, size, width]``.
        bias: bias of the output projection, float32 ``[width]``.
    """

    outputs: torch.Tensor
    values: torch.Tensor
    gates: torch.Tensor | None
    weight: torch.Tensor
    bias: torch.Tensor


def split_heads(trace: HeadTrace) -> SplitHeads:
    """Split the heads of one attention module at the requested positions.

    Returns:
        The split heads. Each slice of the projection's input was checked to be the output of one head: attention
        weights times values, optionally times a gate between 0 and 1.

    Raises:
        NoEvidence: the heads cannot be split.
    """
    num_heads = trace.shape[0]
    if trace.projection is None or trace.z.shape[-1] % num_heads:
        raise NoEvidence("no linear map follows its heads")
    if trace.values is None:
        raise NoEvidence("the values that its weights are multiplied with were not found")
    outputs = _by_head(trace.z, num_heads)
    values = trace.values.float()
    mixture = trace.weights.float() @ values
    if mixture.shape != outputs.shape:
        raise NoEvidence("its heads are not concatenated before the output projection")
    weight, bias = weight_of(trace.projection).to(outputs.device), bias_of(trace.projection)
    bias = weight.new_zeros(weight.shape[-1]) if bias is None else bias.float().to(outputs.device)
    _check_attn_out(trace, weight, bias)
    weight = weight.reshape(num_heads, outputs.shape[-1], -1)
    return SplitHeads(outputs, values, _gates(mixture, outputs, trace.z.dtype), weight, bias)


def _check_attn_out(trace: HeadTrace, weight: torch.Tensor, bias: torch.Tensor) -> None:
    """Check that the projection is ``z @ weight + bias``, without an unmerged adapter or an extra scale.

    Raises:
        NoEvidence: it is not.
    """
    z, attn_out = trace.z.float(), trace.attn_out.float()
    if z.shape[-1] != len(weight) or attn_out.shape[-1] != len(bias):
        raise NoEvidence("its output projection does not have the shape of its weight")
    if (z @ weight + bias - attn_out).abs().max() > tolerance_of(trace.z.dtype) * attn_out.abs().max():
        raise NoEvidence("its output projection does more than multiply by its weight")


def _by_head(z: torch.Tensor, num_heads: int) -> torch.Tensor:
    return z.float().reshape(len(z), num_heads, -1).transpose(0, 1)


def _gates(mixture: torch.Tensor, outputs: torch.Tensor, dtype: torch.dtype) -> torch.Tensor | None:
    tolerance = tolerance_of(dtype)
    if is_close(mixture, outputs, tolerance):
        return None
    gates = torch.where(mixture == 0, 0, outputs / mixture)
    # Gates are sigmoids. Heads that are mixed or normed together give ratios of any size and sign.
    if (gates < -tolerance).any() or (gates > 1 + tolerance).any():
        raise NoEvidence("its heads are mixed with one another or normed before the output projection")
    return gates


def measure_value_norms(heads: SplitHeads) -> torch.Tensor:
    """Return ``‖v_k W_O‖``, the norm of the vector that a head writes per unit of weight on a key.

    Args:
        heads: split heads of one layer.

    Returns:
        float32 ``[head, key_pos]``.

    Raises:
        NoEvidence: the heads are gated, so that the norm also depends on the query.
    """
    if heads.gates is not None:
        raise NoEvidence("its heads are gated before the output projection, so that the norm depends on the query")
    # ‖v W‖² = v (W Wᵀ) vᵀ; the product W Wᵀ is small, [size, size] per head.
    gram = heads.weight @ heads.weight.transpose(1, 2)
    return (heads.values @ gram * heads.values).sum(-1).clamp(min=0).sqrt()
