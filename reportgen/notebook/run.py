"""Run one prompt and return its capture."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from reportgen.notebook.capture import Capture, take_over
from reportgen.records import Generation, Prompt

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from reportgen.models.model import LoadedModel
    from reportgen.records.arguments import CaptureArguments

_GENERATION = {item.name for item in fields(Generation)}
_PROMPT = {item.name for item in fields(Prompt)} - {"model", "adapter", "place", "text"}


def capture(
    model: LoadedModel,
    prompt: str | Prompt = "",
    *,
    watch: Callable[[int, int, float], None] = lambda *_: None,
    **keys: Unpack[CaptureArguments],
) -> Capture:
    """Run one prompt and return its capture, which a notebook displays as a page. Nothing is printed.

    Args:
        model: model to run the prompt on, from ``load_model`` or ``wrap_model``; it is not changed.
        prompt: the text, which is left out if ``messages`` are given; or a ``Prompt``, whose ``model`` is ignored. A
            special token that the model reads twice, and whatever else its author may not have meant, is reported with
            ``warnings.warn``.
        watch: called with the progress of ablation, if requested: heads done, number of heads, seconds left.
        keys: fields of ``Prompt``, such as ``title``, ``messages``, ``layers``, ``heads``, ``max_new_tokens`` and
            ``evidence``, and of ``Generation``, such as ``do_sample``, ``temperature`` and ``seed``. They replace those
            of a given ``Prompt``.

    Returns:
        The capture of the run. Its prompt names the model that ran it, and has a slug and a title.

    Raises:
        TypeError: an argument is unknown, or the model is not a ``LoadedModel``.
        PromptTooLong: the prompt and its generated tokens do not fit in the model's context window.
        NotEnoughMemory: the attention weights do not fit in this machine's memory.
        CaptureMismatch: the model's attention is not causal softmax attention.
        UnsupportedModel: the model provides no attention weights.
        PromptError: the prompt is invalid, cannot be encoded, selects layers or heads that do not exist, or the run
            failed.
        PromptFileError: the slug cannot be used as a file name.
    """
    from reportgen.build.capture import capture as run
    from reportgen.models.model import LoadedModel

    if not isinstance(model, LoadedModel):
        got = repr(model) if isinstance(model, str) else f"a {type(model).__name__}"
        raise TypeError(f"capture: model is {got}; pass load_model(name), or wrap_model(network, tokenizer)")
    return take_over(run(model, make_prompt(prompt, keys), watch))


def make_prompt(prompt: str | Prompt, keys: Mapping[str, Any]) -> Prompt:
    """Return a prompt built from fields of ``Prompt`` and ``Generation``.

    Args:
        prompt: the text, or a prompt of which fields are replaced.
        keys: values of fields, by name.

    Raises:
        TypeError: a name in ``keys`` is not a field.
        PromptError: a value is invalid.
    """
    for name in keys.keys() - _PROMPT - _GENERATION:
        close = difflib.get_close_matches(name, _PROMPT | _GENERATION, 1)
        advice = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(_PROMPT | _GENERATION))}"
        raise TypeError(f"capture: unknown argument {name!r}; {advice}")
    values = {name: value for name, value in keys.items() if name not in _GENERATION}
    settings = {name: value for name, value in keys.items() if name in _GENERATION}
    if settings:
        earlier = prompt.generation if isinstance(prompt, Prompt) else Generation()
        generation = values.get("generation", earlier)
        values["generation"] = (
            {**generation, **settings} if isinstance(generation, Mapping) else replace(generation, **settings)
        )
    return replace(prompt, **values) if isinstance(prompt, Prompt) else Prompt(prompt, **values)
