"""Write the prompt file and the command that reproduce a page."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import yaml

from reportgen.captures.record import Capture
from reportgen.models.bundled import BUNDLED
from reportgen.records import Generation, ModelInfo, Prompt

_DTYPES = ("float32", "bfloat16", "float16")
_GIVEN = (
    "title", "slug", "note", "adapter", "max_new_tokens", "add_special_tokens", "evidence", "tags", "tools",
    "chat_template_kwargs", "continue_final_message",
)  # fmt: skip
"""Keys of a prompt that are written unchanged if they differ from the default; the other keys need a conversion."""


def make_prompt_file(capture: Capture) -> str:
    """Return a prompt file in YAML that reproduces the page of a capture.

    The file begins with comments that name the versions of the packages and the command to run. A hub model is pinned
    to the commit that was used. A model that was passed in memory is named too, although that name cannot be loaded.
    """
    file = f"{capture.prompt.slug or 'prompts'}.yaml"
    versions = ", ".join(f"{name} {version}" for name, version in capture.versions.items())
    head = [f"made with {versions}", f"save as {file}, then run: {make_command(capture.model, file)}"]
    head += [f"{name!r} has no place on the hub that is known: write its path instead" for name in _local(capture)]
    prompt = yaml.safe_dump([_keys_of(capture)], allow_unicode=True, sort_keys=False, width=100)
    return "".join(f"# {' '.join(line.split())}\n" for line in head) + prompt


def make_command(model: ModelInfo, file: str) -> str:
    """Return the command that builds a page on the same type of device with the same dtype."""
    command = ["reportgen", "build", file]
    device = model.device.partition(":")[0]
    if "," in model.device:
        command += ["--device-map", "auto"]
    elif device in {"cpu", "cuda", "mps"}:
        command += ["--device", device]
    if (dtype := model.dtype.partition(",")[0].strip()) in _DTYPES:
        command += ["--dtype", dtype]
    return " ".join(command)


def _keys_of(capture: Capture) -> dict[str, Any]:
    prompt, defaults = capture.prompt, Prompt()
    keys: dict[str, Any] = {"model": _pin(prompt.model, capture.model.revision)}
    if prompt.messages:
        keys["messages"] = [dict(message) for message in prompt.messages]
    else:
        keys["text"] = prompt.text
    keys |= {key: value for key in ("layers", "heads") if (value := str(getattr(prompt, key))) != "all"}
    keys |= {
        key: list(value) if isinstance(value, tuple) else value
        for key in _GIVEN
        if (value := getattr(prompt, key)) != getattr(defaults, key)
    }
    generation = {item.name: getattr(prompt.generation, item.name) for item in fields(Generation)}
    generation = {name: value for name, value in generation.items() if value != getattr(Generation(), name)}
    return keys | ({"generation": generation} if generation else {})


def _local(capture: Capture) -> list[str]:
    """Return the names of model and adapter of which a capture has only the last part of a path, or a name in memory.

    A page does not show whole paths, which can name a person.
    """
    model, adapter = capture.prompt.model, capture.prompt.adapter
    names = [] if capture.model.revision or model in BUNDLED else [model]
    return names + ([adapter] if adapter and "/" not in adapter else [])


def _pin(name: str, revision: str) -> str:
    """Return a model's name with the commit as revision; unchanged if the commit is unknown."""
    if not revision:
        return name
    repo, colon, file = name.rpartition(":") if name.lower().endswith(".gguf") else (name, "", "")
    return f"{repo.partition('@')[0]}@{revision}{colon}{file}"
