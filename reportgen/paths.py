"""Find ``templates/``: inside the package in a wheel, next to the package in a checkout."""

from __future__ import annotations

from pathlib import Path

from reportgen.records.errors import TemplatesNotFound

_KNOWN_FILE = "page.html.jinja2"


def find_templates() -> Path:
    """Return the folder that holds the templates.

    Returns:
        ``templates`` inside the package, or else ``templates`` next to the package: the first that holds the page
        template.

    Raises:
        TemplatesNotFound: neither folder holds the page template.
    """
    package = Path(__file__).resolve().parent
    candidates = (package / "templates", package.parent / "templates")
    for folder in candidates:
        if (folder / _KNOWN_FILE).is_file():
            return folder
    searched = " and ".join(str(folder) for folder in candidates)
    raise TemplatesNotFound(f"templates: no {_KNOWN_FILE} in {searched}; reinstall reportgen")
