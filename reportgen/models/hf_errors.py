"""Call transformers without its log output, and translate its errors into messages with advice."""

from __future__ import annotations

import io
import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr
from typing import Any

from reportgen.models.hub import is_forbidden
from reportgen.records.errors import ModelError, ModelNotFound, ReportgenError, UnsupportedModel

_MEMORY = "there is not enough memory for it; take a smaller model, --dtype bfloat16, or another --device"

_UNREADABLE = ("SafetensorError", "UnpicklingError", "EOFError", "IndexError")

# Errors of transformers and torch that can only be recognized by their message: pattern, error class, message.
_WORDS: tuple[tuple[str, type[ModelError], str], ...] = (
    (
        "trust_remote_code",
        ModelError,
        "it brings its own Python code, which would run on this machine; read that code, then allow it with "
        "--trust-remote-code",
    ),
    ("not a valid JSON", ModelError, "its config.json is not valid JSON; repair it or get the model again"),
    (
        "Unrecognized model|does not recognize this architecture",
        UnsupportedModel,
        "this transformers does not know the model type that its config.json names; a newer version may",
    ),
    (
        "instantiate the backend tokenizer",
        ModelError,
        "it has no tokenizer that could be read; put the tokenizer's files (tokenizer.json) next to the weights",
    ),
    ("out of memory|not enough memory|can't allocate memory", ModelError, _MEMORY),
    (
        "offload_folder|offload_dir",
        ModelError,
        "it does not fit the devices and the memory together; take --dtype bfloat16, or a smaller model",
    ),
    ("ignore_mismatched_sizes", ModelError, "its weights have other shapes than its config.json says"),
    (
        "Weights only load failed|weights_only",
        ModelError,
        "its weights are pickled Python objects that are not safe to load; convert them to safetensors",
    ),
    (
        "no file named|not appear to have a file named",
        ModelError,
        "it has no weights; put model.safetensors next to its config.json, or get the whole model again; pickled "
        "weights (.bin) need --allow-pickle",
    ),
    (
        "GGUF model with architecture",
        UnsupportedModel,
        "transformers cannot read .gguf files of its architecture; take the model's safetensors",
    ),
    (
        "GGUF magic bytes|`general.architecture`|cannot mmap an empty file|unpack_from requires",
        ModelError,
        "its .gguf file is broken or cut short; get that file again, and compare its size with the source's",
    ),
)

# The same for errors of peft.
_ADAPTER_WORDS: tuple[tuple[str, type[ModelError], str], ...] = (
    ("NaNs detected", ModelError, "its weights hold NaN; get it again"),
    (
        "can't load it as a pickle|Weights only load failed|weights_only",
        ModelError,
        "its weights are pickled Python objects that are not safe to load; convert them to safetensors",
    ),
    ("out of memory|not enough memory|can't allocate memory", ModelError, _MEMORY),
)


@contextmanager
def calling_transformers(name: str, part: str = "config", *, adapter: str = "") -> Iterator[None]:
    """Run a block without log output, progress bars and warnings, and convert its errors to ``ModelError``.

    The hub's download bars stay visible, because downloads are long; they appear only on terminals.

    Args:
        name: the model, as the user wrote it.
        part: what is being loaded, for the message of an unexpected error.
        adapter: the adapter that is being loaded, as the user wrote it; empty for the model itself.

    Raises:
        ModelError: the block raised an error.
    """
    # For pickled weights, transformers would otherwise request a conversion on the hub in the user's name.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    try:
        with quiet():
            yield
    except ReportgenError:
        raise
    except Exception as error:
        raise explain(error, name, part, adapter=adapter) from error


def without_bars() -> AbstractContextManager[Any]:
    """Return a context that discards standard error: transformers' GGUF progress bar cannot be switched off."""
    return redirect_stderr(io.StringIO())


def name_subject(name: str, adapter: str = "") -> str:
    """Return the start of an error message: the model, or the adapter and the model."""
    return f"adapter {adapter!r} on model {name!r}" if adapter else f"model {name!r}"


def explain(error: Exception, name: str, part: str = "config", *, adapter: str = "") -> ModelError:
    """Return a ``ModelError`` that explains an error from transformers, the hub or torch.

    Args:
        error: the error that was raised; its causes are examined too.
        name: the model, as the user wrote it.
        part: what was being loaded.
        adapter: the adapter that was being loaded; empty for the model itself.
    """
    subject = name_subject(name, adapter)
    causes = list(_causes(error))
    for cause in causes:
        if (explanation := _explain_hub(cause, "adapter" if adapter else "model")) is not None:
            kind, meaning = explanation
            return kind(f"{subject}: {meaning}")
    for cause in causes:
        if isinstance(cause, ImportError) and (package := _missing_package(cause)):
            return ModelError(f"{subject}: it needs a package that is not installed; pip install {package}")
        if isinstance(cause, MemoryError):
            return ModelError(f"{subject}: {_MEMORY}")
        for pattern, kind, meaning in _ADAPTER_WORDS if adapter else _WORDS:
            if re.search(pattern, str(cause)):
                return kind(f"{subject}: {meaning}")
    first_line = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
    reason = f"{type(error).__name__}: {first_line}"
    # Compared by name, because the classes would have to be imported.
    if part == "weights" and type(error).__name__ in _UNREADABLE:
        advice = "the file is broken or cut short, get it again"
        return ModelError(f"{subject}: its weights cannot be read: {reason}; {advice}")
    return ModelError(f"{subject}: its {part} cannot be loaded: {reason}")


def _explain_hub(error: BaseException, thing: str) -> tuple[type[ModelError], str] | None:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return (
            ModelError,
            "the hub requires that you accept its terms; accept them on its page, then run `hf auth login`",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelNotFound, f"the hub has no such {thing}, or keeps it private; check the name, or `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelNotFound, f"the hub has the {thing}, but no such revision; check the part after '@'"
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        instead = "name a local folder" + (" or a bundled model" if thing == "model" else "")
        if is_forbidden():
            return ModelNotFound, (
                "not in the hub's cache on this machine, and HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids using "
                f"the hub; unset it, or {instead}"
            )
        return ModelNotFound, (
            f"not in the hub's cache on this machine, and the hub cannot be reached; check the connection, or {instead}"
        )
    if isinstance(error, errors.EntryNotFoundError):
        kind = "a peft adapter" if thing == "adapter" else "a transformers model"
        return ModelError, f"the hub has the repository, but not the file that is needed; is it {kind}?"
    return None


def _missing_package(error: ImportError) -> str:
    """Return the package to install, quoted from the error's pip command if it has one; most quantisers give it."""
    command = re.search(
        r"pip install (?:-U |--upgrade )?['\"]?([A-Za-z][\w.\-]*(?:\[[\w,]+\])?(?:[<>=!~]+[\w.]+)?)", str(error)
    )
    return f"'{command[1].rstrip('.')}'" if command else error.name or ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the log, progress bars and warnings of transformers and the hub, except download bars."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging as log

    loggers, hub_silent = (
        [logging.getLogger(name) for name in ("huggingface_hub", "accelerate")],
        are_progress_bars_disabled(),
    )
    before = log.get_verbosity(), log.is_progress_bar_enabled(), [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.set_verbosity_error()
        log.disable_progress_bar()
        if not hub_silent:  # transformers switches off the hub's bars together with its own
            enable_progress_bars()
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.set_verbosity(before[0])
            for logger, level in zip(loggers, before[2], strict=True):
                logger.setLevel(level)
            if before[1]:
                log.enable_progress_bar()
            if hub_silent:
                disable_progress_bars()
