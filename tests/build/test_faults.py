"""Faults of the machine, all real: a full disk, one that may only be read, two runs at once, things in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from forks import Commands, commands
from tiny import save_llama

from reportgen.build.build import build_site
from reportgen.build.options import BuildOptions, NullProgress
from reportgen.models.model import LoadedModel
from reportgen.records import Prompt
from reportgen.records.errors import SiteInUse
from reportgen.site.lock import LOCK_FILE, lock_site
from reportgen.site.site import Site

pytestmark = pytest.mark.system

PROMPTS = "model: {model}\ndefaults: {{max_new_tokens: 1}}\nprompts:\n{prompts}"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny model."""
    return save_llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with commands(tmp_path_factory.mktemp("commands")) as made:
        yield made


@pytest.fixture
def here(tmp_path: Path, model: Path) -> Path:
    prompts = "".join(f"  - {{text: The cat {number}, slug: p{number}}}\n" for number in range(6))
    (tmp_path / "prompts.yaml").write_text(PROMPTS.format(model=model, prompts=prompts), "utf-8")
    return tmp_path


def on_a_disk(here: Path, *script: str) -> list[str]:
    """Run shell commands in a folder ``disk`` that can hold three pages, and return the lines that they print.

    The disk is there for these commands alone: they have a name space of their own, which takes no rights.
    """
    (here / "disk").mkdir()
    lines = [
        "mount -t tmpfs -o size=1800k tmpfs disk",
        f"build() {{ {sys.executable} -m reportgen build -o disk/site; }}",
    ]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", "\n".join([*lines, *script])],
        cwd=here, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return (done.stdout + done.stderr).splitlines()


def test_full_disk_keeps_what_is_finished_and_the_next_run_goes_on(here: Path) -> None:
    said = on_a_disk(
        here,
        "build 2>&1; echo exit $?; ls -A disk/site; tail -qc 8 disk/site/*.html",
        "mount -o remount,size=50m disk; build 2>&1; echo exit $?; ls -A disk/site",
    )
    first, then = said[: said.index("exit 1")], said[said.index("exit 1") + 1 :]
    (error,) = [line for line in first if line.startswith("error: ")]
    assert (
        error
        == "error: disk/site/p3.html: cannot be written, No space left on device; make room or choose another --results"
    )
    whole = {"p0.html", "p1.html", "p2.html"}
    index = then.index("</html>")
    assert whole <= set(then[:index]) <= whole | {"index.html", "heads.html", "report.json", ".nojekyll", LOCK_FILE}
    assert {line for line in then[index:] if not line.startswith("disk/")} >= {
        "</html>",
        "3 up to date, 3 built",
        "exit 0",
    }
    assert {f"p{number}.html" for number in range(6)} | {"index.html"} <= set(then[then.index("exit 0") :])


def test_disk_that_may_only_be_read_keeps_what_is_on_it(here: Path) -> None:
    said = on_a_disk(
        here,
        "mount -o remount,size=50m disk; build >/dev/null 2>&1; cat disk/site/* | sha256sum",
        "sed -i 's/The cat 1/A dog/' prompts.yaml; mount -o remount,ro disk",
        "build 2>&1; echo exit $?; cat disk/site/* | sha256sum; ls -A disk/site | wc -l",
    )
    before, error, code, after, count = said
    assert before == after
    assert code == "exit 1"
    assert error == (
        f"error: disk/site/{LOCK_FILE}: cannot be written, Read-only file system; choose another folder with --results"
    )
    assert int(count) == 6 + len({"index.html", "heads.html", "report.json", ".nojekyll", LOCK_FILE})


