"""What a site costs as it grows: pages per minute, where the time goes, memory, the index, bytes.

    python benchmarks/scaling.py [--runs N] [--quick]

10, 100 and 1,000 prompts of a tiny Llama (3 layers, 4 heads, random weights), and 32 of the bundled model, all layers
and heads, 10 generated tokens each, with all evidence. Each case is the command in a process of its own, N times
(default 3); figures are those of the fastest run, since whatever else a machine does only adds. Seconds of stages are
those that report.json gives; the rest is the start of Python, of torch and the index. "Not the model" is the part of
pages in model and pages together. The index is then read and written again by itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
from batches import PLACES, STARTS
from rich.console import Console
from rich.table import Table
from timing import describe_run, median
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from reportgen.site.site import Site

TEXTS = tuple(start.format(place) for place in PLACES for start in STARTS)


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds, bytes."""

    wall: float
    capture: float
    page: float
    load: float
    peak: int


@click.command()
@click.option("--runs", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--quick", is_flag=True, help="Four prompts and eight of the tiny model alone.")
def main(runs: int, quick: bool) -> None:
    """Measure and print a table."""
    columns = (
        "prompts",
        "pages/min",
        "all, s",
        "model, s",
        "load, s",
        "pages, s",
        "rest, s",
        "not the model",
        "peak MB",
    )
    table = Table("model", *columns, "index, s", "index MB", "page MB")
    with tempfile.TemporaryDirectory() as name:
        tiny = str(make_tiny(Path(name) / "tiny"))
        cases = [(tiny, 4), (tiny, 8)] if quick else [(tiny, 10), (tiny, 100), (tiny, 1000), ("smollm2-135m", 32)]
        for model, count in cases:
            folder = Path(name) / f"{Path(model).name}-{count}"
            folder.mkdir()
            costs = sorted((run(folder, model, count) for _ in range(runs)), key=lambda cost: cost.wall)
            table.add_row(
                Path(model).name, str(count), *show(costs[len(costs) // 2], count), *weigh(folder / "results")
            )
    Console(width=160).print(table)
    click.echo(describe_run())


def make_tiny(folder: Path) -> Path:
    """Write a model that takes next to no time, and return its folder."""
    config = LlamaConfig(
        vocab_size=259, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    alphabet = ["<|im_start|>", "<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>").save_pretrained(folder)
    return folder


def run(folder: Path, model: str, count: int) -> Cost:
    """Build a site anew in a process of its own."""
    lines = [
        f"- {{text: {json.dumps(f'{TEXTS[number % len(TEXTS)]} {number}')}, slug: p{number}}}"
        for number in range(count)
    ]
    (folder / "prompts.yaml").write_text("\n".join(lines), "utf-8")
    command = [sys.executable, "-m", "reportgen", "build", "--force", "-q", "--device", "cpu", "-m", model]
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    seconds = json.loads((folder / "results" / "report.json").read_text("utf-8"))["run"]["seconds"]
    if process.returncode:
        raise ValueError(f"{model}: the run failed")
    return Cost(wall, seconds["capture"], seconds["page"], seconds["load"], usage.ru_maxrss * 1024)


def show(cost: Cost, count: int) -> tuple[str, ...]:
    """Return the columns of a run."""
    rest = cost.wall - cost.capture - cost.page - cost.load
    seconds = (cost.wall, cost.capture, cost.load, cost.page, rest)
    others = cost.page / (cost.page + cost.capture)
    return (
        f"{60 * count / cost.wall:.0f}", *(f"{value:.1f}" for value in seconds), f"{others:.0%}",
        f"{cost.peak / 1e6:.0f}",
    )  # fmt: skip


def weigh(site: Path) -> tuple[str, str, str]:
    """Return what the index takes, in seconds and MB, and the mean size of a page."""
    seconds = median(lambda: Site(site).write_index(Site(site).read_cards()), 1)
    pages = [path.stat().st_size for path in site.glob("p*.html")]
    index = (site / "index.html").stat().st_size
    return f"{seconds:.2f}", f"{index / 1e6:.2f}", f"{sum(pages) / len(pages) / 1e6:.2f}"


if __name__ == "__main__":
    main()
