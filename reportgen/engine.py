"""Where prompts are run: in this process, one model in memory at a time."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from reportgen.captures.batches import make_batches
from reportgen.captures.capture import capture_in_turn, free_memory
from reportgen.captures.record import Capture
from reportgen.errors import ModelError, PromptError
from reportgen.interrupts import Stop
from reportgen.models.fingerprint import fingerprint
from reportgen.models.model import LoadedModel, load_model
from reportgen.options import Options, Progress
from reportgen.records import Prompt


@dataclass(frozen=True)
class Ran:
    """What came of running one prompt.

    Attributes:
        prompt: which.
        captured: its record, or why there is none.
        made_of: its model, as ``fingerprint`` tells it.
        load_seconds: of loading the model, for the first prompt that needed it.
        capture_seconds: until its record was there; of prompts that ran side by side the first has them all.
    """

    prompt: Prompt
    captured: Capture | PromptError | ModelError
    made_of: str
    load_seconds: float
    capture_seconds: float


def run_prompts(
    prompts: Sequence[Prompt], wanted: Collection[str], options: Options, progress: Progress, stop: Stop
) -> Iterator[Ran]:
    """Run prompts.

    Each model, with its adapter, is loaded once. Which prompts run side by side depends on all of them, not on those
    that are wanted: so a run that ends what another began gives the same numbers to the last digit.

    Args:
        prompts: all of the run.
        wanted: slugs of those whose record is asked for.
        options: how to run.
        progress: told of every stage.
        stop: looked at between batches.
    """
    first_use = {_model_of(prompt): place for place, prompt in reversed(list(enumerate(prompts)))}
    for _, group in groupby(sorted(prompts, key=lambda prompt: first_use[_model_of(prompt)]), key=_model_of):
        members = list(group)
        chosen = [prompt for prompt in members if prompt.slug in wanted]
        if chosen and not stop.asked:
            yield from _run_on_one(members, chosen, options, progress, stop)
            free_memory()


def _run_on_one(
    members: Sequence[Prompt], chosen: Sequence[Prompt], options: Options, progress: Progress, stop: Stop
) -> Iterator[Ran]:
    """Run the prompts of one model."""
    progress.stage(chosen[0], "load")
    start = time.perf_counter()
    before = fingerprint(chosen[0].model, chosen[0].adapter)
    with stop.at_once():
        model = options.model or _load(chosen[0], options)
    made_of = before or fingerprint(chosen[0].model, chosen[0].adapter)  # now a hub's files are in its cache
    load_seconds = time.perf_counter() - start
    if isinstance(model, ModelError):
        yield from (Ran(prompt, model, "", load_seconds / len(chosen), 0.0) for prompt in chosen)
        return
    slugs = {prompt.slug for prompt in chosen}
    for batch in make_batches(model, members, options.batch_size):
        asked = [prompt for prompt in batch if prompt.slug in slugs]
        if stop.asked or not asked:
            continue
        for prompt in asked:
            progress.stage(prompt, "capture")
        captures = capture_in_turn(
            model, batch, lambda prompt: partial(progress.ablating, prompt), lambda prompt: prompt.slug in slugs
        )
        for prompt in asked:
            start = time.perf_counter()
            captured = next(captures)
            yield Ran(prompt, captured, made_of, load_seconds, time.perf_counter() - start)
            load_seconds = 0.0


def _model_of(prompt: Prompt) -> tuple[str, str]:
    """What a network's weights depend on."""
    return prompt.model, prompt.adapter


def _load(prompt: Prompt, options: Options) -> LoadedModel | ModelError:
    try:
        return load_model(
            prompt.model,
            adapter=prompt.adapter,
            device=options.device,
            device_map=options.device_map,
            dtype=options.dtype,
            trust_remote_code=options.trust_remote_code,
            allow_pickle=options.allow_pickle,
        )
    except ModelError as error:
        return error
