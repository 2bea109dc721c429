"""Run one text again and again, each time with an edit, and read how its predictions change.

The run of an edit starts at the residual stream before the edited layer, because nothing before that changes, and the
edits of a layer run as a batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from reportgen.captures.collector import Watch
from reportgen.evidence.collectors.lens import read_lens, subtract_logits
from reportgen.instrumentation.anatomy import find_layers, output_device
from reportgen.instrumentation.inputs import make_inputs
from reportgen.instrumentation.partial_forward import Copies, PartialForward, edited, edited_stream
from reportgen.instrumentation.unembedding import LogitScale, Unembedding

_POSITIONS = 8192
"""Maximum number of positions in a batch; enough to keep the processor busy, and few enough to fit into memory."""
_COPIES = 8
"""Number of copies up to which edits of several layers share a batch; more copies make a batch hardly faster."""
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_HALF_TOLERANCE = 5e-2
MakeCopies = Callable[[int, NDArray[np.intp]], Copies]
"""Returns the copies of a layer, by the row of the layer, with an edit for each of the given columns."""


class Rerunner:
    """Runs one text on one network with edits.

    Attributes:
        usual: what the network says without an edit, ``[1, number]``: the log-probability of each step's token, then,
            for each foil, the logit of the token minus that of the foil.
    """

    def __init__(
        self,
        network: PreTrainedModel,
        token_ids: list[int],
        rows: slice,
        unembed: Unembedding | None,
        scale: LogitScale | None,
        foils: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Run the text once without an edit.

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
        self.usual = self._run_whole(Copies(1))
        self._seconds = time.perf_counter() - start
        self._partial = self._make_partial_forward()

    def measure(
        self, layers: Sequence[int], wanted: NDArray[np.bool_], make_copies: MakeCopies, watch: Watch
    ) -> NDArray[np.float32]:
        """Return what each edit changes.

        Args:
            layers: number of the layer that each row edits, ascending.
            wanted: which edits to make, ``[row, column]``.
            make_copies: returns the copies with the edits of a row.
            watch: progress callback, called before the first edit and after each batch.

        Returns:
            Changes of ``usual``, float32 ``[number, row, column]``; NaN where no edit was wanted.
        """
        runs = self._group(wanted)
        # The unit is one full forward pass over one text.
        costs = [sum(len(columns) * self._share(layers[row]) for row, columns in run.items()) for run in runs]
        done, total, start = 0, int(wanted.sum()), time.perf_counter()
        watch(0, total, sum(costs) * self._seconds)
        changes = np.full((self.usual.shape[1], *wanted.shape), np.nan, np.float32)
        for number, run in enumerate(runs, 1):
            copies = {layers[row]: make_copies(row, columns) for row, columns in run.items()}
            found = (self._run(copies) - self.usual).T.float().cpu().numpy()
            for row, columns in run.items():
                changes[:, row, columns], found = found[:, : len(columns)], found[:, len(columns) :]
                done += len(columns)
            speed = (time.perf_counter() - start) / sum(costs[:number])
            watch(done, total, speed * sum(costs[number:]))
        return changes

    def _group(self, wanted: NDArray[np.bool_]) -> list[dict[int, NDArray[np.intp]]]:
        """Return the columns to run as one batch, by row; the shortest runs first.

        A layer with few edits shares a batch with the layers before it; the rows of a batch are in order.
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
                if not torch.allclose(logprobs, self.usual.expand(2, -1), atol=tolerance, rtol=tolerance):
                    return None
        except Exception:  # layers of an unknown architecture may raise anything; a full pass always works
            return None
        return partial

    def _run(self, copies: Mapping[int, Copies]) -> torch.Tensor:
        if self._partial is None:
            ((layer, one),) = copies.items()
            return self._run_whole(one, layer)
        return self._read(self._partial.run_edited(copies)[:, self._rows])

    def _run_whole(self, copies: Copies, layer: int = 0) -> torch.Tensor:
        inputs, length, batch = make_inputs(self._network, [self._token_ids]), len(self._token_ids), copies.count
        batched = {name: value.expand(batch, -1) if torch.is_tensor(value) else value for name, value in inputs.items()}
        module = find_layers(self._network).get(layer)
        with edited(copies.projection, copies.edit, length), edited_stream(module, copies.edit_stream, length):
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
