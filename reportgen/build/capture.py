"""Captures with all evidence: where ``captures``, which knows no evidence, is given what measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from reportgen.captures import capture as captures
from reportgen.captures.collector import Watch
from reportgen.captures.record import Capture
from reportgen.evidence.collector import EvidenceCollector
from reportgen.models.model import LoadedModel
from reportgen.records import Prompt
from reportgen.records.errors import ModelError, PromptError


def capture(model: LoadedModel, prompt: Prompt, watch: Watch = lambda *_: None) -> Capture:
    """Run one prompt.

    Args:
        model: what to run it on; the network is left as it was.
        prompt: what to run; its ``model`` is not looked at.
        watch: told how far ablation is, if it is asked for: heads done, of how many, seconds left.

    Returns:
        The record of the run.

    Raises:
        PromptTooLong: prompt and generated tokens do not fit the model's context window.
        NotEnoughMemory: its attention will not fit into this machine's memory.
        CaptureMismatch: the model's attention is not causal softmax attention.
        UnsupportedModel: the model gives no attention weights.
        PromptError: the prompt cannot be encoded, selects what the model lacks, or the run failed.
    """
    return captures.capture(model, prompt, EvidenceCollector, watch)


def capture_in_turn(
    model: LoadedModel,
    prompts: Sequence[Prompt],
    watch: Callable[[Prompt], Watch] = lambda _: lambda *_: None,
    wanted: Callable[[Prompt], bool] = lambda _: True,
) -> Iterator[Capture | PromptError | ModelError]:
    """Run prompts side by side, as ``captures.capture.capture_in_turn`` does."""
    return captures.capture_in_turn(model, prompts, EvidenceCollector, watch, wanted)
