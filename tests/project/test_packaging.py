"""The wheel, built as a user's pip would build it, works where there is no checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from root import ROOT
from samples import make_capture
from tiny import save_llama

from reportgen import DISTRIBUTION, __version__
from reportgen.pages.page import render_page

pytestmark = pytest.mark.system

FILE_NAME = f"{DISTRIBUTION.replace('-', '_')}-{__version__}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution, and the wheel out of it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return folder / f"{FILE_NAME}-py3-none-any.whl"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a folder of its own."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*command, str(wheel)], check=True)
    return folder


def run(installed: Path, where: Path, *arguments: str) -> str:
    """Run the interpreter far from the checkout, the installed package before all others."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(installed), str(ROOT / "tests")))}
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, cwd=where, env=environment, check=True, capture_output=True, text=True).stdout


def test_wheel_holds_package_and_templates_alone(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    packed = {name.removeprefix("reportgen/") for name in names if name.startswith("reportgen/")}
    assert {name.split("/")[0] for name in names} == {"reportgen", f"{FILE_NAME}.dist-info"}
    templates = {path.relative_to(ROOT).as_posix() for path in (ROOT / "templates").rglob("*") if path.is_file()}
    package = {
        path.relative_to(ROOT / "reportgen").as_posix()
        for path in (ROOT / "reportgen").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == package | templates
    assert {
        "build/build.py",
        "prompts/prompts.schema.json",
        "py.typed",
        "templates/page.html.jinja2",
        "templates/js/page/page.js",
    } <= packed


@pytest.mark.full
def test_installed_package_renders_the_same_page(installed: Path, tmp_path: Path) -> None:
    program = (
        "import pathlib, reportgen\n"
        "from reportgen.pages.page import render_page\n"
        "from samples import make_capture\n"
        "pathlib.Path('page.html').write_text(render_page(make_capture()), 'utf-8', newline='')\n"
        "print(reportgen.__file__)"
    )
    assert run(installed, tmp_path, "-c", program).strip() == str(installed / "reportgen" / "__init__.py")
    assert (tmp_path / "page.html").read_text("utf-8") == render_page(make_capture())


def test_installed_command_runs(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "-m", "reportgen", "--version") == f"reportgen, version {__version__}\n"
    assert (installed / "bin" / "reportgen").exists()


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment that has nothing but what the project depends on.

    Nothing is downloaded here, so dependencies lie where they lie; a path in a .pth file brings them along, and not the
    checkout, whose own .pth file beside them is not read. .github/try-release does without even that.
    """
    folder = tmp_path_factory.mktemp("empty") / "environment"
    venv.create(folder)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, str(wheel)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    return folder


def test_installed_command_makes_a_page_outside_the_checkout(environment: Path, tmp_path: Path) -> None:
    save_llama(tmp_path / "llama")
    (tmp_path / "prompts.yaml").write_text(
        "- {text: The cat ate, slug: cat, model: llama, max_new_tokens: 2}\n", "utf-8"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    program = "import reportgen, reportgen.paths as paths; print(reportgen.__file__, paths.find_templates())"
    where = subprocess.run(
        [environment / "bin" / "python", "-P", "-c", program], cwd=tmp_path, env=clean, check=True, capture_output=True,
        text=True,
    ).stdout.split()  # fmt: skip
    assert all(Path(path).is_relative_to(environment) for path in where), where
    done = subprocess.run(
        [environment / "bin" / "reportgen", "build"],
        cwd=tmp_path,
        env=clean,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "results/cat.html\nresults/index.html\n"
    assert "<h1" in (tmp_path / "results" / "cat.html").read_text("utf-8")


def test_metadata_says_what_the_project_is(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        info = f"{FILE_NAME}.dist-info"
        metadata = HeaderParser().parsestr(archive.read(f"{info}/METADATA").decode("utf-8"))
        scripts = archive.read(f"{info}/entry_points.txt").decode("utf-8")
        assert archive.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert {"export", "parquet", "peft"} <= set(metadata.get_all("Provides-Extra", []))
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert scripts == "[console_scripts]\nreportgen = reportgen.__main__:main\n"


def test_source_distribution_says_what_changed_and_how_to_cite(wheel: Path) -> None:
    with tarfile.open(wheel.parent / f"{FILE_NAME}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "prompts.yaml", "pyproject.toml"} <= names


def test_citation_file_agrees_with_the_package() -> None:
    """Its form is that of version 1.2.0 of the Citation File Format, whose required keys these four are."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert (cited["cff-version"], cited["title"]) == ("1.2.0", "reportgen")
    assert (cited["version"], cited["license"]) == (__version__, project["license"])
    assert (cited["authors"], cited["keywords"]) == (project["authors"], project["keywords"])


def test_changelog_begins_with_this_version() -> None:
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert first
    assert first[1] == __version__
