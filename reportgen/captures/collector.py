"""What a capture asks of whoever measures evidence beside it; it knows no kind of evidence itself."""

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
"""Is told how many heads are ablated, of how many, and about how many seconds are left."""


class Collector(Observer):
    """Measures evidence of one text while its pass runs.

    Attributes:
        token_ids: prompt and generated tokens.
        rows: positions whose residual stream is wanted.
    """

    token_ids: list[int]
    rows: slice

    @abstractmethod
    def end(self, logits: Logits) -> None:
        """Take the logits of the pass, which is over."""

    @abstractmethod
    def ablate(self, methods: Sequence[str], watch: Watch) -> None:
        """Take out each head that is kept, by methods of ``records.EXTRA_EVIDENCE``; may run the network again."""

    @abstractmethod
    def finish(self, make_token: Callable[[int], Token]) -> Evidence:
        """Return what was measured, with the reason for what could not be."""


MakeCollector = Callable[[PreTrainedModel, list[int], Sequence[int], Sequence[int], torch.Tensor], Collector]
"""Makes a collector of a network, token ids, the layers and heads to keep, and ids of other tokens ``[step, rank]``."""
