"""What drawing a page costs by the length of its text: seconds, bytes of the page, memory above the capture.

    python benchmarks/draw.py [--runs N] [--quick]

captures texts with the bundled model, all layers, heads and evidence, 20 tokens generated, and draws their pages at
default settings, without writing them. Seconds are medians of N runs (default 5) after one that is not counted; one
thread draws, so that processor seconds are those of an idle machine. Below the table stands what all pages of a process
share, which a build makes in a thread while the model is loaded. *Weight* is the least one that a page shows, where it
leaves out smaller ones to keep its size. *Memory* is the peak of what drawing allocates, the page included, in one more
run; beside it stands what the arrays of the capture take. A second table compares a page that is drawn after a capture,
as a build does it, with one that a thread draws while the next capture runs: wall seconds of a capture and a page,
turn and turn about, and the ratio of those of the same turn.
"""

from __future__ import annotations

import pickle
import statistics
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from timing import describe_run

from reportgen import Capture, LoadedModel, Prompt, capture, load_model
from reportgen.pages.options import PageOptions
from reportgen.pages.page import draw_page, warm_up

LENGTHS = (41, 256, 512, 1024)
"""Tokens of the prompt and generated ones."""
NEW_TOKENS = 20
TEXT = Path(__file__).parent.parent / "LICENSE"


@click.command()
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--quick", is_flag=True, help="The shortest text alone.")
def main(runs: int, quick: bool) -> None:
    """Measure and print a table."""
    model = load_model("smollm2-135m", device="cpu")
    table = Table("tokens", "draw, s", "processor, s", "page, MB", "weight", "memory, MB", "capture, MB")
    turns = Table("tokens", "capture, then draw, s", "draw beside the next capture, s", "beside / then")
    _, shared = clock(lambda: warm_up(PageOptions()))
    for length in LENGTHS[:1] if quick else LENGTHS:
        prompt = make_prompt(model, length)
        captured = capture(model, prompt)
        clocked = [clock(lambda captured=captured: draw_page(captured)) for _ in range(runs + 1)][1:]
        medians = [f"{statistics.median(column):.2f}" for column in zip(*clocked, strict=True)]
        table.add_row(str(captured.num_tokens), *medians, *weigh(captured))
        turns.add_row(str(captured.num_tokens), *compare_turns(model, prompt, captured, runs))
    Console().print(table)
    Console().print(turns)
    click.echo(describe_run())
    Console().print(f"what all pages share: {shared:.2f} s of processor time, once")


def make_prompt(model: LoadedModel, length: int) -> Prompt:
    """Return a prompt that has so many tokens with those that it generates."""
    token_ids = model.tokenizer(TEXT.read_text("utf-8"))["input_ids"][60 : 60 + length - NEW_TOKENS]  # pyright: ignore[reportIndexIssue]
    return Prompt(text=str(model.tokenizer.decode(token_ids)), max_new_tokens=NEW_TOKENS)


def compare_turns(model: LoadedModel, prompt: Prompt, captured: Capture, runs: int) -> tuple[str, ...]:
    """Return the wall seconds of a capture followed by a page, of both beside one another, and their ratio."""

    def draw_beside() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(draw_page, captured)
            capture(model, prompt)

    pairs = [(clock(lambda: draw_page(capture(model, prompt)))[0], clock(draw_beside)[0]) for _ in range(runs + 1)][1:]
    ratio = statistics.median(beside / then for then, beside in pairs)
    return *(f"{statistics.median(column):.2f}" for column in zip(*pairs, strict=True)), f"{ratio:.2f}"


def clock(action: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor seconds of an action."""
    wall, processor = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - processor


def weigh(captured: Capture) -> tuple[str, ...]:
    """Return the size of a page, its least weight, the memory that drawing it takes, and that of its capture."""
    tracemalloc.start()
    page = draw_page(captured)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    arrays: list[pickle.PickleBuffer] = []
    pickle.dumps(captured, protocol=5, buffer_callback=arrays.append)
    held = sum(array.raw().nbytes for array in arrays)
    least = f"{page.precision.min_weight:.2g}" if page.precision.threshold else "–"
    return f"{len(page.html.encode()) / 1e6:.3g}", least, f"{peak / 1e6:.0f}", f"{held / 1e6:.0f}"


if __name__ == "__main__":
    main()
