"""Ablation: change of the log-probabilities of the generated tokens when one head is removed.

The text is kept as it was generated (teacher forcing). Where ablating every head would take long, all heads are
estimated first, and only some are ablated (``screening``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reportgen.captures.collector import Watch
from reportgen.evidence.collectors.reruns import Rerunner
from reportgen.evidence.collectors.screening import (
    NUM_DRAWN,
    NUM_FLAGGED,
    NUM_LARGEST,
    Estimates,
    Screener,
    choose_heads,
    compare,
    make_replacement,
)
from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.anatomy import find_layers
from reportgen.instrumentation.observer import HeadTrace
from reportgen.instrumentation.partial_forward import Copies, Edit
from reportgen.instrumentation.unembedding import LogitScale, Unembedding
from reportgen.records.errors import NoEvidence

EXACT_WORK = 4e11
"""Number of multiplications up to which every head is ablated without screening; about 4 s on two cores."""


class Ablator(Rerunner):
    """Ablates heads of one network on one text."""

    def ablate(
        self,
        projections: Mapping[int, nn.Module],
        heads: Sequence[int],
        num_heads: int,
        method: str,
        watch: Watch,
        wanted: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Return the change of each step's log-probability without each head.

        Args:
            projections: output projection of the heads, by layer number.
            heads: numbers of the heads to ablate.
            num_heads: number of heads per layer.
            method: ``ablation`` sets a head to zero, ``mean-ablation`` to its mean over the positions of the text.
            watch: progress callback, called before the first head and after each batch.
            wanted: which heads to ablate, ``[layer, head]``; ``None`` for all.

        Returns:
            Changes, float32 ``[row, layer, head]``: of the log-probability of each step's token, negative if it is
            less probable without the head; then, for each foil, of the token's logit minus that of the foil. NaN if the
            head was not wanted.
        """
        layers = sorted(projections)
        wanted = np.ones((len(layers), len(heads)), np.bool_) if wanted is None else wanted

        def take_out(row: int, columns: NDArray[np.intp]) -> Copies:
            edit = _take_out([heads[column] for column in columns], num_heads, method)
            return Copies(len(columns), projections[layers[row]], edit)

        return self.measure(layers, wanted, take_out, watch)

    def needs_screen(self, layers: Iterable[int], num_heads: int) -> bool:
        """Return whether to ablate only some heads: all would take long, and estimates take at most half of that.

        Args:
            layers: numbers of the layers whose heads are to be ablated.
            num_heads: number of heads to ablate in each of them.
        """
        shares = [self._share(layer) for layer in layers]
        passes = num_heads * sum(shares)
        parameters = sum(part.numel() for layer in find_layers(self._network).values() for part in layer.parameters())
        ablated = min(1, (NUM_LARGEST + NUM_FLAGGED + NUM_DRAWN) / (num_heads * len(shares)))
        saves = 2 * (len(self._chosen) + ablated * passes) <= passes
        return saves and passes * len(self._token_ids) * parameters > EXACT_WORK

    def make_screener(self) -> Screener:
        """Return what estimates the ablation of all heads.

        Raises:
            NoEvidence: the network cannot be run from one of its layers on.
        """
        if self._partial is None or self._unembed is None or self._scale is None:
            raise NoEvidence("it cannot be run from one of its layers on")
        return Screener(self._partial, self._rows, self._chosen, self._unembed, self._scale)


def _take_out(heads: Sequence[int], num_heads: int, method: str) -> Edit:
    """Return an edit that ablates head ``heads[i]`` in copy ``i`` of the text."""

    def edit(read: torch.Tensor) -> torch.Tensor:
        by_head = read.clone().reshape(*read.shape[:2], num_heads, -1)
        for version, head in enumerate(heads):
            output = by_head[version, :, head]
            output.copy_(make_replacement(output, method))
        return by_head.reshape(read.shape)

    return edit


class AblationCollector(KindCollector):
    """Records the output projection of each layer, and ablates the heads after the pass if this is requested."""

    kind = "ablations"

    def __init__(self, run: TracedRun) -> None:
        """Prepare for the forward pass."""
        super().__init__(run)
        self._projections: dict[int, nn.Module] = {}
        self._num_heads = 0
        self._reason = ""
        self._changes: dict[str, NDArray[np.float32]] = {}

    def see_heads(self, trace: HeadTrace) -> None:
        """Record the output projection of a captured layer."""
        if trace.layer not in self.run.layers:
            return
        try:
            self.run.split(trace)
        except NoEvidence as error:  # raised later, if ablation is requested
            self._reason = str(error)
        if trace.projection is not None:
            self._projections[trace.layer] = trace.projection
            self._num_heads = trace.shape[0]

    def run_again(self, methods: Sequence[str], watch: Watch) -> None:
        """Ablate the captured heads by each method: all, or where that takes long those that their estimates choose.

        Raises:
            NoEvidence: the heads of a layer cannot be split.
        """
        if self._reason:
            raise NoEvidence(self._reason)
        text = self.run.token_ids, self.run.rows
        ablator = Ablator(self.run.network, *text, *self._find_output(), self.run.foils)
        estimates = self._estimate(ablator, methods)
        for method in methods:
            heads = self._projections, self.run.heads, self._num_heads
            if method not in estimates:
                self._keep(method, ablator.ablate(*heads, method, watch))
                continue
            reasons = choose_heads(estimates[method], self.run.token_ids)
            self._keep(method, ablator.ablate(*heads, method, watch, reasons > 0))
            self.run.screens[method] = compare(estimates[method], reasons, self._changes[method])

    def _keep(self, method: str, changes: NDArray[np.float32]) -> None:
        """Keep the changes of the steps, and those against the foils for the kind that shows them."""
        num_steps = len(self.run.chosen)
        self._changes[method] = changes[:num_steps]
        if self.run.foils:
            against = np.full((len(self.run.foils), num_steps, *changes.shape[1:]), np.nan, np.float32)
            for number, (step, _) in enumerate(self.run.foils):
                against[number, step] = changes[num_steps + number]
            self.run.foil_changes[method] = against

    def _estimate(self, ablator: Ablator, methods: Sequence[str]) -> dict[str, Estimates]:
        """Return the estimates by method; none if all heads are to be ablated."""
        if not ablator.needs_screen(self._projections, len(self.run.heads)):
            return {}
        try:
            return ablator.make_screener().estimate(self._projections, self.run.heads, self._num_heads, methods)
        except NoEvidence as error:
            self.run.not_screened = str(error)
        except Exception as error:  # a layer of an unknown architecture may have no gradient; ablation needs none
            self.run.not_screened = f"its gradients failed, {type(error).__name__}: {str(error)[:200]}"
        return {}

    def _find_output(self) -> tuple[Unembedding | None, LogitScale | None]:
        try:
            return self.run.unembed, self.run.output[2]
        except NoEvidence:  # every run is then a full forward pass
            return None, None

    def finish(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the changes by method, float32 ``[step, layer, head]`` each; ``None`` if nothing was ablated.

        NaN is a head that was only estimated.
        """
        return self._changes or None
