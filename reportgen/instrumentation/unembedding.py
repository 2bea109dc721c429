"""Map the last residual stream to logits: final norm, unembedding, and scale or soft cap of the logits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn
from transformers import PreTrainedModel

from reportgen.instrumentation.anatomy import bias_of, is_close, outer_leaves, readable_weight, tolerance_of
from reportgen.instrumentation.norms import LinearNorm
from reportgen.records.errors import NoEvidence

_CAPS = ("final_logit_softcapping", "logits_soft_cap")
_CHUNK = 8192
"""Number of rows of the unembedding that are converted to float32 at a time."""
_SAMPLE = 1024
"""Number of vocabulary entries on which the network's logits are compared with those of the unembedding."""


@dataclass(frozen=True)
class Unembedding:
    """The final norm and the unembedding of a network.

    Attributes:
        norm_module: the final norm.
        norm: the final norm as a linear norm.
        weight: weight of the unembedding, ``[vocabulary, width]``, in the network's dtype.
        bias: bias of the unembedding, ``[vocabulary]``; ``None`` if there is none.
    """

    norm_module: nn.Module
    norm: LinearNorm
    weight: torch.Tensor
    bias: torch.Tensor | None

    @classmethod
    def find(cls, network: PreTrainedModel) -> Unembedding:
        """Find the unembedding and the final norm, which is the last norm outside the layers.

        Raises:
            NoEvidence: the unembedding is not linear, or there is no norm before it.
        """
        head = network.get_output_embeddings()
        if not isinstance(head, nn.Linear):
            raise NoEvidence("its unembedding is not a linear map")
        weight = readable_weight(head)
        for module in reversed(outer_leaves(network)):
            if module is not head and (norm := LinearNorm.probe(module, head.in_features, weight)):
                return cls(module, norm, weight, bias_of(head))
        raise NoEvidence("no norm was found between its layers and its unembedding")

    @cached_property
    def _mean_row(self) -> torch.Tensor:
        """Mean row of the unembedding; it takes as long to compute as a layer."""
        return self.weight.mean(0, dtype=torch.float32)

    def logits(self, unembedded: torch.Tensor, tokens: slice = slice(None)) -> torch.Tensor:
        """Return logits before any scale or cap.

        Args:
            unembedded: inputs of the unembedding, ``[row, width]``.
            tokens: part of the vocabulary.

        Returns:
            float32 ``[row, token]``.
        """
        bias = None if self.bias is None else self.bias[tokens]
        return nn.functional.linear(unembedded.to(self.weight.dtype), self.weight[tokens], bias).float()

    def directions(
        self, chosen: torch.Tensor, alternatives: torch.Tensor, runners_up: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the directions in the normed residual stream that separate a chosen token from others.

        Args:
            chosen: ids of the chosen tokens, ``[row]``.
            alternatives: weights of the vocabulary that sum to 1, float32 ``[row, vocabulary]``.
            runners_up: ids of the tokens to compare with, ``[row, runner-up]``.

        Returns:
            ``[contrast, row, width]``: the chosen token's row of the unembedding minus the mean of all rows by the
            weights of the alternatives, then minus the mean over the vocabulary, then minus the row of each runner-up;
            and the same differences of the bias, ``[contrast, row]``.
        """
        weight, rows = self.weight, self.weight[chosen].float()
        mixed = torch.zeros_like(rows)
        for start in range(0, len(weight), _CHUNK):  # in parts: the whole weight in float32 may not fit into memory
            part = slice(start, start + _CHUNK)
            mixed += alternatives[:, part] @ weight[part].float()
        against = torch.stack([mixed, self._mean_row.expand_as(rows), *weight[runners_up.T].float()])
        if self.bias is None:
            return rows - against, rows.new_zeros(against.shape[:2])
        bias = self.bias.float()
        compared = [alternatives @ bias, bias.mean().expand(len(chosen)), *bias[runners_up.T]]
        return rows - against, bias[chosen] - torch.stack(compared)


@dataclass(frozen=True)
class LogitScale:
    """Scale and soft cap between the unembedding and the logits of a network.

    Attributes:
        factor: factor that multiplies the logits.
        cap: ``cap`` in ``cap · tanh(logit / cap)``; ``None`` if there is no soft cap.
    """

    factor: float
    cap: float | None = None

    @classmethod
    def fit(
        cls, network: PreTrainedModel, unembed: Unembedding, unembedded: torch.Tensor, logits: torch.Tensor
    ) -> LogitScale:
        """Fit scale and soft cap to the logits of a run.

        Args:
            network: the network; its config may have a soft cap.
            unembed: final norm and unembedding of the network.
            unembedded: inputs of the unembedding, ``[row, width]``.
            logits: logits of the network, ``[row, vocabulary]``.

        Raises:
            NoEvidence: neither a factor nor a soft cap explains the logits.
        """
        tolerance = tolerance_of(logits.dtype)
        sample = slice(0, _SAMPLE)
        before, after = unembed.logits(unembedded, sample), logits[:, sample].float()
        factor = float((before * after).sum() / (before * before).sum())
        text = network.config.get_text_config(decoder=True)
        caps = [cap for name in _CAPS if (cap := getattr(text, name, None))]
        # Caps are tried first: for logits far below the cap, the model without a cap also fits within the tolerance.
        for scale in (*(cls(1.0, cap) for cap in caps), cls(1.0), cls(factor)):
            if is_close(scale.apply(before), after, tolerance):
                return scale
        raise NoEvidence("its logits are not those of its unembedding, with or without a factor or a soft cap")

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits of the network, given the logits of the unembedding."""
        scaled = logits if self.factor == 1 else self.factor * logits
        return scaled if self.cap is None else self.cap * torch.tanh(scaled / self.cap)
