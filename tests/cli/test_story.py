"""Stories on the command line: what check knows of the text, and what only a run shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny import save_llama

from reportgen.cli import main as cli

PROMPTS = """\
- model: {model}
  text: The cat
  slug: cat
  max_new_tokens: 2
  story:
    - {{view: "layer=1&head=2&step=0", figure: head, text: a}}
    - {{view: "query=3", figure: heads, text: "*b*"}}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with a prompt file that has a story."""
    (tmp_path / "prompts.yaml").write_text(PROMPTS.format(model=save_llama(tmp_path / "llama")), "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_story_is_checked_built_and_drawn_again_without_a_run(here: Path) -> None:
    prompts = here / "prompts.yaml"
    assert CliRunner().invoke(cli.main, ["check"]).exit_code == 0
    built = CliRunner().invoke(cli.main, ["build", "--keep-captures"])
    assert built.exit_code == 0, built.stderr
    page = (here / "results" / "cat.html").read_text("utf-8")
    assert page.count('<svg class="drawn"') == 2

    prompts.write_text(prompts.read_text("utf-8").replace("*b*", "*c*"), "utf-8")
    again = CliRunner().invoke(cli.main, ["build", "--keep-captures"])
    assert (again.exit_code, again.stderr) == (0, "1 built\n")
    assert "<em>c</em>" in (here / "results" / "cat.html").read_text("utf-8")

    whole = prompts.read_text("utf-8")
    prompts.write_text(whole.replace("query=3", "query=99"), "utf-8")
    wrong = CliRunner().invoke(cli.main, ["check"])
    assert wrong.exit_code == 1
    assert "prompts.yaml:7: story[2] has query=99, and the text has at most 9 tokens, from 0" in wrong.stderr

    prompts.write_text(whole.replace("query=3", "query=2&key=5"), "utf-8")
    late = CliRunner().invoke(cli.main, ["build", "--keep-captures"])
    assert late.exit_code == 1
    assert "prompts.yaml:7: story[2] has no key 5 at the position 2, which reads what is before it" in late.stderr
