"""Record a generation, so that its attention and its residual stream can be shown to observers afterwards.

``generate`` runs the network on the prompts, then on one token of each text after the other. Queries, keys and values
pass by once for each position; from them the weights are computed as they were in that run. Everything else is kept at
the positions that predict a token.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from reportgen.instrumentation.attention_weights import SdpaWeights, mask_of, scale_of
from reportgen.instrumentation.fast_calls import FAST_CALLS
from reportgen.instrumentation.hooks import Hooks, LinearCall, first_argument
from reportgen.instrumentation.logits import InParts, Logits
from reportgen.instrumentation.observer import Call, LayerTrace, TracedText
from reportgen.instrumentation.showing import check_mixture, show_attention

_CACHES = ("cache", "past_key_values")
"""Names of the cache among the arguments of ``forward``, by the version of transformers."""


class _Unsuitable(Exception):
    """A generation from which the weights cannot be computed; the message says why."""


class Recording:
    """A recorded generation of a batch of texts.

    Attributes:
        unsuitable: why nothing can be shown; empty if it can.
    """

    def __init__(self, recorder: Recorder) -> None:
        """Take what a recorder holds at the end of the generation."""
        self.unsuitable = recorder.reason
        self._network, self._device = recorder.network, recorder.home
        self._num_prompt, self._padding = recorder.num_prompt, recorder.padding
        self._heads, self._layers = recorder.heads, recorder.layers
        self._hidden, self._output_type = recorder.hidden, recorder.output_type

    @property
    def num_bytes(self) -> int:
        """Memory of the queries, keys and values, which grow with the length, in bytes."""
        heads = [one for modules in self._heads.values() for one in modules]
        return sum(part.nbytes for one in heads for part in (*one.queries, *one.keys, *one.values))

    def show(self, texts: Sequence[TracedText], rows: Sequence[int] | None = None) -> list[Logits]:
        """Show the activations of each text to its observers, as ``trace`` does, and release them.

        Args:
            texts: texts of the batch, with the generated tokens; ``rows`` are positions that predicted tokens.
            rows: row of each text in the batch; ``None`` if they are all texts in order.

        Returns:
            The logits of each text.

        Raises:
            CaptureMismatch: the computed weights do not reproduce the output of fast attention.
        """
        rows = range(len(self._padding)) if rows is None else rows
        padding = [self._padding[row] for row in rows]
        placed = list(zip(rows, zip(texts, padding, strict=True), strict=True))
        for layer in sorted({*self._heads, *self._layers}):
            for heads in self._heads.pop(layer, []):
                for place, (text, first) in placed:
                    weighing = heads.weigh(place, first, len(text.token_ids))
                    last_pass = first + len(text.token_ids) - self._num_prompt
                    check_mixture(weighing, heads.mixtures[last_pass][place])
                    projected = heads.project(place, self._passes_of(text, first))
                    show_attention(text, layer, heads.module, weighing, projected, self._device)
            if record := self._layers.pop(layer, None):
                for place, (text, first) in placed:
                    trace = record.trace(layer, place, self._passes_of(text, first))
                    for observer in text.observers:
                        observer.see_layer(trace)
        hidden = torch.cat(self._hidden, 1)[list(rows)]
        self._hidden.clear()
        ending = InParts(self._network, self._output_type(last_hidden_state=hidden))
        return [Logits(ending, place, first) for place, first in enumerate(padding)]

    def _passes_of(self, text: TracedText, first: int) -> slice:
        """Return the passes whose last positions are the rows of a text, which begins at ``first``."""
        rows, before = text.rows, self._num_prompt - 1 - first
        return slice(rows.start - before, rows.stop - before) if rows.stop > rows.start else slice(0, 0)


class Recorder(Hooks):
    """Records a generation with fast attention inside a ``with`` block.

    Attributes:
        reason: why the generation is unsuitable; empty if it is not.
        num_prompt: number of positions of the prompts, with padding.
        padding: number of them that are padding, of each text.
        seen: number of positions that were read.
        heads: attention modules by number of the layer.
        layers: residual stream by number of the layer.
        hidden: outputs of the base model in each pass, ``[batch, new, width]``.
        output_type: class of what the base model returned, which also holds the cache.
    """

    def __init__(self, network: PreTrainedModel, *, streams: bool) -> None:
        """Begin before the first forward pass; ``streams`` tells whether to record the residual stream."""
        super().__init__(network, fast=True, streams=streams)
        self.reason = ""
        self.num_prompt, self.seen = 0, 0
        self.padding: list[int] = []
        self.heads: dict[int, list[_Heads]] = {}
        self.layers: dict[int, _Layer] = {}
        self.hidden: list[torch.Tensor] = []
        self.output_type: type[Any] = tuple
        self._batch = self._new = 0
        self._picked: dict[int, tuple[weakref.ref[torch.Tensor], int, torch.Tensor]] = {}
        self._given: dict[str, Any] = {}

    def __enter__(self) -> Recorder:
        self.keep(self.network.register_forward_pre_hook(self._begin, with_kwargs=True))
        self.keep(self.network.base_model.register_forward_hook(lambda _, __, output: self._keep_output(output)))
        self.during(FAST_CALLS)
        return super().__enter__()

    def follow(self) -> None:
        """Follow fast attention alone: a generation has many short passes, in which a mode takes longer."""
        FAST_CALLS.follow(self.note_fast_call)

    def end_follow(self, *_: Any) -> None:
        """Follow it no longer."""
        FAST_CALLS.follow(None)

    def read_last(self, sequences: torch.Tensor) -> None:
        """Run the network on the last token of each text, which ``generate`` does not do.

        Args:
            sequences: token ids of the padded prompts and of all generated tokens, ``[batch, position]``.
        """
        if not self.reason and self.seen < sequences.shape[1]:
            try:
                self.network(**self._continue(sequences))
            except Exception as error:  # arguments of an unknown network may not be those that it needs
                self._give_up(f"it does not read the last token, {type(error).__name__}: {str(error)[:200]}")

    def finish(self, num_positions: int) -> Recording:
        """Return the recording, if ``num_positions`` of each text were read."""
        if not self.reason and self.seen != num_positions:
            self._give_up(f"it read {self.seen} positions and not {num_positions}")
        return Recording(self)

    def _continue(self, sequences: torch.Tensor) -> dict[str, Any]:
        """Return the arguments of the pass after the last one."""
        given = {**self._given, "input_ids": sequences[:, -1:]}
        for name in ("position_ids", "cache_position"):
            if given.get(name) is not None:
                given[name] = given[name][..., -1:] + 1
        mask = given.get("attention_mask")
        if mask is not None:
            given["attention_mask"] = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        return given

    def _begin(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        input_ids = first_argument(args, kwargs, "input_ids")
        if self.reason:
            return
        self._batch, self._new = input_ids.shape
        if not self.seen:
            mask = kwargs.get("attention_mask")
            self.num_prompt = self._new
            self.padding = [0] * self._batch if mask is None else (mask == 0).sum(-1).tolist()
        if self.seen and self._new != 1:
            self._give_up("it reads several tokens at a step")
        elif all(kwargs.get(name) is None for name in _CACHES):
            self._give_up("it has no cache")
        self.seen += self._new
        self._given = kwargs

    def _keep_output(self, output: Any) -> None:
        if self.reason:
            return
        if isinstance(output, ModelOutput) and "last_hidden_state" in output:
            self.hidden.append(output["last_hidden_state"])
            self.output_type = type(output)
        else:
            self._give_up("its base model does not name its output")

    def _give_up(self, reason: str) -> None:
        """Let the generation go on, and release what was recorded."""
        self.reason = reason
        for records in (self.heads, self.layers, self.hidden):
            records.clear()

    def pick(self, value: torch.Tensor) -> torch.Tensor | None:
        """Return the activations of the last position, ``[batch, …]``."""
        if self.reason or value.shape[:-1].numel() != self._batch * self._new:
            return None
        known = self._picked.get(id(value))
        if known is not None and known[0]() is value and known[1] == value._version:
            return known[2]
        by_text = value if value.ndim == 3 else value.reshape(self._batch, self._new, -1)
        # A clone, because networks modify the residual stream in place, and a slice keeps all positions in memory.
        picked = by_text[:, -1].clone().to(self.home)
        if not value.is_inference():
            self._picked[id(value)] = weakref.ref(value), value._version, picked
        return picked

    def see_attention(self, layer: int, module: nn.Module, returned: Sequence[torch.Tensor]) -> None:
        """Record queries, keys and values of an attention module, and its last outputs."""
        if self.reason:
            return None
        if len(self.fast_calls) != 1:
            return self._give_up(f"layer {layer} called fast attention {len(self.fast_calls)} times")
        modules = self.heads.setdefault(layer, [])
        heads = next((one for one in modules if one.module is module), None)
        call = self.linear_calls[-1] if self.linear_calls else None
        if heads is None:
            modules.append(heads := _Heads(module))
            self.watch_one(module, call and call.linear)
        projected = None
        if call is not None:
            given, gave = self._pick(call.given), self._pick(call.gave)
            projected = None if given is None or gave is None else LinearCall(call.linear, given, gave)
        try:
            heads.add(*self.fast_calls[0], new=self._new, seen=self.seen, projected=projected)
        except _Unsuitable as error:
            self._give_up(f"layer {layer}: {error}")

    def see_layer(
        self, layer: int, resid_pre: Any, resid_post: Any, calls: Sequence[tuple[nn.Module, Any, Any]]
    ) -> None:
        """Record the residual stream around a layer at the last position."""
        if not self.reason:
            self.layers.setdefault(layer, _Layer()).passes.append((resid_pre, resid_post, tuple(calls)))
            # Only the stream itself is picked again, by the next layer.
            self._picked = {key: known for key, known in self._picked.items() if known[2] is resid_post}


@dataclass
class _Layer:
    """The residual stream before and after a layer, and the calls of its children, at the last position of each pass.

    Tensors are ``[batch, width]``.
    """

    passes: list[tuple[torch.Tensor, torch.Tensor, tuple[tuple[nn.Module, torch.Tensor, torch.Tensor], ...]]] = field(
        default_factory=list
    )

    def trace(self, layer: int, place: int, wanted: slice) -> LayerTrace:
        """Return the trace of one text at the last positions of some passes."""
        resid_pre = torch.stack([one[0][place] for one in self.passes])[wanted]
        resid_post = torch.stack([one[1][place] for one in self.passes])[wanted]
        # A child that is called in some passes only, such as an expert, is left out.
        by_call = zip(*(calls for _, _, calls in self.passes), strict=False)
        calls = tuple(
            Call(same[0][0], *(torch.stack([call[i][place] for call in same])[wanted] for i in (1, 2)))
            for same in by_call
            if all(call[0] is same[0][0] for call in same)
        )
        return LayerTrace(layer, resid_pre, resid_post, calls)


@dataclass
class _Heads:
    """What was recorded of one attention module.

    Attributes:
        module: the module.
        queries: queries of each pass, ``[batch, head, new, size]``.
        keys: keys of the positions that each pass read, ``[batch, key/value head, new, size]``.
        values: their values, of the same shape but for the size.
        masks: mask of each pass, ``[1 or batch, 1 or head, new, key_pos]`` over the last keys; ``None`` if it had none.
        num_keys: number of keys that each pass saw, the last ones.
        mixtures: output of attention at the last position of each pass, ``[batch, head, size]``.
        projected: call of the output projection at the last position of each pass, ``[batch, size]``.
    """

    module: nn.Module
    queries: list[torch.Tensor] = field(default_factory=list)
    keys: list[torch.Tensor] = field(default_factory=list)
    values: list[torch.Tensor] = field(default_factory=list)
    masks: list[torch.Tensor | None] = field(default_factory=list)
    num_keys: list[int] = field(default_factory=list)
    mixtures: list[torch.Tensor] = field(default_factory=list)
    projected: list[LinearCall | None] = field(default_factory=list)
    _stops: list[int] = field(default_factory=list)
    _scale: float = 1.0
    _joined: tuple[torch.Tensor, ...] = ()

    def add(
        self, arguments: dict[str, Any], mixture: torch.Tensor, *, new: int, seen: int, projected: LinearCall | None
    ) -> None:
        """Add a call of fast attention.

        Args:
            arguments: arguments of the call by name.
            mixture: its result.
            new: number of positions that the pass reads.
            seen: number of positions that were read after this pass.
            projected: call of the output projection at the last position.

        Raises:
            _Unsuitable: its weights cannot be computed from the new keys of each pass.
        """
        query, key, value = (arguments[name] for name in ("query", "key", "value"))
        mask = mask_of(arguments)
        if any(part.ndim != 4 for part in (query, key, value)):
            raise _Unsuitable(f"its queries have {query.ndim} axes")
        num_heads = self.queries[0].shape[1] if self.queries else query.shape[1]
        if new == 1 and query.shape[1] != num_heads:
            # For one position, the heads that share a key may take the place of positions.
            query, mixture = (part.reshape(len(part), num_heads, 1, -1) for part in (query, mixture))
            if mask is not None and mask.shape[1] != 1:
                mask = mask.reshape(len(mask), num_heads, 1, -1)
        if query.shape[1:3] != (num_heads, new) or not new <= key.shape[2] <= seen:
            raise _Unsuitable(
                f"its queries are {tuple(query.shape)} and its keys {tuple(key.shape)} at {seen} positions"
            )
        if mask is not None:
            mask = mask.expand(-1, -1, new, key.shape[2])
        elif new > 1 and not arguments.get("is_causal"):
            raise _Unsuitable("it is not causal")
        self._scale = scale_of(arguments)
        groups: Any = getattr(self.module, "num_key_value_groups", 1)
        shared = max(1, int(groups)) if key.shape[1] == num_heads else 1
        self.queries.append(query)
        for parts, part in ((self.keys, key), (self.values, value)):
            own = part[:, ::shared, -new:]
            # A slice would keep the keys of all positions in memory.
            parts.append(own if own.shape == part.shape else own.clone())
        self.masks.append(mask)
        self.num_keys.append(key.shape[2])
        self._stops.append(seen)
        self.mixtures.append(mixture[:, :, -1].clone())
        self.projected.append(projected)

    def weigh(self, place: int, first: int, length: int) -> SdpaWeights:
        """Return the weights of one text.

        Args:
            place: index of the text in the batch.
            first: position of its first token; those before it are padding.
            length: number of its tokens.
        """
        if not self._joined:
            self._joined = tuple(torch.cat(parts, 2) for parts in (self.queries, self.keys, self.values))
            self.queries, self.keys, self.values = [], [], []
        query, key, value = (part[place, :, first : first + length] for part in self._joined)
        mask = self._join_masks(place, first, length)
        return SdpaWeights(query, key, value, mask, mask is None, self._scale)

    def _join_masks(self, place: int, first: int, length: int) -> torch.Tensor | None:
        """Return the mask of one text, ``[1 or head, query_pos, key_pos]``; ``None`` if it sees all earlier keys."""
        stops = self._stops
        if all(mask is None for mask in self.masks) and self.num_keys == stops:
            return None
        masks = [mask for mask in self.masks if mask is not None]
        dtype = next((mask.dtype for mask in masks if mask.dtype != torch.bool), torch.bool)
        hidden = 0 if dtype == torch.bool else -torch.inf
        device, num_heads = self._joined[0].device, max([1, *(mask.shape[1] for mask in masks)])
        joined = torch.full((num_heads, stops[-1], stops[-1]), hidden, dtype=dtype, device=device)
        starts = [0, *stops[:-1]]
        for start, stop, mask, num_keys in zip(starts, stops, self.masks, self.num_keys, strict=True):
            part = joined[:, start:stop, stop - num_keys : stop]
            if mask is None:
                seen = torch.ones(part.shape[1:], dtype=torch.bool, device=device).tril(num_keys - (stop - start))
                part.copy_(_add_up(seen, dtype))
            else:
                part.copy_(_add_up(mask[place if len(mask) > 1 else 0], dtype))
        own = slice(first, first + length)
        return joined[:, own, own]

    def project(self, place: int, wanted: slice) -> LinearCall | None:
        """Return the call of the output projection of one text, at the last positions of some passes."""
        calls = [call for call in self.projected if call is not None]
        if len(calls) < len(self.projected):
            return None
        given = torch.stack([call.given[place] for call in calls])[wanted]
        gave = torch.stack([call.gave[place] for call in calls])[wanted]
        return LinearCall(calls[0].linear, given, gave)


def record(network: PreTrainedModel, run: Callable[[], Any], *, streams: bool = True) -> tuple[Any, Recording]:
    """Run ``generate`` and record it.

    Args:
        network: in evaluation mode, with fast attention.
        run: calls ``generate`` once and returns its output, a dict.
        streams: record the residual stream around layers, so that ``see_layer`` of observers is called.

    Returns:
        The output, and the recording, in which the last token of each text is read too.
    """
    with torch.no_grad(), Recorder(network, streams=streams) as recorder:
        output = run()
        recorder.read_last(output.sequences)
    return output, recorder.finish(output.sequences.shape[1])


def _add_up(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a mask in another dtype, in which it is added to the scores unless it is boolean."""
    if mask.dtype != torch.bool or dtype == torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -torch.inf)
