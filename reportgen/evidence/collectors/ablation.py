"""Ablation: change of the log-probabilities of the generated tokens when one head is removed.

The text is kept as it was generated (teacher forcing). The run of each head starts at the residual stream before the
head's layer, because nothing before that changes, and the heads of a layer run as a batch.
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
"""Maximum number of positions in a batch; enough to keep the processor busy, and few enough to fit into memory."""
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_HALF_TOLERANCE = 5e-2


class Ablator:
    """Ablates heads of one network on one text."""

    def __init__(
        self,
        network: PreTrainedModel,
        token_ids: list[int],
        rows: slice,
        unembed: Unembedding | None,
        scale: LogitScale | None,
    ) -> None:
        """Run the text once without ablation.

        Args:
            network: in evaluation mode.
            token_ids: ids of prompt and generated tokens.
            rows: query positions of the steps.
            unembed: final norm and unembedding; ``None`` if they are unknown, so that every run is a full forward pass.
            scale: scale and soft cap of the logits after the unembedding; ``None`` if it is unknown, with the same
                effect.
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
        """Return the change of each step's log-probability without each head.

        Args:
            projections: output projection of the heads, by layer number.
            heads: numbers of the heads to ablate.
            num_heads: number of heads per layer.
            method: ``ablation`` sets a head to zero, ``mean-ablation`` to its mean over the positions of the text.
            watch: progress callback, called before the first head and after each batch.

        Returns:
            Change of the log-probability, float32 ``[step, layer, head]``; negative if the token is less probable
            without the head.
        """
        runs = [
            (layer, list(heads[start : start + self._batch]))
            for layer in sorted(projections, reverse=True)  # the shortest runs first
            for start in range(0, len(heads), self._batch)
        ]
        # The unit is one full forward pass over one text.
        costs = [len(ablated) * self._share(layer) for layer, ablated in runs]
        done, total, start = 0, len(projections) * len(heads), time.perf_counter()
        watch(0, total, sum(costs) * self._seconds)
        changes: dict[int, list[torch.Tensor]] = {layer: [] for layer in projections}
        for number, (layer, ablated) in enumerate(runs, 1):
            logprobs = self._run(layer, len(ablated), projections[layer], _take_out(ablated, num_heads, method))
            changes[layer].append(logprobs - self._usual)
            done += len(ablated)
            speed = (time.perf_counter() - start) / sum(costs[:number])
            watch(done, total, speed * sum(costs[number:]))
        by_layer = [torch.cat(changes[layer]) for layer in sorted(projections)]
        return torch.stack(by_layer).permute(2, 0, 1).float().cpu().numpy()

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
            partial = PartialForward(self._network, self._token_ids)
            for first in {min(partial.stream), max(partial.stream)}:
                logprobs = self._read(partial.run(first, 2)[:, self._rows])
                tolerance = _TOLERANCE.get(self._network.dtype, _HALF_TOLERANCE)
                if not torch.allclose(logprobs, self._usual.expand(2, -1), atol=tolerance, rtol=tolerance):
                    return None
        except Exception:  # layers of an unknown architecture may raise anything; a full pass always works
            return None
        return partial

    def _run(self, layer: int, batch: int, projection: nn.Module, edit: Edit) -> torch.Tensor:
        if self._partial is None:
            return self._run_whole(batch, projection, edit)
        return self._read(self._partial.run(layer, batch, projection, edit)[:, self._rows])

    def _run_whole(self, batch: int, projection: nn.Module | None = None, edit: Edit | None = None) -> torch.Tensor:
        inputs = make_inputs(self._network, [self._token_ids])
        batched = {name: value.expand(batch, -1) if torch.is_tensor(value) else value for name, value in inputs.items()}
        with edited(projection, edit, len(self._token_ids)):
            logits = self._network(**batched).logits[:, self._rows].to(self._chosen.device)
        return logits.float().log_softmax(-1).gather(-1, self._chosen.expand(batch, -1)[..., None])[..., 0]

    def _read(self, stream: torch.Tensor) -> torch.Tensor:
        if self._unembed is None or self._scale is None:
            raise ValueError("the final norm and the unembedding of the network are unknown")
        readings = read_lens(self._unembed, self._scale, stream.flatten(0, 1), self._chosen.repeat(len(stream)))
        return readings.logprobs.reshape(len(stream), -1)


def _take_out(heads: Sequence[int], num_heads: int, method: str) -> Edit:
    """Return an edit that ablates head ``heads[i]`` in copy ``i`` of the text."""

    def edit(read: torch.Tensor) -> torch.Tensor:
        by_head = read.clone().reshape(*read.shape[:2], num_heads, -1)
        for version, head in enumerate(heads):
            output = by_head[version, :, head]
            output.copy_(output.mean(0, keepdim=True) if method == "mean-ablation" else torch.zeros_like(output))
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
        """Ablate each captured head by each method.

        Raises:
            NoEvidence: the heads of a layer cannot be split.
        """
        if self._reason:
            raise NoEvidence(self._reason)
        ablator = Ablator(self.run.network, self.run.token_ids, self.run.rows, *self._find_output())
        for method in methods:
            self._changes[method] = ablator.ablate(self._projections, self.run.heads, self._num_heads, method, watch)

    def _find_output(self) -> tuple[Unembedding | None, LogitScale | None]:
        try:
            return self.run.unembed, self.run.output[2]
        except NoEvidence:  # every run is then a full forward pass
            return None, None

    def finish(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the changes by method, float32 ``[step, layer, head]`` each; ``None`` if nothing was ablated."""
        return self._changes or None
