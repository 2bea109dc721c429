"""A class of the style sheets means one thing: it is defined in one file, and other files may only qualify it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

import pytest
from root import ROOT

STYLES = sorted((ROOT / "templates" / "css").glob("*.css"))
BARE = re.compile(r"\.([\w-]+)(?:::?[\w-]+(?:\([^)]*\))?)*")
"""A class alone, with or without a pseudo-class: what a thing is, rather than what it is somewhere."""


def list_rules(style: str) -> Iterator[str]:
    """Yield the selectors of rules at the top of a style sheet, and not those inside of ``@media`` and the like."""
    style = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    depth, start = 0, 0
    for found in re.finditer(r"[{};]", style):
        if found[0] == "{":
            selector = style[start : found.start()].strip()
            if depth == 0 and not selector.startswith("@"):
                yield selector
            depth += 1
        elif found[0] == "}":
            depth -= 1
        start = found.end()
    assert depth == 0


def split_selectors(selector: str) -> list[str]:
    """Return the selectors of a list, which commas divide where they are in no brackets."""
    return [one.strip() for one in re.split(r",(?![^(]*\))", selector)]


def list_classes(style: str) -> set[str]:
    """Return the classes that a style sheet defines: those that a rule at its top names alone."""
    classes = set()
    for selector in list_rules(style):
        for one in split_selectors(selector):
            alternatives = re.fullmatch(r":is\((.*)\)", one, re.DOTALL)
            for each in split_selectors(alternatives[1]) if alternatives else [one]:
                if bare := BARE.fullmatch(each):
                    classes.add(bare[1])
    return classes


@pytest.mark.parametrize(
    ("style", "classes"),
    [
        (".a { x: y } .b, .c:hover { z: { } }", {"a", "b", "c"}),
        (".a .b {} .a.b {} p.c {} .d > .e {} #f {}", set()),
        ("@media print { .a { x: y } } .b {} @supports (x: y) { .c {} }", {"b"}),
        ("/* .a { */ .b::before {} :is(.c, .d e, .f.g) {}", {"b", "c"}),
        ('.a { --x: ";" ; } .b:not(.c, .d) {} :is(.e, .f) .g {}', {"a", "b"}),
        (".a {\n  .b { x: y }\n}", {"a"}),
    ],
)
def test_only_a_class_alone_at_the_top_is_defined(style: str, classes: set[str]) -> None:
    assert list_classes(style) == classes


def test_every_class_is_defined_in_one_file() -> None:
    files = defaultdict(set)
    for path in STYLES:
        for name in list_classes(path.read_text("utf-8")):
            files[name].add(path.name)
    assert len(files) > 50
    assert {name: sorted(found) for name, found in files.items() if len(found) > 1} == {}


def test_every_class_that_is_defined_is_used() -> None:
    """In a template or a script; one that is in neither is of something that is gone."""
    sources = "\n".join(
        path.read_text("utf-8") for path in (ROOT / "templates").rglob("*") if path.suffix in (".jinja2", ".js")
    )
    sources += "\n".join(path.read_text("utf-8") for path in (ROOT / "reportgen" / "pages").glob("*.py"))
    words = set(re.findall(r"[\w-]+", sources))
    defined = {name for path in STYLES for name in list_classes(path.read_text("utf-8"))}
    assert sorted(name for name in defined if name not in words) == []
