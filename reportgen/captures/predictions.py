"""Compute predictions from logits: log-probability and rank of the next token, entropy, and alternatives."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from reportgen.captures.tokens import make_token
from reportgen.records import Prediction, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_ALTERNATIVES = 10
_ROWS = 8
"""Number of distributions processed at a time; with a large vocabulary, more do not fit into the CPU's cache."""


def widen(logits: torch.Tensor) -> torch.Tensor:
    """Return logits in float64; on the CPU if their device does not have float64."""
    return (logits.cpu() if logits.device.type == "mps" else logits).double()


class Predictor:
    """Computes predictions for one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        """Create a cache of tokens, because the same alternatives occur many times."""
        self.token: Callable[[int], Token] = lru_cache(maxsize=None)(lambda token_id: make_token(tokenizer, token_id))

    def predict_all(self, logits: torch.Tensor, chosen: Sequence[int]) -> list[Prediction]:
        """Return the prediction at each position.

        Args:
            logits: ``[position, vocabulary]``, any float dtype; ``-inf`` for an excluded token.
            chosen: id of the next token at each position.

        Returns:
            The predictions, computed in float64, because errors of float32 add up over a large vocabulary (2e-4 in
            the logarithm over 49,152 tokens); the entropy is -Σ p ln p over tokens with p > 0, in nats.

        Raises:
            ValueError: the logits contain NaN or ``+inf``, or exclude every token.
        """
        predictions: list[Prediction] = []
        for first in range(0, len(logits), _ROWS):
            rows = slice(first, first + _ROWS)
            predictions += self._predict(widen(logits[rows]), chosen[rows])
        return predictions

    def _predict(self, logits: torch.Tensor, chosen: Sequence[int]) -> Iterator[Prediction]:
        if not torch.isfinite(logits.amax(-1)).all():
            raise ValueError("the model's logits are not finite; float16 may overflow, try --dtype bfloat16 or float32")
        logprobs = logits.log_softmax(-1)
        entropies = torch.special.entr(logprobs.exp()).sum(-1).clamp(min=0)
        chosen_logprobs = logprobs.gather(-1, torch.tensor(chosen, device=logits.device)[:, None])
        ranks = 1 + (logprobs > chosen_logprobs).sum(-1)
        alternatives = self._alternatives(logprobs)
        rows = zip(chosen_logprobs[:, 0].tolist(), ranks.tolist(), entropies.tolist(), alternatives, strict=True)
        return (Prediction(*row) for row in rows)

    def _alternatives(self, logprobs: torch.Tensor) -> Iterator[tuple[tuple[Token, float], ...]]:
        least = torch.topk(logprobs, min(_ALTERNATIVES, logprobs.shape[-1])).values[:, -1:]
        # topk does not define which of several equal values it returns, so ties are sorted by token id here.
        candidates = (logprobs >= least) & (logprobs > float("-inf"))
        for row, is_candidate in zip(logprobs, candidates, strict=True):
            token_ids = is_candidate.nonzero()[:, 0]
            best = token_ids[row[token_ids].sort(descending=True, stable=True).indices[:_ALTERNATIVES]]
            pairs = zip(best.tolist(), row[best].tolist(), strict=True)
            yield tuple((self.token(token_id), logprob) for token_id, logprob in pairs)
