"""How long it takes until a model can be used: seconds to import torch, then reportgen, and to load the bundled model.

    python benchmarks/start.py [--runs N]

Medians of N fresh processes (default 5), after one that is not counted; absolute times are those of this machine.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

import click
from rich.console import Console
from rich.table import Table

PROGRAM = """
import json, time
times = [time.perf_counter()]
import torch
times.append(time.perf_counter())
from reportgen import load_model
times.append(time.perf_counter())
load_model("smollm2-135m", device="cpu")
times.append(time.perf_counter())
print(json.dumps([later - earlier for earlier, later in zip(times, times[1:])]))
"""


@click.command()
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1))
def main(runs: int) -> None:
    """Measure and print a table."""
    seconds = [measure() for _ in range(runs + 1)][1:]
    table = Table("import torch, s", "import reportgen, s", "load the model, s", "beyond torch, s")
    table.add_row(*(f"{statistics.median(column):.2f}" for column in zip(*seconds, strict=True)))
    Console().print(table)


def measure() -> tuple[float, ...]:
    """Return the seconds of one fresh process: each stage, then all beyond torch."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    torch, imports, load = json.loads(done.stdout)
    return torch, imports, load, imports + load


if __name__ == "__main__":
    main()
