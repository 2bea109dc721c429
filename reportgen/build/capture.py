"""Capture prompts with evidence: calls ``captures`` with the collector that measures the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from reportgen.captures import capture as captures
from reportgen.captures.collector import Watch
from reportgen.captures.record import Capture
from reportgen.evidence.evidence_collector import EvidenceCollector
from reportgen.models.model import LoadedModel
from reportgen.prompts.slugs import name_page
from reportgen.records import EncodedPrompt, Prompt
from reportgen.records.errors import ModelError, PromptError


def capture(model: LoadedModel, prompt: Prompt, watch: Watch = lambda *_: None) -> Capture:
    """Run one prompt.

    Args:
        model: model to run the prompt on; it is not changed.
        prompt: prompt to run; its ``model`` is ignored. A special token that the model reads twice, and whatever else
            its author may not have meant, is reported with ``warnings.warn``.
        watch: called with the progress of ablation, if requested: heads done, number of heads, seconds left.

    Returns:
        The capture of the run. Its prompt names the model that ran it, and has a slug and a title.

    Raises:
        PromptTooLong: the prompt and its generated tokens do not fit in the model's context window.
        NotEnoughMemory: the attention weights do not fit in this machine's memory.
        CaptureMismatch: the model's attention is not causal softmax attention.
        UnsupportedModel: the model provides no attention weights.
        PromptError: the prompt cannot be encoded, selects layers or heads that do not exist, has several return
            sequences and names none, or the run failed.
    """
    named = name_page(replace(prompt, model=model.info.name, adapter=model.info.adapter))
    return captures.capture(model, named, EvidenceCollector, watch)


def capture_in_turn(
    model: LoadedModel,
    prompts: Sequence[EncodedPrompt],
    watch: Callable[[Prompt], Watch] = lambda _: lambda *_: None,
    wanted: Callable[[Prompt], bool] = lambda _: True,
) -> Iterator[Capture | PromptError | ModelError]:
    """Run prompts in a batch, as ``captures.capture.capture_in_turn`` does, with evidence."""
    return captures.capture_in_turn(model, prompts, EvidenceCollector, watch, wanted)
