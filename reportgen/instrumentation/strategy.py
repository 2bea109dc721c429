"""Choose how to capture the attention of a network, with a test on a few tokens once for each network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from transformers import GenerationConfig, PreTrainedModel

from reportgen.instrumentation.anatomy import is_close, tolerance_of
from reportgen.instrumentation.inputs import generating, make_inputs, make_prompts, positions_behind
from reportgen.instrumentation.logits import can_read_in_parts, run_pass
from reportgen.instrumentation.observer import Observer, RowTrace, TracedText
from reportgen.instrumentation.recording import record

_LENGTH = 12
_PADDING = 5
_STEPS = 3
"""Numbers of tokens of the test: of a text, of padding before it, of what is generated."""
_STRATEGIES: WeakKeyDictionary[PreTrainedModel, tuple[Any, CaptureStrategy]] = WeakKeyDictionary()
"""Cache: strategy of a network, and what the network was like when it was found."""


@dataclass(frozen=True)
class CaptureStrategy:
    """How to run a traced forward pass of a network.

    Attributes:
        layers: numbers of the layers that return attention, ascending.
        fast: whether weights computed from the queries and keys of fast attention equal those of eager attention.
        chunked_logits: whether the end of the network, run on some positions, gives the logits of the whole network.
        supports_left_padding: whether left padding leaves the logits unchanged, so that generation can be batched.
        recorded_bytes: memory of a recorded generation for each position, in bytes; 0 if its weights do not equal those
            of eager attention on the whole text, so that a second pass is needed.
    """

    layers: tuple[int, ...]
    fast: bool
    chunked_logits: bool
    supports_left_padding: bool
    recorded_bytes: int

    @property
    def one_pass(self) -> bool:
        """Whether weights and evidence can be taken from a recorded generation."""
        return self.recorded_bytes > 0


def find_strategy(network: PreTrainedModel) -> CaptureStrategy:
    """Return the capture strategy of a network; a faster method is used only if its results agree on a few tokens.

    Args:
        network: in evaluation mode.

    Raises:
        Exception: any error of the network with eager attention.
    """
    state = _describe(network)
    known = _STRATEGIES.get(network)
    if known is None or known[0] != state:
        known = _STRATEGIES[network] = state, _find_strategy(network)
    return known[1]


def _describe(network: PreTrainedModel) -> Any:
    """Return what tells that modules or weights of a network were replaced or changed in place.

    Two numbers of each weight are compared as well, because a change through ``weight.data`` raises no version.
    """
    weights = [weight.detach() for weight in (*network.parameters(), *network.buffers())]
    versions = [None if weight.is_inference() else weight._version for weight in weights]
    places = [(weight.data_ptr(), weight.shape, weight.dtype, weight.device) for weight in weights]
    ends = [
        weight[(end,) * weight.ndim] for weight in weights if weight.numel() and not weight.is_meta for end in (0, -1)
    ]
    devices: dict[torch.device, list[torch.Tensor]] = {}
    for end in ends:
        devices.setdefault(end.device, []).append(end.float())
    values = [torch.stack(numbers).tolist() for numbers in devices.values()]
    modules = [id(module) for module in network.modules()]
    return network.config._attn_implementation, modules, versions, places, repr(values)


def _find_strategy(network: PreTrainedModel) -> CaptureStrategy:
    vocabulary = network.config.get_text_config(decoder=True).vocab_size
    token_ids = [(7 + 31 * position) % vocabulary for position in range(_LENGTH)]
    rows = slice(0, _LENGTH)
    eager_weights, fast_weights = _Keeper(), _Keeper()
    logits = run_pass(network, [TracedText(token_ids, rows, [eager_weights])])[0].read(rows)[0]
    try:
        fast_logits = run_pass(network, [TracedText(token_ids, rows, [fast_weights])], fast=True)[0].read(rows)[0]
        fast = _is_close(fast_logits, logits) and fast_weights.agrees_with(eager_weights)
    except Exception:  # a network without fast attention may raise any error
        fast = False
    chunked_logits = _reads_in_parts(network, token_ids, logits)
    supports_left_padding = _supports_left_padding(network, token_ids, logits[-1])
    prompts = [token_ids, token_ids[_PADDING:]] if supports_left_padding else [token_ids]
    return CaptureStrategy(
        layers=tuple(sorted(eager_weights.seen)),
        fast=fast,
        chunked_logits=chunked_logits,
        supports_left_padding=supports_left_padding,
        recorded_bytes=_count_recorded_bytes(network, prompts) if fast and chunked_logits else 0,
    )


def _reads_in_parts(network: PreTrainedModel, token_ids: list[int], logits: torch.Tensor) -> bool:
    if not can_read_in_parts(network):
        return False
    try:
        reader = run_pass(network, [TracedText(token_ids)], chunked_logits=True)[0]
        halves = [reader.read(rows)[0] for rows in (slice(0, 5), slice(5, _LENGTH))]
    except Exception:  # an unknown structure may raise any error
        return False
    return _is_close(torch.cat(halves), logits)


def _supports_left_padding(network: PreTrainedModel, token_ids: list[int], last: torch.Tensor) -> bool:
    """Return whether the last logits stay the same if the text is padded on the left, as in ``generate``."""
    inputs = make_inputs(network, [[token_ids[0]] * _PADDING + token_ids])
    mask = inputs["attention_mask"]
    mask[:, :_PADDING] = 0
    if "position_ids" in inputs:
        inputs["position_ids"] = positions_behind(network, mask)
    try:
        with torch.inference_mode():
            return _is_close(network(**inputs).logits[0, -1], last)
    except Exception:  # a network without an attention mask may raise any error
        return False


def _count_recorded_bytes(network: PreTrainedModel, prompts: Sequence[list[int]]) -> int:
    """Return the memory of a recorded generation for each position; 0 if a pass over the texts shows something else."""
    if network.config._attn_implementation != "sdpa":
        return 0
    length = max(map(len, prompts))
    try:
        with generating(network, GenerationConfig(pad_token_id=0)):
            inputs = make_prompts(network, prompts, 0)
            options = {"max_new_tokens": _STEPS, "return_dict_in_generate": True}
            output, recording = record(network, lambda: network.generate(**inputs, **options))  # pyright: ignore[reportCallIssue]
        texts = [[*prompt, *made] for prompt, made in zip(prompts, output.sequences[:, length:].tolist(), strict=True)]
        keepers = [[_Keeper() for _ in texts] for _ in range(2)]
        recorded, whole = (
            [TracedText(text, slice(len(text) - _STEPS - 1, len(text) - 1), [own]) for text, own in pairs]
            for pairs in (zip(texts, own, strict=True) for own in keepers)
        )
        if recording.unsuitable:
            return 0
        num_bytes = recording.num_bytes // output.sequences.numel()
        logits, expected = recording.show(recorded), run_pass(network, whole)
        for text, found, other in zip(whole, logits, expected, strict=True):
            if not _is_close(found.read(text.rows)[0], other.read(text.rows)[0]):
                return 0
    except Exception:  # a network that cannot generate may raise any error
        return 0
    agree = all(found.agrees_with(other) for found, other in zip(*keepers, strict=True))
    return num_bytes if agree else 0


class _Keeper(Observer):
    """Observer that stores all weights of a short pass, which come as one block of rows."""

    def __init__(self) -> None:
        self.seen: dict[int, list[RowTrace]] = {}

    def see_rows(self, trace: RowTrace) -> None:
        self.seen.setdefault(trace.layer, []).append(trace)

    def agrees_with(self, other: _Keeper) -> bool:
        """Return whether both stored the same weights of the same layers, each layer once."""
        if self.seen.keys() != other.seen.keys() or any(len(traces) > 1 for traces in self.seen.values()):
            return False
        pairs = ((traces[0].weights, other.seen[layer][0].weights) for layer, traces in self.seen.items())
        return all(left.shape == right.shape and _is_close(left, right) for left, right in pairs)


def _is_close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    # In half precision, rounding grows over the layers: weights of the last of SmolLM2's 30 layers differ by 0.03, of a
    # small random network by 0.07. What it could hide, such as a factor of the scores, ``check_mixture`` finds in each
    # layer by itself.
    tolerance = tolerance_of(expected.dtype)
    return is_close(found, expected, tolerance if expected.dtype == torch.float32 else 5 * tolerance)
