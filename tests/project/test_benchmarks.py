"""The benchmarks that the documentation's figures come from still run; what they measure is nobody's to assert."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import gpu
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from counts import count
from root import ROOT
from timing import describe_run
from tiny import make_llama, make_tokenizer

from reportgen import Prompt, capture, wrap_model

pytestmark = pytest.mark.system

BENCHMARKS = {
    "index": ("answers", "--quick"),
    "draw": ("capture, MB", "--quick"),
    "gpu": ("largest difference from eager", "--tiny"),
    "evidence": ("ratio", "--quick"),
    "resume": ("up to date after, s", "--quick"),
    "start": ("beyond torch, s", ""),
    "page": ("tokens", "--quick"),
    "batches": ("ratio", "--quick"),
    "capture": ("ratio", "--quick"),
    "scaling": ("not the model", "--quick"),
    "heads": ("make, s", "--quick"),
}
"""A column of each table, and the quickest way to it; the first needs no model."""


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
    assert scripts - set(BENCHMARKS) == {"induction", "needle", "timing"}
    assert count("benchmarks") <= len(BENCHMARKS)


def test_figures_name_machine_versions_and_date() -> None:
    run = describe_run()
    assert re.search(r"\d+ cores, \d+ GB", run)
    assert f"torch {torch.__version__}," in run
    assert re.search(r"; \d{4}-\d\d-\d\d; commit \S+$", run)


def test_weights_are_compared_with_eager_attention_of_every_step() -> None:
    model = wrap_model(make_llama(), make_tokenizer())
    captured = capture(model, Prompt(text="The cat sat on the mat.", max_new_tokens=5))
    first, largest, mean = gpu.compare_with_eager(model, captured)
    assert mean <= largest < 6e-4  # rounding to float16
    assert first <= largest
    assert model.network.config._attn_implementation == "sdpa"
    for row in (3, captured.num_tokens - 1):
        triangles = captured.triangles.copy()
        triangles[1, 2, captured.row(row).start] += np.float16(0.25)
        first, largest, _ = gpu.compare_with_eager(model, replace(captured, triangles=triangles))
        assert largest == pytest.approx(0.25, abs=1e-3)
        assert first < 6e-4


def test_a_benchmark_for_a_gpu_says_that_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = CliRunner().invoke(gpu.main, [])
    assert done.exit_code == 1
    assert "torch finds no CUDA GPU; --tiny runs a tiny network on the CPU" in done.output
