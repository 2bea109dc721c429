"""Interface between a capture and the code that measures evidence during its pass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from transformers import PreTrainedModel

from reportgen.instrumentation.logits import Logits
from reportgen.instrumentation.observer import Observer
from reportgen.records import LayerType, Span, Token
from reportgen.records.evidence import Evidence

Watch = Callable[[int, int, float], None]
"""Progress callback: called with the number of ablated heads, their total, and the estimated seconds left."""


@dataclass(frozen=True)
class CollectorInput:
    """Input of a collector: one text, before the pass in which its evidence is measured.

    Attributes:
        network: the network that runs the text.
        token_ids: ids of prompt and generated tokens.
        layers: numbers of the captured layers.
        heads: numbers of the captured heads.
        runners_up: ids of the most probable tokens that each step did not choose, ``[step, rank]``.
        layer_types: what the model's modules and config say of each of its layers.
        foils: step and token id of each token that the chosen token of a step is compared with.
        no_steps: why there are no steps; empty if there are.
        without: what not to measure, of ``records.OPTIONAL``.
        spans: named parts of the text.
    """

    network: PreTrainedModel
    token_ids: list[int]
    layers: Sequence[int]
    heads: Sequence[int]
    runners_up: torch.Tensor
    layer_types: Sequence[LayerType] = ()
    foils: Sequence[tuple[int, int]] = ()
    no_steps: str = ""
    without: Sequence[str] = ()
    spans: Sequence[Span] = ()


class Collector(Observer):
    """Observer that measures evidence of one text during its pass.

    Attributes:
        token_ids: ids of prompt and generated tokens.
        rows: positions whose residual stream the collector needs.
    """

    token_ids: list[int]
    rows: slice

    @classmethod
    def count_bytes(cls, token_ids: Sequence[int], length: int, num_layers: int, without: Sequence[str] = ()) -> int:
        """Return the memory in bytes that a collector takes during a run, beside the attention of the capture.

        Args:
            token_ids: ids of the prompt tokens.
            length: number of prompt and generated tokens.
            num_layers: number of layers of the model.
            without: as in ``CollectorInput``.
        """
        return 0

    @classmethod
    def follows_stream(cls, without: Sequence[str]) -> bool:
        """Return whether a collector looks at the residual stream around layers, if ``without`` is left out."""
        return False

    @abstractmethod
    def end(self, logits: Logits) -> None:
        """Receive the logits at the end of the pass."""

    @abstractmethod
    def ablate(self, methods: Sequence[str], watch: Watch) -> None:
        """Ablate each captured head by each method; may run the network again.

        Args:
            methods: names of the ablation methods, from ``records.EXTRA_EVIDENCE``.
            watch: progress callback.
        """

    @abstractmethod
    def finish(self, make_token: Callable[[int], Token]) -> Evidence:
        """Return the evidence, with a reason for each kind that is not available.

        Args:
            make_token: returns the token for a token id.
        """


class MakeCollector(Protocol):
    """Creates the collector of a run; a class of collectors is one."""

    def __call__(self, given: CollectorInput, /) -> Collector:
        """Return the collector of a text."""
        ...

    def count_bytes(self, token_ids: Sequence[int], length: int, num_layers: int, without: Sequence[str]) -> int:
        """Return the same as ``Collector.count_bytes``."""
        ...

    def follows_stream(self, without: Sequence[str]) -> bool:
        """Return the same as ``Collector.follows_stream``."""
        ...
