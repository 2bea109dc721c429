"""Norms with the scale of each row frozen at its value in a run, which makes them linear."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from reportgen.instrumentation.anatomy import tolerance_of

_TOLERANCE = 1e-3


@dataclass(frozen=True)
class LinearNorm:
    """A norm in the form ``scale · weight ⊙ (x − mean(x)) + bias``, or without the mean, with a scale for each row.

    Weight and bias are measured by calling the module, because its attributes vary: the weight of an RMSNorm may be
    stored as its difference from 1, and eps has several names.

    Attributes:
        weight: weight of the norm, float32 ``[width]``.
        bias: bias of the norm, float32 ``[width]``.
        centers: whether the mean is subtracted, as in LayerNorm.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    centers: bool

    @classmethod
    def probe(cls, module: nn.Module, width: int, like: torch.Tensor) -> LinearNorm | None:
        """Return a module as a linear norm, or ``None`` if it is not a norm over a last axis of the given width.

        Args:
            module: any module.
            width: length of the last axis.
            like: a tensor with the device and dtype of the module's input.
        """
        signs = torch.ones(1, 1, width, device=like.device, dtype=like.dtype)
        signs[..., 1::2] = -1
        try:
            with torch.no_grad():
                probes = (64 * signs, -64 * signs, 256 * signs, 64 * (signs + 3))
                # In a network on several devices, the result is on the module's device.
                up, down, far, aside = (module(probe).float().to(like.device) for probe in probes)
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, NotImplementedError):
            return None  # it cannot be called like a norm
        if up.shape != signs.shape or not torch.allclose(up, far, rtol=_TOLERANCE, atol=1e-4):
            return None
        weight, bias = ((up - down) / 2 * signs).flatten(), ((up + down) / 2).flatten()
        return cls(weight, bias, centers=torch.allclose(aside, up, rtol=_TOLERANCE, atol=1e-4))

    def scales(self, inputs: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor | None:
        """Return the scale of each row of a run, or ``None`` if these outputs are not those of this norm.

        Args:
            inputs: inputs of the norm, ``[row, width]``.
            outputs: outputs of the norm, ``[row, width]``.

        Returns:
            Scale of each row by a least-squares fit, ``[row]``.
        """
        tolerance = tolerance_of(outputs.dtype)
        inputs, outputs = inputs.float(), outputs.float()
        unscaled = self._center(inputs) * self.weight
        target = outputs - self.bias
        scales = (unscaled * target).sum(-1) / (unscaled * unscaled).sum(-1)
        misfit = (scales[:, None] * unscaled - target).abs().max()
        return scales if misfit <= tolerance * outputs.abs().max() else None

    def pull_back(self, directions: torch.Tensor) -> torch.Tensor:
        """Map directions after the norm to directions before it, ``[…, width]``, without the scale of each row."""
        return self._center(directions * self.weight)

    def _center(self, values: torch.Tensor) -> torch.Tensor:
        return values - values.mean(-1, keepdim=True) if self.centers else values
