"""Interface between a capture and the code that measures evidence during its pass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedModel

from reportgen.instrumentation.logits import Logits
from reportgen.instrumentation.observer import Observer
from reportgen.records import Token
from reportgen.records.evidence import Evidence

Watch = Callable[[int, int, float], None]
"""Progress callback: called with the number of ablated heads, their total, and the estimated seconds left."""


class Collector(Observer):
    """Observer that measures evidence of one text during its pass.

    Attributes:
        token_ids: ids of prompt and generated tokens.
        rows: positions whose residual stream the collector needs.
    """

    token_ids: list[int]
    rows: slice

    @abstractmethod
    def end(self, logits: Logits) -> None:
        """Receive the logits at the end of the pass."""

    @abstractmethod
    def ablate(self, methods: Sequence[str], watch: Watch) -> None:
        """Ablate each captured head, by methods of ``records.EXTRA_EVIDENCE``; may run the network again."""

    @abstractmethod
    def finish(self, make_token: Callable[[int], Token]) -> Evidence:
        """Return the evidence, with a reason for each kind that is not available."""


MakeCollector = Callable[[PreTrainedModel, list[int], Sequence[int], Sequence[int], torch.Tensor], Collector]
"""Creates a collector from network, token ids, captured layers and heads, and runner-up ids ``[step, rank]``."""
