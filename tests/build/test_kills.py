"""Runs that are killed: the folder holds whole pages, and the next run ends with the bytes of one undisturbed."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from counts import count
from forks import Commands, commands, kill_after, when
from tiny import save_llama

pytestmark = pytest.mark.system

TEXTS = ("The cat", "A dog ate", "the rat", "12 3 4", "a b a b", "x")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny model and prompts, one of which fails."""
    folder = tmp_path_factory.mktemp("kills")
    save_llama(folder / "llama")
    lines = [f"- {{text: {text!r}, slug: p{number}}}" for number, text in enumerate(TEXTS)]
    lines.insert(3, f"- {{text: {'x' * 600}, slug: long}}")
    head = "model: llama\ndefaults: {max_new_tokens: 1}\nprompts:\n"
    (folder / "prompts.yaml").write_text(head + "\n".join(lines), "utf-8")
    return folder


@pytest.fixture(scope="module")
def command(here: Path) -> Iterator[Commands]:
    with commands(here) as made:
        yield made


def build(name: str, *more: str) -> tuple[str, ...]:
    return ("build", "-o", name, "--batch-size", "2", "--export-data", "csv", *more)


def read_site(folder: Path) -> dict[str, bytes]:
    """Return all files of a site, what the report says of its run left out."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if "report.json" in files:
        report = json.loads(files["report.json"])
        for part in (report, *report["prompts"]):
            del part["run"]
        files["report.json"] = json.dumps(report).encode()
    files.pop(".reportgen.lock", None)
    return files


def test_killed_at_any_moment_the_next_run_ends_as_if_nothing_had_been(here: Path, command: Commands) -> None:
    """SIGKILL at random moments of a run, sometimes again in the run that goes on from there."""
    command.run("--version")  # until then torch is imported
    undisturbed = command.run(*build("whole"))
    assert undisturbed.code == 1, undisturbed.stderr  # for the prompt that is too long
    assert undisturbed.stderr.endswith("6 built, 1 failed\n")
    expected = read_site(here / "whole")
    chance, folder, kills = random.Random(6), here / "killed", count("kills")
    found, killed, length = [], 0, undisturbed.seconds
    while killed < kills:
        # Pages are written in a short part of the run: every other kill waits for some of them.
        num_pages = chance.randint(1, len(TEXTS))
        kill = kill_after(chance.uniform(0, length))
        if killed % 2:
            kill = when(lambda: len([*folder.glob("*.html")]) >= num_pages, signal.SIGKILL)  # noqa: B023 (called at once)
        ended = command.run(*build("killed"), meanwhile=kill)
        if ended.code != -9:  # the run was over: runs are faster now than the first was
            length *= 0.8
            assert read_site(folder) == expected
            shutil.rmtree(folder)
            continue
        killed, length = killed + 1, length * 1.05
        there = read_site(folder) if folder.exists() else {}
        whole = {name: content for name, content in there.items() if not name.rpartition("/")[2].endswith(".part")}
        assert whole.items() <= expected.items()
        found.append(sum(name.endswith(".html") for name in whole))
        if chance.random() < 0.7:
            assert command.run(*build("killed")).code == 1
            assert read_site(folder) == expected
            shutil.rmtree(folder)
    assert len(set(found)) > 3, found  # the moments were spread over the run
