"""Measure the scores of heads in float32, from blocks of query rows of one layer at a time.

``reportgen.evidence.kinds.scores`` has the definition and the source of each score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from reportgen.evidence.collectors.weighted import weighted_sink
from reportgen.evidence.kinds.scores import HEAD_SCORES, NEEDLE, QUESTION
from reportgen.evidence.traced_run import KindCollector, TracedRun
from reportgen.instrumentation.anatomy import has_sink
from reportgen.instrumentation.observer import HeadTrace, RowTrace
from reportgen.records import LayerType
from reportgen.records.errors import NoEvidence


class HeadMeasurer:
    """Measures the heads of one capture, layer by layer."""

    def __init__(self, token_ids: list[int], device: torch.device) -> None:
        """Find the pairs of equal tokens, which all layers share."""
        ids = torch.tensor(token_ids, device=device)
        # [2, pair], ascending by query position: each query position with each earlier position of the same token.
        self.duplicates = (ids[:, None] == ids[None, :]).tril(-1).nonzero().T
        query_pos, key_pos = self.duplicates
        followed = key_pos + 1 < query_pos
        self.inductions = torch.stack([query_pos[followed], key_pos[followed] + 1])
        self.positions = torch.arange(len(token_ids), device=device)
        self._found: dict[tuple[int, int], dict[str, _Pairs]] = {}

    def find(self, first: int, last: int) -> Mapping[str, _Pairs]:
        """Return the pairs of the queries ``first .. last - 1`` by score; kept, since every layer asks for the same."""
        if (first, last) not in self._found:
            named = {"duplicate": self.duplicates, "induction": self.inductions}
            self._found[first, last] = {name: _Pairs.of(pairs, first, last) for name, pairs in named.items()}
        return self._found[first, last]

    def begin(
        self,
        num_heads: int,
        norms: torch.Tensor | None = None,
        *,
        has_sink: bool = False,
        layer_type: LayerType | None = None,
    ) -> LayerMeasurer:
        """Begin with a layer.

        Args:
            num_heads: number of heads that are measured.
            norms: length of what each head writes per unit of weight on a key, ``[head, key_pos]``; ``None`` if it is
                not known.
            has_sink: whether rows may sum to less than 1, because a learned sink takes the rest.
            layer_type: which keys the queries of the layer see; ``None`` if they see all earlier ones.
        """
        first_keys = None
        if layer_type is not None and (layer_type.window or layer_type.chunk):
            visible = [layer_type.first_key(query_pos) for query_pos in self.positions.tolist()]
            first_keys = torch.tensor(visible, device=self.positions.device)
        return LayerMeasurer(self, num_heads, norms, has_sink, first_keys)


class _Pairs(NamedTuple):
    """Some of the pairs of positions, ``[2, pair]`` ascending by query, and the number of their queries."""

    pairs: torch.Tensor
    num_queries: int

    @classmethod
    def of(cls, pairs: torch.Tensor, first: int, last: int) -> _Pairs:
        """Return the pairs of the queries ``first .. last - 1``; they share the memory of ``pairs``."""
        bounds = torch.tensor([first, last], device=pairs.device)
        begin, end = torch.searchsorted(pairs[0].contiguous(), bounds).tolist()
        return cls(pairs[:, begin:end], len(pairs[0, begin:end].unique()))


class LayerMeasurer:
    """Sums up the scores of one layer's heads over blocks of query rows."""

    def __init__(
        self,
        pairs: HeadMeasurer,
        num_heads: int,
        norms: torch.Tensor | None,
        has_sink: bool,
        first_keys: torch.Tensor | None,
    ) -> None:
        """Begin before the first row."""
        self._pairs, self._norms, self._has_sink, self._num_heads = pairs, norms, has_sink, num_heads
        self._all = _Sums(num_heads, torch.zeros_like(pairs.positions), is_windowed=False)
        # A window of the config may not be that of the weights: then the scores over all earlier keys hold.
        self._windowed = None if first_keys is None else _Sums(num_heads, first_keys, is_windowed=True)

    def add(self, first: int, weights: torch.Tensor, entropies: torch.Tensor) -> None:
        """Add a block of query rows.

        Args:
            first: first query position of the block.
            weights: attention weights, float32 ``[head, row, key_pos]``; trailing keys that none of the rows can attend
                to may be left out.
            entropies: their entropies in nats, ``[head, row]``.
        """
        if self._windowed is not None:
            keys = self._pairs.positions[: weights.shape[-1]]
            first_keys = self._windowed.first_keys[first : first + weights.shape[1], None]
            if (weights * (keys < first_keys)).any():
                self._windowed = None
        for sums in filter(None, (self._all, self._windowed)):
            sums.add(first, weights, entropies, self._pairs, self._norms, has_sink=self._has_sink)

    def result(self) -> dict[str, NDArray[np.float32]]:
        """Return the scores after all rows were added.

        Returns:
            Scores by the names of ``kinds.scores.HEAD_SCORES``, ``[head]`` each; NaN if a score is undefined.
        """
        scores = (self._windowed or self._all).result()
        if self._norms is None:
            scores["sink_weighted"] = torch.full((self._num_heads,), torch.nan)
        return {name: score.cpu().numpy() for name, score in scores.items()}


