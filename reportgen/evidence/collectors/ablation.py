"""Ablation: change of the log-probabilities of the generated tokens when one head is removed.

The text is kept as it was generated (teacher forcing). The run of each head starts at the residual stream before the
head's layer, because nothing before that changes, and the heads of a layer run as a batch. Where ablating every head
would take long, all heads are estimated first, and only some are ablated (``screening``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from reportgen.captures.collector import Watch
from reportgen.evidence.collectors.lens import read_lens, subtract_logits
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
from reportgen.instrumentation.anatomy import find_layers, output_device
from reportgen.instrumentation.inputs import make_inputs
from reportgen.instrumentation.observer import HeadTrace
from reportgen.instrumentation.partial_forward import Copies, Edit, PartialForward, edited
from reportgen.instrumentation.unembedding import LogitScale, Unembedding
from reportgen.records.errors import NoEvidence

_POSITIONS = 8192
"""Maximum number of positions in a batch; enough to keep the processor busy, and few enough to fit into memory."""
_COPIES = 8
"""Number of copies up to which heads of several layers share a batch; more copies make a batch hardly faster."""
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_HALF_TOLERANCE = 5e-2
EXACT_WORK = 4e11
"""Number of multiplications up to which every head is ablated without screening; about 4 s on two cores."""


class Ablator:
    """Ablates heads of one network on one text."""

    def __init__(
        self,
        network: PreTrainedModel,
        token_ids: list[int],
        rows: slice,
        unembed: Unembedding | None,
        scale: LogitScale | None,
        foils: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Run the text once without ablation.

        Args:
            network: in evaluation mode.
            token_ids: ids of prompt and generated tokens.
            rows: query positions of the steps.
            unembed: final norm and unembedding; ``None`` if they are unknown, so that every run is a full forward pass.
            scale: scale and soft cap of the logits after the unembedding; ``None`` if it is unknown, with the same
                effect.
            foils: step and token id of each token that the chosen token of a step is compared with.
        """
        self._network, self._token_ids, self._rows = network, token_ids, rows
        self._unembed, self._scale = unembed, scale
        self._chosen = torch.tensor(token_ids[rows.start + 1 : rows.stop + 1], device=output_device(network))
        self._foils = list(foils)
        start = time.perf_counter()
        self._usual = self._run_whole(1)
        self._seconds = time.perf_counter() - start
        self._partial = self._make_partial_forward()

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
        runs = self._group(wanted)
        # The unit is one full forward pass over one text.
        costs = [sum(len(columns) * self._share(layers[row]) for row, columns in run.items()) for run in runs]
        done, total, start = 0, int(wanted.sum()), time.perf_counter()
        watch(0, total, sum(costs) * self._seconds)
        changes = np.full((self._usual.shape[1], *wanted.shape), np.nan, np.float32)
        for number, run in enumerate(runs, 1):
            copies = {}
            for row, columns in run.items():
                edit = _take_out([heads[column] for column in columns], num_heads, method)
                copies[layers[row]] = Copies(len(columns), projections[layers[row]], edit)
            found = (self._run(copies) - self._usual).T.float().cpu().numpy()
            for row, columns in run.items():
                changes[:, row, columns], found = found[:, : len(columns)], found[:, len(columns) :]
                done += len(columns)
            speed = (time.perf_counter() - start) / sum(costs[:number])
            watch(done, total, speed * sum(costs[number:]))
        return changes

    def _group(self, wanted: NDArray[np.bool_]) -> list[dict[int, NDArray[np.intp]]]:
        """Return the columns of heads to run as one batch, by row; the shortest runs first.

        A layer with few heads shares a batch with the layers before it; the rows of a batch are in order.
        """
        runs: list[dict[int, NDArray[np.intp]]] = []
        for row in reversed(range(len(wanted))):
            columns = np.flatnonzero(wanted[row])
            for start in range(0, len(columns), self._batch):
                some = columns[start : start + self._batch]
                size = sum(map(len, runs[-1].values())) + len(some) if runs else 0
                if runs and row not in runs[-1] and self._partial and size <= min(self._batch, _COPIES):
                    runs[-1] = {row: some, **runs[-1]}
                else:
                    runs.append({row: some})
        return runs

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

    @property
    def _batch(self) -> int:
        return max(1, _POSITIONS // len(self._token_ids))

    def _share(self, layer: int) -> float:
        """Return the share of all layers that a run from the given layer includes."""
        if self._partial is None:
            return 1
        return sum(other >= layer for other in self._partial.stream) / len(self._partial.stream)

    def _make_partial_forward(self) -> PartialForward | None:
        """Return the partial forward pass, or ``None`` if its results differ from those of the whole network."""
        try:
            # Autograd cannot use tensors that were made in inference mode.
            with torch.inference_mode(False), torch.no_grad():
                partial = PartialForward(self._network, self._token_ids)
            for first in {min(partial.stream), max(partial.stream)}:
                logprobs = self._read(partial.run(first, 2)[:, self._rows])
                tolerance = _TOLERANCE.get(self._network.dtype, _HALF_TOLERANCE)
                if not torch.allclose(logprobs, self._usual.expand(2, -1), atol=tolerance, rtol=tolerance):
                    return None
        except Exception:  # layers of an unknown architecture may raise anything; a full pass always works
            return None
        return partial

    def _run(self, copies: Mapping[int, Copies]) -> torch.Tensor:
        if self._partial is None:
            (one,) = copies.values()
            return self._run_whole(one.count, one.projection, one.edit)
        return self._read(self._partial.run_edited(copies)[:, self._rows])

    def _run_whole(self, batch: int, projection: nn.Module | None = None, edit: Edit | None = None) -> torch.Tensor:
        inputs = make_inputs(self._network, [self._token_ids])
        batched = {name: value.expand(batch, -1) if torch.is_tensor(value) else value for name, value in inputs.items()}
        with edited(projection, edit, len(self._token_ids)):
            logits = self._network(**batched).logits[:, self._rows].to(self._chosen.device).float()
        chosen = logits.log_softmax(-1).gather(-1, self._chosen.expand(batch, -1)[..., None])[..., 0]
        over = [logits[:, step, self._chosen[step]] - logits[:, step, token_id] for step, token_id in self._foils]
        return torch.cat([chosen, *(values[:, None] for values in over)], 1)

    def _read(self, stream: torch.Tensor) -> torch.Tensor:
        if self._unembed is None or self._scale is None:
            raise ValueError("the final norm and the unembedding of the network are unknown")
        output = self._unembed, self._scale
        readings = read_lens(*output, stream.flatten(0, 1), self._chosen.repeat(len(stream)))
        over = [
            subtract_logits(*output, stream[:, step], self._chosen[step], token_id) for step, token_id in self._foils
        ]
        return torch.cat([readings.logprobs.reshape(len(stream), -1), *(values[:, None] for values in over)], 1)


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
