"""Read ``prompts.yaml`` and report all mistakes of the file together.

The file is a list of prompts, each a text or a mapping, or a mapping with ``model``, ``defaults`` and ``prompts``.
``reportgen.records.prompt_keys`` defines the keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from reportgen.prompts.checked_keys import check_keys
from reportgen.prompts.revisions import find_wrong_revisions, split_revisions
from reportgen.prompts.slugs import check_unique, name_comparisons, name_pages
from reportgen.prompts.yaml_lines import Problems, child_of, key_lines, line_of, load_tree, to_data
from reportgen.records import (
    DEFAULT_MODEL,
    DEFAULT_NEW_TOKENS,
    Comparison,
    Foil,
    Generation,
    ModelInfo,
    Prompt,
    SourceLocation,
)
from reportgen.records.claim import find_wrong_claims, parse_claim
from reportgen.records.errors import OptionError, PromptFileError
from reportgen.records.foil import find_wrong_foil
from reportgen.records.generation import SAMPLING_KEYS
from reportgen.records.key_messages import advise_quotes, describe
from reportgen.records.prompt import (
    CHAT_KEYS,
    NOT_GENERATED,
    NOTHING_TO_CONTINUE,
    explain_clash,
    list_wrong_heads,
    list_wrong_views,
    name_claim,
)
from reportgen.records.prompt_keys import CompareKeys, DefaultKeys, HeadKeys, PromptKeys, prompt_file_schema
from reportgen.records.selection import Selection
from reportgen.records.story import StoryStep, find_wrong_steps, name_step

__all__ = [
    "check_selections",
    "load_prompts",
    "name_pages",
    "override",
    "prompt_file_schema",
    "read_prompt_file",
    "read_prompts",
]

_OPTIONS = {"model": "--model", "layers": "--layers", "heads": "--heads"}
"""Keys that are checked against the model, and the command-line options that override them."""
_MODEL_KEYS = (*_OPTIONS, "adapter")
"""Keys that are read even if another key of the prompt is wrong, so that they can be checked against the model."""


@dataclass(frozen=True)
class PromptFile:
    """The contents of a prompt file and its problems.

    Attributes:
        prompts: in the order of the file. If there are problems, they can only be checked against their models: they
            have no slugs, and a wrong prompt has only its readable keys ``model``, ``layers``, ``heads`` and
            ``adapter``.
        comparisons: the prompts to show side by side or as a series; empty if there are problems.
        problems: all problems of the file.
    """

    prompts: tuple[Prompt, ...]
    comparisons: tuple[Comparison, ...]
    problems: Problems


def load_prompts(path: str | Path) -> tuple[Prompt, ...]:
    """Read a prompt file.

    Args:
        path: the file, YAML in UTF-8; ``Prompt.place`` holds this path unchanged.

    Returns:
        The prompts in the order of the file, each with slug, title and place; at least one.

    Raises:
        PromptFileError: the file cannot be read or has problems; holds all of them, in the order of the lines.
    """
    prompts, problems = read_prompts(path)
    problems.check_none()
    return prompts


def read_prompts(path: str | Path) -> tuple[tuple[Prompt, ...], Problems]:
    """Read the prompts of a file and its problems, which can then be reported together with those of its models.

    Args:
        path: as in ``load_prompts``.

    Returns:
        ``PromptFile.prompts`` and ``PromptFile.problems``.

    Raises:
        PromptFileError: the file cannot be read, or is not YAML.
    """
    file = read_prompt_file(path)
    return file.prompts, file.problems


def read_prompt_file(path: str | Path) -> PromptFile:
    """Read the prompts, comparisons and problems of a prompt file.

    Args:
        path: as in ``load_prompts``.

    Returns:
        The contents of the file; mistakes in it are in ``problems`` and do not raise an error.

    Raises:
        PromptFileError: the file cannot be read, or is not YAML.
    """
    problems = Problems(str(path))
    root = load_tree(path)
    if root is None or root.tag.endswith(":null"):
        raise PromptFileError([f"{path}:1: the file is empty; write a list of prompts"])
    data = to_data(root, problems)
    defaults, items = _read_head(data, root, problems)
    entries = [
        _read_comparison(number, value, node, problems)
        if isinstance(value, dict) and "compare" in value and not isinstance(value["compare"], bool)
        else _read_prompt(number, value, node, defaults, problems)
        for number, (value, node) in enumerate(items, 1)
    ]
    _check_slugs(items, problems)
    if not problems:
        entries = [one for entry, (value, _) in zip(entries, items, strict=True) for one in _list_runs(entry, value)]
    prompts = tuple(entry for entry in entries if isinstance(entry, Prompt))
    if items and not problems and not prompts:
        problems.add(line_of(root), "the file has comparisons and no prompts; write the prompts that they name")
    if problems:
        return PromptFile(prompts, (), problems)
    prompts = name_pages(prompts)
    given = [entry for entry in entries if isinstance(entry, Comparison)] + _compare_runs(items, prompts)
    comparisons, mistakes = name_comparisons(given, prompts)
    for index, message in mistakes:
        problems.add_at(comparisons[index].place, "slug" if message.startswith("slug") else "compare", message)
    return PromptFile(prompts, comparisons, problems)


def check_selections(
    prompts: Iterable[Prompt], infos: Mapping[str, ModelInfo], problems: Problems | None = None
) -> None:
    """Check that every model has the layers and heads that its prompts select.

    Args:
        prompts: the prompts of a run.
        infos: the facts about each model, by its name; prompts of other models are not checked.
        problems: known problems of the file, reported together with those found here.

    Raises:
        PromptFileError: there are known problems, or a selection names a layer or head that the model lacks; holds all
            problems.
        OptionError: the only wrong selections come from the command line.
    """
    problems = Problems() if problems is None else problems
    for prompt in prompts:
        if info := infos.get(prompt.model):
            for key, selection, count in (
                ("layers", prompt.layers, info.num_layers),
                ("heads", prompt.heads, info.num_heads),
            ):
                try:
                    selection.resolve(count)
                except ValueError as error:
                    problems.add_at(prompt.place, key, f"{key} '{selection}' of {prompt.model}: {error}")
            for index, wrong in list_wrong_heads(prompt, info.num_layers, info.num_heads):
                name = name_claim(index)
                problems.add_at(prompt.place, name, f"{name} on a head of {prompt.model}: {wrong}")
            for index, wrong in list_wrong_views(prompt, info.num_layers, info.num_heads):
                name = name_step(index)
                problems.add_at(prompt.place, name, f"{name} on a view of {prompt.model}: {wrong}")
    problems.check_none()


def override(
    prompts: Iterable[Prompt],
    *,
    model: str | None = None,
    layers: Selection | None = None,
    heads: Selection | None = None,
    max_new_tokens: int | None = None,
    seed: int | None = None,
    evidence: tuple[str, ...] | None = None,
) -> tuple[Prompt, ...]:
    """Override keys of all prompts with options of the command line; ``None`` leaves a key unchanged.

    Args:
        prompts: the prompts of the file.
        model: name of the model.
        layers: layers to keep.
        heads: heads to keep.
        max_new_tokens: most tokens to generate.
        seed: seed of the random number generator.
        evidence: additional evidence to measure.

    Returns:
        The changed prompts.

    Raises:
        OptionError: one model would replace the revisions of a prompt.
    """
    prompts = tuple(prompts)
    if model is not None and (
        named := next((one.place for one in prompts if "revisions" in one.place.key_lines), None)
    ):
        raise OptionError("--model", f"would replace the revisions of {named.of('revisions')}; leave out one of them")
    values = {"model": model, "layers": layers, "heads": heads, "max_new_tokens": max_new_tokens, "evidence": evidence}
    changes: dict[str, Any] = {key: value for key, value in values.items() if value is not None}
    options = {key: option for key, option in _OPTIONS.items() if key in changes}
    return tuple(
        _override_one(prompt, {**changes, "place": replace(prompt.place, options=options)}, seed) for prompt in prompts
    )


def _override_one(prompt: Prompt, changes: Mapping[str, Any], seed: int | None) -> Prompt:
    if prompt.continuation:  # nothing is generated
        return replace(prompt, **{key: value for key, value in changes.items() if key != "max_new_tokens"})
    prompt = replace(prompt, **changes)
    return prompt if seed is None else replace(prompt, generation=replace(prompt.generation, seed=seed))


@dataclass(frozen=True)
class _Defaults:
    """The defaults of a file: checked keys, their lines, and whether they turn sampling on."""

    keys: Mapping[str, Any]
    lines: Mapping[str, int]
    do_sample: bool


def _read_head(data: Any, root: yaml.Node, problems: Problems) -> tuple[_Defaults, list[tuple[Any, yaml.Node]]]:
    no_defaults = _Defaults({}, {}, False)
    if isinstance(data, list):
        return no_defaults, _read_items(data, root, problems)
    if not isinstance(root, yaml.MappingNode):
        got = describe(data, root)
        problems.add(
            line_of(root), f"must be a list of prompts, or a mapping with 'prompts', got {got}; begin with '- '"
        )
        return no_defaults, []
    items: list[tuple[Any, yaml.Node]] = []
    prompts, defaults = child_of(root, "prompts"), child_of(root, "defaults")
    if prompts is None:
        problems.add(line_of(root), "the file lacks the key 'prompts'; put the list of prompts under it")
    elif "prompts" in data:
        items = _read_items(data.pop("prompts"), prompts[0], problems)
    return _read_defaults(data, root, defaults[0] if defaults else None, problems), items


def _read_items(data: Any, node: yaml.Node, problems: Problems) -> list[tuple[Any, yaml.Node]]:
    if not isinstance(data, list) or not isinstance(node, yaml.SequenceNode):
        problems.add(line_of(node), f"prompts must be a list, got {describe(data, node)}; begin each with '- '")
        return []
    if not data:
        problems.add(line_of(node), "the list of prompts is empty; write a prompt")
    return list(zip(data, node.value, strict=True))


def _read_defaults(data: dict[str, Any], root: yaml.Node, node: yaml.Node | None, problems: Problems) -> _Defaults:
    keys = check_keys(HeadKeys, data, root, problems)
    raw = data.get("defaults")
    inner = raw if isinstance(raw, dict) else {}
    lines = key_lines(node)
    if "model" in data and "model" in inner:
        problems.add(lines["model"], "the model of all prompts is given twice, here and next to 'prompts'; keep one")
    do_sample = _check_sampling(inner, node, False, "defaults", problems)
    _check_evidence(inner, {}, lines, "defaults", problems)
    lines.update({key: line for key, line in key_lines(root).items() if key == "model"})
    if keys is None:
        model = {key: value for key, value in data.items() if key == "model"}
        return _Defaults({**_readable(model), **_readable(inner)}, lines, do_sample)
    head = keys.given()
    shared = head.pop("defaults", {})
    return _Defaults({**head, **shared}, lines, do_sample)


def _read_prompt(number: int, data: Any, node: yaml.Node, defaults: _Defaults, problems: Problems) -> Prompt | None:
    lines = key_lines(node)
    if isinstance(data, str):
        data, lines = {"text": data}, {"text": line_of(node)}
    if not isinstance(data, dict):
        got, advice = describe(data, node), advise_quotes(data, node)
        problems.add(line_of(node), f"prompt {number} must be a text or a mapping, got {got}{advice}")
        return None
    names = (data.get(key) for key in ("slug", "title"))
    where = next((f"prompt {name[:40]!r}" for name in names if isinstance(name, str)), f"prompt {number}")
    keys = check_keys(PromptKeys, data, node, problems, where)
    _check_input(data, lines, node, where, problems)
    _check_sampling(data, node, defaults.do_sample, where, problems)
    _check_evidence(data, defaults.keys, {**defaults.lines, **lines}, where, problems)
    if keys and keys.continue_final_message and keys.messages and keys.messages[-1].role != "assistant":
        problems.add(lines["continue_final_message"], f"{where}: {NOTHING_TO_CONTINUE}")
    spans = child_of(node, "spans")
    lines = {**lines, **_lines_of_items(node, "claims", name_claim), **_lines_of_items(node, "story", name_step)}
    lines = {**lines, **{f"spans.{name}": line for name, line in key_lines(spans[0] if spans else None).items()}}
    place = SourceLocation(problems.file, line_of(node), {**defaults.lines, **lines})
    values = _merge(keys.given(), defaults.keys) if keys else {}
    _check_continuation(values, lines, where, problems)
    values.pop("compare", None)
    if values.pop("revisions", ()) and (wrong := find_wrong_revisions(values)):
        problems.add(lines["revisions"], f"{where} {wrong}")
    if keys:
        _check_generation(values, node, place, where, problems)
        foils = [Foil(**foil) for foil in values.get("foils", ())]
        if "continuation" not in values and (
            wrong := find_wrong_foil(foils, values.get("max_new_tokens", DEFAULT_NEW_TOKENS))
        ):
            problems.add(lines["foils"], f"{where}: {wrong}")
        _check_claims(values, foils, lines, where, problems)
        _check_story(values, len(foils), lines, where, problems)
    if keys is None or problems:
        inherited = {key: value for key, value in defaults.keys.items() if key in _MODEL_KEYS}
        model_keys = {**inherited, **_readable(data)}
        return Prompt(**model_keys, place=place) if model_keys.get("model", DEFAULT_MODEL) else None
    return Prompt(**values, place=place)


def _read_comparison(number: int, data: dict[str, Any], node: yaml.Node, problems: Problems) -> Comparison | None:
    keys = check_keys(CompareKeys, data, node, problems, f"comparison {number}")
    if keys is None:
        return None
    values = keys.given()
    return Comparison(
        values.pop("compare"), **values, place=SourceLocation(problems.file, line_of(node), key_lines(node))
    )


def _readable(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the valid ``_MODEL_KEYS`` of a mapping; the model is an empty text if its value is invalid."""
    readable: dict[str, Any] = {}
    for key in data.keys() & _MODEL_KEYS:
        try:
            readable |= DefaultKeys.model_validate({key: data[key]}).given()
        except ValidationError:
            readable |= {"model": ""} if key == "model" else {}
    return readable


