"""Claims on the command line: errors of check, what build says, and the exit code of --strict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tiny import save_llama

from reportgen.cli import main as cli

PROMPTS = """\
- model: {model}
  text: The cat
  slug: cat
  max_new_tokens: 2
  claims:
    - {{head: L1H2, weight: ">= 0", from: last, to: first}}
    - {{head: L1H2, weight: "< 0", from: 2, to: "T"}}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with a prompt file that has a claim that holds and one that does not."""
    model = save_llama(tmp_path / "llama")
    (tmp_path / "prompts.yaml").write_text(PROMPTS.format(model=model), "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli.main, arguments)


def edit(before: str, after: str) -> None:
    path = Path("prompts.yaml")
    path.write_text(path.read_text("utf-8").replace(before, after), "utf-8")


def test_strict_fails_a_build_whose_claims_do_not_hold(here: Path) -> None:
    """Also where the page is up to date; a claim that was mended is drawn again from the capture, without a run."""
    built = call("build", "--strict", "--keep-captures")
    value = json.loads(Path("results/report.json").read_text("utf-8"))["prompts"][0]["claims"][1]["value"]
    assert 0 < value < 1
    failing = (
        "prompts.yaml:7: claims[2] of cat does not hold: L1 H2 reads “T” at “e” with weight < 0; "
        f"measured {value:.3g}, rank "
    )
    assert built.exit_code == 1
    assert failing in built.stderr
    assert "claims[1]" not in built.stderr
    assert (here / "results" / "cat.html").is_file()

    lenient = call("build", "--keep-captures")
    assert (lenient.exit_code, failing in lenient.stderr) == (0, True)
    assert "1 up to date" in lenient.stderr
    assert failing not in call("build", "--keep-captures", "--quiet").stderr
    again = call("build", "--strict", "--keep-captures", "--quiet")
    assert (again.exit_code, failing in again.stderr) == (1, True)

    edit('"< 0"', '"> 0"')
    mended = call("build", "--strict", "--keep-captures")
    assert (mended.exit_code, mended.stderr) == (0, "1 built\n")
    page = (here / "results" / "cat.html").read_text("utf-8")
    assert "Claims: 2 of 2 hold" in page
    run = json.loads(Path("results/report.json").read_text("utf-8"))["prompts"][0]["run"]
    assert set(run["seconds"]) == {"page"}

    edit('to: "T"', 'to: "z"')
    broken = call("build", "--keep-captures")
    assert broken.exit_code == 1
    assert "prompts.yaml:7: claims[2] names the token 'z', which the text does not have" in broken.stderr


def test_check_tells_what_is_wrong_with_its_line(here: Path) -> None:
    assert call("check").exit_code == 0
    edit('to: "T"', 'to: "z"')
    missing = call("check")
    assert missing.exit_code == 1
    assert "prompts.yaml:7: claims[2] names the token 'z', which the text does not have" in missing.stderr
    edit('L1H2, weight: ">= 0"', 'L9H2, weight: ">= 0"')
    head = call("check")
    assert head.exit_code == 1
    assert "prompts.yaml:6: claims[1] on a head of" in head.stderr
    assert "there is no layer 9: the model has 3, 0 to 2" in head.stderr
    edit('weight: "< 0"', "weight: 0")
    for command in ("check", "build"):
        wrong = call(command)
        assert wrong.exit_code == 1
        assert "prompts.yaml:7: claims[2] of prompt 'cat' has weight: 0; write <, <=, > or >=" in wrong.stderr
