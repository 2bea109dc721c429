"""What running prompts side by side saves: prompts per minute, one at a time and in batches, in pairs.

    python benchmarks/batches.py [--runs N] [--quick]

32 short prompts of the bundled model, 10 generated tokens each, all layers and heads, captured with all evidence. Each
pair is run one right after the other, after one pair that is not counted; figures are medians, the ratio of the pairs.
"""

from __future__ import annotations

import statistics
import time

import click
from evidence import NothingCollector
from rich.console import Console
from rich.table import Table
from timing import describe_run

from reportgen import LoadedModel, Prompt, load_model
from reportgen.captures.batches import make_batches
from reportgen.captures.capture import capture_in_turn
from reportgen.captures.collector import MakeCollector
from reportgen.captures.record import Capture
from reportgen.evidence.evidence_collector import EvidenceCollector

PLACES = ("kitchen", "garden", "old library", "harbour", "school", "empty house", "river", "market")
STARTS = (
    "The cat waited in the {}, and",
    "John lost his keys in the {} so",
    "In the {} there was",
    "She ran from the {} to",
)


@click.command()
@click.option("--runs", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--quick", is_flag=True, help="Four prompts of two new tokens.")
def main(runs: int, quick: bool) -> None:
    """Measure and print a table."""
    model = load_model("smollm2-135m", device="cpu")
    prompts = [
        Prompt(text=start.format(place), max_new_tokens=2 if quick else 10) for place in PLACES for start in STARTS
    ]
    prompts = prompts[:4] if quick else prompts
    table = Table("captured", "one at a time, prompts/min", "side by side, prompts/min", "ratio")
    table.add_row("all", *compare(model, prompts, runs, EvidenceCollector))
    table.add_row("weights and predictions alone", *compare(model, prompts, runs, NothingCollector))
    Console().print(table)
    click.echo(describe_run())


def compare(model: LoadedModel, prompts: list[Prompt], runs: int, collector: MakeCollector) -> tuple[str, ...]:
    """Return the columns of one case."""
    pairs = [(clock(model, prompts, 1, collector), clock(model, prompts, 0, collector)) for _ in range(runs + 1)][1:]
    alone, together = (60 * len(prompts) / statistics.median(column) for column in zip(*pairs, strict=True))
    return f"{alone:.0f}", f"{together:.0f}", f"{statistics.median(one / many for one, many in pairs):.2f}"


def clock(model: LoadedModel, prompts: list[Prompt], batch_size: int, collector: MakeCollector) -> float:
    """Return the seconds that captures of all prompts take."""
    start = time.perf_counter()
    for batch in make_batches(model, prompts, batch_size):
        if not all(isinstance(made, Capture) for made in capture_in_turn(model, batch, collector)):
            raise ValueError("a prompt failed")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
