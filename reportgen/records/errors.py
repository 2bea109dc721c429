"""Everything that can go wrong, as one tree of exceptions.

    ReportgenError
    ├── PromptFileError     prompts.yaml cannot be read; holds every problem found, each with its line
    ├── OptionError         an option of the command line asks for what a model lacks
    ├── ModelError          a model cannot be used
    │   ├── ModelNotFound       neither a hub name, a folder, a GGUF file nor an embedded model
    │   └── UnsupportedModel    found, but it has no attention that could be captured; says which part
    ├── PromptError         one prompt failed; the run goes on and the index shows it
    │   ├── PromptTooLong       more tokens than the model's context window
    │   ├── NotEnoughMemory     its attention would not fit into what is free
    │   └── CaptureMismatch     what was captured is not what attention must look like
    ├── CaptureFileError    a file holds no capture, or one of another version
    ├── NoEvidence          one kind of evidence cannot be had; the capture goes on and the page says why
    ├── ClusterError        prompts cannot be run on a Ray cluster
    ├── PictureError        a view of a page cannot be drawn as a picture
    ├── SiteError           the results folder cannot be written, or a file there is not ours
    │   ├── InTheWay            something that reportgen did not make stands where a file of its shall be
    │   └── SiteInUse           another run writes into the folder
    └── TemplatesNotFound   names every folder that was searched

A message reads *where: what is wrong, what was got; what to do*. The library raises; ``reportgen.cli`` is the one
place that shows errors.
"""

from __future__ import annotations

from collections.abc import Iterable

from reportgen import DISTRIBUTION


class ReportgenError(Exception):
    """Base of every error that reportgen raises on purpose."""


class PromptFileError(ReportgenError):
    """The prompt file is wrong.

    Attributes:
        problems: one line each, ``file:line: what is wrong; what to do``, in the order of the file.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        """Join the problems into one message, a line each."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class OptionError(ReportgenError):
    """An option of the command line asks for what a model lacks.

    Attributes:
        option: its name, such as ``--layers``.
    """

    def __init__(self, option: str, message: str) -> None:
        """Keep both, and put the option before the message."""
        self.option, self.message = option, message
        super().__init__(f"{option}: {message}")


class ModelError(ReportgenError):
    """A model cannot be used."""


class ModelNotFound(ModelError):
    """No model of that name can be had."""


class UnsupportedModel(ModelError):
    """The model was found, but its attention cannot be captured."""


class PromptError(ReportgenError):
    """One prompt failed; the others go on."""


class PromptTooLong(PromptError):
    """The prompt and what is to be generated do not fit the model's context window."""


class NotEnoughMemory(PromptError):
    """The attention that is to be kept will not fit into memory."""


class CaptureMismatch(PromptError):
    """What was captured is not causal attention of the expected shape."""


class CaptureFileError(ReportgenError):
    """A file holds no capture that this program reads."""


class NoEvidence(ReportgenError):
    """One kind of evidence cannot be had of this network or run; says why."""


class ClusterError(ReportgenError):
    """Prompts cannot be run on a Ray cluster: it is not there, has no room, or another program."""


class PictureError(ReportgenError):
    """A view of a page cannot be drawn as a picture."""


class SiteError(ReportgenError):
    """The results folder cannot be written."""


class InTheWay(SiteError):
    """Something that reportgen did not make stands where one of its files shall be."""


class SiteInUse(SiteError):
    """Another run writes into the results folder."""


class TemplatesNotFound(ReportgenError):
    """The templates are not where they should be."""


def install_advice(extra: str) -> str:
    """Return the command that installs what an extra of this package needs."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def first_line(error: BaseException) -> str:
    """Return an error's class and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
