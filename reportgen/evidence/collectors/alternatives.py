"""What else a network would have said at each step: the tokens other than the chosen one, by their probability."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Alternatives:
    """The alternatives of the chosen token of each step, in float64.

    The log-odds of the chosen token are its logit minus the logarithm of the sum of ``exp`` of all other logits. That
    logarithm is the mean of these logits, each weighted by its probability among them, plus the entropy of these
    probabilities.

    Attributes:
        weights: probability of each token among the tokens that were not chosen, ``[step, vocabulary]``; 0 for the
            chosen one.
        logit: mean of their logits before a soft cap, by these weights, ``[step]``.
        entropy: entropy of these weights, in nats, ``[step]``.
        log_odds: log-odds of the chosen token, ``[step]``.
        soft_cap: what a soft cap changes of the chosen token's logit minus the mean; 0 without one, ``[step]``.
    """

    weights: torch.Tensor
    logit: torch.Tensor
    entropy: torch.Tensor
    log_odds: torch.Tensor
    soft_cap: torch.Tensor

    @classmethod
    def of(cls, logits: torch.Tensor, uncapped: torch.Tensor, chosen: torch.Tensor) -> Alternatives:
        """Return the alternatives of a run.

        Args:
            logits: logits of the network, float64 ``[step, vocabulary]``.
            uncapped: the same before a soft cap.
            chosen: ids of the chosen tokens, ``[step]``.
        """
        index = chosen[:, None]
        # A softmax over the others: p / (1 - p) of the chosen token would lose all digits where it is nearly certain.
        others = logits.scatter(1, index, -torch.inf)
        total = others.logsumexp(-1)
        weights = (others - total[:, None]).exp()
        logit, capped = (_mean(values, weights) for values in (uncapped, logits))
        chosen_logit, chosen_uncapped = logits.gather(1, index)[:, 0], uncapped.gather(1, index)[:, 0]
        return cls(
            weights=weights,
            logit=logit,
            entropy=torch.special.entr(weights).sum(-1),
            log_odds=chosen_logit - total,
            soft_cap=(chosen_logit - capped) - (chosen_uncapped - logit),
        )


def _mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return torch.where(weights > 0, weights * values, 0).sum(-1)
