"""Write the prompt file and the command that reproduce a page."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import yaml

from reportgen.captures.record import Capture
from reportgen.models.bundled import BUNDLED
from reportgen.pages.options import PageOptions
from reportgen.records import Comparison, Generation, ModelInfo, Prompt

_DTYPES = ("float32", "bfloat16", "float16")
_GIVEN = (
    "title", "slug", "note", "max_new_tokens", "add_special_tokens", "evidence", "without", "tags", "tools",
    "chat_template", "chat_template_kwargs", "continue_final_message", "spans", "claims",
)  # fmt: skip
"""Keys of a prompt that are written unchanged if they differ from the default; the other keys need a conversion."""
_DRAWN_BY = ("max_page_mb", "precision", "site_url")
"""Fields of ``PageOptions`` that change a page; each has an option of the same name with a value."""


def make_prompt_file(capture: Capture, options: PageOptions = PageOptions()) -> str:
    """Return a prompt file in YAML that reproduces the page of a capture.

    The file begins with comments that name the versions of the packages and the command to run. A model and an adapter
    of the hub are pinned to the commits that were used. A model that was in memory is named, with a comment that says
    that it cannot be loaded.
    """
    return _write(capture.prompt.slug, [capture], [_keys_of(capture)], options)


def make_comparison_file(
    comparison: Comparison, captures: Sequence[Capture], options: PageOptions = PageOptions()
) -> str:
    """Return a prompt file in YAML that reproduces the page of a comparison, with those of its prompts."""
    keys: dict[str, Any] = {"compare": list(comparison.prompts)}
    keys |= {key: value for key in ("title", "slug", "note") if (value := getattr(comparison, key))}
    keys |= {key: list(value) for key in ("tags", "evidence", "answers") if (value := getattr(comparison, key))}
    return _write(comparison.slug, captures, [*map(_keys_of, captures), keys], options)


def _write(slug: str, captures: Sequence[Capture], items: list[dict[str, Any]], options: PageOptions) -> str:
    file, model = f"{slug or 'prompts'}.yaml", captures[0].model
    versions = ", ".join(f"{name} {version}" for name, version in captures[0].versions.items())
    head = [f"made with {versions}", f"save as {file}, then run: {make_command(model, file, options)}"]
    for capture in captures:
        head += [f"{name!r} has no place on the hub that is known: write its path instead" for name in _local(capture)]
        if capture.model.is_in_memory:
            head.append(f"{capture.model.name!r} was in memory and has no files; save it to a folder and name that")
    prompts = yaml.dump(items, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=100)
    return "".join(f"# {line}\n" for line in dict.fromkeys(" ".join(line.split()) for line in head)) + prompts


def make_command(model: ModelInfo, file: str, options: PageOptions = PageOptions()) -> str:
    """Return the command that builds a page on the same type of device with the same dtype and options."""
    return " ".join(["reportgen", "build", file, *_list_model_options(model), *_list_page_options(options)])


def _list_model_options(model: ModelInfo) -> Iterator[str]:
    device, load_options = model.device.partition(":")[0], " ".join(model.load_options)
    if "," in model.device and "--device-map" not in load_options:
        yield "--device-map auto"
    elif device in {"cpu", "cuda", "mps"} and "--device-map" not in load_options:
        yield f"--device {device}"
    yield from model.load_options
    if (dtype := model.dtype.partition(",")[0].strip()) in _DTYPES:
        yield f"--dtype {dtype}"


def _list_page_options(options: PageOptions) -> Iterator[str]:
    for name in _DRAWN_BY:
        if (value := getattr(options, name)) != getattr(PageOptions, name):
            yield f"--{name.replace('_', '-')} {shlex.quote(str(value))}"
    if options.shared_assets:
        yield "--shared-assets"


class _Dumper(yaml.SafeDumper):
    """Writes every text so that the reader of prompt files reads it as the same text.

    The reader takes texts such as ``1e3`` for numbers, which this library does not, and some line breaks are lost
    outside of double quotes. So only a printable text that begins with a letter is written as usual.
    """

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal values in full."""
        return True


def _write_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    is_plain = text.isprintable() and text[:1].isalpha()
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, None if is_plain else '"')


_Dumper.add_representer(str, _write_text)


def _keys_of(capture: Capture) -> dict[str, Any]:
    prompt, defaults = capture.prompt, Prompt()
    keys: dict[str, Any] = {"model": _pin(prompt.model, capture.model.revision)}
    if prompt.adapter:
        keys["adapter"] = _pin(prompt.adapter, capture.model.adapter_revision)
    if prompt.messages:
        keys["messages"] = [_plain(message) for message in prompt.messages]
    else:
        keys["text"] = prompt.text
    keys |= {key: value for key in ("layers", "heads") if (value := str(getattr(prompt, key))) != "all"}
    keys |= {key: _plain(value) for key in _GIVEN if (value := getattr(prompt, key)) != getattr(defaults, key)}
    if prompt.continuation:
        (keys["continuation"],) = prompt.continuation
    if prompt.story:
        keys["story"] = [
            {name: value for name, value in asdict(step).items() if value or name != "view"} for step in prompt.story
        ]
    if prompt.foils:
        keys["foils"] = [{"token": foil.token, "step": foil.step} for foil in prompt.foils]
    generation = {item.name: getattr(prompt.generation, item.name) for item in fields(Generation)}
    generation = {name: value for name, value in generation.items() if value != getattr(Generation(), name)}
    return keys | ({"generation": generation} if generation else {})


def _plain(value: Any) -> Any:
    """Return a value of the file as lists and dictionaries, which YAML writes."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _local(capture: Capture) -> list[str]:
    """Return the names of model and adapter of which a capture has only the last part of a path.

    A page does not show whole paths, which can name a person.
    """
    model, adapter = capture.prompt.model, capture.prompt.adapter
    is_known = capture.model.is_in_memory or capture.model.revision or model in BUNDLED
    names = [] if is_known else [model]
    return names + ([adapter] if adapter and "/" not in adapter else [])


def _pin(name: str, revision: str) -> str:
    """Return a model's name with the commit as revision; unchanged if the commit is unknown."""
    if not revision:
        return name
    repo, colon, file = name.rpartition(":") if name.lower().endswith(".gguf") else (name, "", "")
    return f"{repo.partition('@')[0]}@{revision}{colon}{file}"
