"""Execute a notebook from the top to the bottom."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat

_EXECUTE = """
import sys
import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
manager = KernelManager(transport="ipc", ip=sys.argv[1] + "/k", connection_file=sys.argv[1] + "/kernel.json")
book = nbformat.read("book.ipynb", as_version=4)
NotebookClient(book, km=manager, timeout=120).execute()
manager.shutdown_kernel(now=True)
nbformat.write(book, "book.ipynb")
"""
"""In a process of its own; the kernel listens on files, not on the network."""


def execute(book: Any, folder: Path) -> list[list[Any]]:
    """Execute a notebook in a folder, and return what each of its code cells put out.

    Raises:
        AssertionError: a cell failed.
    """
    nbformat.write(book, folder / "book.ipynb")
    homes = ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
    environment = os.environ | {name: str(folder / name) for name in homes} | {"OMP_NUM_THREADS": "1"}
    with TemporaryDirectory(prefix="rg-") as short:  # names of sockets have a hundred characters at most
        command = [sys.executable, "-c", _EXECUTE, short]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cells = nbformat.read(folder / "book.ipynb", as_version=4).cells
    return [cell.outputs for cell in cells if cell.cell_type == "code"]


def html_of(outputs: list[Any]) -> str:
    """Return the HTML that a cell shows."""
    (output,) = outputs
    return "".join(output["data"]["text/html"])
