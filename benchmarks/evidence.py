"""What evidence costs: seconds and processor seconds of a capture with it, against a capture without it, in pairs.

    python benchmarks/evidence.py [--runs N] [--quick]

runs the bundled model, all layers and heads. Each pair is run one right after the other; the ratio is the median of
the pairs' ratios, after one pair that is not counted. Ablation, which is measured only on demand, is timed once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import click
from rich.console import Console
from rich.table import Table
from timing import describe_run

from reportgen import LoadedModel, Prompt, capture, load_model
from reportgen.captures import capture as captures
from reportgen.captures.collector import Collector, CollectorInput
from reportgen.evidence.evidence_collector import EvidenceCollector
from reportgen.records.evidence import Evidence

CASES = ((64, 10), (64, 30), (256, 10), (256, 30))
"""Prompt tokens, and tokens generated."""
ABLATED = (62, 20)
TEXT = "The cat ate the mat. And then sat on a rat. But what he wanted was a hat. "


class NothingCollector(Collector):
    """Measures no evidence, in the place of what measures all of it."""

    rows = slice(0, 0)

    def __init__(self, given: CollectorInput) -> None:
        self.token_ids = given.token_ids

    def end(self, _: object) -> None:
        """Look at no logits."""

    def ablate(self, *_: object) -> None:
        """Take nothing out."""

    def finish(self, *_: object) -> Evidence:
        """Return no evidence."""
        return Evidence()


@click.command()
@click.option("--runs", default=7, show_default=True, type=click.IntRange(min=1))
@click.option("--quick", is_flag=True, help="The shortest case alone, and no ablation.")
def main(runs: int, quick: bool) -> None:
    """Measure and print a table."""
    model = load_model("smollm2-135m", device="cpu")
    table = Table("prompt + generated", "alone, s", "with evidence, s", "ratio", "ratio of processor time")
    for num_tokens, num_steps in CASES[:1] if quick else CASES:
        prompt = make_prompt(model, num_tokens, num_steps)
        table.add_row(f"{num_tokens} + {num_steps}", *compare(model, prompt, runs))
    Console().print(table)
    click.echo(describe_run())
    if quick:
        return
    estimates: list[float] = []
    prompt = make_prompt(model, *ABLATED, evidence=("ablation",))
    start = time.perf_counter()
    capture(model, prompt, lambda done, _, left: estimates.append(left) if done == 0 else None)
    seconds = time.perf_counter() - start
    Console().print(f"ablating 270 heads, {ABLATED[0]} + {ABLATED[1]}: {seconds:.0f} s, estimated {estimates[0]:.0f} s")


def make_prompt(model: LoadedModel, num_tokens: int, num_steps: int, **changes: tuple[str, ...]) -> Prompt:
    """Return a prompt of so many tokens, whatever they say."""
    token_ids = model.tokenizer(TEXT * (1 + num_tokens // 16))["input_ids"][:num_tokens]  # pyright: ignore[reportIndexIssue]
    return Prompt(text=str(model.tokenizer.decode(token_ids)), max_new_tokens=num_steps, **changes)  # pyright: ignore


def compare(model: LoadedModel, prompt: Prompt, runs: int) -> tuple[str, ...]:
    """Return the columns of one case."""
    collectors = (NothingCollector, EvidenceCollector)
    pairs = [
        tuple(clock(lambda make=make: captures.capture(model, prompt, make)) for make in collectors)
        for _ in range(runs + 1)
    ]
    walls = [(alone[0], full[0]) for alone, full in pairs[1:]]
    processors = [(alone[1], full[1]) for alone, full in pairs[1:]]
    alone, full = (statistics.median(column) for column in zip(*walls, strict=True))
    ratios = (statistics.median(b / a for a, b in some) for some in (walls, processors))
    return f"{alone:.2f}", f"{full:.2f}", *(f"{ratio:.2f}" for ratio in ratios)


def clock(action: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor seconds of an action."""
    wall, processor = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - processor


if __name__ == "__main__":
    main()
