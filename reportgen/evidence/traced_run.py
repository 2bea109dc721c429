"""The state of one measured run, shared by all collectors, and the base class of the collectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reportgen.captures.collector import CollectorInput, Watch
from reportgen.evidence.kinds.screening import Screen
from reportgen.instrumentation.anatomy import output_device
from reportgen.instrumentation.heads import SplitHeads, measure_value_norms, split_heads
from reportgen.instrumentation.logits import Logits
from reportgen.instrumentation.observer import HeadTrace, Observer
from reportgen.instrumentation.unembedding import LogitScale, Unembedding
from reportgen.records import LayerType, Token
from reportgen.records.errors import NoEvidence


class TracedRun:
    """State that the collectors of one run share: its tokens, and values that are computed once for all collectors.

    Attributes:
        network: the network that runs the text.
        token_ids: ids of prompt and generated tokens.
        layers: numbers of the captured layers.
        heads: numbers of the captured heads.
        runners_up: ids of the most probable tokens that each step did not choose, ``[step, rank]``.
        chosen: ids of the tokens that the steps chose, ``[step]``.
        foils: step and token id of each token that the chosen token of a step is compared with.
        rows: query positions that predicted the chosen tokens; without steps, the position before the last token.
        device: device of the tensors of the pass.
        spans: named parts of the text.
        make_token: returns the token for a token id; set after the pass.
        screens: estimates of the methods of ablation by name; empty if every head was ablated.
        foil_changes: what ablation changes of the logit of the chosen token minus that of each foil, by method, float32
            ``[foil, step, layer, head]``.
        not_screened: why no estimates could be made that were needed; empty if there is no reason.
    """

    make_token: Callable[[int], Token]

    def __init__(self, given: CollectorInput) -> None:
        """Store the input of the run."""
        self.network, self.token_ids, self.runners_up = given.network, given.token_ids, given.runners_up
        self.layers, self.heads, self.spans = given.layers, list(given.heads), given.spans
        self.foils = given.foils
        self._layer_types = {layer_type.layer: layer_type for layer_type in given.layer_types}
        self.device = output_device(given.network)
        last, num_steps = len(given.token_ids) - 1, len(given.runners_up)
        chosen = given.token_ids[len(given.token_ids) - num_steps :]
        self.chosen = torch.tensor(chosen, device=self.device, dtype=torch.long)
        self.screens: dict[str, Screen] = {}
        self.foil_changes: dict[str, NDArray[np.float32]] = {}
        self.not_screened = ""
        self.rows = slice(last - max(num_steps, 1), last) if last else slice(0, 1)
        self._logits: Logits | None = None
        self._split: tuple[HeadTrace, SplitHeads] | None = None
        self._norms: tuple[HeadTrace, torch.Tensor] | None = None

    @cached_property
    def unembed(self) -> Unembedding:
        """Final norm and unembedding of the network.

        Raises:
            NoEvidence: the norm or the unembedding was not found.
        """
        return Unembedding.find(self.network)

    def find_layer_type(self, layer: int) -> LayerType | None:
        """Return what the model's modules and config say of a layer; ``None`` if they say nothing."""
        return self._layer_types.get(layer)

    def split(self, trace: HeadTrace) -> SplitHeads:
        """Return the split heads of a layer; cached until ``forget_heads``.

        Raises:
            NoEvidence: the heads cannot be split.
        """
        if self._split is None or self._split[0] is not trace:
            self._split = trace, split_heads(trace)
        return self._split[1]

    def measure_norms(self, trace: HeadTrace) -> torch.Tensor:
        """Return ``‖v_k W_O‖`` of the heads of a layer, ``[head, key_pos]``; cached until ``forget_heads``.

        Raises:
            NoEvidence: the norms cannot be measured.
        """
        if self._norms is None or self._norms[0] is not trace:
            self._norms = trace, measure_value_norms(self.split(trace))
        return self._norms[1]

    def forget_heads(self) -> None:
        """Release the cached heads of a layer, because the next layer needs the memory."""
        self._split = self._norms = None

    def end(self, logits: Logits) -> None:
        """Receive the logits at the end of the pass."""
        self._logits = logits

    @cached_property
    def output(self) -> tuple[torch.Tensor, torch.Tensor, LogitScale]:
        """Inputs of the unembedding at ``rows``, the logits at ``rows``, and the scale of the logits.

        Raises:
            NoEvidence: the unembedding did not run during the pass, or its output does not explain the logits.
        """
        logits, unembedded = (None, None) if self._logits is None else self._logits.read(self.rows)
        if logits is None or unembedded is None:
            raise NoEvidence("its unembedding did not run during the pass")
        return unembedded, logits, LogitScale.fit(self.network, self.unembed, unembedded, logits)


class KindCollector(Observer):
    """Measures one kind of evidence in one run.

    ``see_rows`` receives the query rows of a layer in blocks of any size. Head outputs and the residual stream are
    available only at the requested positions. If a method raises an exception, only this kind of evidence is missing,
    and the reason is recorded.

    Attributes:
        kind: name of the kind of evidence.
        run: the measured run.
    """

    kind: str

    def __init__(self, run: TracedRun) -> None:
        """Prepare for the forward pass.

        Raises:
            NoEvidence: this kind of evidence cannot be measured on the network.
        """
        self.run = run

    @classmethod
    def count_bytes(cls, token_ids: Sequence[int], length: int, num_layers: int) -> int:
        """Return the memory that this kind takes, as ``Collector.count_bytes`` does; 0 if it grows with the length."""
        return 0

    def run_again(self, methods: Sequence[str], watch: Watch) -> None:
        """Measure requested evidence that needs more runs of the network, after the forward pass.

        Args:
            methods: names of the ablation methods, from ``records.EXTRA_EVIDENCE``.
            watch: progress callback.
        """

    def finish(self) -> Any:
        """Return the measured value; ``None`` if it was not requested or nothing was measured.

        Raises:
            NoEvidence: the value could not be measured.
        """
        raise NotImplementedError
