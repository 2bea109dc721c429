"""What an index costs by the number of its pages: bytes, seconds to read their cards and to write it, until it answers.

    python benchmarks/index.py [--runs N] [--quick]

writes so many pages, each with a card of its own and no capture behind it, reads their cards back and writes the index
as a run does, and opens it from the disk in headless Chromium. "Answers" is when filter and order work; "sort" is the
time from a choice of another order to the painted frame. Medians of N runs (default 5), after one that is not counted.
"""

from __future__ import annotations

import base64
import os
import random
import shutil
import statistics
import tempfile
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.table import Table
from timing import describe_run, median

from reportgen.pages.assets import embed_json
from reportgen.pages.cards import Card
from reportgen.pages.stills import draw_thumbnail
from reportgen.pages.templates import GENERATOR
from reportgen.site.site import Site

COUNTS = (10, 1_000, 10_000)
WORDS = ("The", "cat", "ate", "the", "mat", "and", "then", "sat", "on", "a", "rat", "what", "John", "wanted", "pizza")
SORT = """async () => {
  const start = performance.now();
  const list = document.getElementById("sort");
  list.value = list.value === "title" ? "tokens" : "title";
  list.dispatchEvent(new Event("change"));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}"""


@click.command()
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--quick", is_flag=True, help="The fewest pages alone.")
def main(runs: int, quick: bool) -> None:
    """Measure and print a table."""
    table = Table("pages", "size, MB", "a picture, bytes", "read cards, s", "write, s", "answers, ms", "sort, ms")
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
    for i in range(count):
        write_stub(folder, make_card(i))
    cards = Site(folder).read_cards()
    index = Site(folder).write_index(cards)
    read, write = (
        median(action, runs) for action in (lambda: Site(folder).read_cards(), lambda: Site(folder).write_index(cards))
    )
    opened = [read_index(browser, index) for _ in range(runs + 1)][1:]
    answers, sort = (statistics.median(values) for values in zip(*opened, strict=True))
    picture = statistics.median(len(card.thumbnail) for card in cards if isinstance(card, Card))
    size = index.stat().st_size / 1e6
    return f"{count:,}", f"{size:.2f}", f"{picture:.0f}", f"{read:.2f}", f"{write:.2f}", f"{answers:.0f}", f"{sort:.0f}"


def make_card(i: int) -> Card:
    """Return the card of a page whose text and picture no other page has."""
    chance, noise = random.Random(i), np.random.default_rng(i)
    say = lambda count: " ".join(chance.choice(WORDS) for _ in range(count))  # noqa: E731
    read, written, effect = f"␣{chance.choice(WORDS)}", f"␣{chance.choice(WORDS)}", chance.uniform(0, 4)
    return Card(
        slug=f"page-{i}",
        title=say(8),
        text=say(40)[:180],
        completion=f" {say(16)}"[:90],
        model="smollm2-135m",
        tags=(chance.choice(WORDS),),
        num_prompt_tokens=chance.randrange(4, 400),
        num_steps=10,
        thumbnail=draw_thumbnail(noise.normal(0, 0.2, (30, 9)), signed=True),
        said=[["head", 23, i % 9], " reads ", ["token", read, 3], " (0.90) for ", ["token", written, 5], " 77 %, ",
              ["strong", f"+{effect:.1f}"]],
        prob=chance.random(),
        head=f"L23 H{i % 9}",
        through=read,
        weight=0.9,
        effect=effect,
        prompt_logprob=-chance.uniform(1, 6),
        generated_logprob=-chance.uniform(0, 3),
    )  # fmt: skip


def write_stub(folder: Path, card: Card) -> None:
    """Write the beginning of a page, and as much behind it as a short page weighs at least."""
    head = f'<!doctype html><meta name="generator" content="{GENERATOR}"><title>{card.title}</title>'
    carried = f'<script type="application/json" id="card">{embed_json(asdict(card))}</script>'
    filler = base64.b64encode(os.urandom(30_000)).decode("ascii")
    (folder / f"{card.slug}.html").write_text(f"{head}\n{carried}\n{filler}", "utf-8")


def read_index(browser: Browser, index: Path) -> tuple[float, float]:
    """Open an index in a new tab; return milliseconds until it answers, and those of a new order."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.goto(index.as_uri(), wait_until="commit")
    answers = tab.evaluate(
        """() => new Promise((done) => {
          const isReady = () => document.documentElement?.dataset.ready;
          const look = () => isReady() ? done(performance.now()) : requestAnimationFrame(look);
          look();
        })"""
    )
    sort = statistics.median(tab.evaluate(SORT) for _ in range(5))
    tab.close()
    return answers, sort


if __name__ == "__main__":
    main()
