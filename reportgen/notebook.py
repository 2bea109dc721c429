"""One prompt to a page, from a cell of a notebook or from a script."""

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

from reportgen.build.options import MAX_PAGE_MB
from reportgen.captures.record import Capture
from reportgen.files import atomic_write, make_folder
from reportgen.pages.options import PageOptions
from reportgen.prompts.slugs import name_pages
from reportgen.records import DEFAULT_MODEL, Generation, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from reportgen.models.model import LoadedModel

FRAME_HEIGHT = 800
_GENERATION = {item.name for item in fields(Generation)}
_PROMPT = {item.name for item in fields(Prompt)} - {"model", "place", "text"}
_SANDBOX = "allow-scripts allow-downloads allow-popups allow-popups-to-escape-sandbox"
"""What the page may do in a notebook. It is of another origin there, so that no text on it comes near the kernel."""
_kept: dict[tuple[Any, ...], LoadedModel] = {}
"""The model that was loaded last, by what it was asked for."""


@dataclass(frozen=True)
class Report:
    """The page of one prompt; a notebook shows it where a cell ends in it.

    Attributes:
        capture: what the page shows: tokens, attention, predictions, evidence.
        height: of the frame in a notebook, in CSS pixels; its lower edge can be dragged where browsers let it.
    """

    capture: Capture = field(repr=False)
    height: int = FRAME_HEIGHT

    @cached_property
    def html(self) -> str:
        """The whole page, self-contained."""
        from reportgen.pages.page import draw_page

        return draw_page(self.capture, PageOptions(has_index=False, max_mb=MAX_PAGE_MB))[0]

    def save(self, path: Path | str) -> Path:
        """Write the page, and return its path.

        Args:
            path: a file, which is overwritten, or a folder that is there, where the page gets the name of its slug.

        Raises:
            SiteError: it cannot be written.
        """
        path = Path(path)
        path = path / f"{self.capture.prompt.slug}.html" if path.is_dir() else path
        make_folder(path.parent)
        atomic_write(path, self.html)
        return path

    def show(self) -> None:
        """Show the page: below the cell in a notebook, else in a browser, from a file among the temporary ones."""
        if _in_notebook():
            from IPython.display import display

            display(self)
        else:
            webbrowser.open(self.save(tempfile.mkdtemp(prefix="reportgen-")).as_uri())

    def _repr_html_(self) -> str:
        """Return the page in a frame, as notebooks show it."""
        title = escape(f"Attention: {self.capture.prompt.title}")
        style = f"width: 100%; height: {self.height:d}px; border: 0; border-radius: 10px; resize: vertical"
        return (
            f'<iframe title="{title}" sandbox="{_SANDBOX}" allow="clipboard-write" style="{style}" '
            f'srcdoc="{escape(self.html)}"></iframe>'
        )


def report(
    text: str = "",
    *,
    model: str | LoadedModel | PreTrainedModel = DEFAULT_MODEL,
    tokenizer: PreTrainedTokenizerBase | None = None,
    device: str = "auto",
    device_map: str = "",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    height: int = FRAME_HEIGHT,
    **keys: Any,
) -> Report:
    """Run one prompt and return its page, which a notebook shows.

    ``report("The cat ate the mat", layers="0-4", max_new_tokens=3)`` is a whole cell. Nothing is printed.

    Args:
        text: what the model reads; leave it out where ``messages`` is given.
        model: a name, as ``load_model`` takes it; a model that ``load_model`` or ``wrap_model`` gave; or a network of
            transformers, with its ``tokenizer``. The model of a name stays in memory for the next call, until another
            is asked for.
        tokenizer: of a network that is given.
        device: as ``load_model`` takes it, of a model by its name; so the next four.
        device_map: how to spread it over several devices.
        dtype: number format of the weights.
        trust_remote_code: whether code that comes with it may run.
        allow_pickle: whether its weights may be pickled.
        height: of the frame in a notebook, in CSS pixels.
        keys: fields of ``Prompt``, such as ``title``, ``messages``, ``layers``, ``heads``, ``max_new_tokens``,
            ``evidence`` and ``adapter``, and of ``Generation``, such as ``do_sample``, ``temperature`` and ``seed``.

    Raises:
        TypeError: there is no such argument, or a network lacks its tokenizer.
        ModelError: the model cannot be used.
        PromptError: the prompt is wrong or cannot be run.
    """
    with warnings.catch_warnings():  # of bars that nobody is shown
        warnings.filterwarnings("ignore", "IProgress not found")
        from reportgen.build.capture import capture

    loaded = _find_model(model, tokenizer)
    prompt = make_prompt(text, loaded.info.name if loaded else str(model), keys)
    loaded = loaded or _load(
        prompt.model,
        adapter=prompt.adapter,
        device=device,
        device_map=device_map,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        allow_pickle=allow_pickle,
    )
    return Report(capture(loaded, prompt), height)


def make_prompt(text: str, model: str, keys: Mapping[str, Any]) -> Prompt:
    """Return a prompt, with a slug and a title, of fields of ``Prompt`` and ``Generation``.

    Raises:
        TypeError: there is no such field.
        PromptError: a value is wrong.
        PromptFileError: the slug cannot be the name of a file.
    """
    for name in keys.keys() - _PROMPT - _GENERATION:
        close = difflib.get_close_matches(name, _PROMPT | _GENERATION, 1)
        advice = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(_PROMPT | _GENERATION))}"
        raise TypeError(f"report: unknown argument {name!r}; {advice}")
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in keys.items()}
    chosen = {name: given.pop(name) for name in _GENERATION & given.keys()}
    generation = replace(given.pop("generation", Generation()), **chosen)
    return name_pages([Prompt(text, model=model, generation=generation, **given)])[0]


def _find_model(model: object, tokenizer: PreTrainedTokenizerBase | None) -> LoadedModel | None:
    """Return a model that is in memory; ``None`` for the name of one."""
    from reportgen.models.model import LoadedModel, wrap_model

    if isinstance(model, str | LoadedModel):
        if tokenizer is not None:
            raise TypeError("report: a tokenizer goes with a network of transformers; leave it out")
        return None if isinstance(model, str) else model
    if tokenizer is None:
        raise TypeError(f"report: {type(model).__name__} lacks its tokenizer; give tokenizer=, or the model's name")
    return wrap_model(model, tokenizer)  # pyright: ignore[reportArgumentType]


def _load(name: str, **settings: Any) -> LoadedModel:
    """Load a model, or take the one of the last call where nothing of it has changed since."""
    from reportgen.captures.capture import free_memory
    from reportgen.models.fingerprint import fingerprint
    from reportgen.models.model import load_model

    asked = (name, *settings.values(), fingerprint(name, settings["adapter"]))
    if asked not in _kept:
        _kept.clear()
        free_memory()
        _kept[asked] = load_model(name, **settings)
    return _kept[asked]


def _in_notebook() -> bool:
    """Say whether this process is the kernel of a notebook: IPython is there then, and no terminal."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")
