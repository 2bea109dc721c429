"""What a run says on standard error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reportgen.cli.progress import watch
from reportgen.records import Failure, Prompt

PROMPT = Prompt(text="a", slug="cat", model="gpt2")
FAILURE = Failure(PROMPT, "prompts.yaml:3: [red]too long[/red] :smile:; shorten it")


def run(*, quiet: bool, verbose: bool) -> None:
    """Run two prompts, of which the second fails."""
    with watch(2, quiet=quiet, verbose=verbose) as progress:
        for stage in ("load", "capture", "page"):
            progress.stage(PROMPT, stage)
        progress.done(PROMPT, Path("results/cat.html"))
        progress.done(PROMPT, FAILURE)


def test_reason_that_many_prompts_share_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with watch(3, quiet=False, verbose=False) as progress:
        for failure in (FAILURE, replace(FAILURE, prompt=replace(PROMPT, slug="dog")), replace(FAILURE, error="other")):
            progress.done(failure.prompt, failure)
        assert progress.num_pages == 0
    assert capsys.readouterr().err == f"failed: {FAILURE.error}\nfailed: other\n"


def test_what_would_steer_the_terminal_is_spelt_out(capsys: pytest.CaptureFixture[str]) -> None:
    with watch(1, quiet=False, verbose=True) as progress:
        progress.stage(replace(PROMPT, model="a\x1b]0;owned\x07"), "load")
        progress.done(PROMPT, replace(FAILURE, error="é \x1b[2J\u202e gone"))
    assert capsys.readouterr().err == "loading a\\x1b]0;owned\\x07\nfailed: é \\x1b[2J\\u202e gone\n"


@pytest.mark.parametrize("quiet", [False, True])
def test_warnings_are_said_in_a_line(capsys: pytest.CaptureFixture[str], quiet: bool) -> None:
    with watch(1, quiet=quiet, verbose=False) as progress:
        progress.warn(PROMPT, "apart by [red]0.7[/red]; try --dtype float32")
    assert capsys.readouterr().err == "warning: cat: apart by [red]0.7[/red]; try --dtype float32\n"


@pytest.mark.parametrize("quiet", [False, True])
def test_only_failures_are_said_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], quiet: bool) -> None:
    run(quiet=quiet, verbose=False)
    said = capsys.readouterr()
    assert said.err == f"failed: {FAILURE.error}\n"
    assert said.out == ""


def test_every_stage_is_said_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    run(quiet=True, verbose=True)
    assert capsys.readouterr().err.splitlines() == [
        "loading gpt2",
        "running cat",
        "drawing cat",
        "written: results/cat.html",
        f"failed: {FAILURE.error}",
    ]


def test_long_messages_are_not_broken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    with watch(1, quiet=False, verbose=False) as progress:
        progress.done(PROMPT, Failure(PROMPT, "word " * 50))
    assert capsys.readouterr().err.count("\n") == 1


def test_a_terminal_shows_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with watch(2, quiet=False, verbose=False) as progress:
        progress.stage(PROMPT, "capture")
        progress.done(PROMPT, Path("results/cat.html"))
    said = capsys.readouterr()
    assert "running cat" in said.err
    assert "1/2" in said.err
    assert said.out == ""


def test_quiet_shows_no_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with watch(2, quiet=True, verbose=False) as progress:
        progress.stage(PROMPT, "capture")
        progress.done(PROMPT, Path("results/cat.html"))
    assert capsys.readouterr().err == ""
