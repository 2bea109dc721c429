"""What a page costs by the length of its text: seconds to capture and to draw, bytes, seconds until it can be read.

    python benchmarks/page.py [--runs N] [--quick]

runs the embedded model, all layers and heads, and opens each page from the disk in headless Chromium. Medians of N runs
(default 5), after one that is not counted; two cores are enough to compare, absolute times are those of this machine.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import click
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.table import Table
from timing import median

from reportgen import LoadedModel, Prompt, capture, load_model, render_page

LENGTHS = (21, 41, 256, 400)
"""Tokens of the prompt; nothing is generated, so that the text alone says how long a page is."""
TEXT = "The cat ate the mat. And then sat on a rat. But what he wanted was a hat. "


@click.command()
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--quick", is_flag=True, help="The shortest text alone.")
def main(runs: int, quick: bool) -> None:
    """Measure and print a table."""
    model = load_model("smollm2-135m", device="cpu")
    token_ids = model.tokenizer(TEXT * 30)["input_ids"]
    table = Table("tokens", "capture, s", "draw, s", "size, MB", "open, s")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for length in LENGTHS[:1] if quick else LENGTHS:
            prompt = Prompt(text=str(model.tokenizer.decode(token_ids[:length])), max_new_tokens=0)
            table.add_row(*measure(model, prompt, browser, Path(folder) / f"{length}.html", runs))
        browser.close()
    Console().print(table)


def measure(model: LoadedModel, prompt: Prompt, browser: Browser, page: Path, runs: int) -> tuple[str, ...]:
    """Return the row of one prompt."""
    captured = capture(model, prompt)
    page.write_text(render_page(captured), "utf-8")
    actions = (lambda: capture(model, prompt), lambda: render_page(captured), lambda: read(browser, page))
    captures, draws, opens = (f"{median(action, runs):.2f}" for action in actions)
    return str(captured.num_tokens), captures, draws, f"{page.stat().st_size / 1e6:.2f}", opens


def read(browser: Browser, page: Path) -> None:
    """Open a page in a new tab and wait for its first heatmap."""
    tab = browser.new_page()
    tab.goto(page.as_uri())
    tab.wait_for_selector("html[data-ready]", state="attached")
    tab.close()


if __name__ == "__main__":
    main()
