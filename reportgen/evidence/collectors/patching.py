"""Activation patching (Vig et al. 2020, Meng et al. 2022): put activations of one run into another.

A run is recorded once: the output of every head before the output projection, and the residual stream before every
layer. Each patch then is one run of the other text from the patched layer on. Two things are proved first: that the
heads of the network can be told apart at the input of the projection, and that embedding, heads and MLPs of a run, put
into another text together, give the logits of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from reportgen.captures.collector import Watch
from reportgen.evidence.collectors.reruns import Rerunner
from reportgen.evidence.kinds.patching import LEAST_DIFFERENCE, Patching
from reportgen.instrumentation.anatomy import find_attention, find_layers, is_close
from reportgen.instrumentation.heads import split_heads
from reportgen.instrumentation.inputs import make_inputs
from reportgen.instrumentation.logits import run_pass
from reportgen.instrumentation.norms import LinearNorm
from reportgen.instrumentation.observer import HeadTrace, Observer, TracedText
from reportgen.instrumentation.partial_forward import Copies, Edit, edited, edited_stream
from reportgen.instrumentation.strategy import find_strategy
from reportgen.instrumentation.unembedding import LogitScale, Unembedding
from reportgen.records import Token
from reportgen.records.errors import NoEvidence

PROOF_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4}
_HALF_TOLERANCE = 5e-2


@dataclass(frozen=True)
class Places:
    """The positions of two texts that stand for one another.

    Attributes:
        given: first of them in the text whose activations are taken.
        changed: first of them in the text that is changed.
        length: how many there are; the last is the last of both prompts.
        first_unlike: how many of them stand before the first that may differ, because all tokens before it are the
            same and stand at the same positions of one network.
    """

    given: int
    changed: int
    length: int
    first_unlike: int = 0


@dataclass(frozen=True)
class Recorded:
    """The activations of a text that can be put into another one.

    Attributes:
        stream: residual stream before each layer, ``[position, width]``.
        heads: outputs of the heads before the output projection, by layer, ``[position, head * size]``.
        num_heads: number of heads by layer.
    """

    stream: Mapping[int, torch.Tensor]
    heads: Mapping[int, torch.Tensor]
    num_heads: Mapping[int, int]

    def has_shape_of(self, other: Recorded) -> bool:
        """Return whether both have the same layers, heads and sizes."""
        sizes = [
            ([(layer, part.shape[-1]) for values in (one.stream, one.heads) for layer, part in sorted(values.items())],
             dict(one.num_heads))
            for one in (self, other)
        ]  # fmt: skip
        return sizes[0] == sizes[1]


@dataclass(frozen=True)
class Shifts:
    """What the patches of one direction change, in nats; NaN where a layer has no such head.

    Attributes:
        heads: heads at all places, float32 ``[layer, head]``.
        last: heads at the last place, float32 ``[layer, head]``.
        stream: residual stream before each layer, float32 ``[layer, place]``.
    """

    heads: NDArray[np.float32]
    last: NDArray[np.float32]
    stream: NDArray[np.float32]


class Patcher:
    """Puts activations into one text on one network.

    Attributes:
        recorded: the activations of the text itself.
        difference: log-probability of the first answer minus that of the second behind the text, in nats.
    """

    @torch.inference_mode()
    def __init__(self, network: PreTrainedModel, token_ids: Sequence[int], answers: tuple[int, int]) -> None:
        """Record a text, and prove that its activations can be patched.

        Args:
            network: in evaluation mode.
            token_ids: ids of the prompt.
            answers: ids of the two tokens that could follow; they differ.

        Raises:
            NoEvidence: the heads cannot be told apart, or the patches are not proved.
        """
        self._network, self._token_ids = network, list(token_ids)
        self._finder = _Finder()
        rows = slice(len(token_ids) - 1, len(token_ids))
        text = [*token_ids, answers[0]]
        everything = TracedText(text, slice(0, len(text)), (self._finder,))
        logits = run_pass(network, [everything], fast=find_strategy(network).fast)[0].read(rows)
        self.recorded = self._record()
        self._prove()
        self._rerunner = Rerunner(network, text, rows, *_find_output(network, *logits), [(0, answers[1])])
        self.difference = float(self._rerunner.usual[0, 1])

    @torch.inference_mode()
    def patch(self, given: Recorded, places: Places, watch: Watch = lambda *_: None) -> Shifts:
        """Return what the activations of another text change in this one.

        Args:
            given: the other text's activations.
            places: the positions that stand for one another.
            watch: progress callback, called with all patches of this direction.

        Raises:
            NoEvidence: the other network has another shape.
        """
        if not given.has_shape_of(self.recorded):
            raise NoEvidence("the models differ in shape")
        last = Places(
            places.given + places.length - 1,
            places.changed + places.length - 1,
            1,
            places.first_unlike >= places.length,
        )
        watches = _share_out(watch, self._count_patches(given, places, last))
        return Shifts(
            self._patch_heads(given, places, watches[0]),
            self._patch_heads(given, last, watches[1]),
            self._patch_stream(given, places, watches[2]),
        )

    def _count_patches(self, given: Recorded, places: Places, last: Places) -> list[int]:
        wanted = self._find_unlike_heads(given, places), self._find_unlike_heads(given, last)
        return [int(found.sum()) for found in (*wanted, self._find_unlike_stream(given, places))]

    def _find_unlike_heads(self, given: Recorded, places: Places) -> NDArray[np.bool_]:
        """Return which heads differ, ``[layer, head]``; to put in its place what is there already changes nothing."""
        found = np.zeros((len(self._layers), self._most_heads), np.bool_)
        for row, layer in enumerate(self._layers):
            pair = self._pair(given.heads[layer], self.recorded.heads[layer], places)
            unlike = (pair[0] != pair[1])[places.first_unlike :]
            found[row, : self.recorded.num_heads[layer]] = (
                unlike.reshape(len(unlike), self.recorded.num_heads[layer], -1).any(-1).any(0).cpu().numpy()
            )
        return found

    def _find_unlike_stream(self, given: Recorded, places: Places) -> NDArray[np.bool_]:
        """Return where the residual stream differs, ``[layer, place]``."""
        layers = sorted(self.recorded.stream)
        pairs = [self._pair(given.stream[layer], self.recorded.stream[layer], places) for layer in layers]
        found = np.stack([(one != other).any(-1).cpu().numpy() for one, other in pairs])
        found[:, : places.first_unlike] = False
        return found

    @staticmethod
    def _pair(given: torch.Tensor, own: torch.Tensor, places: Places) -> tuple[torch.Tensor, torch.Tensor]:
        return (
            given[places.given : places.given + places.length].to(own),
            own[places.changed : places.changed + places.length],
        )

    @property
    def _layers(self) -> list[int]:
        return sorted(self.recorded.heads)

    @property
    def _most_heads(self) -> int:
        return max(self.recorded.num_heads.values())

    def _patch_heads(self, given: Recorded, places: Places, watch: Watch) -> NDArray[np.float32]:
        layers, projections = self._layers, self._finder.projections

        def put(row: int, heads: NDArray[np.intp]) -> Copies:
            layer = layers[row]
            found = self._pair(given.heads[layer], self.recorded.heads[layer], places)[0]
            edit = _put_heads(found, heads.tolist(), self.recorded.num_heads[layer], places)
            return Copies(len(heads), projections[layer], edit)

        changes = self._measure(layers, self._find_unlike_heads(given, places), put, watch)
        for row, layer in enumerate(layers):
            changes[row, self.recorded.num_heads[layer] :] = np.nan
        return changes

    def _patch_stream(self, given: Recorded, places: Places, watch: Watch) -> NDArray[np.float32]:
        layers = sorted(self.recorded.stream)

        def put(row: int, where: NDArray[np.intp]) -> Copies:
            found = self._pair(given.stream[layers[row]], self.recorded.stream[layers[row]], places)[0]

            def edit(stream: torch.Tensor) -> torch.Tensor:
                for version, place in enumerate(where.tolist()):
                    stream[version, places.changed + place] = found[place]
                return stream

            return Copies(len(where), edit_stream=edit)

        return self._measure(layers, self._find_unlike_stream(given, places), put, watch)

    def _measure(
        self, layers: Sequence[int], wanted: NDArray[np.bool_], put: Callable[..., Copies], watch: Watch
    ) -> NDArray[np.float32]:
        """Return the changes of the difference; 0 where nothing had to be run."""
        changes = self._rerunner.measure(layers, wanted, put, watch)[1]
        return np.where(wanted, changes, np.float32(0))

    def _record(self) -> Recorded:
        stream: dict[int, torch.Tensor] = {}
        heads: dict[int, torch.Tensor] = {}
        with ExitStack() as hooks:
            for layer, module in find_layers(self._network).items():
                hooks.enter_context(edited_stream(module, _keep(stream, layer), len(self._token_ids)))
            for layer, projection in self._finder.projections.items():
                hooks.enter_context(edited(projection, _keep(heads, layer), len(self._token_ids)))
            self._run(self._token_ids)
        if heads.keys() != self._finder.projections.keys() or not stream.keys() >= heads.keys():
            raise NoEvidence("its layers do not pass on a residual stream that can be recorded")
        return Recorded(stream, heads, self._finder.num_heads)

    @torch.inference_mode()
    def put_all(self, token_ids: Sequence[int]) -> torch.Tensor:
        """Return the logits of another text with embedding, heads and MLPs of this one, ``[position, vocabulary]``.

        Args:
            token_ids: ids of the other text, as many as this one has.
        """
        first, length = min(self.recorded.stream), len(self._token_ids)
        parts = _find_parts(self._network, self.recorded.stream[first])
        outputs: dict[nn.Module, torch.Tensor] = {}
        with _hooked(parts, lambda part, output: outputs.update({part: output.clone()})):
            self._run(self._token_ids)
        with ExitStack() as hooks:
            begin = self.recorded.stream[first].expand_as
            hooks.enter_context(edited_stream(find_layers(self._network)[first], begin, length))
            for layer, projection in self._finder.projections.items():
                hooks.enter_context(edited(projection, self.recorded.heads[layer].expand_as, length))
            hooks.enter_context(_hooked(parts, lambda part, _: outputs.get(part)))
            return self._run(token_ids)

    def _prove(self) -> None:
        """Put everything of the text into its reversed text, and compare the logits.

        Raises:
            NoEvidence: the logits are not those of the text.
        """
        tolerance = PROOF_TOLERANCE.get(self._network.dtype, _HALF_TOLERANCE)
        if not is_close(self.put_all(self._token_ids[::-1]), self._run(self._token_ids), tolerance):
            raise NoEvidence("embedding, heads and MLPs of a run do not give its logits in another run")

    def _run(self, token_ids: Sequence[int]) -> torch.Tensor:
        return self._network(**make_inputs(self._network, [token_ids])).logits[0]


def join(
    recorded: Recorded,
    differences: tuple[float, float],
    shifts: tuple[Shifts, Shifts],
    places: Places,
    answers: tuple[Token, Token],
) -> Patching:
    """Return what both directions found, as shares of the difference between the runs.

    Args:
        recorded: the activations of either run, for the numbers of the layers.
        differences: log-probability of the first answer minus that of the second, in A and in B.
        shifts: what activations of A change in B, and what those of B change in A.
        places: the places of the first direction.
        answers: the tokens that are compared.

    Raises:
        NoEvidence: the runs hardly differ.
    """
    ours, theirs = differences
    if not abs(ours - theirs) >= LEAST_DIFFERENCE:
        raise NoEvidence(
            f"both runs prefer one answer to the other by nearly the same, {ours:.2f} and {theirs:.2f} nats; name "
            "“answers” on which they differ"
        )
    signs = np.array([ours - theirs, theirs - ours], np.float32)[:, None, None]
    return Patching(
        answers=answers,
        differences=differences,
        starts=(places.given, places.changed),
        length=places.length,
        layers=tuple(sorted(recorded.heads)),
        heads=np.stack([shift.heads for shift in shifts]) / signs,
        last=np.stack([shift.last for shift in shifts]) / signs,
        stream_layers=tuple(sorted(recorded.stream)),
        stream=np.stack([shift.stream for shift in shifts]) / signs,
    )


class _Finder(Observer):
    """Finds the output projection of each layer, and checks that its heads can be told apart at its input."""

    def __init__(self) -> None:
        self.projections: dict[int, nn.Module] = {}
        self.num_heads: dict[int, int] = {}

    def see_heads(self, trace: HeadTrace) -> None:
        split_heads(trace)
        assert trace.projection is not None
        self.projections[trace.layer], self.num_heads[trace.layer] = trace.projection, trace.shape[0]


def _put_heads(found: torch.Tensor, heads: Sequence[int], num_heads: int, places: Places) -> Edit:
    """Return an edit that puts the output of head ``heads[i]`` of all, ``[place, head * size]``, into copy ``i``."""
    given = found.reshape(len(found), num_heads, -1)

    def edit(read: torch.Tensor) -> torch.Tensor:
        by_head = read.clone().reshape(*read.shape[:2], num_heads, -1)
        for version, head in enumerate(heads):
            by_head[version, places.changed : places.changed + places.length, head] = given[:, head]
        return by_head.reshape(read.shape)

    return edit


def _keep(kept: dict[int, torch.Tensor], layer: int) -> Edit:
    """Return an edit that changes nothing, and keeps what it is given."""

    def keep(read: torch.Tensor) -> torch.Tensor:
        kept[layer] = read[0].clone()
        return read

    return keep


@contextmanager
def _hooked(
    parts: Sequence[nn.Module], see: Callable[[nn.Module, torch.Tensor], torch.Tensor | None]
) -> Iterator[None]:
    """Show the outputs of modules inside a ``with`` block.

    Args:
        parts: the modules.
        see: receives a module and its output, and returns what takes its place; ``None`` for what there is.
    """

    def change(part: nn.Module, _: Any, output: Any) -> Any:
        first, *others = output if isinstance(output, tuple) and output else (output,)
        changed = see(part, first) if isinstance(first, torch.Tensor) else None
        if changed is None:
            return None
        return (changed, *others) if isinstance(output, tuple) else changed

    with ExitStack() as hooks:
        for part in parts:
            hooks.callback(part.register_forward_hook(change).remove)
        yield


def _find_parts(network: PreTrainedModel, like: torch.Tensor) -> list[nn.Module]:
    """Return the modules of layers that are neither attention nor a norm, mostly MLPs.

    Args:
        network: the network.
        like: a residual stream, ``[position, width]``.
    """
    attention = {module for _, module in find_attention(network)}
    parts = [part for layer in find_layers(network).values() for part in layer.children()]
    # A layer may call one dropout for both, and what has no parameters follows from what it reads.
    parts = [part for part in parts if attention.isdisjoint(part.modules()) and any(True for _ in part.parameters())]
    return [part for part in parts if LinearNorm.probe(part, like.shape[-1], like) is None]


def _find_output(
    network: PreTrainedModel, logits: torch.Tensor, unembedded: torch.Tensor | None
) -> tuple[Unembedding | None, LogitScale | None]:
    """Return the unembedding and the scale of the logits; without them, every run is a full forward pass."""
    if unembedded is None:
        return None, None
    try:
        unembed = Unembedding.find(network)
        return unembed, LogitScale.fit(network, unembed, unembedded, logits)
    except NoEvidence:
        return None, None


def _share_out(watch: Watch, counts: Sequence[int]) -> list[Watch]:
    """Return a callback for each of several measurements that tells of all of them together."""
    total = sum(counts)

    def make(before: int) -> Watch:
        def tell(done: int, of: int, seconds: float) -> None:
            left = total - before - done
            watch(before + done, total, seconds * left / max(of - done, 1))

        return tell

    return [make(sum(counts[:place])) for place in range(len(counts))]
