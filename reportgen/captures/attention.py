"""Capture attention weights from a recorded generation, or in a forward pass over prompt and generated tokens.

This is the second half of a capture; ``generation`` is the first. Row ``num_prompt_tokens - 1 + step`` is the attention
of generation step ``step``. Only a few query rows of one layer are in memory at a time: they are checked,
packed into the result and released.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from reportgen.captures.quantization import quantize_sqrt
from reportgen.instrumentation.anatomy import has_sink
from reportgen.instrumentation.logits import Logits, run_pass
from reportgen.instrumentation.observer import HeadTrace, Observer, RowTrace, TracedText
from reportgen.instrumentation.recording import Recording
from reportgen.instrumentation.strategy import CaptureStrategy, find_strategy
from reportgen.records.errors import CaptureMismatch, UnsupportedModel

_ROW_SUM_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_HALF_TOLERANCE = 2e-2
_WIDE_BYTES = 1 << 31
"""Largest size in bytes of the float16 weights of a capture; larger captures are quantized to one byte per weight."""


@dataclass(frozen=True)
class CaptureRequest:
    """What to capture of one text.

    Attributes:
        token_ids: ids of prompt and generated tokens.
        layers: layers to capture; layers without attention are skipped.
        heads: heads to capture.
        rows: positions whose residual stream the observers receive.
        observers: further observers of the pass; they receive the weights before quantization.
    """

    token_ids: Sequence[int]
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    rows: slice = field(default_factory=lambda: slice(0, 0))
    observers: Sequence[Observer] = ()


@dataclass(frozen=True)
class AttentionResult:
    """Attention and logits of one text.

    Attributes:
        layers: numbers of the captured layers, ascending.
        triangles: attention weights, ``[layer, head, cell]`` float16, or one-byte codes if that would be over 2 GiB;
            lower triangles, row by row.
        logits: logits of every position.
        sink_mass: weight of the learned sink in each row, float32 ``[layer, head, query_pos]``; ``None`` if no captured
            layer has one.
    """

    layers: tuple[int, ...]
    triangles: NDArray[np.float16] | NDArray[np.uint8]
    logits: Logits
    sink_mass: NDArray[np.float32] | None


def attend(
    network: PreTrainedModel,
    strategy: CaptureStrategy,
    texts: Sequence[CaptureRequest],
    num_heads: int,
    recording: Recording | None = None,
    rows: Sequence[int] | None = None,
) -> list[AttentionResult]:
    """Return the attention of the selected layers and heads, from a recording or from a pass over a batch of texts.

    Args:
        network: in evaluation mode; its attention implementation is restored afterwards.
        strategy: its capture strategy.
        texts: the batch; the results of a text do not depend on the others.
        num_heads: number of heads per layer.
        recording: recording of the generation of these texts; ``None`` if there is none.
        rows: row of each text in the recording; ``None`` if they are all of its texts in order.

    Returns:
        Weights and logits of each text.

    Raises:
        CaptureMismatch: the output of a layer is not causal attention over these tokens.
    """
    packers = [_Packer(text, [layer for layer in text.layers if layer in strategy.layers], num_heads) for text in texts]
    traced = [
        TracedText(text.token_ids, text.rows, (packer, *text.observers))
        for text, packer in zip(texts, packers, strict=True)
    ]
    if recording is None:
        logits = run_pass(network, traced, fast=strategy.fast, chunked_logits=strategy.chunked_logits)
    else:
        logits = recording.show(traced, rows)
    return [packer.finish(text_logits) for packer, text_logits in zip(packers, logits, strict=True)]


def find_capture_strategy(network: PreTrainedModel) -> CaptureStrategy:
    """Return the capture strategy of a network; raise if it has no attention weights.

    Raises:
        UnsupportedModel: no module of the network returns attention weights.
    """
    strategy = find_strategy(network)
    if not strategy.layers:
        raise UnsupportedModel(
            f"{type(network).__name__}: none of its modules returns attention weights in eager mode; "
            "use a model with softmax attention"
        )
    return strategy


def choose_dtype(num_layers: int, num_heads: int, length: int) -> type[np.float16] | type[np.uint8]:
    """Return the dtype in which the weights of a capture are stored.

    The dtype depends only on the number of weights, so that a prompt gives the same page on every machine.
    """
    return np.float16 if 2 * num_layers * num_heads * count_cells(length) <= _WIDE_BYTES else np.uint8


def count_cells(length: int) -> int:
    """Return the number of cells of a lower triangle with ``length`` rows, including the diagonal."""
    return length * (length + 1) // 2


def count_bytes(length: int, num_layers: int, num_heads: int, *, fast: bool) -> int:
    """Estimate the memory of a capture and its page in bytes, without the model.

    Args:
        length: number of positions.
        num_layers: number of captured layers.
        num_heads: number of captured heads.
        fast: whether fast attention is used; with eager attention, the scores of a whole layer, their softmax and a
            copy are in memory.
    """
    cells = num_layers * num_heads * count_cells(length)
    stored = cells * np.dtype(choose_dtype(num_layers, num_heads, length)).itemsize
    eager = 0 if fast else 3 * 4 * num_heads * length * length
    return stored + max(eager, cells)  # the page holds one byte per cell, compressed


class _Packer(Observer):
    """Checks the weights of each layer and stores the selected ones."""

    def __init__(self, text: CaptureRequest, layers: list[int], num_heads: int) -> None:
        self._layers, self._heads, self._num_heads = layers, list(text.heads), num_heads
        self._length = len(text.token_ids)
        dtype = choose_dtype(len(layers), len(text.heads), self._length)
        self._attention: NDArray[Any] = np.empty((len(layers), len(text.heads), count_cells(self._length)), dtype)
        self._sinks: NDArray[np.float32] | None = None
        self._seen: set[int] = set()

    def see_heads(self, trace: HeadTrace) -> None:
        layer = trace.layer
        if layer in self._seen:
            raise CaptureMismatch(
                f"layer {layer}: it returned attention more than once; use a model that returns it once per layer"
            )
        self._seen.add(layer)
        expected = (self._num_heads, self._length, self._length)
        if layer in self._layers and trace.shape != expected:
            raise CaptureMismatch(
                f"layer {layer}: attention has shape {trace.shape}, not {expected}; use a model whose layers all have "
                "the same shape of attention"
            )

    def see_rows(self, trace: RowTrace) -> None:
        if trace.layer in self._layers:
            _check(trace)
            weights = trace.weights if len(self._heads) == self._num_heads else trace.weights[self._heads]
            index = self._layers.index(trace.layer)
            self._pack(index, trace.first, weights)
            if has_sink(trace.module):
                self._measure_sink(index, trace.first, weights)

    def _pack(self, place: int, first: int, weights: torch.Tensor) -> None:
        # Convert the whole block at once; slicing the rows in numpy costs little.
        packed: NDArray[Any] = (
            weights.half().cpu().numpy()
            if self._attention.dtype == np.float16
            else quantize_sqrt(weights.float().cpu().numpy())
        )
        for row in range(packed.shape[1]):
            query_pos = first + row
            start = count_cells(query_pos)
            self._attention[place, :, start : start + query_pos + 1] = packed[:, row, : query_pos + 1]

    def _measure_sink(self, place: int, first: int, weights: torch.Tensor) -> None:
        """Store the weight of a learned sink, which is 1 minus the sum of the row; it is 0 in layers without one."""
        if self._sinks is None:
            self._sinks = np.zeros((*self._attention.shape[:2], self._length), np.float32)
        sink_mass = (1 - weights.sum(-1, dtype=torch.float32)).clamp(0, 1)
        self._sinks[place, :, first : first + sink_mass.shape[1]] = sink_mass.cpu().numpy()

    def finish(self, logits: Logits) -> AttentionResult:
        missing = [layer for layer in self._layers if layer not in self._seen]
        if missing:
            raise CaptureMismatch(
                f"layer {missing[0]}: it returned attention for a few test tokens, but none for this text; do not "
                "select this layer"
            )
        return AttentionResult(tuple(self._layers), self._attention, logits, self._sinks)


def _check(trace: RowTrace) -> None:
    layer = f"layer {trace.layer}"
    weights, last = trace.weights, trace.first + trace.weights.shape[1]
    tolerance = _ROW_SUM_TOLERANCE.get(trace.dtype, _HALF_TOLERANCE)
    sums = weights.sum(-1, dtype=torch.float32)
    smallest, largest = float(sums.min()), float(sums.max())
    if not torch.isfinite(sums).all():
        cause = "float16 overflows; try --dtype bfloat16 or" if trace.dtype == torch.float16 else "try --dtype"
        raise CaptureMismatch(f"{layer}: attention holds NaN or infinity; {cause} float32")
    if weights[:, :, last:].any() or weights[:, :, trace.first : last].triu(1).any():
        raise CaptureMismatch(f"{layer}: a position attends to a later one; use a causal model")
    # A learned sink may take any part of the weight.
    lowest = -tolerance if has_sink(trace.module) else 1 - tolerance
    if largest > 1 + tolerance or smallest < lowest:
        raise CaptureMismatch(
            f"{layer}: rows of attention sum to {smallest:.4f} … {largest:.4f}, not to 1; use a model with softmax "
            "attention"
        )
