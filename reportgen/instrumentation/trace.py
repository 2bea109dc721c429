"""Run one forward pass with hooks that pass the activations of attention modules and layers to observers.

Hooks pass the weights of each attention module to the observers, a few query rows at a time, and release them before
the next layer. The values are taken from the matrix product with the weights, independent of their name in the network.
A batch may contain texts of different lengths. The observers of a text receive only the activations of that text.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from reportgen.instrumentation.anatomy import (
    find_attention,
    find_layers,
    linear_maps,
    output_device,
    tolerance_of,
)
from reportgen.instrumentation.attention_weights import EagerWeights, SdpaWeights, Weighing
from reportgen.instrumentation.inputs import make_inputs, using
from reportgen.instrumentation.observer import Call, HeadTrace, LayerTrace, RowTrace, TracedText
from reportgen.records.errors import CaptureMismatch

_PRODUCTS = {torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm, torch.Tensor.bmm}
_SOFTMAXES = {functional.softmax, torch.softmax, torch.Tensor.softmax, torch.logsumexp, torch.Tensor.logsumexp}
"""Functions that compute weights; linear attention calls none of them and returns its state instead of weights."""
_FAST_ATTENTION = functional.scaled_dot_product_attention
_FAST_ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
_CELLS = 1 << 19
"""Maximum number of weights computed at a time from queries and keys; few enough to stay in the CPU's cache."""


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
    with torch.inference_mode(), using(network, implementation), _Watch(network, texts, fast):
        return network(**make_inputs(network, [text.token_ids for text in texts]), **options)


def is_attention(part: Any) -> bool:
    """Return whether an output of an attention module is its weights, the only output with four axes."""
    return isinstance(part, torch.Tensor) and part.ndim == 4


