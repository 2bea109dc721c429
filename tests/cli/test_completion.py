"""Tab: what shells offer, asked as the shells ask."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reportgen.cli.completion import SHELLS, make_script
from reportgen.cli.main import main

pytestmark = pytest.mark.system

BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": os.pathsep.join((str(BIN), os.environ["PATH"]))}
ASK = """
eval "$(reportgen completion bash)"
complete -p reportgen >&2
compopt() { COMPREPLY=("<$2>"); }  # bash has it only while Tab is being pressed
COMP_WORDS=(reportgen "$@")
COMP_CWORD=$#
_reportgen_completion reportgen
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with two prompt files in it and a third that is wrong."""
    (tmp_path / "prompts.yaml").write_text(
        "- {text: The cat, slug: cat}\n- {text: A dog, slug: dog}\n- {compare: [cat, dog], slug: cat-dog}\n", "utf-8"
    )
    (tmp_path / "others.yaml").write_text("- {text: A cow, slug: cow}\n", "utf-8")
    (tmp_path / "wrong.yaml").write_text("- {text: A cow, slug: cow, no_such_key: 1}\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ask_bash(*words: str) -> list[str]:
    """Return what bash offers for the last word."""
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "bash", *words], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert done.stderr == "complete -o nosort -F _reportgen_completion reportgen\n"
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("co",), ["compare", "completion"]),
        (("completion", ""), list(SHELLS)),
        (("build", "--keep"), ["--keep-captures"]),
        (("build", "--only", ""), ["cat", "dog", "cat-dog"]),
        (("build", "--only", "cat", "--only", "d"), ["dog"]),
        (("build", "others.yaml", "--only", ""), ["cow"]),
        (("build", "--force", "others.yaml", "-m", "x", "--only", ""), ["cow"]),
        (("build", "wrong.yaml", "--only", ""), []),
        (("compare", ""), ["cat", "dog"]),
        (("compare", "cat", ""), ["cat", "dog"]),
        (("compare", "--prompts", "others.yaml", ""), ["cow"]),
        (("build", "--model", "smol"), ["smollm2-135m"]),
        (("build", "--model", "./mine"), ["<default>"]),
        (("compare", "cat", "--second-model", ""), ["smollm2-135m"]),
        (("models", "--fetch", ""), ["smollm2-135m"]),
        (("export", "results/c"), ["<default>"]),
        (("build", "oth"), ["<default>"]),
        (("build", "--results", ""), ["<dirnames>"]),
    ],
)
@pytest.mark.usefixtures("here")
def test_bash_offers(words: tuple[str, ...], offered: list[str]) -> None:
    assert ask_bash(*words) == offered


@pytest.mark.parametrize(
    ("shell", "given"),
    [
        ("zsh", {"COMP_WORDS": "reportgen build --only d", "COMP_CWORD": "3"}),
        ("fish", {"COMP_WORDS": "reportgen build --only ", "COMP_CWORD": "d"}),
    ],
)
@pytest.mark.usefixtures("here")
def test_other_shells_are_told_in_their_way(shell: str, given: dict[str, str]) -> None:
    """As their scripts ask; the shells themselves are not needed for that."""
    environment = {**ENVIRONMENT, **given, "_REPORTGEN_COMPLETE": f"{shell}_complete"}
    done = subprocess.run(["reportgen"], env=environment, capture_output=True, text=True, check=True)
    assert re.split("[,\t\n]", done.stdout) == ["plain", "dog", "A dog", ""]
    script = make_script(shell, main, "reportgen")
    assert f"_REPORTGEN_COMPLETE={shell}_complete" in script
    assert {"zsh": "#compdef reportgen", "fish": "complete --no-files --command reportgen"}[shell] in script


@pytest.mark.usefixtures("here")
def test_tab_does_not_wait_for_torch() -> None:
    program = (
        "import sys\n"
        "from reportgen.cli.main import main\n"
        "try:\n    main([], 'reportgen')\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'transformers', 'bokeh', 'numpy', 'huggingface_hub'} & set(sys.modules)\n"
    )
    for words in ("build --only d", "build --model s"):
        asked = {"COMP_WORDS": f"reportgen {words}", "COMP_CWORD": "3", "_REPORTGEN_COMPLETE": "bash_complete"}
        done = subprocess.run(
            [sys.executable, "-c", program], env={**ENVIRONMENT, **asked}, capture_output=True, text=True, check=True
        )
        assert done.stdout in ("plain,dog\n", "plain,smollm2-135m\n")


def test_an_unknown_shell_is_told() -> None:
    with pytest.raises(ValueError, match="unknown shell 'tcsh'; choose one of bash, zsh, fish"):
        make_script("tcsh", main, "reportgen")
