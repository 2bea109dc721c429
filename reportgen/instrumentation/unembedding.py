"""From the last residual stream to logits: final norm, unembedding, and what a family does to logits behind it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary
from transformers import PreTrainedModel

from reportgen.instrumentation.anatomy import bias_of, is_close, outer_leaves, readable_weight, tolerance_of
from reportgen.instrumentation.norms import LinearNorm
from reportgen.records.errors import NoEvidence

_CAPS = ("final_logit_softcapping", "logits_soft_cap")
_SAMPLE = 1024
"""Tokens of the vocabulary that are enough to see how a network's logits differ from those of its unembedding."""


@dataclass(frozen=True)
class Unembedding:
    """The end of a network.

    Attributes:
        norm_module: the final norm.
        norm: the same, linear.
        weight: ``[vocabulary, width]``, as the network keeps it.
        bias: ``[vocabulary]``; ``None`` where there is none.
    """

    norm_module: nn.Module
    norm: LinearNorm
    weight: torch.Tensor
    bias: torch.Tensor | None

    @classmethod
    def find(cls, network: PreTrainedModel) -> Unembedding:
        """Find the unembedding, and the final norm: the last norm that stands outside the layers.

        Raises:
            NoEvidence: there is no linear unembedding or no norm before it.
        """
        head = network.get_output_embeddings()
        if not isinstance(head, nn.Linear):
            raise NoEvidence("its unembedding is not a linear map")
        weight = readable_weight(head)
        for module in reversed(outer_leaves(network)):
            if module is not head and (norm := LinearNorm.probe(module, head.in_features, weight)):
                return cls(module, norm, weight, bias_of(head))
        raise NoEvidence("no norm was found between its layers and its unembedding")

    def logits(self, unembedded: torch.Tensor, tokens: slice = slice(None)) -> torch.Tensor:
        """Return logits before any scale or cap.

        Args:
            unembedded: what the unembedding reads, ``[row, width]``.
            tokens: part of the vocabulary.

        Returns:
            float32 ``[row, token]``.
        """
        bias = None if self.bias is None else self.bias[tokens]
        return nn.functional.linear(unembedded.to(self.weight.dtype), self.weight[tokens], bias).float()

    def directions(self, chosen: torch.Tensor, runners_up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the unembedding asks of the normed residual stream.

        Args:
            chosen: ids of the chosen tokens, ``[row]``.
            runners_up: ids of other tokens, ``[row, rival]``.

        Returns:
            ``[contrast, row, width]``, the chosen token's row of the unembedding minus the mean over the vocabulary,
            then minus each rival's row; and the same of the bias, ``[contrast, row]``.
        """
        weight, rows = self.weight, self.weight[chosen].float()
        against = torch.stack([_mean_row(weight).expand_as(rows), *weight[runners_up.T].float()])
        if self.bias is None:
            return rows - against, rows.new_zeros(against.shape[:2])
        bias = self.bias.float()
        return rows - against, bias[chosen] - torch.stack([bias.mean().expand(len(chosen)), *bias[runners_up.T]])


_MEANS = WeakTensorKeyDictionary()
"""By unembedding: its version when the mean of its rows was taken, and that mean."""


def _mean_row(weight: torch.Tensor) -> torch.Tensor:
    """Return the mean over the vocabulary; it takes as long as a layer, and prompts of one model share it."""
    if weight.is_inference():  # has no version that would tell of a change
        return weight.mean(0, dtype=torch.float32)
    kept: tuple[int, torch.Tensor] | None = _MEANS.get(weight)
    if kept is None or kept[0] != weight._version:
        kept = weight._version, weight.mean(0, dtype=torch.float32)
        _MEANS[weight] = kept
    return kept[1]


@dataclass(frozen=True)
class LogitScale:
    """What stands between the unembedding and the logits that a network gives.

    Attributes:
        factor: that multiplies them.
        cap: of ``cap · tanh(logit / cap)``; ``None`` where there is none.
    """

    factor: float
    cap: float | None = None

    @classmethod
    def fit(
        cls, network: PreTrainedModel, end: Unembedding, unembedded: torch.Tensor, logits: torch.Tensor
    ) -> LogitScale:
        """Find it from what a run gave.

        Args:
            network: whose config may name a soft cap.
            end: its unembedding.
            unembedded: what the unembedding read, ``[row, width]``.
            logits: what the network gave, ``[row, vocabulary]``.

        Raises:
            NoEvidence: it is neither a factor nor a soft cap.
        """
        tolerance = tolerance_of(logits.dtype)
        sample = slice(0, _SAMPLE)
        before, after = end.logits(unembedded, sample), logits[:, sample].float()
        factor = float((before * after).sum() / (before * before).sum())
        text = network.config.get_text_config(decoder=True)
        caps = [cap for name in _CAPS if (cap := getattr(text, name, None))]
        # A cap first: logits that are far below it are the same without, but for what the tolerance lets through.
        for scale in (*(cls(1.0, cap) for cap in caps), cls(1.0), cls(factor)):
            if is_close(scale.apply(before), after, tolerance):
                return scale
        raise NoEvidence("its logits are neither those of its unembedding, nor a multiple, nor softly capped")

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Return logits of the unembedding as the network gives them."""
        scaled = logits if self.factor == 1 else self.factor * logits
        return scaled if self.cap is None else self.cap * torch.tanh(scaled / self.cap)
