"""What evidence costs: seconds and processor seconds of a capture with it, against a capture without it, in pairs.

    python benchmarks/evidence.py [--runs N] [--quick] [--ablation-runs N]

runs the bundled model, all layers and heads. Each pair is run one right after the other; the ratio is the median of
the pairs' ratios, after one pair that is not counted. Ablation, which is measured only on demand, is timed with every
head ablated and with estimates of all heads and some of them ablated, in pairs, on the bundled model and on a random
network with 24 × 14 heads.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from timing import describe_run
from transformers import LlamaConfig, LlamaForCausalLM

from reportgen import LoadedModel, Prompt, capture, load_model
from reportgen.captures import capture as captures
from reportgen.captures.collector import Collector, CollectorInput
from reportgen.evidence.collectors import ablation
from reportgen.evidence.evidence_collector import EvidenceCollector
from reportgen.models.model import wrap_model
from reportgen.records.evidence import Evidence

CASES = ((64, 10), (64, 30), (256, 10), (256, 30))
"""Prompt tokens, and tokens generated."""
ABLATED = (("30 × 9", 62, 20), ("24 × 14, random", 290, 10), ("24 × 14, random", 280, 20))
"""Heads of the network, prompt tokens, and tokens generated."""
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
@click.option("--ablation-runs", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--quick", is_flag=True, help="The shortest case alone, and no ablation.")
def main(runs: int, ablation_runs: int, quick: bool) -> None:
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
    table = Table("heads", "prompt + generated", "all ablated, s", "screened, s", "ratio", "rank correlation", "found")
    for heads, num_tokens, num_steps in ABLATED:
        network = make_random(model) if "random" in heads else model
        prompt = make_prompt(model, num_tokens, num_steps, evidence=("ablation",))
        table.add_row(heads, f"{num_tokens} + {num_steps}", *compare_ablations(network, prompt, ablation_runs))
    Console().print(table)


def make_random(model: LoadedModel) -> LoadedModel:
    """Return a network of 24 layers with 14 heads, half as wide as Qwen2.5-0.5B, that reads the tokens of a model."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152, hidden_size=448, intermediate_size=2432, num_hidden_layers=24, num_attention_heads=14,
        num_key_value_heads=2, eos_token_id=None, initializer_range=0.06,
    )  # fmt: skip
    return wrap_model(LlamaForCausalLM(config).eval().requires_grad_(False), model.tokenizer, name="random")


def compare_ablations(model: LoadedModel, prompt: Prompt, runs: int) -> tuple[str, ...]:
    """Return processor seconds that are added by ablating every head and by a screen, and how well the screen did.

    What it found is counted among the ten heads with the largest ablation of all heads.
    """
    usual, pairs, made = ablation.EXACT_WORK, [], []
    for _ in range(runs):
        alone = clock(lambda: capture(model, replace(prompt, evidence=())))[1]
        pair: list[float] = []
        for ablation.EXACT_WORK in (np.inf, usual):
            pair.append(clock(lambda: made.append(capture(model, prompt)))[1] - alone)
        pairs.append(pair)
    full, some = made[-2].evidence, made[-1].evidence
    top = np.argsort(-np.abs(full.ablations["ablation"]).max(0), axis=None)[:10]
    screen = some.screening["estimate"]
    return (
        *(f"{statistics.median(column):.1f}" for column in zip(*pairs, strict=True)),
        f"{statistics.median(b / a for a, b in pairs):.2f}",
        f"{screen.correlation:.2f}",
        f"{np.count_nonzero(screen.reasons.ravel()[top])} of 10",
    )


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
