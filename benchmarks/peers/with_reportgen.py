"""This program's own page, of the capture that the weights were taken from, evidence and probabilities included."""

from __future__ import annotations

import pickle
from pathlib import Path

from reportgen.captures.record import Capture
from reportgen.pages.page import render_page

__all__ = ["load", "make"]


def load(tensors: Path) -> tuple[Capture]:
    """Return the capture beside the tensors."""
    return (pickle.loads(tensors.with_suffix(".pickle").read_bytes()),)


def make(capture: Capture) -> str:
    """Return the page."""
    return render_page(capture)
