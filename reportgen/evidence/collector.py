"""All evidence of one pass, measured while it streams by. What cannot be had is noted with its reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from reportgen.captures.collector import Collector, Watch
from reportgen.evidence.ablation import Ablator
from reportgen.evidence.attribution import Attributor
from reportgen.evidence.head_scores import HeadMeasurer, LayerMeasurer
from reportgen.evidence.lens import matches_output, read_lens
from reportgen.evidence.rollout import Rollout
from reportgen.evidence.weighted import measure_value_norms
from reportgen.instrumentation.anatomy import has_sink, output_device
from reportgen.instrumentation.heads import SplitHeads, split_heads
from reportgen.instrumentation.logits import Logits
from reportgen.instrumentation.observer import HeadTrace, LayerTrace, RowTrace
from reportgen.instrumentation.unembedding import LogitScale, Unembedding
from reportgen.records import Token
from reportgen.records.errors import NoEvidence
from reportgen.records.evidence import Attribution, Evidence, Lens

_NO_STEPS = "no tokens were generated"
_T = TypeVar("_T")


class EvidenceCollector(Collector):
    """Measures every kind of evidence from the pass that attention is taken from."""

    def __init__(
        self,
        network: PreTrainedModel,
        token_ids: list[int],
        layers: Sequence[int],
        heads: Sequence[int],
        runners_up: torch.Tensor,
    ) -> None:
        """Get ready for a pass.

        Args:
            network: that will run.
            token_ids: prompt and generated tokens.
            layers: to keep.
            heads: to keep.
            runners_up: ids of the most probable other tokens, ``[step, rival]``; no rows where nothing was generated.
        """
        self.token_ids = token_ids
        self._network, self._layers, self._heads, self._rivals = network, layers, list(heads), runners_up
        self._num_steps = len(runners_up)
        device = output_device(network)
        self._chosen = torch.tensor(token_ids[len(token_ids) - len(runners_up) :], device=device, dtype=torch.long)
        self._measurer = HeadMeasurer(token_ids, device)
        self._rollout = Rollout()
        self._seen: list[int] = []
        self._measured: LayerMeasurer | None = None
        self._scores: dict[int, dict[str, NDArray[np.float32]]] = {}
        self._norms: dict[int, torch.Tensor] = {}
        self._projections: dict[int, nn.Module] = {}
        self._ablations: dict[str, NDArray[np.float32]] = {}
        self._stream: dict[int, torch.Tensor] = {}
        self._ended: tuple[torch.Tensor, torch.Tensor, LogitScale] | None = None
        self.missing: dict[str, str] = (
            {} if len(runners_up) else dict.fromkeys(("attribution", "lens", "ablations"), _NO_STEPS)
        )
        self._end = self._try("lens", lambda: Unembedding.find(network))
        self._attributor = self._try("attribution", lambda: self._make_attributor(runners_up))
        # Rows of the residual stream that matter: those that predicted a step's token; one is enough to know the heads.
        last = len(token_ids) - 1
        self.rows = slice(last - max(len(runners_up), 1), last) if last else slice(0, 1)

    def _make_attributor(self, runners_up: torch.Tensor) -> Attributor:
        if self._end is None:
            raise NoEvidence("its final norm and unembedding were not found")
        return Attributor(self._end, self._chosen, runners_up, self._layers, self._heads)

    def _try(self, name: str, action: Callable[[], _T]) -> _T | None:
        """Do something for one kind of evidence; what goes wrong is noted, and that kind is left alone from then on."""
        if name in self.missing:
            return None
        try:
            with torch.inference_mode():
                return action()
        except NoEvidence as error:
            reason = str(error)
        except Exception as error:  # evidence may be missing; a capture must not be lost for it
            reason = f"it could not be computed, {type(error).__name__}: {str(error)[:200]}"
        self.missing[name] = f"not available for {type(self._network).__name__}: {reason}"
        return None

    def see_heads(self, trace: HeadTrace) -> None:
        """Take the heads of a layer apart."""
        split = self._try("heads", lambda: split_heads(trace, self.rows))
        norms = self._try("value_norms", lambda: measure_value_norms(self._need(split)))
        self._measured = None
        if trace.layer in self._layers:
            self._seen.append(trace.layer)
            self._measured = self._try("scores", lambda: self._begin(trace, norms))
            if split is not None and trace.projection is not None:
                self._projections[trace.layer] = trace.projection
                self._num_heads = trace.shape[0]
        if self._attributor is not None:
            attributor, rows = self._attributor, self.rows
            self._try(
                "attribution",
                lambda: attributor.add_heads(self._need(split), trace.weights, trace.attn_out[rows].clone()),
            )

    def see_rows(self, trace: RowTrace) -> None:
        """Measure some query rows of a layer."""
        weights = trace.weights
        self._try("rollout", lambda: self._rollout.add(trace.first, weights))
        measured = self._measured
        if measured is None:
            return
        kept = weights if len(self._heads) == len(weights) else weights[self._heads]
        self._try("scores", lambda: measured.add(trace.first, kept))
        if trace.first == 0:
            scores = self._try("scores", measured.result)
            if scores is not None:
                self._scores[trace.layer] = scores

    def _need(self, split: SplitHeads | None) -> SplitHeads:
        if split is None:
            raise NoEvidence(self.missing["heads"].partition(": ")[2])
        return split

    def _begin(self, trace: HeadTrace, norms: torch.Tensor | None) -> LayerMeasurer:
        chosen = None if norms is None else norms[self._heads]
        if chosen is not None:
            self._norms[trace.layer] = chosen
        return self._measurer.begin(len(self._heads), chosen, has_sink=has_sink(trace.module))

    def see_layer(self, trace: LayerTrace) -> None:
        """Take what a layer wrote."""
        if not self._num_steps:
            return
        self._stream[trace.layer] = trace.resid_post
        if self._attributor is not None:
            attributor = self._attributor
            self._try("attribution", lambda: attributor.add_layer(trace))

    def end(self, logits: Logits) -> None:
        """Take what the unembedding read at the positions of the steps, and what came of it."""
        if self._num_steps and self._end is not None:
            end = self._end
            self._ended = self._try("lens", lambda: self._read_end(logits, end))

    def _read_end(self, logits: Logits, end: Unembedding) -> tuple[torch.Tensor, torch.Tensor, LogitScale]:
        given, unembedded = logits.read(self.rows)
        if unembedded is None:
            raise NoEvidence("its unembedding was not seen to run")
        return unembedded, given, LogitScale.fit(self._network, end, unembedded, given)

    def ablate(self, methods: Sequence[str], watch: Watch) -> None:
        """Take out each head that is kept, once the pass is over.

        Args:
            methods: of ``records.EXTRA_EVIDENCE``.
            watch: told how far it is.
        """
        ablator = self._try("ablations", self._make_ablator) if methods else None
        if ablator is None:
            return
        projections, heads, num_heads = self._projections, self._heads, self._num_heads
        for method in methods:
            changes = self._try(
                "ablations",
                lambda method=method: ablator.ablate(projections, heads, num_heads, method, watch),
            )
            if changes is not None:
                self._ablations[method] = changes

    def _make_ablator(self) -> Ablator:
        """Run the text once more, for all methods."""
        if len(self._projections) < len(self._seen):
            self._need(None)
        scale = None if self._ended is None else self._ended[2]
        return Ablator(self._network, self.token_ids, self.rows, self._end, scale)

    def finish(self, make_token: Callable[[int], Token]) -> Evidence:
        """Return the evidence of a pass that is over.

        Args:
            make_token: a token of the tokenizer by its id.
        """
        runners_up = tuple(tuple(make_token(token_id) for token_id in row) for row in self._rivals.tolist())
        layers = sorted(self._seen)
        attribution = self._try("attribution", lambda: self._finish_attribution(runners_up, layers))
        lens = self._try("lens", lambda: self._read_lens(make_token))
        rollout = self._try("rollout", self._rollout.result)
        norms = [self._norms[layer].cpu().numpy() for layer in layers if layer in self._norms]
        names = self._scores[layers[0]] if layers and "scores" not in self.missing else ()
        return Evidence(
            scores={name: np.stack([self._scores[layer][name] for layer in layers]) for name in names},
            value_norms=np.stack(norms) if norms and "value_norms" not in self.missing else None,
            attribution=attribution,
            lens=lens,
            rollout=None if rollout is None else rollout.cpu().numpy()[np.tri(len(rollout), dtype=bool)],
            ablations=self._ablations,
            missing={name: reason for name, reason in self.missing.items() if name != "heads"},
        )

    def _finish_attribution(self, runners_up: tuple[tuple[Token, ...], ...], layers: list[int]) -> Attribution:
        attributor, (unembedded, logits, scale) = self._attributor, self._need_end()
        if attributor is None or self._end is None:
            raise NoEvidence("its final norm and unembedding were not found")
        # A cap cannot be taken off where it holds; what comes out of the unembedding has none.
        uncapped = logits.float() if scale.cap is None else self._end.logits(unembedded)
        finished = attributor.finish(unembedded, uncapped, scale)
        return finished.record(runners_up, layers, self._heads)

    def _need_end(self) -> tuple[torch.Tensor, torch.Tensor, LogitScale]:
        if self._ended is None:
            raise NoEvidence(self.missing.get("lens", "its unembedding was not seen to run").partition(": ")[2])
        return self._ended

    def _read_lens(self, make_token: Callable[[int], Token]) -> Lens:
        (unembedded, _, scale), end = self._need_end(), self._end
        if end is None or not self._stream:
            raise NoEvidence("its layers were not seen to pass a residual stream on")
        layers = sorted(self._stream)
        if not matches_output(end, self._stream[layers[-1]], unembedded):
            raise NoEvidence("what its unembedding reads is not the normed residual stream")
        stream = torch.stack([self._stream[layer] for layer in layers])
        read = read_lens(end, scale, stream.flatten(0, 1), self._chosen.repeat(len(layers)))

        def by_layer(values: torch.Tensor) -> Any:
            return values.reshape(len(layers), -1).cpu().numpy()

        best = tuple(tuple(make_token(int(token_id)) for token_id in row) for row in by_layer(read.best_ids))
        return Lens(tuple(layers), by_layer(read.logprobs), by_layer(read.ranks), best, by_layer(read.best_logprobs))
