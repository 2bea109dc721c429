"""Parse the name of a model or an adapter into the location from which transformers loads it."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from reportgen.models.bundled import BUNDLED, fetch_model
from reportgen.models.hf_errors import name_subject
from reportgen.models.source import Source
from reportgen.records.errors import ModelError, ModelNotFound

ADAPTER_CONFIG = "adapter_config.json"
"""The file that identifies an adapter's folder."""
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<path>[^?#]*)")
"""Address of a page of the public hub, as it is copied from a browser."""
_LOOKS_LIKE_PATH = re.compile(rf"[./~\\]|{_DRIVE.pattern}|.*\\")


_PAGES = ("tree", "blob", "resolve", "raw", "commit", "commits", "discussions")
"""Parts of the addresses of a model's pages on the hub, after its name."""


def find_source(name: str) -> Source:
    """Return the location of a model; download a bundled model if it is not on this machine.

    Names are tried in this order: bundled model, local file or folder, ``repo:file.gguf``, hub name. The hub is not
    contacted.

    Args:
        name: the name of a bundled model, a local folder, a ``.gguf`` file, ``repo:file.gguf`` with a hub name or a
            folder before the colon, or a hub name; a hub name may end in ``@revision``.

    Returns:
        The source.

    Raises:
        ModelNotFound: the path does not exist, or the name is not a valid hub name.
        ModelError: the bundled model could not be downloaded, or the folder contains no model.
    """
    if name in BUNDLED:
        return Source(str(fetch_model(name)), is_local=True, is_converted=True)
    _refuse_address(name, name_subject(name))
    path = Path(name).expanduser()
    if name and path.is_dir():
        return _in_folder(name, path)
    if name.lower().endswith(".gguf"):
        return _gguf(name, path)
    if path.is_file():
        raise ModelError(f"model {name!r}: a file, but not a .gguf file; name the folder it is in")
    if _LOOKS_LIKE_PATH.match(name):
        raise ModelNotFound(f"model {name!r}: no such folder; a hub name is written like 'owner/name'")
    return _on_hub(f"model {name!r}", name, suggest(name))


def find_adapter(name: str, model: str) -> Source:
    """Return the location of an adapter. The hub is not contacted.

    Args:
        name: a local folder, or a hub name, which may end in ``@revision``.
        model: name of the base model, for error messages.

    Raises:
        ModelNotFound: the path does not exist, or the name is not a valid hub name.
        ModelError: the folder contains no adapter.
    """
    subject, path = name_subject(model, name), Path(name).expanduser()
    _refuse_address(name, subject)
    if name and path.is_dir():
        if (path / ADAPTER_CONFIG).is_file():
            return Source(str(path), is_local=True)
        inside = sorted(
            {file.parent for depth in ("*", "*/*") for file in path.glob(f"{depth}/{ADAPTER_CONFIG}")},
            key=lambda folder: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", folder.name)][
                1::2
            ],
        )
        advice = f"name one of those in it: {', '.join(map(str, inside))}" if inside else "is it the right folder?"
        raise ModelError(f"{subject}: the folder holds no {ADAPTER_CONFIG}; {advice}")
    if path.is_file():
        raise ModelError(f"{subject}: a file; name the folder it is in")
    if _LOOKS_LIKE_PATH.match(name):
        raise ModelNotFound(f"{subject}: no such folder; a hub name is written like 'owner/name'")
    return _on_hub(subject, name)


