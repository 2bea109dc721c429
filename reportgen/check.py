"""Prompts against what their models' configs say, before anything is run; torch is imported only where it has to be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reportgen.errors import ModelError
from reportgen.models.embedded import EMBEDDED
from reportgen.prompts.lines import Problems
from reportgen.prompts.prompt_file import check_selections, name_pages
from reportgen.records import ModelInfo, Prompt


def check_prompts(
    prompts: Iterable[Prompt],
    *,
    model: ModelInfo | None = None,
    trust_remote_code: bool = False,
    problems: Problems | None = None,
) -> tuple[Prompt, ...]:
    """Return prompts ready to run, each with a slug and a title, after a look at their models' configs.

    Args:
        prompts: those of a run.
        model: the one model of all prompts, whatever model they name.
        trust_remote_code: run code that comes with a model.
        problems: what is wrong with their file already, as ``read_prompts`` says it.

    Raises:
        PromptFileError: something is wrong already, a model that the file names cannot be used, or prompts select
            layers or heads that their model lacks; holds all of it.
        OptionError: the only such layers or heads are those of the command line.
        ModelError: a model that the file does not name cannot be used.
    """
    problems = Problems() if problems is None else problems
    named = tuple(prompts) if problems else name_pages(tuple(prompts))
    if model is not None:
        named = tuple(replace(prompt, model=model.name) for prompt in named)
    infos = {model.name: model} if model else {}
    unusable = _look_up(named, infos, trust_remote_code, problems)
    check_selections(named, infos, problems)
    if unusable:
        raise unusable[0]
    return named


def _look_up(
    prompts: Iterable[Prompt], infos: dict[str, ModelInfo], trust_remote_code: bool, problems: Problems
) -> list[ModelError]:
    """Add the facts of each model, or a problem where the file names it; return what is wrong with the others."""
    errors: dict[str, ModelError] = {}
    elsewhere = []
    for prompt in prompts:
        name = prompt.model
        try:
            if name not in infos and name not in errors:
                infos[name] = _load_info(name, trust_remote_code)
        except ModelError as error:
            errors[name] = error
        if name in errors and prompt.place.file and "model" not in prompt.place.options:
            problems.add_at(prompt.place, "model", str(errors[name]))
        elif name in errors:
            elsewhere.append(errors[name])
    return elsewhere


def _load_info(name: str, trust_remote_code: bool) -> ModelInfo:
    if name in EMBEDDED:
        return EMBEDDED[name].info
    # Only now: torch takes seconds to import, and the embedded models' facts are known without it.
    from reportgen.models.model import load_model_info

    return load_model_info(name, trust_remote_code=trust_remote_code)