class _Sums:
    """Sums of scores over queries, and the number of queries of each: those that see a key that the score is about.

    Attributes:
        first_keys: first key position that each query sees, ``[query_pos]``.
    """

    def __init__(self, num_heads: int, first_keys: torch.Tensor, *, is_windowed: bool) -> None:
        self.first_keys, self._is_windowed = first_keys, is_windowed
        zeros = torch.zeros(num_heads, device=first_keys.device)
        self._totals = {score.name: zeros for score in HEAD_SCORES if score.name != "retrieval"}
        self._counts = dict(self._totals)

    def add(
        self,
        first: int,
        weights: torch.Tensor,
        entropies: torch.Tensor,
        pairs: HeadMeasurer,
        norms: torch.Tensor | None,
        *,
        has_sink: bool,
    ) -> None:
        last = first + weights.shape[1]
        for name, part in pairs.find(first, last).items():
            self._add_pairs(name, part, first, weights)
        if first == 0:  # the first query has nothing to choose from
            first, weights, entropies = 1, weights[:, 1:], entropies[:, 1:]
        if first >= last:
            return
        queries, keys = pairs.positions[first:last], pairs.positions[: weights.shape[-1]]
        first_keys, sums = self.first_keys[first:last], weights.sum(-1)
        sees_first, num_visible = first_keys == 0, queries - first_keys + 1
        self._add("sink", weights[:, :, 0] + (1 - sums if has_sink else 0), sees_first)
        self._add("previous", weights.diagonal(first - 1, 1, 2), first_keys < queries)
        self._add("self", weights.diagonal(first, 1, 2), queries > 0)
        self._add("entropy", entropies / torch.log(num_visible.float()), num_visible > 1)
        if norms is not None:
            self._add("sink_weighted", weighted_sink(weights, norms), sees_first)
        lengths = weights * (queries[:, None] - keys).clamp(min=0)
        self._add("distance", lengths.sum(-1), queries > 0)
        rest = weights[:, :, 1:].sum(-1)  # not 1 less the first: what is left may be smaller than a rounding of that
        sees_rest = (queries > 1) & (rest > 0)
        self._add("distance_rest", lengths[:, :, 1:].sum(-1) / rest, sees_rest)

    def _add_pairs(self, name: str, part: _Pairs, first: int, weights: torch.Tensor) -> None:
        """Add the weights of the visible ones of some pairs of positions."""
        query_pos, key_pos = part.pairs
        num_queries = part.num_queries
        if self._is_windowed:
            visible = key_pos >= self.first_keys[query_pos]
            query_pos, key_pos = query_pos[visible], key_pos[visible]
            num_queries = len(query_pos.unique())
        cells = (query_pos - first) * weights.shape[-1] + key_pos
        self._totals[name] = self._totals[name] + weights.flatten(1).index_select(1, cells).sum(-1)
        self._counts[name] = self._counts[name] + num_queries

    def _add(self, name: str, values: torch.Tensor, counted: torch.Tensor) -> None:
        """Add the values of queries, ``[head, row]``, of those that count, ``[row]`` or ``[head, row]``."""
        self._totals[name] = self._totals[name] + values.where(counted, 0).sum(-1)
        self._counts[name] = self._counts[name] + counted.sum(-1)

    def result(self) -> dict[str, torch.Tensor]:
        return {name: total / self._counts[name] for name, total in self._totals.items()}


