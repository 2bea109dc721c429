"""How long something takes, and on what machine: for the benchmarks beside this module."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

_PACKAGES = ("torch", "transformers", "numpy", "bokeh")


def median(action: Callable[[], object], runs: int) -> float:
    """Return the median number of seconds that an action takes, a first run left out."""
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def describe_run() -> str:
    """Return what the figures of a run depend on: machine, versions, date (UTC) and commit."""
    versions = ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in _PACKAGES)])
    return f"{_describe_machine()}; {versions}; {datetime.now(UTC):%Y-%m-%d}; commit {_find_commit()}"


def _describe_machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [_name_processor(), f"{cores} cores", f"{psutil.virtual_memory().total / 1e9:.0f} GB", platform.system()]
    torch = sys.modules.get("torch")  # a benchmark that does not import it does not use a GPU
    if torch is not None and torch.cuda.is_available():
        parts.append(f"{torch.cuda.get_device_name()}, {torch.cuda.get_device_properties(0).total_memory / 1e9:.0f} GB")
    return ", ".join(parts)


def _name_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # only Linux has this file
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _find_commit() -> str:
    """Return the commit of the checkout, with ``-dirty`` if files were changed after it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout
        return "unknown"
    return done.stdout.strip()
