"""Ablation: what becomes of the generated tokens' log-probabilities when one head is taken out.

The text is held as it was generated (teacher forcing). Each head's run starts at the residual stream before its own
layer, since nothing earlier changes, and the heads of a layer run side by side.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from reportgen.captures.collector import Watch
from reportgen.evidence.collectors.lens import read_lens
from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.anatomy import output_device
from reportgen.instrumentation.inputs import make_inputs
from reportgen.instrumentation.observer import HeadTrace
from reportgen.instrumentation.partial_forward import Edit, PartialForward, edited
from reportgen.instrumentation.unembedding import LogitScale, Unembedding
from reportgen.records.errors import NoEvidence

_POSITIONS = 8192
"""Of all versions of the text that run side by side: enough to keep a processor busy, few enough to fit."""
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_HALF_TOLERANCE = 5e-2


class Ablator:
    """Takes heads out of one network on one text."""

    def __init__(
        self,
        network: PreTrainedModel,
        token_ids: list[int],
        rows: slice,
        unembed: Unembedding | None,
        scale: LogitScale | None,
    ) -> None:
        """Run the text once.

        Args:
            network: in evaluation mode.
            token_ids: prompt and generated tokens.
            rows: query positions of the steps.
            unembed: final norm and unembedding; ``None`` where they are not known, and every run is a whole pass.
            scale: what the network does to logits behind them; ``None`` likewise.
        """
        self._network, self._token_ids, self._rows = network, token_ids, rows
        self._unembed, self._scale = unembed, scale
        self._chosen = torch.tensor(token_ids[rows.start + 1 : rows.stop + 1], device=output_device(network))
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
    ) -> NDArray[np.float32]:
        """Return the change of each step's log-probability by head.

        Args:
            projections: the map that reads the heads, by layer.
            heads: which to take out.
            num_heads: how many a layer has.
            method: ``ablation`` sets a head to zero, ``mean-ablation`` to its mean over the positions of the text.
            watch: told before the first head and after each batch.

        Returns:
            ``[step, layer, head]``: below 0 where the token becomes less probable without the head.
        """
        runs = [
            (layer, list(heads[start : start + self._batch]))
            for layer in sorted(projections, reverse=True)  # the short runs first
            for start in range(0, len(heads), self._batch)
        ]
        # In whole passes over one text.
        costs = [len(some) * self._share(layer) for layer, some in runs]
        done, total, start = 0, len(projections) * len(heads), time.perf_counter()
        watch(0, total, sum(costs) * self._seconds)
        changes: dict[int, list[torch.Tensor]] = {layer: [] for layer in projections}
        for number, (layer, some) in enumerate(runs, 1):
            changed = self._run(layer, len(some), projections[layer], _take_out(some, num_heads, method))
            changes[layer].append(changed - self._usual)
            done += len(some)
            speed = (time.perf_counter() - start) / sum(costs[:number])
            watch(done, total, speed * sum(costs[number:]))
        by_layer = [torch.cat(changes[layer]) for layer in sorted(projections)]
        return torch.stack(by_layer).permute(2, 0, 1).float().cpu().numpy()

    @property
    def _batch(self) -> int:
        return max(1, _POSITIONS // len(self._token_ids))

    def _share(self, layer: int) -> float:
        """Share of the network that a run from a layer on takes."""
        if self._partial is None:
            return 1
        return sum(other >= layer for other in self._partial.stream) / len(self._partial.stream)

    def _make_partial_forward(self) -> PartialForward | None:
        """Return the layers to start from, if starting there gives what the whole network gives."""
        try:
            partial = PartialForward(self._network, self._token_ids)
            for first in {min(partial.stream), max(partial.stream)}:
                again = self._read(partial.run(first, 2)[:, self._rows])
                tolerance = _TOLERANCE.get(self._network.dtype, _HALF_TOLERANCE)
                if not torch.allclose(again, self._usual.expand(2, -1), atol=tolerance, rtol=tolerance):
                    return None
        except Exception:  # whatever layers of unknown make do not take; a whole pass they all do
            return None
        return partial

    def _run(self, layer: int, batch: int, projection: nn.Module, edit: Edit) -> torch.Tensor:
        if self._partial is None:
            return self._run_whole(batch, projection, edit)
        return self._read(self._partial.run(layer, batch, projection, edit)[:, self._rows])

    def _run_whole(self, batch: int, projection: nn.Module | None = None, edit: Edit | None = None) -> torch.Tensor:
        inputs = make_inputs(self._network, [self._token_ids])
        wide = {name: value.expand(batch, -1) if torch.is_tensor(value) else value for name, value in inputs.items()}
        with edited(projection, edit, len(self._token_ids)):
            logits = self._network(**wide).logits[:, self._rows].to(self._chosen.device)
        return logits.float().log_softmax(-1).gather(-1, self._chosen.expand(batch, -1)[..., None])[..., 0]

    def _read(self, stream: torch.Tensor) -> torch.Tensor:
        if self._unembed is None or self._scale is None:
            raise ValueError("the end of the network is not known")
        read = read_lens(self._unembed, self._scale, stream.flatten(0, 1), self._chosen.repeat(len(stream)))
        return read.logprobs.reshape(len(stream), -1)


def _take_out(heads: Sequence[int], num_heads: int, method: str) -> Edit:
    """Return an edit that takes head ``heads[i]`` out of the version ``i`` of the text."""

    def edit(read: torch.Tensor) -> torch.Tensor:
        by_head = read.clone().reshape(*read.shape[:2], num_heads, -1)
        for version, head in enumerate(heads):
            output = by_head[version, :, head]
            output.copy_(output.mean(0, keepdim=True) if method == "mean-ablation" else torch.zeros_like(output))
        return by_head.reshape(read.shape)

    return edit


class AblationCollector(KindCollector):
    """Notes which linear map reads the heads of each layer, and runs the network again without them if asked to."""

    kind = "ablations"

    def __init__(self, run: TracedRun) -> None:
        """Begin before the first layer."""
        super().__init__(run)
        self._projections: dict[int, nn.Module] = {}
        self._num_heads = 0
        self._reason = ""
        self._changes: dict[str, NDArray[np.float32]] = {}

    def see_heads(self, trace: HeadTrace) -> None:
        """Note the map of a captured layer."""
        if trace.layer not in self.run.layers:
            return
        try:
            self.run.split(trace)
        except NoEvidence as error:  # it matters only if ablation is asked for
            self._reason = str(error)
        if trace.projection is not None:
            self._projections[trace.layer] = trace.projection
            self._num_heads = trace.shape[0]

    def run_again(self, methods: Sequence[str], watch: Watch) -> None:
        """Ablate each captured head, by each method.

        Raises:
            NoEvidence: the heads of a layer cannot be told apart.
        """
        if self._reason:
            raise NoEvidence(self._reason)
        ablator = Ablator(self.run.network, self.run.token_ids, self.run.rows, *self._find_output())
        for method in methods:
            self._changes[method] = ablator.ablate(self._projections, self.run.heads, self._num_heads, method, watch)

    def _find_output(self) -> tuple[Unembedding | None, LogitScale | None]:
        try:
            return self.run.unembed, self.run.output[2]
        except NoEvidence:  # every run is then a whole pass
            return None, None

    def finish(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the changes by method, ``[step, layer, head]``."""
        return self._changes or None