def _check_input(
    data: dict[str, Any], lines: Mapping[str, int], node: yaml.Node, where: str, problems: Problems
) -> None:
    inputs = {"text", "messages"} & lines.keys()
    if len(inputs) == 2:
        problems.add(max(lines["text"], lines["messages"]), f"{where} has both 'text' and 'messages'; keep one")
    if "messages" not in lines:
        for key in sorted(lines.keys() & CHAT_KEYS.keys()):
            problems.add(lines[key], f"{where} has {key!r} without 'messages'; {CHAT_KEYS[key]}")
    if not inputs and data.keys() <= PromptKeys.model_fields.keys():  # an unknown key is probably a misspelt 'text'
        problems.add(line_of(node), f"{where} has neither 'text' nor 'messages'; add one")


def _check_sampling(
    data: dict[str, Any], node: yaml.Node | None, inherited: bool, where: str, problems: Problems
) -> bool:
    """Check that sampling keys are given only with sampling; return whether sampling may be on."""
    generation = data.get("generation")
    if not isinstance(generation, dict):
        return inherited
    do_sample = generation.get("do_sample", inherited)
    child = child_of(node, "generation") if node else None
    lines = key_lines(child[0] if child else None)
    for key in SAMPLING_KEYS:
        if key in generation and do_sample is False:
            problems.add(
                lines[key],
                f"generation.{key} of {where} does nothing without sampling; add 'do_sample: true' next to it",
            )
    return do_sample is not False  # a value that is not a boolean is reported elsewhere


