"""Every fenced block of the documentation does what it says."""

from __future__ import annotations

import contextlib
import shutil
import webbrowser
from pathlib import Path

import pytest
from counts import COUNTS, count
from fences import PAGES, Block, name_of, read_blocks, run_block
from root import ROOT

REASONS = {
    "needs the net",
    "needs a GPU",
    "needs a cluster",
    "needs a file of yours",
    "installs packages",
    "shortened",
}
"""Why a block may stay without being run."""


FIRST = (
    "README.md", "docs/tutorial.md", "docs/how-to/python.md",
)  # fmt: skip
"""What a newcomer reads first; the others are run at night."""
RUN = sorted(PAGES, key=lambda page: name_of(page) not in FIRST)[: count("pages of the documentation")]


def test_what_is_read_first_is_always_run() -> None:
    assert {*FIRST} <= {name_of(page) for page in RUN}
    assert COUNTS["pages of the documentation"] == (len(FIRST), len(PAGES))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder as a user has it after ``git clone``, as far as blocks read it."""
    shutil.copy(ROOT / "prompts.yaml", tmp_path)
    shutil.copytree(ROOT / "docs" / "examples", tmp_path / "docs" / "examples")
    return tmp_path


@pytest.mark.docs
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_every_block_does_what_it_says(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: True)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in read_blocks(page):
        if block.not_run:
            assert block.not_run in REASONS
            continue
        try:
            printed = run_block(block, folder, names)
        except Exception as error:
            error.add_note(f"in the block at {name_of(page)}:{block.line}")
            raise
        if block.output is not None:
            assert printed == block.output, f"{name_of(page)}:{block.line}"


BROKEN = (
    ("python", "assert 1 == 2\n"),
    ("sh", "reportgen build no-such-file.yaml\n"),
    ("sh", "reportgen models | grep no-such-model\n"),
    ("yaml", "- {text: The cat, no_such_key: 1}\n"),
    ("json", '{"a": …}\n'),
    ("html", "<p><b></p>\n"),
    ("js", "const = 1;\n"),
    ("rust", "fn main() {}\n"),
)


@pytest.mark.parametrize(("language", "code"), BROKEN)
def test_a_block_that_does_not_do_is_told(language: str, code: str, folder: Path) -> None:
    with pytest.raises(Exception):  # noqa: B017 (whatever it is, the test of the page fails)
        run_block(Block(language, code, 1), folder, {})


def test_blocks_are_found_with_their_output_and_their_mark(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nprint(1)\n```\n```text\n1\n```\n\n<!-- not run: needs the net -->\n\n```sh\ngit pull\n```\n",
        "utf-8",
    )
    assert read_blocks(page) == [
        Block("python", "print(1)\n", 1, "", "1\n"),
        Block("sh", "git pull\n", 10, "needs the net"),
    ]
    with contextlib.chdir(tmp_path):
        assert run_block(read_blocks(page)[0], tmp_path, {}) == "1\n"
