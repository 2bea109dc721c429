"""Files of a new repository: example prompts, and a workflow that publishes their pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from reportgen import DISTRIBUTION, __version__
from reportgen.paths import find_templates
from reportgen.records.errors import SiteError
from reportgen.records.prompt_keys import prompt_file_schema

_FILES = {
    "prompts.yaml": "prompts.yaml",
    "README.md": "README.md",
    ".gitignore": "gitignore",
    ".github/workflows/pages.yml": "pages.yml",
}
"""Template files that are copied unchanged, by the name of the copy."""
_MAY_EXIST = {".git"}
_WHEEL = f"{DISTRIBUTION.replace('-', '_')}-{__version__}-py3-none-any.whl"
_REQUIREMENTS = f"""\
# {DISTRIBUTION} is not on a package index yet. Put its wheel next to this file. To build the wheel from a checkout:
#     python -m pip wheel --no-deps --wheel-dir . PATH/TO/CHECKOUT
# Once it is on a package index, write {DISTRIBUTION}=={__version__} instead.
./{_WHEEL}
"""


def make_scaffold(folder: Path) -> list[Path]:
    """Write the files of a new repository into a new or empty folder; a ``.git`` folder may exist in it.

    Args:
        folder: where to write; it is created if it does not exist.

    Returns:
        The paths of the written files.

    Raises:
        SiteError: the folder is not empty, or it cannot be written; no file is overwritten.
    """
    try:
        names = sorted({path.name for path in folder.iterdir()} - _MAY_EXIST) if folder.exists() else []
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise SiteError(f"{folder}: is not empty, it has {names[0]}{more}; name a folder that is new or empty")
        return [_write(folder / name, content) for name, content in _read_files().items()]
    except OSError as error:
        raise SiteError(f"{folder}: cannot be written, {error.strerror}; name another folder") from error


def _read_files() -> Mapping[str, str]:
    """Return the content of each file by name; the version of the program is pinned, so that pages are reproducible."""
    templates = find_templates() / "starter"
    files = {name: (templates / source).read_text("utf-8") for name, source in _FILES.items()}
    schema = json.dumps(prompt_file_schema(), ensure_ascii=False, indent=2)
    return files | {"requirements.txt": _REQUIREMENTS, "prompts.schema.json": f"{schema}\n"}


def _write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8", newline="") as file:
        file.write(content)
    return path
