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
from reportgen.evidence.lens import read_lens
from reportgen.instrumentation.anatomy import output_device
from reportgen.instrumentation.inputs import make_inputs
from reportgen.instrumentation.partial_forward import Edit, PartialForward, edited
from reportgen.instrumentation.unembedding import LogitScale, Unembedding

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
        end: Unembedding | None,
        scale: LogitScale | None,
    ) -> None:
        """Run the text once.

        Args:
            network: in evaluation mode.
            token_ids: prompt and generated tokens.
            rows: query positions of the steps.
            end: final norm and unembedding; ``None`` where they are not known, and every run is a whole pass.
            scale: what the network does to logits behind them; ``None`` likewise.
        """
        self._network, self._token_ids, self._rows, self._end, self._scale = network, token_ids, rows, end, scale
        self._chosen = torch.tensor(token_ids[rows.start + 1 : rows.stop + 1], device=output_device(network))
        start = time.perf_counter()
        self._usual = self._run_whole(1)
        self._seconds = time.perf_counter() - start
        self._replay = self._make_replay()

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
        if self._replay is None:
            return 1
        return sum(other >= layer for other in self._replay.stream) / len(self._replay.stream)

    def _make_replay(self) -> PartialForward | None:
        """Return the layers to start from, if starting there gives what the whole network gives."""
        try:
            replay = PartialForward(self._network, self._token_ids)
            for first in {min(replay.stream), max(replay.stream)}:
                again = self._read(replay.run(first, 2)[:, self._rows])
                tolerance = _TOLERANCE.get(self._network.dtype, _HALF_TOLERANCE)
                if not torch.allclose(again, self._usual.expand(2, -1), atol=tolerance, rtol=tolerance):
                    return None
        except Exception:  # whatever layers of unknown make do not take; a whole pass they all do
            return None
        return replay

    def _run(self, layer: int, batch: int, projection: nn.Module, edit: Edit) -> torch.Tensor:
        if self._replay is None:
            return self._run_whole(batch, projection, edit)
        return self._read(self._replay.run(layer, batch, projection, edit)[:, self._rows])

    def _run_whole(self, batch: int, projection: nn.Module | None = None, edit: Edit | None = None) -> torch.Tensor:
        inputs = make_inputs(self._network, [self._token_ids])
        wide = {name: value.expand(batch, -1) if torch.is_tensor(value) else value for name, value in inputs.items()}
        with edited(projection, edit, len(self._token_ids)):
            logits = self._network(**wide).logits[:, self._rows].to(self._chosen.device)
        return logits.float().log_softmax(-1).gather(-1, self._chosen.expand(batch, -1)[..., None])[..., 0]

    def _read(self, stream: torch.Tensor) -> torch.Tensor:
        if self._end is None or self._scale is None:
            raise ValueError("the end of the network is not known")
        read = read_lens(self._end, self._scale, stream.flatten(0, 1), self._chosen.repeat(len(stream)))
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
