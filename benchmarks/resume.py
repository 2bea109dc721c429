"""What a run with nothing to do costs: seconds until 1,000 pages are found to be up to date and the index is written.

    python benchmarks/resume.py [--runs N] [--quick]

The pages are made from one capture of the bundled model through the program's own writer, each with the key of its
prompt; then the command is run in a fresh process, N times (default 5), after one run that is not counted.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from timing import describe_run

from reportgen import capture, load_model
from reportgen.build.cache_keys import make_numbers_key, make_page_keys
from reportgen.build.options import CaptureOptions
from reportgen.build.resolve import find_auto_device, resolve_model
from reportgen.pages.options import PageOptions
from reportgen.pages.page import draw_page
from reportgen.prompts.prompt_file import load_prompts
from reportgen.site.site import Site

LAYERS = "0-4"


@click.command()
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--quick", is_flag=True, help="Ten pages.")
def main(runs: int, quick: bool) -> None:
    """Measure and print a table."""
    count = 10 if quick else 1000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [f"- {{text: The cat sat on mat {number}, layers: {LAYERS}}}" for number in range(count)]
        (folder / "prompts.yaml").write_text("\n".join(lines), "utf-8")
        size = fill(folder)
        seconds = [measure(folder, count) for _ in range(runs + 1)][1:]
    table = Table("pages", "MB", "up to date after, s", "of runs from", "to")
    table.add_row(
        str(count), f"{size / 1e6:.0f}", f"{statistics.median(seconds):.2f}", f"{min(seconds):.2f}",
        f"{max(seconds):.2f}",
    )  # fmt: skip
    Console().print(table)
    click.echo(describe_run())


def fill(folder: Path) -> int:
    """Write a page for each prompt and return their size together."""
    prompts = load_prompts(folder / "prompts.yaml")
    model = load_model("smollm2-135m", device="cpu")
    captured = capture(model, replace(prompts[0], max_new_tokens=2))
    site = Site(folder / "results").open().root
    for prompt in prompts:
        model = resolve_model(prompt.model, prompt.adapter, CaptureOptions(), find_auto_device())
        keys = make_page_keys(prompt, make_numbers_key(prompt, CaptureOptions(), model), PageOptions())
        Site(site).write_page(prompt.slug, draw_page(replace(captured, prompt=prompt), keys=keys).html)
    return sum(path.stat().st_size for path in site.glob("*.html"))


def measure(folder: Path, count: int) -> float:
    """Return the seconds of one fresh process that has nothing to do."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "reportgen", "build"], cwd=folder, capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - start
    if done.stderr != f"{count} up to date, 0 built\n":
        raise ValueError(f"not all pages were up to date: {done.stderr}")
    return seconds


if __name__ == "__main__":
    main()
