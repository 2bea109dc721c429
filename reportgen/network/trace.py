"""One forward pass, watched: what its attention modules and layers did, told as it happens.

Hooks hand each attention module's weights on and put an empty tensor in their place, so that one layer's weights are
alive at a time. What the weights were multiplied with is taken from that very product, whatever the network calls it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from reportgen.network.parts import find_attention, find_layers, input_device, linear_maps, output_device

_PRODUCTS = {torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm, torch.Tensor.bmm}


@dataclass(frozen=True)
class HeadTrace:
    """What one attention module did.

    Attributes:
        layer: its number.
        module: itself.
        weights: attention, ``[batch, head, query_pos, key_pos]``.
        values: what the weights were multiplied with, ``[head, key_pos, size]``; ``None`` where no such product was
            seen.
        projection: the last linear map that the module called; ``None`` where it has none.
        mixed: what that map read, ``[query_pos, head * size]``.
        projected: what it gave, ``[query_pos, width]``.
    """

    layer: int
    module: nn.Module
    weights: torch.Tensor
    values: torch.Tensor | None
    projection: nn.Module | None
    mixed: torch.Tensor
    projected: torch.Tensor


@dataclass(frozen=True)
class Call:
    """What a part of a layer was given and gave at some positions, ``[row, …]`` each."""

    module: nn.Module
    given: torch.Tensor
    gave: torch.Tensor


@dataclass(frozen=True)
class LayerTrace:
    """What one layer did to the residual stream at the positions asked for.

    Attributes:
        layer: its number.
        before: the residual stream, ``[row, width]``.
        after: the same behind the layer.
        calls: of the layer's own parts, in the order of time.
    """

    layer: int
    before: torch.Tensor
    after: torch.Tensor
    calls: tuple[Call, ...]


class Observer:
    """Who wants to see a pass; what is not overridden is not looked at."""

    def see_heads(self, trace: HeadTrace) -> None:
        """An attention module has run."""

    def see_layer(self, trace: LayerTrace) -> None:
        """A layer has run."""

    def see_end(self, unembedded: torch.Tensor, logits: torch.Tensor) -> None:
        """The pass is over.

        Args:
            unembedded: what the unembedding read at the positions asked for, ``[row, width]``.
            logits: what the network gave there, ``[row, vocabulary]``.
        """


def trace(
    network: PreTrainedModel, token_ids: Sequence[int], rows: slice, observers: Sequence[Observer]
) -> torch.Tensor:
    """Run one forward pass in eager mode and tell observers of it, in their order.

    Args:
        network: in evaluation mode; its attention implementation is put back afterwards.
        token_ids: prompt and generated tokens.
        rows: positions whose residual stream is wanted.
        observers: told of every attention module and layer; what they raise ends the pass.

    Returns:
        Logits, ``[position, vocabulary]``.
    """
    with torch.inference_mode(), _eager(network), _Watch(network, len(token_ids), rows, observers) as watch:
        logits = network(**make_inputs(network, token_ids)).logits[0]
        if watch.unembedded is not None:
            for observer in observers:
                observer.see_end(watch.unembedded, logits[rows].to(watch.unembedded.device))
    return logits


def is_attention(part: Any) -> bool:
    """Say whether an output of an attention module is its weights: they alone have four axes."""
    return isinstance(part, torch.Tensor) and part.ndim == 4


class _Watch(TorchFunctionMode):
    """The hooks of one pass."""

    def __init__(self, network: PreTrainedModel, length: int, rows: slice, observers: Sequence[Observer]) -> None:
        super().__init__()
        self.unembedded: torch.Tensor | None = None
        self._network, self._length, self._rows, self._observers = network, length, rows, observers
        self._home = output_device(network)  # of all that observers see, wherever it was made
        self._hooks = ExitStack()
        self._inside = False  # of an attention module
        self._products: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._linear_calls: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = []
        self._calls: list[Call] = []
        self._before: torch.Tensor | None = None

    def __enter__(self) -> _Watch:
        for layer, module in find_attention(self._network):
            self._hook_attention(layer, module)
        for layer, module in find_layers(self._network).items():
            self._hook_layer(layer, module)
        unembedding = self._network.get_output_embeddings()
        if isinstance(unembedding, nn.Module):
            self._add(unembedding.register_forward_pre_hook(self._note_unembedded))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._hooks.close()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note the products of weights and values that an attention module makes."""
        if self._inside and func in _PRODUCTS and len(args) > 1 and self._could_weigh(*args[:2]):
            self._products.append((args[0], args[1]))
        return func(*args, **(kwargs or {}))

    def _could_weigh(self, weights: Any, values: Any) -> bool:
        square = weights.ndim >= 3 and tuple(weights.shape[-2:]) == (self._length, self._length)
        return square and values.ndim >= 3 and values.shape[-2] == self._length

    def _add(self, hook: Any) -> None:
        self._hooks.callback(hook.remove)

    def _hook_attention(self, layer: int, module: nn.Module) -> None:
        def enter(*_: Any) -> None:
            self._inside = True
            self._products.clear()
            self._linear_calls.clear()

        def leave(module: nn.Module, _: Any, output: Any) -> Any:
            self._inside = False
            if not isinstance(output, tuple):
                return output
            for part in filter(is_attention, output):
                self._tell_heads(layer, module, part)
            self._products.clear()
            self._linear_calls.clear()
            # Nobody reads them further on; emptied, they do not pile up over the layers.
            return tuple(part.new_empty(0) if is_attention(part) else part for part in output)

        def note(linear: nn.Module, given: tuple[Any, ...], gave: torch.Tensor) -> None:
            if given:
                self._linear_calls.append((linear, given[0], gave))

        self._add(module.register_forward_pre_hook(enter))
        for linear in linear_maps(module):
            self._add(linear.register_forward_hook(note))
        self._add(module.register_forward_hook(leave))

    def _tell_heads(self, layer: int, module: nn.Module, weights: torch.Tensor) -> None:
        nothing = weights.new_empty(0)
        projection, mixed, projected = self._linear_calls[-1] if self._linear_calls else (None, nothing, nothing)
        values, home = self._values_of(weights), self._home
        seen = HeadTrace(
            layer, module, weights.to(home), None if values is None else values.to(home), projection,
            mixed.reshape(-1, mixed.shape[-1]).to(home), projected.reshape(-1, projected.shape[-1]).to(home),
        )  # fmt: skip
        for observer in self._observers:
            observer.see_heads(seen)

    def _values_of(self, weights: torch.Tensor) -> torch.Tensor | None:
        """What these weights were multiplied with; key/value heads that several heads share are repeated."""
        found = [
            values
            for first, values in self._products
            if first.data_ptr() == weights.data_ptr() and first.numel() == weights.numel()
        ]
        if not found:
            return None
        values = found[-1].reshape(-1, *found[-1].shape[-2:])
        times, rest = divmod(weights.shape[1], len(values))
        return None if rest or times == 0 else values.repeat_interleave(times, 0)

    def _hook_layer(self, layer: int, module: nn.Module) -> None:
        def enter(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            self._calls = []
            self._before = self._rows_of(_first(given, named))

        def leave(_: nn.Module, __: Any, output: Any) -> None:
            after = self._rows_of(output)
            if self._before is not None and after is not None:
                seen = LayerTrace(layer, self._before, after, tuple(self._calls))
                for observer in self._observers:
                    observer.see_layer(seen)

        def note(part: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            rows, made = self._rows_of(_first(given, named)), self._rows_of(output)
            if rows is not None and made is not None:
                self._calls.append(Call(part, rows, made))

        self._add(module.register_forward_pre_hook(enter, with_kwargs=True))
        for part in module.children():
            self._add(part.register_forward_hook(note, with_kwargs=True))
        self._add(module.register_forward_hook(leave))

    def _note_unembedded(self, _: nn.Module, given: tuple[Any, ...]) -> None:
        self.unembedded = self._rows_of(given[0])

    def _rows_of(self, value: Any) -> torch.Tensor | None:
        """The positions asked for of ``[batch, position, width]``, which may be the first of several outputs."""
        value = value[0] if isinstance(value, tuple) and value else value
        if not isinstance(value, torch.Tensor) or value.ndim not in (2, 3) or self._length not in value.shape[:-1]:
            return None
        # A copy: networks add to the residual stream in place, and a slice would keep all positions alive.
        return value.reshape(self._length, -1)[self._rows].clone().to(self._home)


def _first(given: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return given[0] if given else named.get("hidden_states")


def make_inputs(network: PreTrainedModel, token_ids: Sequence[int]) -> dict[str, Any]:
    """Return what a forward pass over some tokens takes: everything explicit, nothing cached."""
    device = input_device(network)
    input_ids = torch.tensor([token_ids], device=device)
    inputs: dict[str, Any] = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "use_cache": False}
    # Models that know positions by distance alone, such as BLOOM, do not take them.
    if "position_ids" in inspect.signature(network.forward).parameters:
        inputs["position_ids"] = torch.arange(len(token_ids), device=device)[None]
    return inputs


@contextmanager
def _eager(network: PreTrainedModel) -> Iterator[None]:
    """Only eager attention computes weights that can be handed out."""
    usual: Any = network.config._attn_implementation
    try:
        network.set_attn_implementation("eager")
        # Falcon looks at its config alone, and transformers therefore declines to set it there.
        network.config._attn_implementation = "eager"
        yield
    finally:
        network.set_attn_implementation(usual)
        network.config._attn_implementation = usual
