"""Show a page below a cell of a notebook or in a browser, and write it to a file."""

from __future__ import annotations

import sys
import tempfile
import webbrowser
from abc import ABC, abstractmethod
from html import escape
from pathlib import Path

from reportgen.files import atomic_write, make_folder
from reportgen.pages.options import PageOptions
from reportgen.records.errors import OptionError

FRAME_HEIGHT = 800
_SANDBOX = "allow-scripts allow-downloads allow-popups allow-popups-to-escape-sandbox"
"""Permissions of the page in a notebook. Its frame has an opaque origin, so the page cannot reach the kernel."""


class Shown(ABC):
    """What has a page: a notebook displays it if it is the last expression of a cell."""

    @abstractmethod
    def _draw(self, options: PageOptions) -> str:
        """Return the page as self-contained HTML, without links to other pages."""

    @abstractmethod
    def _name(self) -> tuple[str, str]:
        """Return the title of the page, and the name of its file without ``.html``."""

    def to_html(self, path: Path | str, options: PageOptions = PageOptions()) -> Path:
        """Write the page, which is one file that needs no network, and return its path.

        Args:
            path: a file, which is overwritten, or an existing folder, in which the page is named after its slug.
            options: how the page is drawn; its options about other files are ignored.

        Raises:
            PromptError: the page does not fit into its maximum size with a useful part of its weights.
            SiteError: the page cannot be written.
        """
        path = Path(path)
        path = path / f"{self._name()[1]}.html" if path.is_dir() else path
        make_folder(path.parent)
        atomic_write(path, self._draw(options))
        return path

    def show(self, height: int = FRAME_HEIGHT) -> None:
        """Show the page: below the cell in a notebook, otherwise in a browser, from a temporary file.

        Args:
            height: height of the frame in a notebook, in CSS pixels. Most browsers let the reader drag its lower edge.

        Raises:
            OptionError: the height is no number above 0.
        """
        if isinstance(height, bool) or not isinstance(height, int) or height < 1:
            raise OptionError("height", f"must be a number of CSS pixels, got {height!r}; give one such as 800")
        if _in_notebook():
            from IPython.display import display

            display({"text/html": self._frame(height), "text/plain": repr(self)}, raw=True)
        else:
            webbrowser.open(self.to_html(tempfile.mkdtemp(prefix="reportgen-")).as_uri())

    def _repr_html_(self) -> str:
        return self._frame(FRAME_HEIGHT)

    def _frame(self, height: int) -> str:
        """Return an iframe with the page."""
        style = f"width: 100%; height: {height:d}px; border: 0; border-radius: 10px; resize: vertical"
        return (
            f'<iframe title="{escape(f"Attention: {self._name()[0]}")}" sandbox="{_SANDBOX}" allow="clipboard-write" '
            f'style="{style}" srcdoc="{escape(self._draw(PageOptions()))}"></iframe>'
        )


def _in_notebook() -> bool:
    """Return whether this process is a notebook kernel, that is, runs IPython with a kernel and without a terminal."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")