def _check_generation(
    values: Mapping[str, Any], node: yaml.Node, place: SourceLocation, where: str, problems: Problems
) -> None:
    """Check that the generation settings of a prompt, with those of the defaults, fit one another."""
    for key, message in values["generation"].find_problems(values.get("max_new_tokens", DEFAULT_NEW_TOKENS)):
        child = child_of(node, "generation")
        line = key_lines(child[0] if child else None).get(key, place.line_of("generation"))
        problems.add(line, f"generation.{key} of {where} {message}")


def _check_continuation(values: Mapping[str, Any], lines: Mapping[str, int], where: str, problems: Problems) -> None:
    """Check that what is given is not generated too, and that a comparison has two sides."""
    texts = values.get("continuation", ())
    for key in ("max_new_tokens", "generation"):
        if texts and key in lines:
            problems.add(lines[key], f"{where}: {NOT_GENERATED}; leave out {key!r} or 'continuation'")
    if values.get("compare") and len(texts) != 2:
        advice = "write a list of two under 'continuation'"
        problems.add(lines["compare"], f"{where}: 'compare' needs two continuations, got {len(texts)}; {advice}")


def _check_claims(
    values: Mapping[str, Any], foils: Sequence[Foil], lines: Mapping[str, int], where: str, problems: Problems
) -> None:
    """Check that a prompt measures what its claims are about."""
    found = find_wrong_claims(
        [parse_claim(claim) for claim in values.get("claims", ())],
        evidence=values.get("evidence", ()),
        without=values.get("without", ()),
        foils=foils,
        num_steps=_count_steps(values),
    )
    _add_wrong_items(found, name_claim, lines, where, problems)


