"""One forward pass, watched: what its attention modules and layers did, told as it happens.

Hooks hand each attention module's weights on, some query rows at a time, and let go of them before the next layer. What
the weights were multiplied with is taken from that very product, whatever the network calls it. Several texts of
different lengths may run at once; each has its own observers, who see nothing of the others.
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
"""What weights are made with; linear attention, which has none of them, gives its state in their place."""
_FAST_ATTENTION = functional.scaled_dot_product_attention
_FAST_ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
_CELLS = 1 << 19
"""Weights that are alive at once where they are worked out: few enough to stay in a processor's cache."""


def trace(network: PreTrainedModel, texts: Sequence[TracedText], *, fast: bool = False, **options: Any) -> Any:
    """Run one forward pass and tell observers of it.

    Args:
        network: in evaluation mode; its attention implementation is put back afterwards.
        texts: run side by side; shorter ones are padded at their end, which no position before it can see.
        fast: with ``scaled_dot_product_attention``, from whose queries and keys weights are worked out; else with eager
            attention, which gives them itself.
        **options: for the network's forward.

    Returns:
        What the network gave, padding among it.

    Raises:
        CaptureMismatch: weights worked out do not give what the fast attention gave.
    """
    implementation = "sdpa" if fast else "eager"
    with torch.inference_mode(), using(network, implementation), _Watch(network, texts, fast):
        return network(**make_inputs(network, [text.token_ids for text in texts]), **options)


def is_attention(part: Any) -> bool:
    """Say whether an output of an attention module is its weights: they alone have four axes."""
    return isinstance(part, torch.Tensor) and part.ndim == 4


