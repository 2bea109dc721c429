"""Screening: estimate to first order what ablation would do to each head, and choose the heads to ablate.

One backward pass for each step goes from the step's log-probability through the layers, one layer at a time, so that
autograd keeps no more than one layer. It gives the gradient by the output of every head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reportgen.evidence.kinds.screening import DRAWN, ESTIMATE_OF, FLAGGED, LARGEST, Screen
from reportgen.evidence.traced_run import KindCollector
from reportgen.instrumentation.partial_forward import PartialForward
from reportgen.instrumentation.unembedding import LogitScale, Unembedding
from reportgen.records.errors import NoEvidence

NUM_LARGEST, NUM_FLAGGED, NUM_DRAWN = 20, 4, 20
"""How many heads are ablated for each reason, at most; some are drawn that are ablated anyway."""
_SOUGHT = 10
_SOFTENED = 1 << 26
"""Largest number of weights of a layer for which softened derivatives are taken; several copies are in memory."""
_HIDDEN = 10
"""How many times as large as a softened derivative says the effect may be: where a softmax turns from one token to
another, it changes by 1, and by its softened derivative by about 0.2."""
_NUMBERS = 1 << 22
"""Largest number of gradients by the residual stream at a time, ``step × position × width``."""


@dataclass(frozen=True)
class Estimates:
    """First-order estimates of one method of ablation, in nats, float32 ``[step, layer, head]``.

    Attributes:
        values: the estimates.
        parts: sums of the absolute values of what each position adds to an estimate.
        hidden: how much that changes if the derivative of every softmax of the layers is that of a less certain one,
            for the sum over all steps, ``[layer, head]``.
    """

    values: NDArray[np.float32]
    parts: NDArray[np.float32]
    hidden: NDArray[np.float32]


class _Parts(NamedTuple):
    """What the positions add to estimates of some steps.

    Attributes:
        values: their sums, ``[step, layer, head]``.
        sizes: sums of their absolute values, ``[step, layer, head]``.
        of_sum: what they add to the sum over the steps, ``[layer, position, head]``.
    """

    values: torch.Tensor
    sizes: torch.Tensor
    of_sum: torch.Tensor


def make_replacement(outputs: torch.Tensor, method: str) -> torch.Tensor:
    """Return what a method of ablation puts in the place of the outputs of a head, ``[position, …]``."""
    return outputs.mean(0, keepdim=True).expand_as(outputs) if method == "mean-ablation" else torch.zeros_like(outputs)


class Screener:
    """Estimates the ablation of all heads of one text."""

    def __init__(
        self, partial: PartialForward, rows: slice, chosen: torch.Tensor, unembed: Unembedding, scale: LogitScale
    ) -> None:
        """Store what is known of the text.

        Args:
            partial: the text's pass, recorded outside of ``torch.inference_mode``.
            rows: query positions of the steps.
            chosen: ids of the tokens of the steps, ``[step]``.
            unembed: final norm and unembedding.
            scale: scale and soft cap of the logits.
        """
        self._partial, self._rows, self._chosen = partial, rows, chosen
        self._unembed, self._scale = unembed, scale

    def estimate(
        self, projections: Mapping[int, nn.Module], heads: Sequence[int], num_heads: int, methods: Sequence[str]
    ) -> dict[str, Estimates]:
        """Return the estimates of each method.

        Args:
            projections: output projection of the heads, by layer number.
            heads: numbers of the heads to estimate.
            num_heads: number of heads per layer.
            methods: names of the methods of ablation.

        Raises:
            NoEvidence: the gradients are not finite, or all of them are 0.
        """
        with torch.inference_mode(False), torch.no_grad():
            _, length, width = self._partial.stream[min(self._partial.stream)].shape
            at_once = max(1, _NUMBERS // (length * width))
            gradients = self._differentiate()
            found: dict[str, list[torch.Tensor]] = {method: [] for method in methods}
            hidden: dict[str, torch.Tensor] = {}
            for start in range(0, len(gradients), at_once):
                some = gradients.new_zeros(len(gradients[start : start + at_once]), length, width)
                steps = torch.arange(len(some))
                some[steps, self._rows.start + start + steps] = gradients[start : start + at_once]
                for method, parts in self._descend(some, projections, num_heads, methods).items():
                    found[method].append(torch.stack([parts.values, parts.sizes]))
                    hidden[method] = hidden.get(method, 0) - parts.of_sum
            arrays = {method: torch.cat(values, 1)[..., list(heads)].cpu().numpy() for method, values in found.items()}
            if not all(np.isfinite(array).all() for array in arrays.values()):
                raise NoEvidence("its gradients are not finite")
            if not all(array.any() for array in arrays.values()):
                raise NoEvidence("no gradient reaches its heads")
            hidden = self._find_hidden(hidden, gradients, projections, num_heads)
        arrays_hidden = {method: values[:, list(heads)].numpy() for method, values in hidden.items()}
        return {method: Estimates(array[0], array[1], arrays_hidden[method]) for method, array in arrays.items()}

    def _find_hidden(
        self,
        less: Mapping[str, torch.Tensor],
        gradients: torch.Tensor,
        projections: Mapping[int, nn.Module],
        num_heads: int,
    ) -> dict[str, torch.Tensor]:
        """Return ``Estimates.hidden`` of all heads by method, ``[layer, head]``; 0 for long texts.

        Args:
            less: what the positions add by the derivatives as they are, negative, ``[layer, position, head]``.
            gradients: gradients of the steps by the last residual stream, ``[step, width]``.
            projections: as in ``estimate``.
            num_heads: as in ``estimate``.
        """
        length = self._partial.stream[min(self._partial.stream)].shape[1]
        if num_heads * length**2 > _SOFTENED:
            return {method: parts.new_zeros(len(parts), num_heads) for method, parts in less.items()}
        at_rows = gradients.new_zeros(1, length, gradients.shape[-1])
        at_rows[0, self._rows] = gradients
        found = self._descend(at_rows, projections, num_heads, [*less], softened=True)
        return {method: (parts.of_sum + less[method]).abs().sum(1) for method, parts in found.items()}

    def _differentiate(self) -> torch.Tensor:
        """Return the gradient of each step's log-probability by its last residual stream, ``[step, width]``."""
        last = self._partial.run(max(self._partial.stream), 1)[:, self._rows]
        with torch.enable_grad():
            stream = last.detach().requires_grad_()
            normed = self._unembed.norm_module(stream)[0].to(self._unembed.weight)
            logprobs = self._scale.apply(self._unembed.logits(normed)).log_softmax(-1)
            # A row of the stream reaches the log-probability of its own step alone.
            return torch.autograd.grad(logprobs.gather(-1, self._chosen.clone()[:, None]).sum(), stream)[0][0]

    def _descend(
        self,
        gradients: torch.Tensor,
        projections: Mapping[int, nn.Module],
        num_heads: int,
        methods: Sequence[str],
        *,
        softened: bool = False,
    ) -> dict[str, _Parts]:
        """Go from the last layer to the first captured one, and return what each position adds, by method."""
        found: dict[str, list[torch.Tensor]] = {method: [] for method in methods}
        of_sum: dict[str, list[torch.Tensor]] = {method: [] for method in methods}
        for layer in sorted(self._partial.stream, reverse=True):
            if layer < min(projections):
                break
            gradients, z, by_z = self._partial.pull_back(layer, gradients, projections.get(layer), softened=softened)
            if z is None or by_z is None:
                continue
            outputs = z.float().reshape(len(z), num_heads, -1)
            by_outputs = by_z.float().reshape(len(by_z), *outputs.shape)
            for method in methods:
                parts = (by_outputs * (make_replacement(outputs, method) - outputs)).sum(-1)
                found[method].append(torch.stack([parts.sum(1), parts.abs().sum(1)]).cpu())
                of_sum[method].append(parts.sum(0).cpu())
        return {
            method: _Parts(both[0], both[1], torch.stack(of_sum[method][::-1]))
            for method, both in ((method, torch.stack(values[::-1], 2)) for method, values in found.items())
        }


