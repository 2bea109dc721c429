"""One run under measurement: what the collectors of all kinds share, and what a collector is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch

from reportgen.captures.collector import CollectorInput, Watch
from reportgen.instrumentation.anatomy import output_device
from reportgen.instrumentation.heads import SplitHeads, measure_value_norms, split_heads
from reportgen.instrumentation.logits import Logits
from reportgen.instrumentation.observer import HeadTrace, Observer
from reportgen.instrumentation.unembedding import LogitScale, Unembedding
from reportgen.records import LayerType, Token
from reportgen.records.errors import NoEvidence


class TracedRun:
    """What the collectors of one run share: its tokens, and what is found once for all of them.

    Attributes:
        network: that runs.
        token_ids: prompt and generated tokens.
        layers: captured ones.
        heads: captured ones.
        runners_up: ids of the most probable other tokens, ``[step, rank]``.
        chosen: ids of the tokens that the steps chose, ``[step]``.
        rows: query positions that predicted them; without steps the one before the last token.
        device: where tensors of the pass are.
        make_token: makes a token of its id; set when the pass is over.
    """

    make_token: Callable[[int], Token]

    def __init__(self, given: CollectorInput) -> None:
        """Take what is known before the pass."""
        self.network, self.token_ids, self.runners_up = given.network, given.token_ids, given.runners_up
        self.layers, self.heads = given.layers, list(given.heads)
        self._layer_types = {layer_type.layer: layer_type for layer_type in given.layer_types}
        self.device = output_device(given.network)
        last, num_steps = len(given.token_ids) - 1, len(given.runners_up)
        chosen = given.token_ids[len(given.token_ids) - num_steps :]
        self.chosen = torch.tensor(chosen, device=self.device, dtype=torch.long)
        self.rows = slice(last - max(num_steps, 1), last) if last else slice(0, 1)
        self._logits: Logits | None = None
        self._split: tuple[HeadTrace, SplitHeads] | None = None
        self._norms: tuple[HeadTrace, torch.Tensor] | None = None

    @cached_property
    def unembed(self) -> Unembedding:
        """Final norm and unembedding.

        Raises:
            NoEvidence: they were not found.
        """
        return Unembedding.find(self.network)

    def find_layer_type(self, layer: int) -> LayerType | None:
        """Return what the model's modules and config say of a layer; ``None`` if they say nothing."""
        return self._layer_types.get(layer)

    def split(self, trace: HeadTrace) -> SplitHeads:
        """Return the heads of a layer one by one.

        Raises:
            NoEvidence: they cannot be split.
        """
        if self._split is None or self._split[0] is not trace:
            self._split = trace, split_heads(trace, self.rows)
        return self._split[1]

    def measure_norms(self, trace: HeadTrace) -> torch.Tensor:
        """Return ``‖v_k W_O‖`` of a layer's heads, ``[head, key_pos]``.

        Raises:
            NoEvidence: it cannot be measured.
        """
        if self._norms is None or self._norms[0] is not trace:
            self._norms = trace, measure_value_norms(self.split(trace))
        return self._norms[1]

    def forget_heads(self) -> None:
        """Let go of a layer's heads: the next layer needs the memory."""
        self._split = self._norms = None

    def end(self, logits: Logits) -> None:
        """Take the logits of the pass, which is over."""
        self._logits = logits

    @cached_property
    def output(self) -> tuple[torch.Tensor, torch.Tensor, LogitScale]:
        """What the unembedding read at ``rows``, the logits there, and how the network scales these.

        Raises:
            NoEvidence: the unembedding was not seen to run, or does not give these logits.
        """
        logits, unembedded = (None, None) if self._logits is None else self._logits.read(self.rows)
        if logits is None or unembedded is None:
            raise NoEvidence("its unembedding was not seen to run")
        return unembedded, logits, LogitScale.fit(self.network, self.unembed, unembedded, logits)


class KindCollector(Observer):
    """Measures one kind of evidence in one run.

    Query rows of a layer come in blocks of any size, ``see_rows``; head outputs and the residual stream come at
    single positions. A method that raises ends this kind, not the run, and the reason is kept.

    Attributes:
        kind: name of the kind.
        run: the run that is measured.
    """

    kind: str

    def __init__(self, run: TracedRun) -> None:
        """Get ready for the pass.

        Raises:
            NoEvidence: the kind cannot be measured on this network.
        """
        self.run = run

    def run_again(self, methods: Sequence[str], watch: Watch) -> None:
        """Run the network again, after the pass, for extra evidence that was asked for."""

    def finish(self) -> Any:
        """Return the value of the kind; ``None`` where it was not asked for.

        Raises:
            NoEvidence: it could not be measured.
        """
        raise NotImplementedError
