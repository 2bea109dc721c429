"""The README is short, and what it names is there; tests of the documentation run its blocks."""

from __future__ import annotations

import re

from root import ROOT

from reportgen.cli.main import main

README = (ROOT / "README.md").read_text("utf-8")


def test_it_fits_two_screens_and_a_half() -> None:
    assert len(README.splitlines()) <= 150
    assert len(README.encode()) <= 8_000


def test_every_make_command_is_what_has_to_pass() -> None:
    named = set(re.findall("`(make [a-z]+)`", README))
    assert named == {"make report", "make test", "make lint"}
    assert named <= set((ROOT / ".ci" / "run").read_text("utf-8").split("\n"))


def test_every_command_of_the_program_is_shown() -> None:
    assert set(re.findall(r"`reportgen ([a-z]+)", README)) == set(main.commands)


def test_every_file_that_is_named_exists() -> None:
    paths = re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", README)
    assert "docs/page.png" in paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
