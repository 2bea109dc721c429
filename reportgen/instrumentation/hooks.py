"""Hooks on the attention modules and layers of a network, which follow what is computed inside them."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from reportgen.instrumentation.anatomy import find_attention, find_layers, linear_maps, output_device

_PRODUCTS = {torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm, torch.Tensor.bmm}
_SOFTMAXES = {functional.softmax, torch.softmax, torch.Tensor.softmax, torch.logsumexp, torch.Tensor.logsumexp}
"""Functions that compute weights; linear attention calls none of them and returns its state instead of weights."""
_FAST_ATTENTION = functional.scaled_dot_product_attention
_FOLLOWED = {_FAST_ATTENTION, *_PRODUCTS, *_SOFTMAXES}
_FAST_ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")


class LinearCall(NamedTuple):
    """A call of a linear map: the map, its input and its output."""

    linear: nn.Module
    given: torch.Tensor
    gave: torch.Tensor


class Hooks(TorchFunctionMode):
    """Follows the forward passes of a network inside a ``with`` block.

    A subclass receives each attention module after it ran, with what was called inside, and each layer with the
    residual stream around it.

    Attributes:
        network: the network.
        home: device to which all tensors that are kept are moved.
        products: products of two matrices inside the current attention module; not followed with fast attention.
        fast_calls: calls of fast attention inside it: the arguments by name, and the result.
        linear_calls: calls of linear maps inside it, since the last product or call of fast attention.
    """

    def __init__(self, network: PreTrainedModel, *, fast: bool, streams: bool = True) -> None:
        """Store the network.

        Args:
            network: the network.
            fast: whether it runs fast attention.
            streams: whether to follow the residual stream around layers.
        """
        super().__init__()
        self.network, self._fast, self._streams = network, fast, streams
        self.home = output_device(network)
        self._hooks = ExitStack()
        self._inside = False  # whether an attention module is running
        self._softmaxed = False  # whether it has called a softmax
        self.products: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.fast_calls: list[tuple[dict[str, Any], torch.Tensor]] = []
        self.linear_calls: list[LinearCall] = []
        self._calls: list[tuple[nn.Module, Any, Any]] = []
        self._resid_pre: Any = None
        self._linear_hooks: dict[nn.Module, dict[nn.Module, Any]] = {}

    @abstractmethod
    def see_attention(self, layer: int, module: nn.Module, returned: Sequence[torch.Tensor]) -> None:
        """Receive an attention module after it ran, and the weights that it returned."""

    @abstractmethod
    def see_layer(
        self, layer: int, resid_pre: Any, resid_post: Any, calls: Sequence[tuple[nn.Module, Any, Any]]
    ) -> None:
        """Receive the residual stream around a layer, and the calls of its children with their input and output.

        All are as ``pick`` returned them.
        """

    @abstractmethod
    def pick(self, value: torch.Tensor) -> Any:
        """Return what is kept of activations ``[batch, position, …]``, whose first two axes may be merged.

        ``None`` if they are not of that shape.
        """

    def could_weigh(self, weights: torch.Tensor, values: torch.Tensor) -> bool:
        """Return whether a product may be that of weights and values."""
        return False

    def __enter__(self) -> Any:
        for layer, module in find_attention(self.network):
            self._hook_attention(layer, module)
        for layer, module in find_layers(self.network).items() if self._streams else ():
            self._hook_layer(layer, module)
        return self

    def __exit__(self, *error: Any) -> None:
        if self._inside:  # the module failed
            self._leave(*error)
        self._hooks.close()

    def keep(self, hook: Any) -> None:
        """Remove a hook at the end."""
        self._hooks.callback(hook.remove)

    def during(self, context: AbstractContextManager[Any]) -> None:
        """Enter a context, and leave it at the end."""
        self._hooks.enter_context(context)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Follow the functions that an attention module calls."""
        result = func(*args, **(kwargs or {}))
        if func not in _FOLLOWED:  # most functions
            return result
        if func is _FAST_ATTENTION:
            self.note_fast_call(args, kwargs or {}, result)
        elif func in _SOFTMAXES:
            self._softmaxed = True
        elif len(args) > 1 and self.could_weigh(*args[:2]):
            self.products.append((args[0], args[1]))
            self.linear_calls.clear()  # the output projection is called after attention
        return result

    def note_fast_call(self, args: tuple[Any, ...], kwargs: dict[str, Any], result: torch.Tensor) -> None:
        """Add a call of fast attention to ``fast_calls``."""
        arguments: dict[str, Any] = dict(zip(_FAST_ARGUMENTS, args, strict=False)) | kwargs
        self.fast_calls.append((arguments, result))
        self.linear_calls.clear()  # as above

    def follow(self) -> None:
        """Follow the functions that are called from now on."""
        super().__enter__()

    def end_follow(self, *error: Any) -> None:
        """Follow them no longer."""
        super().__exit__(*(error or (None, None, None)))

    def watch_one(self, module: nn.Module, linear: nn.Module | None) -> None:
        """Follow only one of the linear maps of an attention module from now on; none if it is ``None``."""
        for other, hook in self._linear_hooks.pop(module, {}).items():
            if other is not linear:
                hook.remove()

    def _leave(self, *error: Any) -> None:
        self._inside = False
        self.end_follow(*error)

    def _hook_attention(self, layer: int, module: nn.Module) -> None:
        def enter(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
            self._softmaxed = False
            self._forget()
            # Functions are followed inside attention modules alone, because that takes time for each of them.
            if not self._inside:
                self._inside = True
                self.follow()
            return None if self._fast else _ask_for_weights(module, given, named)

        def leave(module: nn.Module, _: Any, output: Any) -> Any:
            if self._inside:
                self._leave()
            is_sequence = isinstance(output, tuple | list)
            weights = [part for part in output if is_attention(part)] if is_sequence and self._softmaxed else []
            self.see_attention(layer, module, weights)
            self._forget()
            # No later module reads the weights; empty tensors keep them from accumulating over the layers.
            emptied = (part.new_empty(0) if is_attention(part) else part for part in output)
            return _make_like(output, emptied) if weights else output

        def note(linear: nn.Module, given: tuple[Any, ...], gave: torch.Tensor) -> None:
            if given:
                self.linear_calls.append(LinearCall(linear, given[0], gave))

        self.keep(module.register_forward_pre_hook(enter, with_kwargs=True))
        hooks = {linear: linear.register_forward_hook(note) for linear in linear_maps(module)}
        self._linear_hooks[module] = hooks
        for hook in hooks.values():
            self.keep(hook)
        self.keep(module.register_forward_hook(leave))

    def _forget(self) -> None:
        for records in (self.products, self.fast_calls, self.linear_calls):
            records.clear()

    def _hook_layer(self, layer: int, module: nn.Module) -> None:
        def enter(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            self._calls = []
            self._resid_pre = self._pick(first_argument(given, named))

        def leave(_: nn.Module, __: Any, output: Any) -> None:
            resid_post = self._pick(output)
            if self._resid_pre is not None and resid_post is not None:
                self.see_layer(layer, self._resid_pre, resid_post, self._calls)

        def note(part: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            picked = self._pick(first_argument(given, named)), self._pick(output)
            if picked[0] is not None and picked[1] is not None:
                self._calls.append((part, *picked))

        self.keep(module.register_forward_pre_hook(enter, with_kwargs=True))
        for part in module.children():
            self.keep(part.register_forward_hook(note, with_kwargs=True))
        self.keep(module.register_forward_hook(leave))

    def _pick(self, value: Any) -> Any:
        value = value[0] if isinstance(value, tuple) and value else value
        return self.pick(value) if isinstance(value, torch.Tensor) and value.ndim in (2, 3) else None


def is_attention(part: Any) -> bool:
    """Return whether an output of an attention module is its weights, the only output with four axes."""
    return isinstance(part, torch.Tensor) and part.ndim == 4


def first_argument(given: tuple[Any, ...], named: dict[str, Any], name: str = "hidden_states") -> Any:
    """Return the first argument of a call, which may have been given by name."""
    return given[0] if given else named.get(name)


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
