"""Run a network again, starting at one of its layers, on a batch of edited copies of one text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from reportgen.instrumentation.anatomy import find_layers
from reportgen.instrumentation.inputs import make_inputs
from reportgen.instrumentation.softened import Softened

_POSITIONS = 640
"""Number of positions in a batch of gradients."""
Edit = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Copies:
    """Copies of a text that are identical except for an edit.

    Attributes:
        count: number of copies.
        projection: the linear map of their first layer whose input is edited; ``None`` if none is.
        edit: maps the input of ``projection``, ``[copy, position, size]``, to the edited input.
        edit_stream: maps the residual stream before their first layer, ``[copy, position, width]``, to the edited one.
    """

    count: int
    projection: nn.Module | None = None
    edit: Edit | None = None
    edit_stream: Edit | None = None

    def edit_last(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs ``[batch, position, size]`` with the copies, the last of the batch, edited."""
        edited = inputs[-self.count :] if self.edit is None else self.edit(inputs[-self.count :])
        return torch.cat([inputs[: -self.count], edited])


class PartialForward:
    """A recorded forward pass whose layers can be run again.

    Attributes:
        stream: residual stream before each layer, ``[1, position, width]``, by layer number.
    """

    def __init__(self, network: PreTrainedModel, token_ids: list[int]) -> None:
        """Run the network once with its default attention implementation, and record the inputs of each layer."""
        self._network, self._token_ids = network, token_ids
        self._layers = find_layers(network)
        self._given: dict[int, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        self.stream: dict[int, torch.Tensor] = {}
        with ExitStack() as hooks:
            for layer, module in self._layers.items():
                hook = module.register_forward_pre_hook(self._note(layer), with_kwargs=True)
                hooks.callback(hook.remove)
            network(**make_inputs(network, [token_ids]))

    def _note(self, layer: int) -> Callable[..., None]:
        def note(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            arguments = {name: value for name, value in named.items() if name != "hidden_states"}
            self.stream[layer] = (given[0] if given else named["hidden_states"]).clone()
            self._given[layer] = given[1:], arguments

        return note

    def run(self, first: int, batch: int) -> torch.Tensor:
        """Run the layers from ``first`` to the last on so many copies of the text.

        Returns:
            The residual stream after the last layer, ``[batch, position, width]``.
        """
        return self.run_edited({first: Copies(batch)})

    def run_edited(self, copies: Mapping[int, Copies]) -> torch.Tensor:
        """Run copies of the text, each from a layer of its own to the last, as one batch that grows.

        Args:
            copies: copies by the number of the first layer that they run.

        Returns:
            The residual stream after the last layer, ``[copy, position, width]``, in the order of the first layers.
        """
        hidden = None
        for layer in sorted(self._layers):
            added = copies.get(layer)
            if added is not None:
                start = self.stream[layer].expand(added.count, -1, -1)
                start = start if added.edit_stream is None else added.edit_stream(start.clone())
                hidden = start.contiguous() if hidden is None else torch.cat([hidden.to(start), start])
            if hidden is None:
                continue
            given, named = (_widen(values, len(hidden)) for values in self._given[layer])
            with edited(added and added.projection, added and added.edit_last, len(self._token_ids)):
                output = self._layers[layer](hidden, *given, **named)
            hidden = output[0] if isinstance(output, tuple) else output
        assert hidden is not None
        return hidden

    def pull_back(
        self, layer: int, gradients: torch.Tensor, projection: nn.Module | None, *, softened: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Return the gradients of some numbers before a layer, given those after it.

        The layer runs once, with autograd; the record must have been made outside of ``torch.inference_mode``.

        Args:
            layer: number of the layer.
            gradients: gradients of the numbers by the residual stream after the layer, ``[number, position, width]``.
            projection: a linear map of the layer; ``None`` if there is none of interest.
            softened: take the derivatives of less certain softmaxes, as in ``Softened``.

        Returns:
            The gradients by the residual stream before the layer, ``[number, position, width]``; the input of
            ``projection``, ``[position, size]``; and the gradients by this input, ``[number, position, size]``.
        """
        read: list[torch.Tensor] = []
        with torch.enable_grad():
            hidden = self.stream[layer].detach().requires_grad_()

            def note(inputs: torch.Tensor) -> torch.Tensor:
                read.append(inputs)
                return inputs

            with edited(projection, note, len(self._token_ids)), Softened() if softened else nullcontext():
                given, named = self._given[layer]
                output = self._layers[layer](hidden, *given, **named)
            after = output[0] if isinstance(output, tuple) else output
        # A batch that is much larger than the processor's cache takes longer.
        found = [
            torch.autograd.grad(after, (hidden, *read), some[:, None], is_grads_batched=True, retain_graph=True)
            for some in gradients.to(after).split(max(1, _POSITIONS // len(self._token_ids)))
        ]
        before, *inside = (torch.cat(parts)[:, 0] for parts in zip(*found, strict=True))
        return (before, read[0].detach()[0], inside[0]) if read else (before, None, None)


@contextmanager
def edited(projection: nn.Module | None, edit: Edit | None, length: int) -> Iterator[None]:
    """Edit the input of a linear map inside a ``with`` block.

    Args:
        projection: the linear map; ``None`` edits nothing.
        edit: maps the input ``[batch, position, size]`` to a tensor of the same shape; ``None`` edits nothing.
        length: number of positions.
    """
    if projection is None or edit is None:
        yield
        return

    def change(_: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        inputs = args[0]
        return edit(inputs.reshape(-1, length, inputs.shape[-1])).reshape(inputs.shape), *args[1:]

    hook = projection.register_forward_pre_hook(change)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def edited_stream(layer: nn.Module | None, edit: Edit | None, length: int) -> Iterator[None]:
    """Edit the residual stream before a layer inside a ``with`` block; the arguments are as in ``edited``."""
    if layer is None or edit is None:
        yield
        return

    def change(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        stream = given[0] if given else named["hidden_states"]
        changed = edit(stream.reshape(-1, length, stream.shape[-1]).clone()).reshape(stream.shape)
        return ((changed, *given[1:]), named) if given else (given, {**named, "hidden_states": changed})

    hook = layer.register_forward_pre_hook(change, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def _widen(value: Any, batch: int) -> Any:
    """Expand the tensors in an argument from a batch of one text to ``batch`` texts."""
    if isinstance(value, torch.Tensor):
        return value.expand(batch, *value.shape[1:]) if value.ndim > 1 and value.shape[0] == 1 else value
    if isinstance(value, tuple | list):
        return type(value)(_widen(item, batch) for item in value)
    return {name: _widen(item, batch) for name, item in value.items()} if isinstance(value, dict) else value
