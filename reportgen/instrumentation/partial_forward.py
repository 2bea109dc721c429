"""Running a network again from one of its layers on, on several versions of the residual stream at once."""

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
    """The layers of one pass, ready to be run again.

    Attributes:
        stream: residual stream before each layer, ``[1, position, width]``, by layer.
    """

    def __init__(self, network: PreTrainedModel, token_ids: list[int]) -> None:
        """Run the network once, with its usual attention, and note what each layer was given."""
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
            rest = {name: value for name, value in named.items() if name != "hidden_states"}
            self.stream[layer] = (given[0] if given else named["hidden_states"]).clone()
            self._given[layer] = given[1:], rest

        return note

    def run(
        self, first: int, batch: int, projection: nn.Module | None = None, edit: Edit | None = None
    ) -> torch.Tensor:
        """Run the layers from one on.

        Args:
            first: number of the first layer to run.
            batch: how many versions of the residual stream to run, all alike but for the edit.
            projection: the linear map whose input is to be edited.
            edit: gets what the map reads, ``[batch, position, size]``, and returns what it shall read.

        Returns:
            The residual stream behind the last layer, ``[batch, position, width]``.
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
    """Let a linear map read something else than what it is given.

    Args:
        projection: the map; ``None`` edits nothing.
        edit: gets ``[batch, position, size]`` and returns the same shape.
        length: number of positions.
    """
    if projection is None or edit is None:
        yield
        return

    def change(_: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        read = given[0]
        return edit(read.reshape(-1, length, read.shape[-1])).reshape(read.shape), *given[1:]

    hook = projection.register_forward_pre_hook(change)
    try:
        yield
    finally:
        hook.remove()


def _widen(value: Any, batch: int) -> Any:
    """Give what was made for one text the shape that it has for several."""
    if isinstance(value, torch.Tensor):
        return value.expand(batch, *value.shape[1:]) if value.ndim > 1 and value.shape[0] == 1 else value
    if isinstance(value, tuple | list):
        return type(value)(_widen(item, batch) for item in value)
    return {name: _widen(item, batch) for name, item in value.items()} if isinstance(value, dict) else value
