"""A repository of one's own: what ``reportgen new`` writes works, and the workflows publish what is built."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from root import ROOT
from tiny import save_llama

from reportgen import DISTRIBUTION, __version__
from reportgen.cli import main as cli
from reportgen.pages.assets import BOKEH_FILE
from reportgen.prompts.prompt_file import load_prompts, prompt_file_schema
from reportgen.site.site import Site
from reportgen.site.size_warning import measure_folder, size_warning

OURS = ROOT / ".github" / "workflows" / "pages.yml"
FILES = {
    "prompts.yaml", "prompts.schema.json", "requirements.txt", "README.md", ".gitignore", ".github/workflows/pages.yml",
}  # fmt: skip


def call(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli.main, arguments)


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a new repository, which is the working folder's ``mine``."""
    monkeypatch.chdir(tmp_path)
    done = call("new", "mine")
    assert (done.exit_code, done.stderr) == (0, "")
    assert set(done.stdout.split()) == {f"mine/{name}" for name in FILES}
    return tmp_path / "mine"


def test_what_is_made_is_checked_and_built(made: Path) -> None:
    assert files_in(made) == FILES
    assert call("check", "mine/prompts.yaml").stdout == "mine/prompts.yaml: 3 prompts, no problems\n"
    assert {prompt.model for prompt in load_prompts(made / "prompts.yaml")} == {"smollm2-135m"}
    save_llama(made.parent / "llama")
    done = call("build", "mine/prompts.yaml", "-m", "llama", "-o", "mine/results", "--site-url", "https://a.org/b/")
    assert done.exit_code == 0, done.stderr
    slugs = [card.slug for card in Site(made / "results").read_cards()]
    assert slugs[1:] == ["rare-name", "common-name", "names-side-by-side"]


def test_program_is_pinned_and_editors_know_the_keys(made: Path) -> None:
    (required,) = [line for line in (made / "requirements.txt").read_text().splitlines() if line[:1] != "#"]
    assert required == f"./{DISTRIBUTION.replace('-', '_')}-{__version__}-py3-none-any.whl"
    assert json.loads((made / "prompts.schema.json").read_text("utf-8")) == prompt_file_schema()


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "zoo").mkdir()
    done = call("new", str(tmp_path))
    assert done.exit_code == 1
    assert done.stderr == (
        f"error: {tmp_path}: is not empty, it has README.md and 1 more; name a folder that is new or empty\n"
    )
    assert files_in(tmp_path) == {"README.md"}


def test_a_fresh_clone_is_no_hindrance_and_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    assert call("new", str(tmp_path / "clone")).exit_code == 0
    assert files_in(tmp_path / "clone") == FILES
    (tmp_path / "file").write_text("mine")
    assert call("new", str(tmp_path / "file")).exit_code == 2
    done = call("new", str(tmp_path / "file" / "inner"))
    assert (done.exit_code, done.stderr) == (
        1, f"error: {tmp_path / 'file' / 'inner'}: cannot be written, Not a directory; name another folder\n"
    )  # fmt: skip


def steps_of(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    workflow = yaml.safe_load(path.read_text("utf-8"))
    return workflow, [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", [OURS, ROOT / "templates" / "starter" / "pages.yml"], ids=["ours", "starter"])
def test_workflow_builds_for_its_address_and_deploys_what_it_built(path: Path) -> None:
    workflow, steps = steps_of(path)
    assert workflow["permissions"] == {}
    assert [job["permissions"] for job in workflow["jobs"].values()] == [
        {"contents": "read"}, {"pages": "write", "id-token": "write"}
    ]  # fmt: skip
    (build,) = [step for step in steps if "SITE_URL" in step.get("run", "")]
    assert build["env"]["SITE_URL"] == (
        "${{ vars.SITE_URL || format('https://{0}.github.io/{1}/', github.repository_owner, "
        "github.event.repository.name) }}"
    )
    (upload,) = [step for step in steps if "upload-pages-artifact" in step.get("uses", "")]
    assert upload["with"] == {"path": "results"}
    assert not [step for step in steps if "${{" in step.get("run", "")]  # a name in a command could be a command


def test_starter_uses_the_actions_that_are_pinned_here() -> None:
    ours, theirs = ({step["uses"] for step in steps_of(path)[1] if "uses" in step}
                    for path in (OURS, ROOT / "templates" / "starter" / "pages.yml"))  # fmt: skip
    assert ours == theirs
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", name) for name in ours)


@pytest.mark.parametrize(("given", "said"), [("https://a.org/b/", " --site-url 'https://a.org/b/'"), ("", "")])
def test_make_report_takes_the_address(given: str, said: str) -> None:
    command = ["make", "--no-print-directory", "--dry-run", "--always-make", "report", f"SITE_URL={given}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().split("\n")[-1].rstrip() == (
        f".venv/bin/reportgen build prompts.yaml --results results{said}"
    )


def test_size_is_told_before_it_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "cat.html").write_bytes(bytes(700))
    (tmp_path / "data" / "a.csv").write_bytes(bytes(300))
    (tmp_path / "link").symlink_to(ROOT)
    assert measure_folder(tmp_path) == 1000
    assert size_warning(tmp_path, 1001) == ""
    assert size_warning(tmp_path, 1000) == (
        f"{tmp_path}: has 0 MB, and GitHub Pages takes 1,000; build with --shared-assets, which takes 0.4 MB off each "
        "page, show fewer --layers or --heads, or make several sites"
    )
    (tmp_path / BOKEH_FILE).parent.mkdir()
    (tmp_path / BOKEH_FILE).touch()
    (tmp_path / "captures").mkdir()
    said = size_warning(tmp_path, 1)
    assert "--shared-assets" not in said
    assert "leave captures/ out of what is published" in said


def test_build_and_index_warn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results" / "videos").mkdir(parents=True)
    with (tmp_path / "results" / "videos" / "large.mp4").open("wb") as file:
        file.truncate(950_000_000)  # sparse: it takes no room
    save_llama(tmp_path / "llama")
    (tmp_path / "prompts.yaml").write_text("- {text: The cat, slug: cat, max_new_tokens: 0}\n")
    monkeypatch.chdir(tmp_path)
    for command in (["build", "-m", "llama"], ["index"]):
        done = call(*command)
        assert done.exit_code == 0
        assert re.search(
            r"^warning: results: has [\d,]+ MB, and GitHub Pages takes 1,000; build with", done.stderr, re.M
        )
