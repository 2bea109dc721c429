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
_EXCLUDED = -1000.0
"""Logit below the largest at which a probability is 0 in float64."""
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
            predictions += self._predict(logits[rows], chosen[rows])
        return predictions

    def _predict(self, logits: torch.Tensor, chosen: Sequence[int]) -> Iterator[Prediction]:
        largest = logits.amax(-1, keepdim=True)
        if not torch.isfinite(largest).all():
            raise ValueError("the model's logits are not finite; float16 may overflow, try --dtype bfloat16 or float32")
        chosen_logits = logits.gather(-1, torch.tensor(chosen, device=logits.device)[:, None])
        ranks = 1 + (logits > chosen_logits).sum(-1)
        # Of an excluded token, exp is 0 and not 0 · ∞.
        below = (widen(logits) - widen(largest)).clamp_(min=_EXCLUDED)
        exps = below.exp()
        totals = exps.sum(-1, keepdim=True)
        normalizers = widen(largest) + totals.log()  # the logarithm of the sum of all exp(logit)
        entropies = (totals.log() - exps.mul_(below).sum(-1, keepdim=True) / totals).clamp(min=0)
        logprobs = (widen(chosen_logits) - normalizers)[:, 0].tolist()
        alternatives = self._alternatives(logits, normalizers[:, 0].tolist())
        rows = zip(logprobs, ranks.tolist(), entropies[:, 0].tolist(), alternatives, strict=True)
        return (Prediction(*row) for row in rows)

    def _alternatives(
        self, logits: torch.Tensor, normalizers: list[float]
    ) -> Iterator[tuple[tuple[Token, float], ...]]:
        values, token_ids = torch.topk(logits, min(_ALTERNATIVES + 1, logits.shape[-1]))
        for row, normalizer, *best in zip(logits, normalizers, values.tolist(), token_ids.tolist(), strict=True):
            pairs = list(zip(*best, strict=True))
            # topk does not define which of several equal values it returns, so ties are sorted by token id here.
            if len(pairs) > _ALTERNATIVES and pairs[-1][0] == pairs[-2][0] > float("-inf"):
                equal = (row == pairs[-1][0]).nonzero()[:, 0].tolist()
                pairs = [pair for pair in pairs if pair[0] > pairs[-1][0]] + [(pairs[-1][0], one) for one in equal]
            pairs.sort(key=lambda pair: (-pair[0], pair[1]))
            known = (pair for pair in pairs[:_ALTERNATIVES] if pair[0] > float("-inf"))
            yield tuple((self.token(token_id), logit - normalizer) for logit, token_id in known)
