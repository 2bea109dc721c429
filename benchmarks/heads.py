"""What the page of all heads costs by the number of prompts: seconds to read and to make it, bytes, until it answers.

    python benchmarks/heads.py [--runs N] [--quick]

writes the end of so many pages, each with the summary of random numbers of 30 × 9 heads, reads these summaries and
writes the page as a build does, and opens it from the disk in headless Chromium. "Answers" is when the table of heads
stands there; "number" is the time from the choice of another number to the painted frame. Medians of N runs (default
5), after one that is not counted.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
from pathlib import Path

import click
import numpy as np
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.table import Table
from timing import describe_run, median

from reportgen.evidence.head_summary import SUMMARY_NUMBERS, HeadSummary
from reportgen.pages.heads import PageSummary, render_heads
from reportgen.pages.summaries import encode_summary
from reportgen.site.files import read_summary

COUNTS = (10, 1_000, 10_000)
LAYERS, HEADS = 30, 9
MEASURED = tuple(name for name in SUMMARY_NUMBERS if "ablation" not in name and name != "retrieval")
"""Numbers that a page has if its prompt asks for no evidence beyond the usual."""
NUMBER = """async () => {
  const start = performance.now();
  const list = document.getElementById("number");
  const before = document.getElementById("chosen-title").textContent;
  list.value = list.value === "sink" ? "previous" : "sink";
  list.dispatchEvent(new Event("change"));
  while (document.getElementById("chosen-title").textContent === before)
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}"""


@click.command()
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--quick", is_flag=True, help="The fewest pages alone.")
def main(runs: int, quick: bool) -> None:
    """Measure and print a table."""
    table = Table("pages", "summary, KB", "read, s", "make, s", "size, MB", "answers, ms", "number, ms")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for count in COUNTS[:1] if quick else COUNTS:
            table.add_row(*measure(Path(folder) / str(count), count, browser, runs))
        browser.close()
    Console().print(table)
    click.echo(describe_run())


def measure(folder: Path, count: int, browser: Browser, runs: int) -> tuple[str, ...]:
    """Return the row of so many pages."""
    folder.mkdir()
    sizes = [write_stub(folder / f"page-{i}.html", i) for i in range(count)]

    def read() -> list[PageSummary]:
        found = ((i, read_summary(folder / f"page-{i}.html")) for i in range(count))
        return [PageSummary(f"page-{i}", f"The title of page {i}", (f"tag {i % 5}",), one) for i, one in found if one]

    pages = read()
    seconds = [median(action, runs) for action in (read, lambda: render_heads(pages))]
    path = folder / "heads.html"
    path.write_text(render_heads(pages), "utf-8")
    opened = [open_page(browser, path) for _ in range(runs + 1)][1:]
    answers, number = (statistics.median(values) for values in zip(*opened, strict=True))
    size = path.stat().st_size / 1e6
    return (
        f"{count:,}", f"{statistics.median(sizes) / 1e3:.1f}", *(f"{each:.2f}" for each in seconds), f"{size:.2f}",
        f"{answers:.0f}", f"{number:.0f}",
    )  # fmt: skip


def write_stub(path: Path, i: int) -> int:
    """Write the end of a page and as much before it as a short page weighs; return the size of its summary in bytes."""
    draws = np.random.default_rng(i)
    values = {name: draws.beta(0.5, 4, (LAYERS, HEADS)).astype(np.float16) for name in MEASURED}
    for name in ("effect", "effect_over_steps"):
        values[name] = draws.normal(0, 0.2, (LAYERS, HEADS)).astype(np.float16)
    block = encode_summary(HeadSummary("smollm2-135m", "", (*range(LAYERS),), (*range(HEADS),), 0, values))
    end = f'<script type="text/plain" id="block-heads">{block}</script>\n</body>\n</html>\n'
    path.write_text(f"<!doctype html>{'x' * 60_000}{end}", "utf-8")
    return len(block)


def open_page(browser: Browser, path: Path) -> tuple[float, float]:
    """Open the page in a new tab; return milliseconds until it answers, and those of another number."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.goto(path.as_uri(), wait_until="commit")
    answers = tab.evaluate(
        """() => new Promise((done) => {
          const isReady = () => document.documentElement?.dataset.ready;
          const look = () => isReady() ? done(performance.now()) : requestAnimationFrame(look);
          look();
        })"""
    )
    number = statistics.median(tab.evaluate(NUMBER) for _ in range(5))
    tab.close()
    return answers, number


if __name__ == "__main__":
    main()
