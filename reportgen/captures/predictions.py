"""Logits to predictions: probability, rank, entropy and alternatives of what came next."""

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
"""Distributions at a time: over a large vocabulary, more of them would not stay in a processor's cache."""


class Predictor:
    """Makes predictions for one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        """Remember the tokens already made: the same few alternatives come up again and again."""
        self.token: Callable[[int], Token] = lru_cache(maxsize=None)(lambda token_id: make_token(tokenizer, token_id))

    def predict_all(self, logits: torch.Tensor, chosen: Sequence[int]) -> list[Prediction]:
        """Return distributions as a page shows them.

        Args:
            logits: ``[position, vocabulary]``, any float type; ``-inf`` for a token that is ruled out.
            chosen: id of the token that came next at each position.

        Returns:
            The predictions, measured in float32 (entropy: -Σ p ln p over tokens of probability above 0).

        Raises:
            ValueError: the logits hold NaN or ``+inf``, or rule every token out.
        """
        made: list[Prediction] = []
        for first in range(0, len(logits), _ROWS):
            rows = slice(first, first + _ROWS)
            made += self._predict(logits[rows].float(), chosen[rows])
        return made

    def _predict(self, logits: torch.Tensor, chosen: Sequence[int]) -> Iterator[Prediction]:
        if not torch.isfinite(logits.amax(-1)).all():
            raise ValueError("the model's logits are not finite, try --dtype float32")
        logprobs = logits.log_softmax(-1)
        entropies = torch.special.entr(logprobs.exp()).sum(-1).clamp(min=0)
        own = logprobs.gather(-1, torch.tensor(chosen, device=logits.device)[:, None])
        ranks = (logprobs > own).sum(-1)
        alternatives = self._alternatives(logprobs)
        rows = zip(own[:, 0].tolist(), ranks.tolist(), entropies.tolist(), alternatives, strict=True)
        return (Prediction(*row) for row in rows)

    def _alternatives(self, logprobs: torch.Tensor) -> Iterator[tuple[tuple[Token, float], ...]]:
        least = torch.topk(logprobs, min(_ALTERNATIVES, logprobs.shape[-1])).values[:, -1:]
        # Which of several equal ones topk returns is not fixed, so all are taken, in the order of their ids.
        found = (logprobs >= least) & (logprobs > float("-inf"))
        for row, some in zip(logprobs, found, strict=True):
            token_ids = some.nonzero()[:, 0]
            best = token_ids[row[token_ids].sort(descending=True, stable=True).indices[:_ALTERNATIVES]]
            pairs = zip(best.tolist(), row[best].tolist(), strict=True)
            yield tuple((self.token(token_id), logprob) for token_id, logprob in pairs)
