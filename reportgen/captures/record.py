"""The record of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.quantization import dequantize_sqrt
from reportgen.records import LayerType, ModelInfo, Prediction, Prompt, Step, Token
from reportgen.records.evidence import Evidence

# How far the log-probabilities of generation and of the pass that gave the attention may be apart by rounding alone.
# On SmolLM2 they are by up to 2e-5 in float32, 0.03 in float16 and 0.23 in bfloat16; what is farther apart than these
# was computed otherwise, or has lost what a page should show.
DRIFT_LIMIT = 0.01
HALF_DRIFT_LIMIT = 0.5


@dataclass(frozen=True, eq=False)
class Capture:
    """The record of one run: tokens, attention and predictions.

    Attributes:
        prompt: what was run.
        model: what it was run on.
        tokens: prompt tokens, then generated tokens, ``[position]``.
        num_prompt_tokens: how many of them are the prompt's.
        layers: the model's own numbers of the captured layers, those that have attention and were selected.
        heads: the captured heads.
        attention: weights as float16, or as the codes of ``captures.codes`` where that would be over 2 GiB,
            ``[layer, head, cell]``, the lower triangle of ``[query_pos, key_pos]`` row by row; axes 0 and 1 follow
            ``layers`` and ``heads``.
        prompt_predictions: the raw distribution that each prompt token after the first met, ``[position - 1]``.
        steps: one for each generated token.
        versions: name and version of the packages that the numbers depend on.
        evidence: what stands beside the weights.
        layer_types: what is special about each layer of the model, captured or not, in order; none where nobody looked.
        sink_mass: what a learned sink took of each row, float32 ``[layer, head, query_pos]``, measured before weights
            were rounded; ``None`` where no layer has one.
    """

    prompt: Prompt
    model: ModelInfo
    tokens: tuple[Token, ...]
    num_prompt_tokens: int
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    attention: NDArray[np.float16] | NDArray[np.uint8]
    prompt_predictions: tuple[Prediction, ...]
    steps: tuple[Step, ...]
    versions: Mapping[str, str]
    evidence: Evidence = field(default_factory=Evidence)
    layer_types: tuple[LayerType, ...] = ()
    sink_mass: NDArray[np.float32] | None = None

    @property
    def num_tokens(self) -> int:
        """Prompt and generated tokens together: the side of every pattern."""
        return len(self.tokens)

    @property
    def logprob_drift(self) -> float:
        """The largest of all steps; 0 without steps."""
        return max((step.logprob_drift for step in self.steps), default=0.0)

    @property
    def drift_limit(self) -> float:
        """How large that may be by rounding alone, in the number format of the model."""
        return DRIFT_LIMIT if self.model.dtype in ("float32", "float64") else HALF_DRIFT_LIMIT

    def save(self, path: Path | str) -> None:
        """Write the capture to a file, which docs/capture-format.md describes.

        Raises:
            OSError: it cannot be written.
        """
        _disk().save_capture(self, Path(path))

    @staticmethod
    def load(path: Path | str) -> Capture:
        """Read a capture from a file that ``save`` wrote.

        Raises:
            CaptureFileError: the file holds no capture, or one of another version.
        """
        return _disk().load_capture(Path(path))

    def query_pos_of_step(self, step: int) -> int:
        """Return the position whose row of attention predicted the token of a step.

        Args:
            step: 0-based generation step.

        Returns:
            The query position; the token of that step stands one further.

        Raises:
            IndexError: there is no such step.
        """
        if not 0 <= step < len(self.steps):
            raise IndexError(f"step {step}: this capture has {len(self.steps)} steps")
        return self.num_prompt_tokens - 1 + step

    def layer_type(self, layer: int) -> LayerType:
        """Return the kind of a layer; where nobody looked, one that is like the model."""
        found = {kind.layer: kind for kind in self.layer_types}.get(layer, LayerType(layer))
        return found if found.num_kv_heads else replace(found, num_kv_heads=self.model.num_kv_heads)

    def pattern(self, layer: int, head: int) -> NDArray[np.float32]:
        """Return the attention of one head.

        Args:
            layer: the model's own number of the layer.
            head: the model's own number of the head.

        Returns:
            ``[query_pos, key_pos]`` float32, 0 above the diagonal.

        Raises:
            KeyError: that layer or head was not captured.
        """
        if layer not in self.layers or head not in self.heads:
            raise KeyError(f"L{layer} H{head} was not captured; layers {self.layers}, heads {self.heads}")
        pattern = np.zeros((self.num_tokens, self.num_tokens), np.float32)
        triangle = self.attention[self.layers.index(layer), self.heads.index(head)]
        pattern[np.tri(self.num_tokens, dtype=bool)] = dequantize_sqrt(triangle)
        return pattern


def _disk() -> Any:
    """Return what reads and writes captures: it knows the record, so the record finds it only when asked to."""
    return import_module("reportgen.captures.file")