def choose_heads(estimates: Estimates, token_ids: Sequence[int]) -> NDArray[np.uint8]:
    """Choose the heads to ablate: of the largest estimates, of doubtful ones, and some by lot.

    An estimate is doubtful if what positions add to it cancels: their absolute values add up to at least the smallest
    estimate of the heads that are ablated for their large estimate. It is also doubtful if the most of it is hidden
    behind saturated softmaxes, whose derivative is 0, and ``_HIDDEN`` times that is as large.

    Args:
        estimates: estimates of one method.
        token_ids: ids of the text, which decide what is drawn.

    Returns:
        Sums of ``LARGEST``, ``FLAGGED`` and ``DRAWN``, ``[layer, head]``.
    """
    sizes, parts = (np.abs(values).max(0) for values in (estimates.values, estimates.parts))
    doubts = np.where(estimates.hidden > parts, np.fmax(parts, _HIDDEN * estimates.hidden), parts).ravel()
    reasons = np.zeros(sizes.size, np.uint8)
    largest = np.argsort(-sizes, axis=None, kind="stable")[:NUM_LARGEST]
    reasons[largest] = LARGEST
    doubtful = (doubts >= sizes.ravel()[largest].min()) & (reasons == 0)
    reasons[np.argsort(-np.where(doubtful, doubts, -1), kind="stable")[: min(doubtful.sum(), NUM_FLAGGED)]] = FLAGGED
    reasons[np.random.default_rng(list(token_ids)).permutation(sizes.size)[:NUM_DRAWN]] |= DRAWN
    return reasons.reshape(sizes.shape)