def suggest(name: str) -> str:
    """Return ``"; did you mean …?"`` if a name is close to that of a bundled model, else an empty text."""
    close = difflib.get_close_matches(name.rpartition("/")[2].lower(), BUNDLED, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _in_folder(name: str, folder: Path) -> Source:
    if (folder / "config.json").is_file():
        return Source(str(folder), is_local=True)
    files = sorted(path.name for path in folder.glob("*.gguf"))
    advice = f"name one of its GGUF files, as '{name}:{files[0]}'" if files else "is it the right folder?"
    if (folder / ADAPTER_CONFIG).is_file():
        advice = "it is an adapter: name it under 'adapter', and its base model here"
    if shadowed := find_shadowed(name):
        advice += f"; write {shadowed!r} for the hub's model of that name"
    raise ModelError(f"model {name!r}: the folder holds no config.json; {advice}")


_WITHOUT_OWNER = {"gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2", "openai-gpt", "ctrl"}
"""Causal language models whose names on the hub have no owner."""


def find_shadowed(name: str) -> str:
    """Return how to write the hub name that a local folder hides; empty if there is no doubt.

    Names without an owner, such as ``gpt2``, are few on the hub; other names are taken for a folder without a word
    unless the hub's cache has a model of that name.
    """
    if name in BUNDLED or _LOOKS_LIKE_PATH.match(name) or "@" in name or not Path(name).is_dir():
        return ""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        is_cached = isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError:
        return ""
    return f"{name}@main" if is_cached or name in _WITHOUT_OWNER else ""


def _refuse_address(name: str, subject: str) -> None:
    """Raise if a name is the address of a web page; say what to write if the page is of the public hub."""
    match = _ADDRESS.match(name)
    if match is None:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
            raise ModelNotFound(f"{subject}: an address, not a name; write the name on the hub, such as 'owner/name'")
        return
    parts = [part for part in match["path"].split("/") if part]
    if not parts or parts[0] in ("datasets", "spaces", "collections", "papers"):
        raise ModelNotFound(f"{subject}: not the page of a model; write the name on the hub, such as 'owner/name'")
    # A page below the model's: owner/name/tree/revision/path; the oldest models have no owner.
    end = next((place for place, part in enumerate(parts) if part in _PAGES), min(len(parts), 2))
    repo, rest = "/".join(parts[:end]), parts[end + 1 :]
    revision, file = (rest[0], "/".join(rest[1:])) if rest and parts[end] != "discussions" else ("", "")
    written = repo + (f"@{revision}" if revision not in ("", "main") else "")
    written += f":{file}" if file.lower().endswith(".gguf") else ""
    raise ModelNotFound(f"{subject}: the address of a page; write {written!r}")


def _refuse_part(name: str) -> None:
    """Raise if a GGUF file is one of several parts: transformers would read its weights alone."""
    match = _PART.search(name)
    if match and int(match[1]) > 1:
        start = name[: match.start()].rpartition(":")[2]
        first = f"{Path(start).name}-00001-of-{match[1]}.gguf"
        raise ModelError(
            f"model {name!r}: one of {int(match[1])} parts of a GGUF file, and transformers reads whole files; join "
            f"them: gguf-split --merge {first} {Path(start).name}.gguf"
        )


def _gguf(name: str, path: Path) -> Source:
    _refuse_part(name)
    if path.is_file():
        return Source(str(path.parent), is_local=True, gguf_file=path.name)
    repo, colon, file = name.rpartition(":")
    if not colon or (_DRIVE.match(name) and len(repo) == 1):
        raise ModelNotFound(f"model {name!r}: no such file; a GGUF file on the hub is written 'owner/name:file.gguf'")
    folder = Path(repo).expanduser()
    if folder.is_dir():
        if not (folder / file).is_file():
            raise ModelNotFound(f"model {name!r}: no {file} in the folder {repo}")
        return Source(str(folder), is_local=True, gguf_file=file)
    return _on_hub(f"model {name!r}", repo, suggest(name), gguf_file=file)


def _on_hub(subject: str, repo_at: str, suggestion: str = "", gguf_file: str | None = None) -> Source:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    repo, at, revision = repo_at.partition("@")
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        advice = suggestion or "; a hub name is written 'owner/name' or 'owner/name@revision'"
        raise ModelNotFound(f"{subject}: neither a file or folder here nor a possible hub name{advice}") from error
    if at and not revision:
        raise ModelNotFound(f"{subject}: nothing after '@'; write a branch, tag or commit there, or remove the '@'")
    return Source(repo, is_local=False, revision=revision or None, gguf_file=gguf_file)
