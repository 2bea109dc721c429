"""How long it takes until a model can be used: seconds to import torch, then reportgen, and to load the model.

    python benchmarks/start.py [--model NAME] [--runs N]

*CPU* is the processor time of loading the model, which other programs on the machine change less. Medians of N fresh
processes (default 5), after the first one, which is not counted for the bundled model; absolute times are those of this
machine. With a GGUF file as model, the cache is empty at first, and the rows are the first run, which converts it, the
runs after it, and runs that load the converted folder by its path, as any safetensors.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from timing import describe_run

PROGRAM = """
import json, sys, time
times = [time.perf_counter()]
import torch
times.append(time.perf_counter())
from reportgen import load_model
times.append(time.perf_counter())
cpu = time.process_time()
load_model(sys.argv[1], device="cpu")
cpu = time.process_time() - cpu
times.append(time.perf_counter())
print(json.dumps([*(later - earlier for earlier, later in zip(times, times[1:])), cpu]))
"""


@click.command()
@click.option("--model", default="smollm2-135m", show_default=True)
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1))
def main(model: str, runs: int) -> None:
    """Measure and print a table."""
    table = Table("run", "torch, s", "reportgen, s", "model, s", "CPU, s", "beyond torch, s")
    if model.lower().endswith(".gguf"):
        with tempfile.TemporaryDirectory() as cache:
            os.environ["REPORTGEN_CACHE"] = cache
            rows = {"first": [measure(model)], "later": [measure(model) for _ in range(runs)]}
            (folder,) = Path(cache, "models").iterdir()
            rows["safetensors"] = [measure(str(folder)) for _ in range(runs)]
    else:
        rows = {"later": [measure(model) for _ in range(runs + 1)][1:]}
    for name, seconds in rows.items():
        table.add_row(name, *(f"{statistics.median(column):.2f}" for column in zip(*seconds, strict=True)))
    Console().print(table)
    click.echo(describe_run())


def measure(model: str) -> tuple[float, ...]:
    """Return the seconds of one fresh process: each stage, processor time of the last, then all beyond torch."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, model], stdout=subprocess.PIPE, text=True, check=True)
    torch, imports, load, cpu = json.loads(done.stdout)
    return torch, imports, load, cpu, imports + load


if __name__ == "__main__":
    main()
