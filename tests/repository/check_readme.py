"""The README's tables are complete; test_docs.py runs its blocks."""

from __future__ import annotations

import re
import shlex

from root import ROOT

from reportgen.cli.commands import build, export, main
from reportgen.prompts.keys import PromptKeys
from reportgen.records import Generation

README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """Return the fenced code of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def table(heading: str) -> list[list[str]]:
    """Return the cells of the first table after a heading, its head left out."""
    rows = re.search(rf"^#+ {re.escape(heading)}\n(?:[^|\n].*\n|\n)*((?:\|.*\n)+)", README, re.MULTILINE)
    assert rows, heading
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[1].strip().split("\n")[2:]]


def names(cells: list[str]) -> set[str]:
    """Return what stands in backticks."""
    return {name for cell in cells for name in re.findall("`([^`]+)`", cell)}


COMMANDS = [line for block in blocks("sh") for line in block.strip().split("\n")]


def test_every_make_command_is_what_has_to_pass() -> None:
    given = {command for command in COMMANDS if command.startswith("make ")}
    assert given == {"make report", "make test", "make lint"}
    assert given <= set((ROOT / ".ci" / "run").read_text("utf-8").split("\n"))


def test_every_command_of_the_program_is_shown() -> None:
    others = [shlex.split(command) for command in COMMANDS if not command.startswith("make ")]
    assert {command[0] for command in others} == {"reportgen"}
    assert {command[1] for command in others} == set(main.commands)


def test_every_key_is_in_its_table() -> None:
    rows = table("prompts.yaml")
    assert names([row[0] for row in rows]) == set(PromptKeys.model_fields)
    generation = next(row for row in rows if row[0] == "`generation`")
    assert names([generation[1]]) == set(Generation.__dataclass_fields__)


def test_every_option_of_build_is_in_its_table() -> None:
    given = {name.split()[0] for name in names([row[0] for row in table("Options of `reportgen build`")])}
    options = [option.opts for option in build.params if option.param_type_name == "option"]
    assert [both for both in options if not given & set(both)] == []
    assert given <= {name for both in options for name in both}


def test_every_option_of_export_is_in_its_table() -> None:
    given = {name for name in names([row[0] for row in table("Take a view away")]) if name.startswith("-")}
    options = [option.opts for option in export.params if option.param_type_name == "option"]
    assert [both for both in options if not given & set(both)] == [["-v", "--verbose"]]
    assert given <= {name for both in options for name in both}


def test_every_file_that_is_named_exists() -> None:
    paths = re.findall(r"`((?:[\w.]+/)+[\w.]*|\w+\.(?:md|json|yaml))`", README)
    paths += re.findall(r"\]\((\w[^)]*)\)", README)
    examples = ("models/", "results/")
    homes = (ROOT, ROOT / "reportgen")  # the file map names modules without their package
    missing = [path for path in paths if not any((home / path).exists() for home in homes)]
    assert [path for path in missing if not path.startswith(examples)] == []
    assert "docs/page.png" in paths
