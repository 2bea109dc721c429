"""Prompts against what their models' configs say, before anything is run; torch is imported only where it has to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from reportgen.models.adapter import check_adapter
from reportgen.models.bundled import BUNDLED
from reportgen.models.hf_errors import name_subject
from reportgen.prompts.prompt_file import check_selections, name_pages
from reportgen.prompts.yaml_lines import Problems
from reportgen.records import ModelInfo, Prompt
from reportgen.records.errors import ModelError


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
        PromptFileError: something is wrong already, a model or adapter that the file names cannot be used, or prompts
            select layers or heads that their model lacks; holds all of it.
        OptionError: the only such layers or heads are those of the command line.
        ModelError: a model that the file does not name cannot be used; or an adapter, likewise.
    """
    problems = Problems() if problems is None else problems
    named = tuple(prompts) if problems else name_pages(tuple(prompts))
    infos = {model.name: model} if model else {}
    if model is None:
        unusable = _look_up(named, infos, trust_remote_code, problems)
        unusable += _check_adapters(named, infos, problems)
    else:
        unusable = _check_same_adapter(named, model, problems)
        named = tuple(replace(prompt, model=model.name, adapter=model.adapter) for prompt in named)
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


def _check_adapters(prompts: Iterable[Prompt], infos: Mapping[str, ModelInfo], problems: Problems) -> list[ModelError]:
    """Look for the adapters on models that can be used; add a problem where the file names one that cannot be had."""
    errors: dict[tuple[str, str], ModelError | None] = {}
    elsewhere = []
    for prompt in prompts:
        pair = prompt.model, prompt.adapter
        if not prompt.adapter or prompt.model not in infos:
            continue
        if pair not in errors:
            errors[pair] = _find_error(prompt)
        elsewhere += _tell(errors[pair], prompt, problems)
    return elsewhere


def _find_error(prompt: Prompt) -> ModelError | None:
    try:
        check_adapter(prompt.adapter, prompt.model)
    except ModelError as error:
        return error
    return None


def _check_same_adapter(prompts: Iterable[Prompt], model: ModelInfo, problems: Problems) -> list[ModelError]:
    """A model that is loaded already cannot be given an adapter: it is the caller's."""
    elsewhere = []
    for prompt in prompts:
        if prompt.adapter not in ("", model.adapter):
            has = f"has {model.adapter!r}" if model.adapter else "has none"
            problem = f"{name_subject(model.name, prompt.adapter)}: the model in memory {has}; load it with this one"
            elsewhere += _tell(ModelError(problem), prompt, problems)
    return elsewhere


def _tell(error: ModelError | None, prompt: Prompt, problems: Problems) -> list[ModelError]:
    """Add what is wrong with an adapter to the problems of the file, or return it where no file names it."""
    if error is None:
        return []
    if not prompt.place.file:
        return [error]
    problems.add_at(prompt.place, "adapter", str(error))
    return []


def _load_info(name: str, trust_remote_code: bool) -> ModelInfo:
    if name in BUNDLED:
        return BUNDLED[name].info
    # Only now: torch takes seconds to import, and the embedded models' facts are known without it.
    from reportgen.models.model import load_model_info

    return load_model_info(name, trust_remote_code=trust_remote_code)
