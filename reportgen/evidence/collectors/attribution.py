"""Compute direct logit attribution after a forward pass, from activations that were recorded during it.

Elhage et al. 2021: the residual stream is the sum of the outputs of embedding, heads and MLPs, and the logits are
linear in it if the scale of the final norm is frozen at its value in the run. The logit of a token, minus that of what
it is compared with, is therefore a sum over these parts. Two assumptions are checked: that each layer adds the output
of its heads to the residual stream, and that the parts of each step add up to the logit. Sums are made in float32 on
the recorded activations, so that what the rounding of the network's own dtype adds is a part of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reportgen.evidence.collectors.alternatives import Alternatives
from reportgen.evidence.kinds.attribution import FOIL_WITHHELD, SUM_TOLERANCE, Attribution
from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.anatomy import weight_of
from reportgen.instrumentation.heads import SplitHeads
from reportgen.instrumentation.observer import HeadTrace, LayerTrace
from reportgen.instrumentation.residual import AddedHeads, find_added_heads, find_other_part, name_of
from reportgen.instrumentation.unembedding import LogitScale
from reportgen.records import Token
from reportgen.records.errors import NoEvidence


@dataclass
class _Layer:
    """What is recorded of one layer at the query positions of the steps.

    Attributes:
        other_part: what the layer added to the residual stream without its heads, ``[step, width]``.
        added: how the output of the heads was added; ``None`` if the layer has no attention, as for the rest.
        projection: the output projection, whose weight is read again after the pass.
        bias: its bias, ``[width]``.
        outputs: input of the projection by head, ``[head, step, size]``.
        values: values of the keys, ``[kv_head, key_pos, size]``.
        gates: as in ``SplitHeads``.
        weights: attention weights, ``[head, step, key_pos]``.
    """

    other_part: torch.Tensor
    added: AddedHeads | None = None
    projection: nn.Module | None = None
    bias: torch.Tensor | None = None
    outputs: torch.Tensor | None = None
    values: torch.Tensor | None = None
    gates: torch.Tensor | None = None
    weights: torch.Tensor | None = None


class AttributionCollector(KindCollector):
    """Records what heads and layers add to the residual stream, and compares it with logits when these are known."""

    kind = "attribution"

    def __init__(self, run: TracedRun) -> None:
        """Check that the network has an unembedding after a norm.

        Raises:
            NoEvidence: it has not.
        """
        super().__init__(run)
        self._unembed = run.unembed
        self._layers: dict[int, _Layer] = {}
        self._pending: tuple[HeadTrace, SplitHeads] | None = None
        self._embedding: torch.Tensor | None = None
        self._stream: torch.Tensor | None = None

    def see_heads(self, trace: HeadTrace) -> None:
        """Keep the heads of a layer until ``see_layer`` is called for it."""
        self._pending = trace, self.run.split(trace)

    def see_layer(self, trace: LayerTrace) -> None:
        """Record what a layer and its heads added to the residual stream.

        Raises:
            NoEvidence: the layer does not continue the residual stream of the layer before, or does not add the output
                of its heads to it.
        """
        if self._stream is None:
            self._embedding = trace.resid_pre.float()
        elif not torch.equal(self._stream, trace.resid_pre):
            raise NoEvidence(f"layer {trace.layer} does not continue the residual stream of the layer before it")
        self._stream = trace.resid_post
        if self._pending is None:
            self._layers[trace.layer] = _Layer(find_other_part(trace, None))
            return
        (heads_trace, heads), self._pending = self._pending, None
        added = find_added_heads(trace, heads_trace.attn_out)
        self._layers[trace.layer] = _Layer(
            other_part=find_other_part(trace, added),
            added=added,
            projection=heads_trace.projection,
            bias=heads.bias.clone(),
            outputs=heads.outputs.clone(),
            values=_unrepeat(heads.values),
            gates=None if heads.gates is None else heads.gates.clone(),
            weights=heads_trace.weights.float(),
        )

    def finish(self) -> Attribution:
        """Return the parts of the logit of each step.

        Raises:
            NoEvidence: the input of the unembedding is not the normed residual stream.
        """
        unembedded, logits, scale = self.run.output
        if self._stream is None or self._embedding is None:
            raise NoEvidence("its layers do not pass on a residual stream that can be recorded")
        norm_scales = self._unembed.norm.scales(self._stream, unembedded)
        if norm_scales is None:
            raise NoEvidence("the input of its unembedding is not the normed residual stream")
        # A soft cap cannot be inverted once it saturates, so compute the logits before the cap from the unembedding.
        uncapped = logits.double() if scale.cap is None else scale.factor * self._unembed.logits(unembedded).double()
        alternatives = Alternatives.of(logits.double(), uncapped, self.run.chosen)
        compared_ids = self._list_compared()
        directions, constants = self._unembed.directions(self.run.chosen, alternatives.weights.float(), compared_ids)
        by_step = scale.factor * norm_scales
        constants = scale.factor * ((self._unembed.norm.bias * directions).sum(-1) + constants)
        sums = _Sums(
            self._unembed.norm.pull_back(directions) * by_step[:, None],
            self.run,
            [number for number, layer in self._layers.items() if layer.added],
        )
        for layer in sorted(self._layers):
            sums.add(layer, self._layers.pop(layer))  # the next layer needs the memory
        chosen = uncapped.gather(1, self.run.chosen[:, None])[:, 0]
        compared = [alternatives.logit, uncapped.mean(-1), *uncapped.gather(1, compared_ids).T]
        return sums.record(
            embedding=sums.project(self._embedding),
            biases=sums.biases + constants,
            logits=chosen - torch.stack(compared),
            alternatives=alternatives,
            runners_up=self._name_runners_up(),
            dtype=self._stream.dtype,
            note=_describe_cap(scale),
        )

    def _list_compared(self) -> torch.Tensor:
        """Return the ids of the runners-up, then of the foils, of each step: ``[step, token]``.

        A foil stands at all steps here; the steps that it is not for are withheld.
        """
        foils = self.run.chosen.new_tensor([token_id for _, token_id in self.run.foils])
        return torch.cat([self.run.runners_up, foils.expand(len(self.run.chosen), -1)], 1)

    def _name_runners_up(self) -> tuple[tuple[Token, ...], ...]:
        make_token = self.run.make_token
        return tuple(tuple(make_token(token_id) for token_id in row) for row in self.run.runners_up.tolist())


class _Sums:
    """The parts of every step's logit, added up layer by layer."""

    def __init__(self, directions: torch.Tensor, run: TracedRun, layers: Sequence[int]) -> None:
        """Start without parts.

        Args:
            directions: logit directions in the last residual stream, ``[contrast, step, width]``.
            run: the run, with the layers and heads that are kept.
            layers: numbers of the layers that have attention.
        """
        self._directions, self._kept_heads = directions, run.heads
        # The contrast and the step of each row of sources: of all steps, then of each foil.
        first_foil = len(directions) - len(run.foils)
        self._rows = [(0, step) for step in range(directions.shape[1])]
        self._rows += [(first_foil + number, step) for number, (step, _) in enumerate(run.foils)]
        num_steps, length = directions.shape[1], len(run.token_ids)
        # The last position predicts nothing.
        self._lengths = torch.tensor([length - num_steps + step for _, step in self._rows])
        self._seen = torch.arange(length) < self._lengths[:, None]
        self._kept_layers = [layer for layer in sorted(layers) if layer in run.layers]
        num_cells = int(self._lengths.sum())
        # One array, because one tensor per layer would fragment the memory.
        self._sources = np.zeros((len(self._kept_layers), len(run.heads), num_cells), np.float32)
        self._read = np.zeros(num_cells, np.float64)
        self._heads: list[torch.Tensor] = []
        self._others: list[torch.Tensor] = []
        self._other_heads = directions.new_zeros(directions.shape[:2])
        self._most = directions.new_zeros(directions.shape[:2])
        self.biases = directions.new_zeros(directions.shape[:2])

    def project(self, written: torch.Tensor) -> torch.Tensor:
        """Return the part of a vector in the residual stream, ``[contrast, step]``, from ``[step, width]``."""
        return (written * self._directions).sum(-1)

    def add(self, number: int, layer: _Layer) -> None:
        """Add the parts of a layer."""
        self._others.append(self.project(layer.other_part))
        if layer.added is None:
            return
        assert layer.projection is not None
        assert layer.bias is not None
        assert layer.outputs is not None
        directions = layer.added.pull_back(self._directions)
        weight = weight_of(layer.projection).to(directions.device).float()
        num_heads, _, size = layer.outputs.shape
        along = (directions.flatten(0, 1) @ weight.T).reshape(*directions.shape[:2], num_heads, size).transpose(1, 2)
        heads = (along * layer.outputs).sum(-1).transpose(1, 2)  # [contrast, step, head]
        self._most = torch.maximum(self._most, heads.abs().amax(-1))
        self.biases += (layer.bias * directions).sum(-1)
        if layer.added.norm is not None:
            self.biases += layer.added.factor * (layer.added.norm.bias * self._directions).sum(-1)
        is_kept = torch.zeros(num_heads, dtype=torch.bool, device=heads.device)
        if number in self._kept_layers:
            is_kept[self._kept_heads] = True
            self._heads.append(heads[..., self._kept_heads])
        self._other_heads += heads[..., ~is_kept].sum(-1)
        self._add_sources(number, layer, along)

    def _add_sources(self, number: int, layer: _Layer, along: torch.Tensor) -> None:
        """Add the parts of a layer's heads by the token that they read.

        Args:
            number: number of the layer.
            layer: what is recorded of it.
            along: what a unit of each head's output adds, ``[contrast, head, step, size]``.
        """
        assert layer.values is not None
        assert layer.weights is not None
        values = layer.values.repeat_interleave(along.shape[1] // len(layer.values), 0).transpose(1, 2)
        contrasts, steps = (list(numbers) for numbers in zip(*self._rows, strict=True))
        along = along[contrasts, :, steps].transpose(0, 1)  # [head, row, size]
        gates = 1 if layer.gates is None else layer.gates[:, steps]
        written = layer.weights[:, steps] * ((along * gates) @ values)
        cells = written[:, self._seen.to(written.device)]
        self._read += cells.sum(0, dtype=torch.float64).cpu().numpy()
        if number in self._kept_layers:
            self._sources[self._kept_layers.index(number)] = cells[self._kept_heads].cpu().numpy()

    def record(
        self,
        embedding: torch.Tensor,
        biases: torch.Tensor,
        logits: torch.Tensor,
        alternatives: Alternatives,
        runners_up: tuple[tuple[Token, ...], ...],
        dtype: torch.dtype,
        note: str,
    ) -> Attribution:
        """Return the record; steps whose parts do not add up are withheld.

        Args:
            embedding: part of the embedding, ``[contrast, step]``.
            biases: part of all biases, ``[contrast, step]``.
            logits: what the parts must add up to, float64 ``[contrast, step]``.
            alternatives: what the chosen tokens are compared with.
            runners_up: runners-up of each step, ``[step][rank]``.
            dtype: dtype of the residual stream.
            note: what a reader must know in addition.
        """
        kept, others = torch.stack(self._heads, 2), torch.stack(self._others, 2)
        sums = [kept.double().sum((2, 3)), others.double().sum(-1), embedding, biases, self._other_heads]
        rounding = logits - torch.stack([part.double() for part in sums]).sum(0)
        parts = [logits.abs(), self._most.double(), others.abs().amax(-1).double(), embedding.abs().double()]
        withheld = self._leave_foils(_withhold(rounding, torch.stack(parts).amax(0), self._most, dtype))
        mask = torch.tensor([[float("nan") if reason else 1.0 for reason in row] for row in withheld])
        mask = mask.to(logits.device)
        contrasts, steps = zip(*self._rows, strict=True)
        shown = mask[contrasts, steps].cpu().numpy().repeat(self._lengths.numpy()).astype(np.float32)
        return Attribution(
            runners_up=runners_up,
            heads=_array(kept * mask[:, :, None, None]),
            other_parts=_array(others * mask[:, :, None]),
            embedding=_array(embedding * mask),
            biases=_array(biases * mask),
            other_heads=_array(self._other_heads * mask),
            rounding=_array(rounding * mask),
            logits=_array(logits * mask),
            log_odds=_array(alternatives.log_odds * mask[0]),
            entropy=_array(alternatives.entropy * mask[0]),
            soft_cap=_array(alternatives.soft_cap * mask[0]),
            withheld=withheld,
            sources=self._sources * shown,
            read=(self._read * shown).astype(np.float32),
            dtype=name_of(dtype),
            note=note,
        )

    def _leave_foils(self, withheld: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        """Return the reasons of ``_withhold``, and one for each step that a foil is not for."""
        rows = [list(reasons) for reasons in withheld]
        for contrast, own in self._rows[self._directions.shape[1] :]:
            rows[contrast] = [why if step == own else FOIL_WITHHELD for step, why in enumerate(rows[contrast])]
        return tuple(map(tuple, rows))


def _unrepeat(values: torch.Tensor) -> torch.Tensor:
    """Return values ``[head, key_pos, size]`` of each key/value head once, if adjacent heads share it."""
    repeats = next((head for head in range(1, len(values)) if not torch.equal(values[head], values[0])), len(values))
    if len(values) % repeats == 0:
        once = values[::repeats]
        if torch.equal(once.repeat_interleave(repeats, 0), values):
            return once.clone()
    return values.clone()


def _withhold(
    rounding: torch.Tensor, largest: torch.Tensor, most: torch.Tensor, dtype: torch.dtype
) -> tuple[tuple[str, ...], ...]:
    """Return why steps are not shown, ``[contrast][step]``; empty for those that are.

    Args:
        rounding: what the parts lack of their sum, ``[contrast, step]``.
        largest: largest part, ``[contrast, step]``.
        most: largest effect of a head, ``[contrast, step]``.
        dtype: dtype of the residual stream.
    """
    if dtype in (torch.float32, torch.float64):  # parts that do not add up in one contrast are wrong in all
        apart = (rounding.abs() / largest.clamp(min=torch.finfo(torch.float32).tiny)).amax(0)
        return (tuple(map(_judge_sum, apart.tolist())),) * len(rounding)
    rows = zip(rounding.abs().tolist(), most.tolist(), strict=True)
    return tuple(tuple(_judge_rounding(*pair, dtype) for pair in zip(*row, strict=True)) for row in rows)


def _judge_sum(apart: float) -> str:
    if isnan(apart):
        return "the sum of its parts is not a number"
    return "" if apart <= SUM_TOLERANCE else f"its parts add up only to within {apart:.1e} of the largest"


def _judge_rounding(rounding: float, most: float, dtype: torch.dtype) -> str:
    if isnan(rounding):
        return "the sum of its parts is not a number"
    if rounding <= most:
        return ""
    return f"rounding of {name_of(dtype)} is {rounding:.2g} logits, and the largest effect of a head {most:.2g}"


def _describe_cap(scale: LogitScale) -> str:
    return "" if scale.cap is None else f"Parts of the logit before the model caps it at ±{scale.cap:g}."


def _array(values: torch.Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()
