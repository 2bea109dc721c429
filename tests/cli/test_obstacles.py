"""Obstacles in the way of the command, and output in any encoding: a line that says what to do, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from counts import sample
from tiny import save_llama

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny model."""
    return save_llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture
def here(model: Path, tmp_path: Path) -> Path:
    """Return a folder with a prompt file whose title has characters that few encodings have."""
    text = f"- {{text: The cat, title: Ⅻ 猫, slug: cat, model: {model}, max_new_tokens: 1}}\n"
    (tmp_path / "prompts.yaml").write_text(text, "utf-8")
    return tmp_path


def call(here: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run the command in a process of its own, and return its exit code and what it printed, as ASCII or escapes."""
    done = subprocess.run(
        [sys.executable, "-m", "reportgen", *arguments],
        cwd=here, capture_output=True, check=False, timeout=120, env={**os.environ, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")


@pytest.mark.parametrize("encoding", sample(["latin-1", "ascii", "utf-8"], 3))
def test_output_in_any_encoding_ends_no_run(here: Path, encoding: str) -> None:
    """click itself writes UTF-8 where the encoding is ASCII."""
    folder = "Ⅻ-猫"
    code, out, err = call(here, "build", "-v", "-o", folder, PYTHONIOENCODING=f"{encoding}:strict")
    assert (code, "Traceback" in err) == (0, False)
    shown = folder.encode("utf-8" if encoding == "ascii" else encoding, "backslashreplace").decode("latin-1")
    assert out == f"{shown}/cat.html\n{shown}/index.html\n"
    code, out, err = call(here, "build", "--only", folder, PYTHONIOENCODING=f"{encoding}:strict")
    assert (code, "prompts.yaml has cat" in err) == (2, True)


LONG = "x" * 300


@pytest.mark.parametrize(
    ("arguments", "code"),
    sample(
        [
            (("build", "-o", LONG), 2),
            (("build", "-o", f"{LONG}/site"), 2),
            (("build", "-o", "/".join(["y" * 200] * 30)), 2),
            (("build", "-o", "prompts.yaml/site"), 2),
            (("build", "-o", "loop"), 2),
            (("build", LONG), 1),
            (("build", "folder"), 1),
            (("build", "prompts.yaml/a.yaml"), 1),
            (("build", "loop"), 1),
            (("build", "-m", LONG), 2),
            (("build", "-o", "page"), 1),
            (("build", "-o", "report"), 1),
            (("build", "-o", "lock"), 1),
            (("index", LONG), 2),
            (("index", "lock"), 1),
            (("index", "parts"), 1),
            (("render", LONG), 2),
            (("render", "pipe"), 1),
            (("render", "folder"), 1),
            (("render", "loop"), 1),
            (("render", "pipes"), 1),
            (("export", LONG), 1),
            (("export", "pipe"), 1),
            (("export", "folder"), 1),
            (("export", "loop"), 1),
            (("export", "prompts.yaml"), 1),
            (("new", LONG), 1),
            (("new", "prompts.yaml/new"), 1),
            (("models", "--fetch", LONG), 1),
        ],
        6,
    ),
)
def test_obstacles_are_told_in_a_line(here: Path, arguments: tuple[str, ...], code: int) -> None:
    (here / "folder").mkdir()
    os.mkfifo(here / "pipe")
    (here / "loop").symlink_to("loop")
    for name in ("page/cat.html", "report/report.json", "lock/.reportgen.lock", "pipes/a.safetensors"):
        (here / name).parent.mkdir(exist_ok=True)
        os.mkfifo(here / name)
    (here / "parts" / "report.1-of-2.json").mkdir(parents=True)
    before = sorted(path.relative_to(here) for path in here.rglob("*"))
    found, out, err = call(here, *arguments, HF_HUB_OFFLINE="1")
    assert (found, out) == (code, ""), err
    assert err.count("\n") == 1 or err.splitlines()[-1].startswith("Error: "), err
    assert "Traceback" not in err
    assert sorted(path.relative_to(here) for path in here.rglob("*") if path.name != ".reportgen.lock") == [
        path for path in before if path.name != ".reportgen.lock"
    ]
