"""The wheel, built as a user's pip would build it, works where there is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from samples import make_capture

from reportgen import __version__
from reportgen.pages.page import render_page

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution, and the wheel out of it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return folder / f"reportgen-{__version__}-py3-none-any.whl"


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
    assert {name.split("/")[0] for name in names} == {"reportgen", f"reportgen-{__version__}.dist-info"}
    templates = {path.relative_to(ROOT).as_posix() for path in (ROOT / "templates").rglob("*") if path.is_file()}
    package = {
        path.relative_to(ROOT / "reportgen").as_posix()
        for path in (ROOT / "reportgen").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == package | templates
    assert {"run.py", "py.typed", "templates/page.html.jinja2", "templates/js/page.js"} <= packed


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
