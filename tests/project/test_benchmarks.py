"""The benchmarks that the documentation's figures come from still run; what they measure is nobody's to assert."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch
from counts import count
from root import ROOT
from timing import describe_run

pytestmark = pytest.mark.system

BENCHMARKS = {
    "index": ("answers", "--quick"),
    "evidence": ("ratio", "--quick"),
    "resume": ("up to date after, s", "--quick"),
    "start": ("beyond torch, s", ""),
    "page": ("tokens", "--quick"),
    "draw": ("capture, MB", "--quick"),
    "batches": ("ratio", "--quick"),
    "capture": ("ratio", "--quick"),
    "scaling": ("not the model", "--quick"),
}
"""A column of each table, and the quickest way to it.

First come one in a browser, one of the model, one of a site.
"""


@pytest.mark.parametrize("name", [*BENCHMARKS][: count("benchmarks")])
def test_benchmark_prints_its_table(name: str) -> None:
    column, quick = BENCHMARKS[name]
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--runs", "1", *filter(None, [quick])]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    assert column in done.stdout
    assert len(done.stdout.splitlines()) >= 4
    assert re.search(r"; commit \S+", done.stdout.replace("\n", " "))


def test_every_benchmark_is_among_them() -> None:
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert scripts - set(BENCHMARKS) == {"induction", "timing"}
    assert count("benchmarks") <= len(BENCHMARKS)


def test_figures_name_machine_versions_and_date() -> None:
    run = describe_run()
    assert re.search(r"\d+ cores, \d+ GB", run)
    assert f"torch {torch.__version__}," in run
    assert re.search(r"; \d{4}-\d\d-\d\d; commit \S+$", run)
