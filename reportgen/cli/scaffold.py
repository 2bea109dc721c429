"""The files that a repository of one's own begins with: prompts, and a workflow that publishes their pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from reportgen import DISTRIBUTION, __version__
from reportgen.paths import find_templates
from reportgen.prompts.keys import prompt_file_schema
from reportgen.records.errors import SiteError

_FILES = {
    "prompts.yaml": "prompts.yaml",
    "README.md": "README.md",
    ".gitignore": "gitignore",
    ".github/workflows/pages.yml": "pages.yml",
}
"""What is copied as it is, by the name that it gets."""
_MAY_BE_THERE = {".git"}
_WHEEL = f"{DISTRIBUTION.replace('-', '_')}-{__version__}-py3-none-any.whl"
_REQUIREMENTS = f"""\
# {DISTRIBUTION} is not on a package index yet. Put its wheel beside this file; in a checkout of it, this makes one:
#     python -m pip wheel --no-deps --wheel-dir . PATH/TO/CHECKOUT
# Once it is there, write {DISTRIBUTION}=={__version__} instead.
./{_WHEEL}
"""


def make_scaffold(folder: Path) -> list[Path]:
    """Write the files of a new repository into a folder that is empty, but for Git's own, or not there.

    Returns:
        The paths that were written.

    Raises:
        SiteError: there is something in the folder, or it cannot be written; no file is overwritten.
    """
    try:
        there = sorted({path.name for path in folder.iterdir()} - _MAY_BE_THERE) if folder.exists() else []
        if there:
            more = f" and {len(there) - 1} more" if len(there) > 1 else ""
            raise SiteError(f"{folder}: is not empty, it has {there[0]}{more}; name a folder that is new or empty")
        return [_write(folder / name, content) for name, content in _read_files().items()]
    except OSError as error:
        raise SiteError(f"{folder}: cannot be written, {error.strerror}; name another folder") from error


def _read_files() -> Mapping[str, str]:
    """Return the files by name; the program is pinned, so that the pages of today can be made again."""
    templates = find_templates() / "starter"
    files = {name: (templates / source).read_text("utf-8") for name, source in _FILES.items()}
    schema = json.dumps(prompt_file_schema(), ensure_ascii=False, indent=2)
    return files | {"requirements.txt": _REQUIREMENTS, "prompts.schema.json": f"{schema}\n"}


def _write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8", newline="") as file:
        file.write(content)
    return path