class ScoresCollector(KindCollector):
    """Measures the scores of the captured heads, layer by layer."""

    kind = "scores"

    def __init__(self, run: TracedRun) -> None:
        """Prepare for the forward pass: find the equal tokens of the text."""
        super().__init__(run)
        self._measurer = HeadMeasurer(run.token_ids, run.device)
        self._layers: dict[int, LayerMeasurer] = {}
        spans = {span.name: span for span in run.spans}
        self._question, self._needle = spans.get(QUESTION), spans.get(NEEDLE)
        self._retrieval: dict[int, torch.Tensor] = {}

    @classmethod
    def count_bytes(cls, token_ids: Sequence[int], length: int, num_layers: int) -> int:
        """Return the memory of the pairs of equal tokens: two numbers for each, and as many for what followed them.

        A generated token may equal all tokens before it.
        """
        equal = sum(count * (count - 1) // 2 for count in Counter(token_ids).values())
        generated = sum(range(len(token_ids), length))
        return 2 * length**2 + 2 * 2 * 8 * (equal + generated)

    def see_heads(self, trace: HeadTrace) -> None:
        """Create a measurer for a captured layer."""
        if trace.layer in self.run.layers:
            self._layers[trace.layer] = self._measurer.begin(
                len(self.run.heads),
                self._find_norms(trace),
                has_sink=has_sink(trace.module),
                layer_type=self.run.find_layer_type(trace.layer),
            )

    def _find_norms(self, trace: HeadTrace) -> torch.Tensor | None:
        """Return the norms of the captured heads, or ``None``: all scores but the weighted one work without them."""
        try:
            return self.run.measure_norms(trace)[self.run.heads]
        except NoEvidence:
            return None

    def see_rows(self, trace: RowTrace) -> None:
        """Add a block of query rows of a captured layer."""
        if trace.layer in self._layers:
            heads, weights = self.run.heads, trace.weights
            weights = weights if len(heads) == len(weights) else weights[heads]
            self._layers[trace.layer].add(trace.first, weights.float(), trace.entropies[heads])
            self._add_retrieval(trace.layer, trace.first, weights)

    def _add_retrieval(self, layer: int, first: int, weights: torch.Tensor) -> None:
        """Add the weights of the question's rows of a block on the needle."""
        question, needle = self._question, self._needle
        if question is None or needle is None:
            return
        rows = weights[:, max(0, question.first - first) : max(0, question.last + 1 - first)]
        read = rows[:, :, needle.first : needle.last + 1].float().sum((1, 2)).cpu().double()
        if needle.first > question.last:
            read = torch.full_like(read, torch.nan)
        self._retrieval[layer] = self._retrieval.get(layer, 0) + read / (question.last + 1 - question.first)

    def finish(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the scores by name, float32 ``[layer, head]`` each; ``None`` if no layer was seen."""
        layers = [self._layers[layer].result() for layer in sorted(self._layers)]
        if not layers:
            return None
        found = {name: np.stack([scores[name] for scores in layers]) for name in layers[0]}
        if self._retrieval:
            by_layer = [self._retrieval[layer].float().cpu().numpy() for layer in sorted(self._layers)]
            found["retrieval"] = np.stack(by_layer)
        return found