def test_two_runs_into_one_folder_are_one_too_many(here: Path, command: Commands) -> None:
    arguments = ("build", str(here / "prompts.yaml"), "-o", str(here / "site"))
    with lock_site(here / "site"):
        ended = command.run(*arguments)
        again = command.run("index", str(here / "site"))
    message = f"another reportgen (process {os.getpid()} on "
    assert (ended.code, again.code) == (1, 1)
    for said in (ended.stderr, again.stderr):
        assert said.startswith(f"error: {here / 'site'}: {message}")
        assert said.endswith("writes into it; wait for it, or choose another --results\n")
    assert [path.name for path in (here / "site").iterdir()] == [LOCK_FILE]
    assert (here / "site" / LOCK_FILE).read_text("utf-8") == ""
    assert command.run(*arguments).code == 0


def test_lock_goes_with_the_process_that_holds_it(tmp_path: Path) -> None:
    program = "import sys, time; from pathlib import Path; from reportgen.site.lock import lock_site\n"
    program += "with lock_site(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(600)"
    holder = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(SiteInUse, match=f"process {holder.pid} on "), lock_site(tmp_path):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with lock_site(tmp_path):
        pass


class _Meddler(NullProgress):
    """Puts a folder where a page shall be, when it is at work on it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def stage(self, prompt: Prompt, stage: str) -> None:
        if (prompt.slug, stage) == (self._path.stem, "page"):
            self._path.mkdir()


def test_folder_that_comes_into_the_way_fails_one_prompt_alone(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    prompts = [Prompt(text=slug, slug=slug, max_new_tokens=0) for slug in ("cat", "dog", "hen")]
    outcome = build_site(prompts, tmp_path, BuildOptions(model=tiny_llama), _Meddler(tmp_path / "dog.html"))
    assert [path.stem for path in outcome.pages] == ["cat", "hen"]
    (failure,) = outcome.failures
    assert failure.error == (
        f"{tmp_path / 'dog.html'}: exists and was not written by reportgen; move it or choose another --results"
    )
    assert [card.slug for card in Site(tmp_path).read_cards()] == ["cat", "dog", "hen"]


def test_folder_that_is_in_the_way_before_is_told_before_any_work(here: Path, command: Commands) -> None:
    arguments = ("build", str(here / "prompts.yaml"), "-o", str(here / "site"))
    assert command.run(*arguments).code == 0
    (here / "site" / "p3.html").unlink()
    (here / "site" / "p3.html").mkdir()
    index = (here / "site" / "index.html").read_bytes()
    ended = command.run(*arguments)
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"error: {here / 'site' / 'p3.html'}: exists and was not written by reportgen")
    assert (here / "site" / "index.html").read_bytes() == index


def test_halves_of_files_are_cleared_away_and_nothing_else(here: Path, command: Commands) -> None:
    arguments = ("build", str(here / "prompts.yaml"), "-o", str(here / "site"), "--export-data", "csv")
    assert command.run(*arguments).code == 0
    halves = [here / "site" / ".p1.html.x1y2.part", here / "site" / "data" / "p1" / ".heads.csv.x1y2.part"]
    mine = [here / "site" / ".hidden", here / "site" / "mine.part", here / "site" / "data" / "mine.csv"]
    for path in (*halves, *mine):
        path.write_text("half", "utf-8")
    assert command.run(*arguments).code == 0
    assert [path.exists() for path in (*halves, *mine)] == [False, False, True, True, True]


def test_report_is_there_for_programs_to_read(here: Path, command: Commands) -> None:
    with (here / "prompts.yaml").open("a", encoding="utf-8") as file:
        file.write(f"  - {{text: {'x' * 600}, slug: long}}\n")
    ended = command.run("build", str(here / "prompts.yaml"), "-o", str(here / "site"))
    assert ended.code == 1
    report = json.loads((here / "site" / "report.json").read_text("utf-8"))
    assert [each["status"] for each in report["prompts"]] == ["written"] * 6 + ["failed"]
    assert "512" in report["prompts"][-1]["error"]
    assert {key: report["run"][key] for key in ("built", "failed", "not_run")} == {
        "built": 6,
        "failed": 1,
        "not_run": 0,
    }
    assert all(each["run"]["seconds"]["capture"] >= 0 for each in report["prompts"])
