"""Every fenced block of the documentation does what it says, every link leads somewhere."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch
from fences import Block, read_anchors, read_blocks, read_links, run_block

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
REASONS = {
    "needs the net",
    "needs a GPU",
    "needs a cluster",
    "needs a file of yours",
    "installs packages",
    "shortened",
    "run by .ci/run",
}
"""Why a block may stay without being run."""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Prompts as short as these only wait for a second one; commands that bash starts have one too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder as a user has it after ``git clone``, as far as blocks read it."""
    shutil.copy(ROOT / "prompts.yaml", tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_does_what_it_says(page: Path, folder: Path) -> None:
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


def test_what_is_said_to_be_run_elsewhere_is() -> None:
    passing = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    blocks = [block for page in PAGES for block in read_blocks(page) if block.not_run == "run by .ci/run"]
    assert blocks
    assert all(line in passing for block in blocks for line in block.code.splitlines())


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in read_links(page):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or target.suffix != ".md" or anchor in read_anchors(target), link


def test_every_picture_is_shown() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in read_links(page) if link.endswith(".png")}
    assert set((ROOT / "docs").rglob("*.png")) <= shown


def test_reference_is_made_of_the_code() -> None:
    spec = importlib.util.spec_from_file_location("reference_script", ROOT / "scripts" / "reference.py")
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for name, text in script.make_pages().items():
        written = (ROOT / "docs" / "reference" / name).read_text("utf-8")
        assert written == text, f"{name} is stale; run python scripts/reference.py --write"


def test_every_page_is_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in read_links(index)}
    assert {page for page in PAGES if page.parent != ROOT} - linked == {index}


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
