"""The benchmarks that the README's figures come from still run; what they measure is nobody's to assert."""

from __future__ import annotations

import subprocess
import sys

import pytest
from root import ROOT

pytestmark = pytest.mark.system

FOLDER = ROOT / "benchmarks"


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("page", "tokens"),
        ("index", "answers"),
        ("evidence", "ratio"),
        ("batches", "ratio"),
        ("capture", "ratio"),
        ("resume", "up to date after, s"),
        ("scaling", "not the model"),
    ],
)
def test_benchmark_prints_its_table(name: str, column: str) -> None:
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--runs", "1", "--quick"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    assert column in done.stdout
    assert len(done.stdout.splitlines()) >= 5


def test_start_prints_its_table() -> None:
    command = [sys.executable, str(FOLDER / "start.py"), "--runs", "1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    assert "beyond torch, s" in done.stdout
