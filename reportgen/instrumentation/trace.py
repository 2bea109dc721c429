"""Run one forward pass over whole texts, and show the activations of attention modules and layers to observers.

The weights of each attention module are shown a few query rows at a time, and released before the next layer. The
values are taken from the matrix product with the weights, independent of their name in the network. A batch may contain
texts of different lengths. The observers of a text receive only the activations of that text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from reportgen.instrumentation.attention_weights import EagerWeights, SdpaWeights, Weighing
from reportgen.instrumentation.hooks import Hooks, LinearCall
from reportgen.instrumentation.inputs import make_inputs, using
from reportgen.instrumentation.observer import Call, LayerTrace, TracedText
from reportgen.instrumentation.showing import check_mixture, show_attention


def trace(network: PreTrainedModel, texts: Sequence[TracedText], *, fast: bool = False, **options: Any) -> Any:
    """Run one forward pass and call the observers of its texts.

    Args:
        network: in evaluation mode; its attention implementation is restored afterwards.
        texts: the batch; shorter texts are padded on the right, where causal attention does not see the padding.
        fast: use ``scaled_dot_product_attention`` and compute the weights from its queries and keys; otherwise use
            eager attention, which returns them.
        **options: further arguments of the network's ``forward`` method.

    Returns:
        The output of the network, including padding.

    Raises:
        CaptureMismatch: the computed weights do not reproduce the output of fast attention.
    """
    implementation = "sdpa" if fast else "eager"
    with torch.inference_mode(), using(network, implementation), _Watch(network, texts, fast=fast):
        return network(**make_inputs(network, [text.token_ids for text in texts]), **options)


class _Watch(Hooks):
    """The hooks of one pass over whole texts."""

    def __init__(self, network: PreTrainedModel, texts: Sequence[TracedText], *, fast: bool) -> None:
        super().__init__(network, fast=fast)
        self._texts = texts
        self._length = max(len(text.token_ids) for text in texts)

    def could_weigh(self, weights: Any, values: Any) -> bool:
        square = weights.ndim >= 3 and tuple(weights.shape[-2:]) == (self._length, self._length)
        return square and values.ndim >= 3 and values.shape[-2] == self._length

    def see_attention(self, layer: int, module: nn.Module, returned: Sequence[torch.Tensor]) -> None:
        for index, text in enumerate(self._texts):
            for weighing in self._weighings(returned, index, len(text.token_ids)):
                show_attention(text, layer, module, weighing, self._projected(index, text), self.home)

    def _projected(self, place: int, text: TracedText) -> LinearCall | None:
        """Return the last call of a linear map at a text's rows."""
        if not self.linear_calls:
            return None
        linear, *tensors = self.linear_calls[-1]
        rows = [
            self._own(part, place)[text.rows] if self._is_of_all(part) else part.new_empty(0, 1) for part in tensors
        ]
        return LinearCall(linear, *rows)

    def _weighings(self, given: Sequence[torch.Tensor], place: int, length: int) -> Iterator[Weighing]:
        """Yield the module's weights on one text, which it returned or which its fast attention calls give."""
        for weights in () if self._fast else given:
            values = self._values_of(weights)
            per_text = weights.shape[1]
            text_values = None if values is None else values[place * per_text : (place + 1) * per_text, :length]
            # Only padding is cut off; a tensor of another shape keeps it, so that observers can report it.
            rows, keys = (slice(length if size == self._length else size) for size in weights.shape[2:])
            yield EagerWeights(weights[place, :, rows, keys], text_values)
        for call, mixture in self.fast_calls if self._fast else ():
            if call["query"].ndim == 4 and call["query"].shape[2] == call["key"].shape[2] == self._length:
                weighing = SdpaWeights.of_call(call, place, length)
                check_mixture(weighing, mixture[place, :, length - 1])
                yield weighing

    def _is_of_all(self, value: torch.Tensor) -> bool:
        """Return whether a tensor has an entry for each position of each text."""
        return value.shape[:-1].numel() == len(self._texts) * self._length

    def _own(self, value: torch.Tensor, place: int) -> torch.Tensor:
        """Return one text's part of ``[batch, position, …]``, whose first two axes may be merged."""
        return value.reshape(len(self._texts), self._length, -1)[place, : len(self._texts[place].token_ids)]

    def _values_of(self, weights: torch.Tensor) -> torch.Tensor | None:
        """Return the values that weights were multiplied with; shared key/value heads are repeated.

        Returns:
            ``[batch * head, key_pos, size]``; ``None`` if no such product was recorded.
        """
        candidates = [
            values
            for first, values in self.products
            if first.data_ptr() == weights.data_ptr() and first.numel() == weights.numel()
        ]
        if not candidates:
            return None
        values = candidates[-1].reshape(-1, *candidates[-1].shape[-2:])
        times, rest = divmod(weights.shape[0] * weights.shape[1], len(values))
        return None if rest or times == 0 else values.repeat_interleave(times, 0)

    def pick(self, value: torch.Tensor) -> list[torch.Tensor] | None:
        """Return the requested rows of each text."""
        if not self._is_of_all(value):
            return None
        # Clones, because networks modify the residual stream in place, and a slice keeps all positions in memory.
        return [self._own(value, index)[text.rows].clone().to(self.home) for index, text in enumerate(self._texts)]

    def see_layer(
        self, layer: int, resid_pre: Any, resid_post: Any, calls: Sequence[tuple[nn.Module, Any, Any]]
    ) -> None:
        for index, text in enumerate(self._texts):
            own = tuple(Call(part, given[index], gave[index]) for part, given, gave in calls)
            layer_trace = LayerTrace(layer, resid_pre[index], resid_post[index], own)
            for observer in text.observers:
                observer.see_layer(layer_trace)