class _Watch(TorchFunctionMode):
    """The hooks of one pass."""

    def __init__(self, network: PreTrainedModel, texts: Sequence[TracedText], fast: bool) -> None:
        super().__init__()
        self._network, self._texts, self._fast = network, texts, fast
        self._length = max(len(text.token_ids) for text in texts)
        self._home = output_device(network)  # all tensors that observers receive are moved there
        self._hooks = ExitStack()
        self._inside = False  # whether an attention module is running
        self._softmaxed = False  # whether it has called a softmax
        self._products: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._fast_calls: list[tuple[dict[str, Any], torch.Tensor]] = []
        self._linear_calls: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = []
        self._calls: list[tuple[nn.Module, list[torch.Tensor], list[torch.Tensor]]] = []
        self._resid_pre: list[torch.Tensor] | None = None

    def __enter__(self) -> _Watch:
        for layer, module in find_attention(self._network):
            self._hook_attention(layer, module)
        for layer, module in find_layers(self._network).items():
            self._hook_layer(layer, module)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._hooks.close()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Record the products of weights and values inside an attention module."""
        result = func(*args, **(kwargs or {}))
        if self._inside:
            if func is _FAST_ATTENTION:
                arguments: dict[str, Any] = dict(zip(_FAST_ARGUMENTS, args, strict=False)) | (kwargs or {})
                self._fast_calls.append((arguments, result))
                self._linear_calls.clear()  # the output projection is called after attention
            elif func in _PRODUCTS and len(args) > 1 and self._could_weigh(*args[:2]):
                self._products.append((args[0], args[1]))
                self._linear_calls.clear()  # as above
            self._softmaxed |= func in _SOFTMAXES
        return result

    def _could_weigh(self, weights: Any, values: Any) -> bool:
        square = weights.ndim >= 3 and tuple(weights.shape[-2:]) == (self._length, self._length)
        return square and values.ndim >= 3 and values.shape[-2] == self._length

    def _add(self, hook: Any) -> None:
        self._hooks.callback(hook.remove)

    def _hook_attention(self, layer: int, module: nn.Module) -> None:
        def enter(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
            self._inside, self._softmaxed = True, False
            self._forget()
            return None if self._fast else _ask_for_weights(module, given, named)

        def leave(module: nn.Module, _: Any, output: Any) -> Any:
            self._inside = False
            is_sequence = isinstance(output, tuple | list)
            weights = [part for part in output if is_attention(part)] if is_sequence and self._softmaxed else []
            for index, text in enumerate(self._texts):
                for weighing in self._weighings(weights, index, len(text.token_ids)):
                    self._notify(layer, module, index, weighing)
            self._forget()
            # No later module reads the weights; empty tensors keep them from accumulating over the layers.
            emptied = (part.new_empty(0) if is_attention(part) else part for part in output)
            return _make_like(output, emptied) if weights else output

        def note(linear: nn.Module, given: tuple[Any, ...], gave: torch.Tensor) -> None:
            if given:
                self._linear_calls.append((linear, given[0], gave))

        self._add(module.register_forward_pre_hook(enter, with_kwargs=True))
        for linear in linear_maps(module):
            self._add(linear.register_forward_hook(note))
        self._add(module.register_forward_hook(leave))

    def _forget(self) -> None:
        for records in (self._products, self._fast_calls, self._linear_calls):
            records.clear()

    def _weighings(self, given: Sequence[torch.Tensor], place: int, length: int) -> Iterator[Weighing]:
        """Yield the module's weights on one text, which it returned or which its fast attention calls give."""
        for weights in () if self._fast else given:
            values = self._values_of(weights)
            per_text = weights.shape[1]
            text_values = None if values is None else values[place * per_text : (place + 1) * per_text, :length]
            # Only padding is cut off; a tensor of another shape keeps it, so that observers can report it.
            rows, keys = (slice(length if size == self._length else size) for size in weights.shape[2:])
            yield EagerWeights(weights[place, :, rows, keys], text_values)
        for call, mixture in self._fast_calls if self._fast else ():
            if call["query"].ndim == 4 and call["query"].shape[2] == call["key"].shape[2] == self._length:
                weighing = SdpaWeights.of_call(call, place, length)
                _check_mixture(weighing, mixture[place])
                yield weighing

    def _notify(self, layer: int, module: nn.Module, place: int, weighing: Weighing) -> None:
        text, length = self._texts[place], len(self._texts[place].token_ids)
        at_rows = _whole_rows(weighing, *text.rows.indices(length)[:2]).to(self._home)
        values = weighing.values
        values = None if values is None else values.to(self._home)
        empty = at_rows.new_empty(0, 1)
        projection, *tensors = self._linear_calls[-1] if self._linear_calls else (None, empty, empty)
        z, attn_out = (self._own(part, place).to(self._home) if self._is_of_all(part) else empty for part in tensors)
        heads = HeadTrace(layer, module, weighing.shape, at_rows, values, projection, z, attn_out)
        for observer in text.observers:
            observer.see_heads(heads)
        block_size = max(1, _CELLS // (weighing.shape[0] * length))
        for first in reversed(range(0, length, block_size)):
            weights = weighing.rows(first, min(first + block_size, length)).to(self._home)
            rows = RowTrace(layer, module, weighing.dtype, first, weights)
            for observer in text.observers:
                observer.see_rows(rows)

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
            for first, values in self._products
            if first.data_ptr() == weights.data_ptr() and first.numel() == weights.numel()
        ]
        if not candidates:
            return None
        values = candidates[-1].reshape(-1, *candidates[-1].shape[-2:])
        times, rest = divmod(weights.shape[0] * weights.shape[1], len(values))
        return None if rest or times == 0 else values.repeat_interleave(times, 0)

    def _hook_layer(self, layer: int, module: nn.Module) -> None:
        def enter(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            self._calls = []
            self._resid_pre = self._rows_of(_first(given, named))

        def leave(_: nn.Module, __: Any, output: Any) -> None:
            resid_post = self._rows_of(output)
            if self._resid_pre is None or resid_post is None:
                return
            for index, text in enumerate(self._texts):
                calls = tuple(Call(part, inputs[index], outputs[index]) for part, inputs, outputs in self._calls)
                layer_trace = LayerTrace(layer, self._resid_pre[index], resid_post[index], calls)
                for observer in text.observers:
                    observer.see_layer(layer_trace)

        def note(part: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            inputs, outputs = self._rows_of(_first(given, named)), self._rows_of(output)
            if inputs is not None and outputs is not None:
                self._calls.append((part, inputs, outputs))

        self._add(module.register_forward_pre_hook(enter, with_kwargs=True))
        for part in module.children():
            self._add(part.register_forward_hook(note, with_kwargs=True))
        self._add(module.register_forward_hook(leave))

    def _rows_of(self, value: Any) -> list[torch.Tensor] | None:
        """Return the requested rows of ``[batch, position, width]`` for each text; ``None`` for other shapes."""
        value = value[0] if isinstance(value, tuple) and value else value
        if not isinstance(value, torch.Tensor) or value.ndim not in (2, 3) or not self._is_of_all(value):
            return None
        # Clones, because networks modify the residual stream in place, and a slice keeps all positions in memory.
        return [self._own(value, index)[text.rows].clone().to(self._home) for index, text in enumerate(self._texts)]


def _whole_rows(weighing: Weighing, first: int, last: int) -> torch.Tensor:
    """Return the rows ``first .. last - 1`` over all keys; keys that were left out have weight 0."""
    rows = weighing.rows(first, max(first, last))
    return nn.functional.pad(rows, (0, weighing.shape[-1] - rows.shape[-1]))


def _check_mixture(weighing: SdpaWeights, mixture: torch.Tensor) -> None:
    """Check the computed weights against the output of fast attention, at the last position."""
    last = weighing.shape[1] - 1
    expected = mixture[:, last].float()
    computed = (_whole_rows(weighing, last, last + 1) @ weighing.values.float())[:, 0]
    error = float((computed - expected).abs().max()) / max(float(expected.abs().max()), torch.finfo(torch.float32).tiny)
    if not error <= tolerance_of(weighing.dtype):
        raise CaptureMismatch(
            f"weights computed from queries and keys differ by {error:.1%} from the output of fast attention; "
            "load the model with attn_implementation='eager'"
        )


def _make_like(output: Any, parts: Iterable[Any]) -> Any:
    return type(output)._make(parts) if hasattr(output, "_make") else type(output)(parts)


def _ask_for_weights(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Set ``output_attentions`` in the arguments of an attention module that has this argument."""
    names = list(inspect.signature(module.forward).parameters)
    if "output_attentions" not in names:
        return None
    index = names.index("output_attentions")
    if index < len(given):
        return (*given[:index], True, *given[index + 1 :]), named
    return given, {**named, "output_attentions": True}


def _first(given: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return given[0] if given else named.get("hidden_states")
