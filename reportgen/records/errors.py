"""The exceptions of reportgen.

    ReportgenError
    ├── PromptFileError     prompts.yaml cannot be read; holds every problem found, each with its line
    ├── OptionError         an option of the command line is wrong, such as layers that a model lacks
    ├── ModelError          a model cannot be used
    │   ├── ModelNotFound       neither a hub name, a folder, a GGUF file nor a bundled model
    │   ├── WrongSetting        the device, the dtype or the device map is unknown, or not on this machine
    │   └── UnsupportedModel    found, but its attention cannot be captured; the message says which part
    ├── PromptError         one prompt failed; the run goes on and the index shows it
    │   ├── PromptTooLong       more tokens than the model's context window
    │   ├── NotEnoughMemory     its attention does not fit into the free memory
    │   └── CaptureMismatch     the captured weights are not valid attention weights
    ├── CaptureFileError    a file is not a capture, or of another version
    ├── NoEvidence          one kind of evidence is not available; the capture goes on and the page says why
    ├── ClusterError        prompts cannot be run on a Ray cluster
    ├── PictureError        a view of a page cannot be rendered as a picture
    ├── SiteError           the results folder cannot be written, or a file in it is not from reportgen
    │   ├── InTheWay            a file or folder that reportgen did not create is in the place of its file
    │   ├── SiteInUse           another run writes into the folder
    │   └── UnusableFolder      the folder cannot have this path, such as one with a name that is too long
    └── TemplatesNotFound   the page templates cannot be found; the message names every folder that was searched

A message has the form *where: what is wrong, actual value; what to do*. Only ``reportgen.cli`` prints errors; the other
packages raise them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from reportgen import DISTRIBUTION

_NO_MEMORY = re.compile("out of memory|DefaultCPUAllocator|bad_alloc|[Cc]annot allocate memory|ALLOC_FAILED")
"""Out-of-memory messages of torch, which has a separate error class only for devices such as CUDA."""


class ReportgenError(Exception):
    """Base class of all exceptions of reportgen."""


class PromptFileError(ReportgenError):
    """The prompt file cannot be read or has problems.

    Attributes:
        problems: one line each, ``file:line: what is wrong; what to do``, in the order of the file.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        """Join the problems into one message with one line each."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class OptionError(ReportgenError):
    """An option of the command line is wrong, such as layers that a model lacks or an invalid ``--site-url``.

    Attributes:
        option: name of the option, such as ``--layers``.
    """

    def __init__(self, option: str, message: str) -> None:
        """Store the option and the message, and begin the error text with the option."""
        self.option, self.message = option, message
        super().__init__(f"{option}: {message}")


class ModelError(ReportgenError):
    """A model cannot be used."""


class ModelNotFound(ModelError):
    """There is no model of that name."""


class WrongSetting(ModelError):
    """The device, the dtype or the device map is unknown, or this machine does not have it."""


class UnsupportedModel(ModelError):
    """The model was found, but its attention cannot be captured."""


class PromptError(ReportgenError):
    """One prompt failed; the run continues with the others."""


class PromptTooLong(PromptError):
    """The prompt and the tokens to generate do not fit the model's context window."""


class NotEnoughMemory(PromptError):
    """The attention weights of a capture do not fit into memory."""


class CaptureMismatch(PromptError):
    """The captured weights are not causal attention of the expected shape."""


class CaptureFileError(ReportgenError):
    """A file is not a capture that this version can read."""


class NoEvidence(ReportgenError):
    """One kind of evidence is not available for this network or run; the message says why."""


class ClusterError(ReportgenError):
    """Prompts cannot be run on a Ray cluster: it cannot be reached, lacks resources, or runs another version."""


class PictureError(ReportgenError):
    """A view of a page cannot be rendered as a picture."""


class SiteError(ReportgenError):
    """The results folder cannot be written."""


class InTheWay(SiteError):
    """A file or folder that reportgen did not create is in the place of one of its files."""


class SiteInUse(SiteError):
    """Another run is writing to the results folder."""


class UnusableFolder(SiteError):
    """The results folder cannot have this path, such as one with a name that is too long or below a file."""


class TemplatesNotFound(ReportgenError):
    """The page templates cannot be found."""


def install_advice(extra: str) -> str:
    """Return the pip command that installs an extra of this package."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory is used up, on the CPU or another device."""
    return isinstance(error, MemoryError) or bool(_NO_MEMORY.search(str(error)))


def first_line(error: BaseException) -> str:
    """Return an error's class and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
