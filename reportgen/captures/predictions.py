"""Logits to predictions: probability, rank, entropy and alternatives of what came next."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from reportgen.captures.tokens import make_token
from reportgen.records import Prediction, Token

if TYPE_CHECKING:
    from collections.abc import Callable

_ALTERNATIVES = 10


class Predictor:
    """Makes predictions for one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        """Remember the tokens already made: the same few alternatives come up again and again."""
        self.token: Callable[[int], Token] = lru_cache(maxsize=None)(lambda token_id: make_token(tokenizer, token_id))

    def predict(self, logits: torch.Tensor, chosen: int) -> Prediction:
        """Return a distribution as a page shows it.

        Args:
            logits: ``[vocabulary]``, any float type; ``-inf`` for a token that is ruled out.
            chosen: id of the token that came next.

        Returns:
            The prediction, measured in float32 (entropy: -Σ p ln p over tokens of probability above 0).

        Raises:
            ValueError: the logits hold NaN or ``+inf``, or rule every token out.
        """
        logits = logits.float()
        if not torch.isfinite(logits.max()):
            raise ValueError("the model's logits are not finite, try --dtype float32")
        logprobs = logits.log_softmax(-1)
        entropy = -torch.special.xlogy(logprobs.exp(), logprobs.exp()).sum()
        return Prediction(
            logprob=float(logprobs[chosen]),
            rank=int((logprobs > logprobs[chosen]).sum()),
            entropy=max(0.0, float(entropy)),
            alternatives=self._alternatives(logprobs),
        )

    def _alternatives(self, logprobs: torch.Tensor) -> tuple[tuple[Token, float], ...]:
        least = torch.topk(logprobs, min(_ALTERNATIVES, len(logprobs))).values[-1]
        # Which of several equal ones topk returns is not fixed, so all are taken, in the order of their ids.
        token_ids = ((logprobs >= least) & (logprobs > float("-inf"))).nonzero()[:, 0]
        order = logprobs[token_ids].sort(descending=True, stable=True).indices[:_ALTERNATIVES]
        best = token_ids[order]
        pairs = zip(best.tolist(), logprobs[best].tolist(), strict=True)
        return tuple((self.token(token_id), logprob) for token_id, logprob in pairs)