class _Watch(TorchFunctionMode):
    """The hooks of one pass."""

    def __init__(self, network: PreTrainedModel, texts: Sequence[TracedText], fast: bool) -> None:
        super().__init__()
        self._network, self._texts, self._fast = network, texts, fast
        self._length = max(len(text.token_ids) for text in texts)
        self._home = output_device(network)  # of all that observers see, wherever it was made
        self._hooks = ExitStack()
        self._inside = False  # of an attention module
        self._softmaxed = False  # inside of it
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
        """Note the products of weights and values that an attention module makes."""
        result = func(*args, **(kwargs or {}))
        if self._inside:
            if func is _FAST_ATTENTION:
                given: dict[str, Any] = dict(zip(_FAST_ARGUMENTS, args, strict=False)) | (kwargs or {})
                self._fast_calls.append((given, result))
                self._linear_calls.clear()  # what reads the heads comes after this
            elif func in _PRODUCTS and len(args) > 1 and self._could_weigh(*args[:2]):
                self._products.append((args[0], args[1]))
                self._linear_calls.clear()  # likewise
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
            several = isinstance(output, tuple | list)
            given = [part for part in output if is_attention(part)] if several and self._softmaxed else []
            for place, text in enumerate(self._texts):
                for weighing in self._weighings(given, place, len(text.token_ids)):
                    self._tell(layer, module, place, weighing)
            self._forget()
            # Nobody reads them further on; emptied, they do not pile up over the layers.
            emptied = (part.new_empty(0) if is_attention(part) else part for part in output)
            return _make_like(output, emptied) if given else output

        def note(linear: nn.Module, given: tuple[Any, ...], gave: torch.Tensor) -> None:
            if given:
                self._linear_calls.append((linear, given[0], gave))

        self._add(module.register_forward_pre_hook(enter, with_kwargs=True))
        for linear in linear_maps(module):
            self._add(linear.register_forward_hook(note))
        self._add(module.register_forward_hook(leave))

    def _forget(self) -> None:
        for noted in (self._products, self._fast_calls, self._linear_calls):
            noted.clear()

    def _weighings(self, given: Sequence[torch.Tensor], place: int, length: int) -> Iterator[Weighing]:
        """Yield what the module weighed on one text: what it gave, or what its calls of fast attention say."""
        for weights in () if self._fast else given:
            values = self._values_of(weights)
            per_text = weights.shape[1]
            own = None if values is None else values[place * per_text : (place + 1) * per_text, :length]
            # Padding is cut off, and nothing else: what has another shape must be seen to have it.
            rows, keys = (slice(length if size == self._length else size) for size in weights.shape[2:])
            yield EagerWeights(weights[place, :, rows, keys], own)
        for call, mixture in self._fast_calls if self._fast else ():
            if call["query"].ndim == 4 and call["query"].shape[2] == call["key"].shape[2] == self._length:
                weighing = SdpaWeights.of_call(call, place, length)
                _check_mixture(weighing, mixture[place])
                yield weighing

    def _tell(self, layer: int, module: nn.Module, place: int, weighing: Weighing) -> None:
        text, length = self._texts[place], len(self._texts[place].token_ids)
        at_rows = _whole_rows(weighing, *text.rows.indices(length)[:2]).to(self._home)
        values = weighing.values
        values = None if values is None else values.to(self._home)
        nothing = at_rows.new_empty(0, 1)
        projection, *maps = self._linear_calls[-1] if self._linear_calls else (None, nothing, nothing)
        z, attn_out = (self._own(part, place).to(self._home) if self._is_of_all(part) else nothing for part in maps)
        heads = HeadTrace(layer, module, weighing.shape, at_rows, values, projection, z, attn_out)
        for observer in text.observers:
            observer.see_heads(heads)
        at_once = max(1, _CELLS // (weighing.shape[0] * length))
        for first in reversed(range(0, length, at_once)):
            weights = weighing.rows(first, min(first + at_once, length)).to(self._home)
            rows = RowTrace(layer, module, weighing.dtype, first, weights)
            for observer in text.observers:
                observer.see_rows(rows)

    def _is_of_all(self, value: torch.Tensor) -> bool:
        """Whether a tensor holds something for each position of each text."""
        return value.shape[:-1].numel() == len(self._texts) * self._length

    def _own(self, value: torch.Tensor, place: int) -> torch.Tensor:
        """One text's part of ``[batch, position, …]``, or of the same with the first two axes in one."""
        return value.reshape(len(self._texts), self._length, -1)[place, : len(self._texts[place].token_ids)]

    def _values_of(self, weights: torch.Tensor) -> torch.Tensor | None:
        """What these weights were multiplied with; key/value heads that several heads share are repeated.

        Returns:
            ``[batch * head, key_pos, size]``.
        """
        found = [
            values
            for first, values in self._products
            if first.data_ptr() == weights.data_ptr() and first.numel() == weights.numel()
        ]
        if not found:
            return None
        values = found[-1].reshape(-1, *found[-1].shape[-2:])
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
            for place, text in enumerate(self._texts):
                calls = tuple(Call(part, rows[place], made[place]) for part, rows, made in self._calls)
                seen = LayerTrace(layer, self._resid_pre[place], resid_post[place], calls)
                for observer in text.observers:
                    observer.see_layer(seen)

        def note(part: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            rows, made = self._rows_of(_first(given, named)), self._rows_of(output)
            if rows is not None and made is not None:
                self._calls.append((part, rows, made))

        self._add(module.register_forward_pre_hook(enter, with_kwargs=True))
        for part in module.children():
            self._add(part.register_forward_hook(note, with_kwargs=True))
        self._add(module.register_forward_hook(leave))

    def _rows_of(self, value: Any) -> list[torch.Tensor] | None:
        """The positions asked for of ``[batch, position, width]``, by text; it may be the first of several outputs."""
        value = value[0] if isinstance(value, tuple) and value else value
        if not isinstance(value, torch.Tensor) or value.ndim not in (2, 3) or not self._is_of_all(value):
            return None
        # Copies: networks add to the residual stream in place, and a slice would keep all positions alive.
        return [self._own(value, place)[text.rows].clone().to(self._home) for place, text in enumerate(self._texts)]


def _whole_rows(weighing: Weighing, first: int, last: int) -> torch.Tensor:
    """Return some rows with all keys, those that no row sees as zeros."""
    rows = weighing.rows(first, max(first, last))
    return nn.functional.pad(rows, (0, weighing.shape[-1] - rows.shape[-1]))


def _check_mixture(weighing: SdpaWeights, mixture: torch.Tensor) -> None:
    """Hold weights that were worked out against what the fast attention made of them, at the last position."""
    last = weighing.shape[1] - 1
    expected = mixture[:, last].float()
    found = (_whole_rows(weighing, last, last + 1) @ weighing.values.float())[:, 0]
    error = float((found - expected).abs().max()) / max(float(expected.abs().max()), torch.finfo(torch.float32).tiny)
    if not error <= tolerance_of(weighing.dtype):
        raise CaptureMismatch(
            f"weights worked out from queries and keys are {error:.1%} away from what the fast attention gave; "
            "load the model with attn_implementation='eager'"
        )


def _make_like(output: Any, parts: Iterable[Any]) -> Any:
    return type(output)._make(parts) if hasattr(output, "_make") else type(output)(parts)


def _ask_for_weights(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Change the arguments of an attention module that keeps its weights to itself unless it is asked for them."""
    names = list(inspect.signature(module.forward).parameters)
    if "output_attentions" not in names:
        return None
    place = names.index("output_attentions")
    if place < len(given):
        return (*given[:place], True, *given[place + 1 :]), named
    return given, {**named, "output_attentions": True}


def _first(given: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return given[0] if given else named.get("hidden_states")