def _check_story(
    values: Mapping[str, Any], num_foils: int, lines: Mapping[str, int], where: str, problems: Problems
) -> None:
    """Check that a prompt measures what the figures of its story show."""
    found = find_wrong_steps(
        [StoryStep(**step) for step in values.get("story", ())],
        evidence=values.get("evidence", ()),
        without=values.get("without", ()),
        num_foils=num_foils,
        num_steps=_count_steps(values),
    )
    _add_wrong_items(found, name_step, lines, where, problems)


def _add_wrong_items(
    found: Iterable[tuple[int, str]],
    name: Callable[[int], str],
    lines: Mapping[str, int],
    where: str,
    problems: Problems,
) -> None:
    """Add what is wrong with items of a list, each by its 0-based index, at the line of the item."""
    for index, wrong in found:
        problems.add(lines[name(index)], f"{name(index)} of {where} {wrong}")


def _count_steps(values: Mapping[str, Any]) -> int | None:
    """Return the largest number of generation steps of a prompt; ``None`` if its tokens are given."""
    return None if "continuation" in values else values.get("max_new_tokens", DEFAULT_NEW_TOKENS)


def _lines_of_items(node: yaml.Node, key: str, name: Callable[[int], str]) -> dict[str, int]:
    """Return the 1-based line of each item of a list under a key, by its name in messages."""
    child = child_of(node, key)
    items = child[0].value if child and isinstance(child[0], yaml.SequenceNode) else []
    return {name(index): line_of(item) for index, item in enumerate(items)}


