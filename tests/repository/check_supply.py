"""What the set-up installs is pinned, and the workflows may do no more than they must."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.utils import canonicalize_name
from root import ROOT

from reportgen import DISTRIBUTION

PINNED = re.compile(r"actions/[\w-]+@[0-9a-f]{40}")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
LOCKS = {name: ROOT / "requirements" / f"{name}.txt" for name in ("run", "test", "release")}


def read_pins(path: Path) -> dict[str, str]:
    """Return the versions that a lock or a file of constraints pins, by name."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", path.read_text("utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_of_a_lock_is_a_version_with_hashes(name: str) -> None:
    entries = re.split(r"\n(?=\S)", LOCKS[name].read_text("utf-8").strip())
    pattern = r"[a-z0-9.-]+(\[[a-z0-9,-]+\])?==\S+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+"
    assert [entry[:80] for entry in entries if not re.fullmatch(pattern, entry)] == []
    assert len(entries) > (5 if name == "release" else 50)


def test_locks_and_constraints_agree() -> None:
    run, test, release, constraints = (read_pins(path) for path in (*LOCKS.values(), CONSTRAINTS))
    assert constraints.keys() - test.keys() == {"torch"}
    assert {name: test[name] for name in constraints if name in test} == {
        name: version for name, version in constraints.items() if name in test
    }
    assert run.items() <= test.items()
    assert {name for name in release if release[name] != test.get(name)} == {"uv"}


def test_everything_that_the_project_needs_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for name, given in (
        ("run", project["dependencies"]),
        ("test", [*project["dependencies"], *extras["test"], *extras["lint"]]),
    ):
        needed = {canonicalize_name(re.split(r"[<>=!~ \[]", requirement)[0]) for requirement in given}
        assert needed - read_pins(LOCKS[name]).keys() == {"torch"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_may_only_what_they_must(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text("utf-8"))
    assert workflow["permissions"] == {}
    writing = {("pages", "deploy"): {"pages": "write"}, ("release", "publish"): {"contents": "read"}}
    for name, job in workflow["jobs"].items():
        may_write = writing.get((path.stem, name))
        assert job["permissions"] == ({**may_write, "id-token": "write"} if may_write else {"contents": "read"})
        for step in job["steps"]:
            if "uses" in step:
                assert PINNED.fullmatch(step["uses"]) or step["uses"] == "./.github/actions/setup"
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False


def test_set_up_uses_actions_that_are_pinned() -> None:
    setup = yaml.safe_load((ROOT / ".github" / "actions" / "setup" / "action.yml").read_text("utf-8"))
    assert all(PINNED.fullmatch(step["uses"]) for step in setup["runs"]["steps"])


def test_every_supported_python_is_tested() -> None:
    """Those that the package names, from the oldest that it installs on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    prefix = "Programming Language :: Python :: "
    named = [line.removeprefix(prefix) for line in project["classifiers"] if line.startswith(prefix)]
    matrix = read_workflow("test")["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert re.findall(r"'(\[.+?\])'", matrix) == [json.dumps(named), '["3.12"]']
    assert project["requires-python"] == f">={named[0]}"


def test_lowest_versions_are_tested_on_the_oldest_python() -> None:
    job = read_workflow("nightly")["jobs"]["lowest"]
    assert {"python": "3.11"} in [step.get("with") for step in job["steps"]]
    assert job["steps"][-1]["run"] == "make lowest"
    rule = re.search(r"^lowest:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert rule
    assert "--resolution lowest-direct" in rule[1]
    assert "-m pytest" in rule[1]


def test_a_push_or_pull_request_runs_once_and_nights_run_everything() -> None:
    test, nightly = read_workflow("test"), read_workflow("nightly")
    assert test[True] == {"push": {"branches": ["main"]}, "pull_request": None}
    assert test["concurrency"]["cancel-in-progress"] is True
    assert "schedule" in nightly[True]
    assert nightly["jobs"]["full"]["steps"][-1]["env"]["REPORTGEN_TESTS"] == "full"


def test_a_release_is_tried_before_it_is_uploaded_and_needs_no_secret() -> None:
    workflow = read_workflow("release")
    assert workflow[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads the key "on" so
    build, publish = (
        [step["run"] for step in workflow["jobs"][name]["steps"] if "run" in step] for name in ("build", "publish")
    )
    assert ".github/try-release dist" in build
    assert any("GITHUB_REF_NAME" in command and "__version__" in command for command in build)
    assert workflow["jobs"]["publish"]["needs"] == "build"
    # What is uploaded is what was tried, to the last byte, and nothing but the locked builder has run beside the token.
    assert publish[:2] == [build[0], "python -m build --no-isolation"]
    assert "sha256sum --check --strict" in publish[2]
    assert publish[3:] == ["uv publish --trusted-publishing always"]
    assert not any("secrets." in path.read_text("utf-8") for path in WORKFLOWS)


def read_workflow(name: str) -> dict[Any, Any]:
    """Return a workflow."""
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text("utf-8"))


def test_everything_names_the_distribution_alike() -> None:
    """``reportgen`` on PyPI is somebody else's: whoever is told to install something is told the name of this one."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["name"] == DISTRIBUTION
    folders = [ROOT / name for name in ("reportgen", "templates", "docs", "tests", ".github")]
    files = [
        path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".md", ".yml", ".jinja2")
    ]
    advice = re.compile(r"pip install (?:-\S+ )*['\"]?((?:[\w-]*-)?reportgen)\b")
    named = [
        (path.name, name) for path in [*files, ROOT / "README.md"] for name in advice.findall(path.read_text("utf-8"))
    ]
    assert len(named) > 5
    assert [pair for pair in named if pair[1] != DISTRIBUTION] == []
