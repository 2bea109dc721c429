"""Check prompts against their models' configs before anything runs; torch is imported only if it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from reportgen.build.engines.jobs import group_by_model
from reportgen.models.adapter import check_adapter
from reportgen.models.bundled import BUNDLED, is_fetched
from reportgen.models.hf_errors import name_subject
from reportgen.prompts.prompt_file import check_selections, name_pages
from reportgen.prompts.yaml_lines import Problems
from reportgen.records import ModelInfo, Prompt
from reportgen.records.errors import ModelError, PromptFileError


def check_prompts(
    prompts: Iterable[Prompt],
    *,
    model: ModelInfo | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    problems: Problems | None = None,
) -> tuple[Prompt, ...]:
    """Check prompts against their models' configs, and return them with slugs and titles, ready to run.

    Args:
        prompts: prompts of a run.
        model: a loaded model to use for all prompts, instead of the models that they name.
        trust_remote_code: run Python code that comes with a model.
        allow_pickle: read pickled weights if a model has no safetensors.
        problems: problems already found in the prompt file, as returned by ``read_prompts``.

    Raises:
        PromptFileError: ``problems`` is not empty, a model or adapter named in the file cannot be used, or prompts
            select layers or heads that their model does not have. The error lists all problems.
        OptionError: layers or heads given on the command line do not exist, and the file has no problems.
        ModelError: a model or adapter that is not named in the file cannot be used.
    """
    problems = Problems() if problems is None else problems
    named = tuple(prompts) if problems else name_pages(tuple(prompts))
    infos = {model.name: model} if model else {}
    if model is None:
        settings = {"trust_remote_code": trust_remote_code, "allow_pickle": allow_pickle}
        unusable = _look_up(named, infos, settings, problems)
        unusable += _check_adapters(named, infos, problems)
    else:
        unusable = _check_same_adapter(named, model, problems)
        named = tuple(replace(prompt, model=model.name, adapter=model.adapter) for prompt in named)
    check_selections(named, infos, problems)
    if unusable:
        raise unusable[0]
    return named


def check_tokens(prompts: Iterable[Prompt], *, trust_remote_code: bool = False) -> list[str]:
    """Check that prompts can be encoded and fit into the context window; the weights are not loaded.

    Args:
        prompts: prompts that ``check_prompts`` returned.
        trust_remote_code: run Python code that comes with a model.

    Returns:
        Warnings about the prompts. Prompts of a bundled model that was not fetched yet are not checked.

    Raises:
        PromptFileError: a prompt cannot be encoded, is too long, or its tokenizer cannot be loaded; holds all problems.
    """
    groups = group_by_model([prompt for prompt in prompts if prompt.model not in BUNDLED or is_fetched(prompt.model)])
    if not groups:
        return []
    # Imported only here: torch takes seconds to import, and mistakes in the file are found without it.
    from reportgen.captures.tokenization import encode_prompt
    from reportgen.models.model import load_outline

    warnings, errors = list[str](), list[str]()
    for first, members in ((group.members[0], group.members) for group in groups):
        try:
            model = load_outline(first.model, adapter=first.adapter, trust_remote_code=trust_remote_code)
        except ModelError as error:
            errors.append(f"{first.place.of('model')}: {error}")
            continue
        for encoded in (encode_prompt(model, prompt) for prompt in members):
            warnings += [f"{encoded.prompt.slug}: {warning}" for warning in encoded.warnings]
            errors += [str(encoded.error)] if encoded.error else []
    if errors:
        raise PromptFileError(errors)
    return warnings


def _look_up(
    prompts: Iterable[Prompt], infos: dict[str, ModelInfo], settings: Mapping[str, bool], problems: Problems
) -> list[ModelError]:
    """Add the info of each model to ``infos``, or a problem if the file names it; return the errors of other models."""
    errors: dict[str, ModelError] = {}
    elsewhere = []
    for prompt in prompts:
        name = prompt.model
        try:
            if name not in infos and name not in errors:
                infos[name] = _load_info(name, settings)
        except ModelError as error:
            errors[name] = error
        if name in errors and prompt.place.file and "model" not in prompt.place.options:
            problems.add_at(prompt.place, "model", str(errors[name]))
        elif name in errors:
            elsewhere.append(errors[name])
    return elsewhere


def _check_adapters(prompts: Iterable[Prompt], infos: Mapping[str, ModelInfo], problems: Problems) -> list[ModelError]:
    """Check the adapters of usable models; add a problem for each one named in the file, and return other errors."""
    errors: dict[tuple[str, str], ModelError | None] = {}
    elsewhere = []
    for prompt in prompts:
        pair = prompt.model, prompt.adapter
        if not prompt.adapter or prompt.model not in infos:
            continue
        if pair not in errors:
            errors[pair] = _find_error(prompt)
        elsewhere += _record_adapter_error(errors[pair], prompt, problems)
    return elsewhere


def _find_error(prompt: Prompt) -> ModelError | None:
    try:
        check_adapter(prompt.adapter, prompt.model)
    except ModelError as error:
        return error
    return None


def _check_same_adapter(prompts: Iterable[Prompt], model: ModelInfo, problems: Problems) -> list[ModelError]:
    """Check that no prompt needs another adapter than the loaded model has; the caller's model is not modified."""
    elsewhere = []
    for prompt in prompts:
        if prompt.adapter not in ("", model.adapter):
            has = f"has {model.adapter!r}" if model.adapter else "has none"
            problem = f"{name_subject(model.name, prompt.adapter)}: the model in memory {has}; load it with this one"
            elsewhere += _record_adapter_error(ModelError(problem), prompt, problems)
    return elsewhere


def _record_adapter_error(error: ModelError | None, prompt: Prompt, problems: Problems) -> list[ModelError]:
    """Add the error of an adapter to the problems of the file, or return it if the prompt is not from a file."""
    if error is None:
        return []
    if not prompt.place.file:
        return [error]
    problems.add_at(prompt.place, "adapter", str(error))
    return []


def _load_info(name: str, settings: Mapping[str, bool]) -> ModelInfo:
    if name in BUNDLED:
        return BUNDLED[name].info
    # Imported only here: torch takes seconds to import, and the info of bundled models is known without it.
    from reportgen.models.model import check_weights, load_model_info

    info = load_model_info(name, trust_remote_code=settings["trust_remote_code"])
    check_weights(name, allow_pickle=settings["allow_pickle"])
    return info
