"""Run one prompt and show its page, from a notebook cell or a script."""

from __future__ import annotations

import difflib
import sys
import tempfile
import warnings
import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.captures.record import Capture
from reportgen.files import atomic_write, make_folder
from reportgen.prompts.slugs import name_page
from reportgen.records import DEFAULT_MODEL, Generation, Prompt
from reportgen.records.errors import OptionError

if TYPE_CHECKING:
    from reportgen.models.model import LoadedModel

FRAME_HEIGHT = 800
_GENERATION = {item.name for item in fields(Generation)}
_PROMPT = {item.name for item in fields(Prompt)} - {"model", "place", "text"}
_SANDBOX = "allow-scripts allow-downloads allow-popups allow-popups-to-escape-sandbox"
"""Permissions of the page in a notebook. Its frame has an opaque origin, so the page cannot reach the kernel."""
_kept: dict[tuple[Any, ...], LoadedModel] = {}
"""The model that was loaded last, by the arguments it was loaded with and its fingerprint."""


@dataclass(frozen=True)
class Report:
    """The page of one prompt. A notebook displays it if it is the last expression of a cell.

    Attributes:
        capture: the data of the page: tokens, attention, predictions, evidence.
        height: height of the frame in a notebook, in CSS pixels. Most browsers let the reader drag its lower edge.
    """

    capture: Capture = field(repr=False)
    height: int = FRAME_HEIGHT

    @cached_property
    def html(self) -> str:
        """The page as self-contained HTML."""
        from reportgen.pages.page import draw_page

        return draw_page(self.capture, has_index=False).html

    def save(self, path: Path | str) -> Path:
        """Write the page and return its path.

        Args:
            path: a file, which is overwritten, or an existing folder, in which the page is named after its slug.

        Raises:
            SiteError: the page cannot be written.
        """
        path = Path(path)
        path = path / f"{self.capture.prompt.slug}.html" if path.is_dir() else path
        make_folder(path.parent)
        atomic_write(path, self.html)
        return path

    def show(self) -> None:
        """Show the page: below the cell in a notebook, otherwise in a browser, from a temporary file."""
        if _in_notebook():
            from IPython.display import display

            display(self)
        else:
            webbrowser.open(self.save(tempfile.mkdtemp(prefix="reportgen-")).as_uri())

    def _repr_html_(self) -> str:
        """Return an iframe with the page, for notebooks."""
        title = escape(f"Attention: {self.capture.prompt.title}")
        style = f"width: 100%; height: {self.height:d}px; border: 0; border-radius: 10px; resize: vertical"
        return (
            f'<iframe title="{title}" sandbox="{_SANDBOX}" allow="clipboard-write" style="{style}" '
            f'srcdoc="{escape(self.html)}"></iframe>'
        )


def report(
    text: str = "",
    *,
    model: str | LoadedModel = DEFAULT_MODEL,
    device: str = "auto",
    device_map: str = "",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    height: int = FRAME_HEIGHT,
    **keys: Any,
) -> Report:
    """Run one prompt and return its page, which a notebook displays. Nothing is printed.

    Args:
        text: the prompt; omit it if ``messages`` is given.
        model: a model name, as for ``load_model``, or a model returned by ``load_model`` or ``wrap_model``. A model
            loaded by name stays in memory for the next call, until a call needs another model.
        device: device to load the model on, as for ``load_model``. This and the next four apply only to a model given
            by name.
        device_map: how to spread the model over several devices.
        dtype: number format of the weights.
        trust_remote_code: whether Python code that comes with the model may run.
        allow_pickle: whether pickled weights may be read.
        height: height of the frame in a notebook, in CSS pixels.
        keys: fields of ``Prompt``, such as ``title``, ``messages``, ``layers``, ``heads``, ``max_new_tokens``,
            ``evidence`` and ``adapter``, and of ``Generation``, such as ``do_sample``, ``temperature`` and ``seed``.

    Returns:
        The page of the prompt.

    Raises:
        TypeError: an argument is unknown, or the model is neither a name nor a ``LoadedModel``.
        OptionError: the height is no number.
        ModelError: the model cannot be used.
        PromptError: the prompt is invalid or cannot be run.
    """
    with warnings.catch_warnings():  # about progress bars, which are not shown here
        warnings.filterwarnings("ignore", "IProgress not found")
        from reportgen.build.capture import capture

    settings = {"device": device, "device_map": device_map, "dtype": dtype}
    settings |= {"trust_remote_code": trust_remote_code, "allow_pickle": allow_pickle}
    if not isinstance(model, str):
        _check_loaded(model)
    if not isinstance(height, int) or height < 1:
        raise OptionError("height", f"must be a number of CSS pixels, got {height!r}; give one such as 800")
    prompt = make_prompt(text, model if isinstance(model, str) else model.info.name, keys)
    loaded = _load(model, adapter=prompt.adapter, **settings) if isinstance(model, str) else model
    return Report(capture(loaded, prompt), height)


def make_prompt(text: str, model: str, keys: Mapping[str, Any]) -> Prompt:
    """Return a prompt with a slug and a title, built from fields of ``Prompt`` and ``Generation``.

    Args:
        text: the prompt text.
        model: name of the model.
        keys: values of fields, by name.

    Raises:
        TypeError: a name in ``keys`` is not a field.
        PromptError: a value is invalid.
        PromptFileError: the slug cannot be used as a file name.
    """
    for name in keys.keys() - _PROMPT - _GENERATION:
        close = difflib.get_close_matches(name, _PROMPT | _GENERATION, 1)
        advice = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(_PROMPT | _GENERATION))}"
        raise TypeError(f"report: unknown argument {name!r}; {advice}")
    values = {name: value for name, value in keys.items() if name not in _GENERATION}
    settings = {name: value for name, value in keys.items() if name in _GENERATION}
    if settings:
        generation = values.get("generation", Generation())
        values["generation"] = (
            {**generation, **settings} if isinstance(generation, dict) else replace(generation, **settings)
        )
    return name_page(Prompt(text, model=model, **values))


def _check_loaded(model: object) -> None:
    from reportgen.models.model import LoadedModel

    if not isinstance(model, LoadedModel):
        got = type(model).__name__
        raise TypeError(f"report: model is a {got}; pass wrap_model(model, tokenizer), or the model's name")


def _load(name: str, **settings: Any) -> LoadedModel:
    """Load a model, or return the model of the last call if the arguments and its files are unchanged."""
    from reportgen.captures.capture import free_memory
    from reportgen.models.fingerprint import fingerprint
    from reportgen.models.model import load_model

    key = (name, *settings.values(), fingerprint(name, settings["adapter"]))
    if key not in _kept:
        _kept.clear()
        free_memory()
        _kept[key] = load_model(name, **settings)
    return _kept[key]


def _in_notebook() -> bool:
    """Return whether this process is a notebook kernel, that is, runs IPython with a kernel and without a terminal."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")
