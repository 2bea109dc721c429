"""What running prompts side by side saves, and what captures of a batch cost beside plain generation of the batch.

    python benchmarks/batches.py [--runs N] [--quick]

32 short prompts of the bundled model, 10 generated tokens each, all layers and heads. Plain generation in batches, and
captures one at a time and in the same batches, run turn and turn about in one process with one thread, after a turn
that is not counted. Figures are processor seconds, medians; ratios are those of the same turn. They are printed and
written to benchmarks/results/batches.md.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import torch
from evidence import NothingCollector
from timing import describe_run

from reportgen import LoadedModel, Prompt, load_model
from reportgen.captures.batches import make_batches
from reportgen.captures.capture import capture_in_turn
from reportgen.captures.collector import MakeCollector
from reportgen.captures.generation import generate
from reportgen.evidence.evidence_collector import EvidenceCollector
from reportgen.records import PREDICTIONS, EncodedPrompt

RESULTS = Path(__file__).parent / "results" / "batches.md"
PLACES = ("kitchen", "garden", "old library", "harbour", "school", "empty house", "river", "market")
STARTS = (
    "The cat waited in the {}, and",
    "John lost his keys in the {} so",
    "In the {} there was",
    "She ran from the {} to",
)


@click.command()
@click.option("--runs", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--quick", is_flag=True, help="Four prompts of two new tokens; nothing is written.")
def main(runs: int, quick: bool) -> None:
    """Measure, print a table and write it."""
    torch.set_num_threads(1)
    model = load_model("smollm2-135m", device="cpu")
    prompts = [
        Prompt(text=start.format(place), max_new_tokens=2 if quick else 10) for place in PLACES for start in STARTS
    ]
    prompts = prompts[:4] if quick else prompts
    bare = [replace(prompt, without=(PREDICTIONS,)) for prompt in prompts]
    lines = [
        f"# {len(prompts)} short prompts in batches\n",
        f"Made by `python benchmarks/batches.py`: processor seconds, one thread, {runs} turns. {describe_run()}.\n",
        "| captured | plain, batches | one at a time | in batches | one at a time / batches | batches / plain |",
        "|---|---|---|---|---|---|",
        compare("all evidence and predictions", model, prompts, runs, EvidenceCollector),
        compare("weights alone", model, bare, runs, NothingCollector),
    ]
    click.echo("\n".join(lines))
    if not quick:
        RESULTS.write_text("\n".join([*lines, ""]), "utf-8")


def compare(name: str, model: LoadedModel, prompts: list[Prompt], runs: int, collector: MakeCollector) -> str:
    """Return the row of one case."""

    def captured(batch_size: int) -> float:
        return clock(model, prompts, batch_size, lambda batch: [*capture_in_turn(model, batch, collector)])

    turns = [
        (clock(model, prompts, 0, lambda batch: generate_plain(model, batch)), captured(1), captured(0))
        for _ in range(runs + 1)
    ][1:]
    seconds = [f"{statistics.median(column):.2f}" for column in zip(*turns, strict=True)]
    faster = statistics.median(alone / together for _, alone, together in turns)
    cost = statistics.median(together / plain for plain, _, together in turns)
    return f"| {name} | {' | '.join(seconds)} | {faster:.2f} | {cost:.2f} |"


def generate_plain(model: LoadedModel, batch: list[EncodedPrompt]) -> list[object]:
    """Continue the prompts of a batch as a capture does, without capturing them."""
    first = batch[0].prompt
    return [
        *generate(model, [list(one.token_ids) for one in batch], first.max_new_tokens, first.generation, recorded=False)
    ]


def clock(
    model: LoadedModel, prompts: list[Prompt], batch_size: int, run: Callable[[list[EncodedPrompt]], list[object]]
) -> float:
    """Return the processor seconds that all batches of some prompts take."""
    start = time.process_time()
    for batch in make_batches(model, prompts, batch_size):
        if any(isinstance(made, Exception) for made in run(batch)):
            raise ValueError("a prompt failed")
    return time.process_time() - start


if __name__ == "__main__":
    main()
