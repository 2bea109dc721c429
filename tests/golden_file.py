"""Files of expected output: ``REPORTGEN_UPDATE_GOLDEN=1 pytest`` writes them anew, to be read before they are kept."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"


def read_golden(name: str, made: str) -> str:
    """Return the committed text of a golden file.

    Args:
        name: of the file.
        made: what the program makes now; takes the file's place where ``REPORTGEN_UPDATE_GOLDEN`` is set.
    """
    path = FOLDER / name
    if os.environ.get("REPORTGEN_UPDATE_GOLDEN"):
        path.write_text(made, "utf-8", newline="\n")
    return path.read_text("utf-8")