def compare(estimates: Estimates, reasons: NDArray[np.uint8], changes: NDArray[np.float32]) -> Screen:
    """Return the estimates with their agreement with the ablation of the drawn heads.

    Args:
        estimates: estimates of one method.
        reasons: why heads were ablated, ``[layer, head]``.
        changes: changes by ablation, NaN for heads that were not ablated, ``[step, layer, head]``.
    """
    drawn = (reasons & DRAWN > 0) & np.isfinite(changes).all(0)
    pairs = [np.abs(values[:, drawn]).max(0) for values in (estimates.values, changes)]
    sought = min(_SOUGHT, int(drawn.sum()) // 2)
    tops = [set(np.argsort(-sizes, kind="stable")[:sought].tolist()) for sizes in pairs]
    return Screen(
        estimates=estimates.values,
        reasons=reasons,
        correlation=_correlate(*pairs),
        found=len(tops[0] & tops[1]),
        sought=sought,
    )


def _correlate(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return Spearman's rank correlation; NaN if all values of one side are equal, or there are fewer than two."""
    if min(len(np.unique(first)), len(np.unique(second))) < 2:
        return float("nan")
    return float(np.corrcoef(_rank(first), _rank(second))[0, 1])


def _rank(values: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return twice the rank of each value; equal values share the mean of their ranks."""
    ordered = np.sort(values)
    return np.searchsorted(ordered, values) + np.searchsorted(ordered, values, "right")


class ScreeningCollector(KindCollector):
    """Returns what the collector of ablations noted of its screening."""

    kind = "screening"

    def finish(self) -> dict[str, Screen] | None:
        """Return the screens by name of the estimate; ``None`` if every head was ablated because that is cheap.

        Raises:
            NoEvidence: the estimates could not be made, so that every head was ablated.
        """
        if self.run.not_screened:
            raise NoEvidence(f"{self.run.not_screened}; every head was ablated instead")
        return {ESTIMATE_OF[method]: screen for method, screen in self.run.screens.items()} or None
