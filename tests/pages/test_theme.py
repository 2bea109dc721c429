"""The colours of both themes: texts are legible, shapes are seen, and what has two colours has two for all eyes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from colours import BLIND, linear_of, oklab_of

from reportgen.paths import find_templates

CSS = (find_templates() / "css" / "theme.css").read_text("utf-8")
PAIRS = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", CSS)
THEMES = {"light": {name: light for name, light, _ in PAIRS}, "dark": {name: dark for name, _, dark in PAIRS}}


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2, from 1 to 21."""
    low, high = sorted(linear_of((one, other)) @ np.array([0.2126, 0.7152, 0.0722]))
    return float((high + 0.05) / (low + 0.05))


def test_contrast_of_black_and_white() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ground", ["paper", "card", "sunken", "accent-wash"])
@pytest.mark.parametrize("text", ["ink", "muted", "link", "accent", "bad", "for", "against"])
def test_texts_are_legible(theme: str, ground: str, text: str) -> None:
    assert contrast(THEMES[theme][text], THEMES[theme][ground]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(
    "shape", ["accent", "bar", "bar-chosen", "weight", "for", "against", "generated", "side-a", "side-b"]
)
def test_shapes_are_seen(theme: str, shape: str) -> None:
    assert contrast(THEMES[theme][shape], THEMES[theme]["card"]) >= 3


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("eyes", BLIND)
@pytest.mark.parametrize(
    "pair", [("for", "against"), ("side-a", "side-b"), ("bar", "bar-chosen"), ("bar", "generated")]
)
def test_pairs_are_told_apart(theme: str, eyes: str, pair: tuple[str, str]) -> None:
    one, other = oklab_of(linear_of(tuple(THEMES[theme][name] for name in pair)) @ BLIND[eyes].T)
    assert np.linalg.norm(one - other) > 0.09
