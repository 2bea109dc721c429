"""Fenced blocks of Markdown pages: what a reader would copy, and how to do what they say."""

from __future__ import annotations

import contextlib
import html.parser
import io
import json
import os
import re
import shlex
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from click.testing import CliRunner
from markdown_it import MarkdownIt
from root import ROOT

from reportgen.cli import main as cli
from reportgen.prompts.prompt_file import load_prompts

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
"""All pages of the documentation."""

_NOT_RUN = re.compile(r"<!-- not run: (.*?) -->")
_SHELL = re.compile(r"[|&;<>$`*?(){}=]|\\$")
"""What bash makes something of; a line without is words."""


def name_of(page: Path) -> str:
    """Return a page's path below the checkout."""
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: what stands behind its fence.
        code: its lines.
        line: 1-based line of its fence.
        not_run: why it is not run; empty where it is.
        output: what the block after it says that it prints; ``None`` where none does.
    """

    language: str
    code: str
    line: int
    not_run: str = ""
    output: str | None = None


def read_blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page.

    A comment ``<!-- not run: why -->`` right before a block marks it. A ``text`` block right behind another is what
    that one prints.
    """
    found: list[Block] = []
    tokens = MarkdownIt().parse(page.read_text("utf-8"))
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type != "fence":
            continue
        assert token.map
        marked = _NOT_RUN.fullmatch(before.content.strip()) if before and before.type == "html_block" else None
        block = Block(token.info.strip(), token.content, token.map[0] + 1, marked[1] if marked else "")
        if block.language == "text" and before and before.type == "fence" and found:
            found[-1] = Block(**{**vars(found[-1]), "output": token.content})
        else:
            found.append(block)
    return found


def run_block(block: Block, folder: Path, names: dict[str, object]) -> str:
    """Do what a block says, and return what it prints.

    Args:
        block: which.
        folder: where the reader is; a prompt file is put there as ``prompts.yaml``.
        names: of the Python blocks before it.

    Raises:
        AssertionError: it does not do.
        KeyError: nobody knows what to do with its language.
    """
    return _RUN[block.language](block.code, folder, names)


def _run_python(code: str, folder: Path, names: dict[str, object]) -> str:
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "<block>", "exec"), names)
    return printed.getvalue()


def _run_shell(code: str, folder: Path, names: dict[str, object]) -> str:
    return "".join(_run_line(line, folder) for line in re.sub(r"\\\n\s*", "", code).splitlines() if line.strip())


def _run_line(line: str, folder: Path) -> str:
    """Run a line; one that is words for reportgen alone in this process, where torch is imported already."""
    words = shlex.split(line, comments=True)
    # A picture takes a browser, of which one is open already where the tests in browsers ran before.
    if words[:1] == ["reportgen"] and words[1:2] != ["export"] and not _SHELL.search(line.partition(" #")[0]):
        with contextlib.chdir(folder):
            done = CliRunner().invoke(cli.main, words[1:], prog_name="reportgen")
        if done.exception and not isinstance(done.exception, SystemExit):
            traceback.print_exception(done.exception)
        assert done.exit_code == 0, f"{line}: exit code {done.exit_code}\n{done.output}"
        return done.stdout
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    script = ["bash", "--norc", "-euo", "pipefail", "-c", line]
    ran = subprocess.run(
        script, cwd=folder, env={**os.environ, "PATH": path}, check=False, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, f"{line}: exit code {ran.returncode}\n{ran.stderr}"
    return ran.stdout


def _read_yaml(code: str, folder: Path, names: dict[str, object]) -> str:
    """Put a prompt file where ``reportgen build`` finds it; of other files only the form is looked at."""
    data = yaml.safe_load(code)
    if isinstance(data, list) or "prompts" in data:
        (folder / "prompts.yaml").write_text(code, "utf-8")
        with contextlib.chdir(folder):
            assert load_prompts("prompts.yaml")
    return ""


def _read_json(code: str, folder: Path, names: dict[str, object]) -> str:
    json.loads(code)
    return ""


def _read_html(code: str, folder: Path, names: dict[str, object]) -> str:
    """Read HTML whose elements are closed in turn."""
    open_elements: list[str] = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("br", "hr", "img", "input", "link", "meta"):
                open_elements.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_elements.pop() == tag

    Parser().feed(code)
    assert open_elements == []
    return ""


def _read_javascript(code: str, folder: Path, names: dict[str, object]) -> str:
    subprocess.run(["node", "--check", "-"], input=code, text=True, check=True, capture_output=True)
    return ""


def _leave(code: str, folder: Path, names: dict[str, object]) -> str:
    """Leave alone what is no code."""
    return ""


_RUN = {
    "python": _run_python,
    "sh": _run_shell,
    "bash": _run_shell,
    "yaml": _read_yaml,
    "json": _read_json,
    "html": _read_html,
    "js": _read_javascript,
    "text": _leave,
    "bibtex": _leave,
    "latex": _leave,
    "markdown": _leave,
}


def read_links(page: Path) -> Iterator[str]:
    """Yield where the links and pictures of a page lead."""
    for token in MarkdownIt().parse(page.read_text("utf-8")):
        for child in token.children or ():
            for attribute in ("href", "src"):
                if target := child.attrGet(attribute):
                    yield str(target)


def read_anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    tokens = MarkdownIt().parse(page.read_text("utf-8"))
    titles = [tokens[place + 1].content for place, token in enumerate(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
