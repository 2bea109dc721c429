"""The record of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.file import load_record, save_record
from reportgen.captures.quantization import dequantize_sqrt
from reportgen.records import LayerType, ModelInfo, Prediction, Prompt, Step, Token
from reportgen.records.evidence import EVIDENCE_TYPES, Evidence, Shape, Sizes

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

    def save(self, path: Path | str, key: str = "") -> None:
        """Write the capture to a file, whose format docs/capture-format.md describes.

        Args:
            path: the file, usually called ``NAME.safetensors``; an existing file is replaced.
            key: cache key of the capture's page; empty if it has none.

        Raises:
            OSError: the file cannot be written; the old file is unchanged.
            TypeError: the capture has a value of a type that no field of a capture has.
        """
        save_record(self, Path(path), key)

    @staticmethod
    def load(path: Path | str) -> Capture:
        """Read a capture from a file that ``save`` wrote.

        Returns:
            A capture equal to the one that was saved, to the last bit.

        Raises:
            CaptureFileError: the file does not exist, is not a capture, is cut short, or has another version of the
                format.
        """
        return load_with_key(path)[0]

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


def load_with_key(path: Path | str) -> tuple[Capture, str]:
    """Read a capture from a file, as ``Capture.load`` does, and the key that it was saved with."""
    return load_record(Capture, Path(path), _check_shapes)


def _check_shapes(capture: Capture) -> None:
    """Check that the arrays fit the tokens, layers and heads of a capture.

    Raises:
        ValueError: one does not.
    """
    num_tokens, steps = capture.num_tokens, len(capture.steps)
    grid = (len(capture.layers), len(capture.heads))
    if not 0 < capture.num_prompt_tokens == num_tokens - steps or not all(grid):
        raise ValueError(f"{num_tokens} tokens cannot be {capture.num_prompt_tokens} of a prompt and {steps} generated")
    if len(capture.prompt_predictions) != capture.num_prompt_tokens - 1:
        raise ValueError(f"{len(capture.prompt_predictions)} predictions for {capture.num_prompt_tokens} prompt tokens")
    sizes = Sizes(*grid, num_tokens, steps)
    weights = np.uint8 if capture.attention.dtype == np.uint8 else np.float16
    shapes = [Shape("attention", capture.attention, (*grid, sizes.num_cells), weights)]
    if capture.sink_mass is not None:
        shapes.append(Shape("sink_mass", capture.sink_mass, (*grid, num_tokens)))
    for kind, value in capture.evidence.measured.items():
        for item in EVIDENCE_TYPES[kind].shapes(value, sizes):
            shapes.append(item._replace(name=f"evidence.{kind}.{item.name}".rstrip(".")))
    for name, array, shape, dtype in shapes:
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f"{name!r} is {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}")
