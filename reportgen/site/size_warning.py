"""Warn if a site is too large for GitHub Pages."""

from __future__ import annotations

import os
from pathlib import Path

from reportgen.pages.assets import BOKEH_FILE

_WARN_FROM = 900_000_000
"""Threshold of the warning in bytes; GitHub Pages accepts sites of up to 1 GB."""


def size_warning(folder: Path, limit: int = _WARN_FROM) -> str:
    """Return a warning if a site is nearly too large for GitHub Pages, otherwise an empty string.

    Args:
        folder: results folder.
        limit: threshold in bytes; smaller sites give no warning.
    """
    size = measure_folder(folder)
    if size < limit:
        return ""
    advice = [
        "" if (folder / BOKEH_FILE).exists() else "build with --shared-assets, which takes 0.4 MB off each page",
        "leave captures/ out of what is published" if (folder / "captures").is_dir() else "",
        "show fewer --layers or --heads",
        "or make several sites",
    ]
    return f"{folder}: has {size / 1e6:,.0f} MB, and GitHub Pages takes 1,000; {', '.join(filter(None, advice))}"


def measure_folder(folder: Path) -> int:
    """Return the total size of the files in a folder in bytes; symbolic links are not followed."""
    total, todo = 0, [os.fspath(folder)]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
    return total