def _list_runs(entry: Prompt | Comparison | None, value: Any) -> Iterable[Prompt | Comparison | None]:
    """Return a prompt for each revision that it names; other entries as they are."""
    revisions = value.get("revisions") if isinstance(value, dict) else None
    return split_revisions(entry, revisions) if revisions and isinstance(entry, Prompt) else (entry,)


def _compare_runs(items: Sequence[tuple[Any, yaml.Node]], prompts: Sequence[Prompt]) -> list[Comparison]:
    """Return the comparisons of the prompts that have ``compare: true`` or name revisions."""
    comparisons = []
    for value, node in items:
        if isinstance(value, dict) and (value.get("compare") is True or value.get("revisions")):
            runs = [prompt for prompt in prompts if prompt.place.line == line_of(node)]
            slugs, place = tuple(run.slug for run in runs), runs[0].place
            lines = {**place.key_lines, "compare": place.line_of("revisions" if value.get("revisions") else "compare")}
            comparisons.append(Comparison(slugs, place=replace(place, key_lines=lines)))
    return comparisons


def _check_evidence(
    data: Mapping[str, Any], defaults: Mapping[str, Any], lines: Mapping[str, int], where: str, problems: Problems
) -> None:
    """Check that no evidence is both asked for and left out, by the keys of a mapping and those that it inherits."""
    own = {key: value for key, value in data.items() if key in ("evidence", "without")}
    both = {**{key: defaults.get(key, ()) for key in ("evidence", "without")}, **own}
    if own and all(isinstance(names, list | tuple) for names in both.values()):
        key = "without" if "without" in own else "evidence"
        if clash := explain_clash(**both):
            problems.add(lines[key], f"{where}: {clash}")


def _merge(own: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a prompt: its own keys, and those of the defaults."""
    if "continuation" in own:  # nothing is generated
        defaults = {key: value for key, value in defaults.items() if key not in ("max_new_tokens", "generation")}
    inherited = dict(defaults.get("generation", {}))
    if own.get("generation", {}).get("do_sample") is False:
        inherited = {key: value for key, value in inherited.items() if key not in SAMPLING_KEYS}
    return {**defaults, **own, "generation": Generation(**{**inherited, **own.get("generation", {})})}


def _check_slugs(items: Sequence[tuple[Any, yaml.Node]], problems: Problems) -> None:
    slugs = []
    for value, node in items:
        slug = value.get("slug") if isinstance(value, dict) else None
        if isinstance(slug, str):
            slugs.append((slug, key_lines(node)["slug"]))
    for index, message in check_unique((slug, f"on line {line}") for slug, line in slugs):
        problems.add(slugs[index][1], message)
