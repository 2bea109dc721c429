"""Run a network again, starting at one of its layers, on a batch of edited copies of one text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from reportgen.instrumentation.anatomy import find_layers
from reportgen.instrumentation.inputs import make_inputs

Edit = Callable[[torch.Tensor], torch.Tensor]


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

    def run(
        self, first: int, batch: int, projection: nn.Module | None = None, edit: Edit | None = None
    ) -> torch.Tensor:
        """Run the layers from ``first`` to the last.

        Args:
            first: number of the first layer to run.
            batch: number of copies of the residual stream to run, identical except for the edit.
            projection: the linear map whose input is edited.
            edit: maps the input of ``projection``, ``[batch, position, size]``, to the edited input.

        Returns:
            The residual stream after the last layer, ``[batch, position, width]``.
        """
        hidden = self.stream[first].expand(batch, -1, -1).contiguous()
        with edited(projection, edit, len(self._token_ids)):
            for layer in sorted(self._layers):
                if layer >= first:
                    given, named = (_widen(values, batch) for values in self._given[layer])
                    output = self._layers[layer](hidden, *given, **named)
                    hidden = output[0] if isinstance(output, tuple) else output
        return hidden


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


def _widen(value: Any, batch: int) -> Any:
    """Expand the tensors in an argument from a batch of one text to ``batch`` texts."""
    if isinstance(value, torch.Tensor):
        return value.expand(batch, *value.shape[1:]) if value.ndim > 1 and value.shape[0] == 1 else value
    if isinstance(value, tuple | list):
        return type(value)(_widen(item, batch) for item in value)
    return {name: _widen(item, batch) for name, item in value.items()} if isinstance(value, dict) else value
