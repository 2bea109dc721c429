"""What a capture costs, as a multiple of plain generation of the same tokens, and where its time goes.

    python benchmarks/capture.py [--runs N] [--quick] [--lengths 32,256]

The ways run turn and turn about in one process with one thread, after a short run of each that is not counted. Ratios
are of processor time in the same turn, medians over the turns. Memory is the most that a process of its own held above
the loaded model, measured once. The tables are printed and written to benchmarks/results/capture.md.

- generate: text alone, with the fast attention; no weights.
- weights: this program without evidence and without predictions of the prompt's tokens.
- all: this program with all evidence but ablation, and a prediction of every token.
- second pass: both, with weights and evidence of a pass over the whole text after the generation.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from timing import describe_run

RESULTS = Path(__file__).parent / "results" / "capture.md"
WAYS = ("generate", "weights", "all", "weights, second pass", "all, second pass")
NEW_TOKENS = 30
LENGTHS = (32, 256, 512 - NEW_TOKENS, 1024, 2048 - NEW_TOKENS)
SHORT, LONG = 512 - NEW_TOKENS, 2048 - NEW_TOKENS
"""Lengths between which growth is measured."""
LONGEST_SECOND = 300
"""Tokens up to which a second pass is measured; that of a long text takes minutes."""
REACH = {32: (1.2, 1.5), 256: (1.2, 1.6), 1024: (1.25, 1.8), 2018: (1.6, 2.2)}
"""Ratios that were aimed at, of weights and of all."""
PARTS = (
    "generation", "recording it", "weights", "packing", "scores", "value_norms", "attribution", "lens", "rollout",
    "entropy", "predictions", "rest",
)  # fmt: skip
HEAD = f"""# What a capture costs

Made by `python benchmarks/capture.py`: SmolLM2-135M's 30 × 9 heads, {NEW_TOKENS} generated tokens, float32, one thread,
{{runs}} turns. {{run}}.

"""


@click.command()
@click.option("--runs", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--quick", is_flag=True, help="The shortest case alone; nothing is written.")
@click.option("--lengths", default="", help="Prompt tokens, separated by commas; nothing is written.")
@click.option("--one", nargs=2, type=(int, str), help="Measure the memory of one way in this process: tokens, way.")
def main(runs: int, quick: bool, lengths: str, one: tuple[int, str] | None) -> None:
    """Measure, print the tables and write them."""
    import torch

    torch.set_num_threads(1)
    if one:
        click.echo(json.dumps(measure_memory(*one)))
        return
    chosen = [int(length) for length in lengths.split(",")] if lengths else LENGTHS[:1] if quick else LENGTHS
    found = measure_all(chosen, runs)
    report = HEAD.format(runs=runs, run=describe_run()) + "\n".join([
        *make_ratio_table(found, {} if quick else {chosen[-1]: find_memory(chosen[-1])}),
        *make_share_table(found),
        *make_growth_table(found),
    ])  # fmt: skip
    click.echo(report)
    if not quick and not lengths:
        RESULTS.write_text(f"{report.rstrip()}\n", "utf-8")


def measure_all(lengths: Sequence[int], runs: int) -> dict[int, dict[str, list[float]]]:
    """Return processor seconds by length and way, a list of turns; parts of a capture begin with a colon."""
    model = load()
    actions = make_actions(model)
    for action in actions.values():
        action(16)
    found: dict[int, dict[str, list[float]]] = {}
    for length in lengths:
        times: dict[str, list[float]] = defaultdict(list)
        for _ in range(runs):
            for way, action in actions.items():
                if "second" in way and length > LONGEST_SECOND:
                    continue
                with timed(way) as parts:
                    start = time.process_time()
                    action(length)
                    times[way].append(time.process_time() - start)
                for part, seconds in parts.items():
                    times[f":{part}"].append(seconds)
        found[length] = times
        done = {way: round(statistics.median(seconds), 2) for way, seconds in times.items()}
        click.echo(f"{length} tokens: {done}", err=True)
    return found


def make_ratio_table(found: dict[int, dict[str, list[float]]], memory: dict[int, list[float]]) -> Iterator[str]:
    """Yield the lines of the table of ratios to plain generation."""
    yield "## Processor time as a multiple of plain generation\n"
    yield "Memory is the peak above the loaded model, of the longest text.\n"
    yield f"| tokens | generate, s | {' | '.join(WAYS[1:])} | aimed at | memory: weights | memory: all |"
    yield "|---" * 9 + "|"
    for length, times in found.items():
        ratios = [f"{ratio_of(times, way):.2f}" if way in times else "–" for way in WAYS[1:]]
        aims = ", ".join(map(str, REACH.get(length, ()))) or "–"
        peaks = [f"{peak:.2f} GB" for peak in memory.get(length, ())] or ["–", "–"]
        plain = f"{statistics.median(times['generate']):.2f}"
        yield f"| {' | '.join([f'{length} + {NEW_TOKENS}', plain, *ratios, aims, *peaks])} |"
    yield ""


def ratio_of(times: dict[str, list[float]], way: str) -> float:
    """Return the median of the ratios to plain generation in the same turn."""
    return statistics.median(one / plain for one, plain in zip(times[way], times["generate"], strict=False))


def make_share_table(found: dict[int, dict[str, list[float]]]) -> Iterator[str]:
    """Yield the lines of the table of what each part takes of a capture with everything."""
    yield "## Where the processor time of a capture with everything goes\n"
    yield "In percent. Norms of values and entropies, which other kinds use too, are counted for scores.\n"
    yield f"| tokens | {' | '.join(PARTS)} |"
    yield "|---" * (1 + len(PARTS)) + "|"
    for length, times in found.items():
        whole = statistics.median(times["all"])
        seconds = {part: statistics.median(times[f":{part}"]) for part in PARTS if f":{part}" in times}
        seconds["generation"] = statistics.median(times["generate"])
        seconds["recording it"] -= seconds["generation"]
        seconds["rest"] = whole - sum(seconds.values())
        yield f"| {length} + {NEW_TOKENS} | {' | '.join(f'{100 * seconds[part] / whole:.1f}' for part in PARTS)} |"
    yield ""


def make_growth_table(found: dict[int, dict[str, list[float]]]) -> Iterator[str]:
    """Yield the lines of the table of growth with the length."""
    if not {SHORT, LONG} <= found.keys():
        return
    yield f"## Growth from {SHORT + NEW_TOKENS} to {LONG + NEW_TOKENS} tokens\n"
    yield "Cells are those of the lower triangle of a pattern.\n"
    yield "| what | 512 tokens, s | 2,048 tokens, s | factor |"
    yield "|---|---|---|---|"
    cells = [length * (length + 1) / 2 for length in (SHORT + NEW_TOKENS, LONG + NEW_TOKENS)]
    yield f"| cells of a pattern | | | {cells[1] / cells[0]:.1f} |"
    named = (*WAYS[:3], ":attention")
    medians = [{way: statistics.median(found[length][way]) for way in named} for length in (SHORT, LONG)]
    for name, seconds in {
        "plain generation": [times["generate"] for times in medians],
        "fast attention in it": [times[":attention"] for times in medians],
        "added by weights": [times["weights"] - times["generate"] for times in medians],
        "added by everything": [times["all"] - times["generate"] for times in medians],
    }.items():
        yield f"| {name} | {seconds[0]:.2f} | {seconds[1]:.2f} | {seconds[1] / seconds[0]:.1f} |"


@contextmanager
def timed(way: str) -> Iterator[dict[str, float]]:
    """Measure the processor seconds of the parts of a way in a block, by name; of a second pass none."""
    from torch.nn import functional

    from reportgen.captures import attention, capture
    from reportgen.evidence.evidence_collector import EvidenceCollector

    seconds: dict[str, float] = defaultdict(float)

    def clock(owner: Any, name: str, part: str) -> None:
        usual = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            before, start = sum(seconds.values()), time.process_time()
            try:
                return usual(*args, **kwargs)
            finally:
                within = sum(seconds.values()) - before  # parts inside of this one are counted by themselves
                seconds[part or args[1]] += time.process_time() - start - within

        undo.callback(setattr, owner, name, usual)
        setattr(owner, name, call)

    with ExitStack() as undo:
        if way == "generate":
            clock(functional, "scaled_dot_product_attention", "attention")
        if way == "all":
            clock(EvidenceCollector, "_try", "")  # its first argument is the kind
            clock(attention._Packer, "see_rows", "packing")
            clock(capture, "attend", "weights")
            clock(capture, "generate", "recording it")
            clock(capture, "_predict_prompt", "predictions")
            clock(capture, "_predict_steps", "predictions")
        yield seconds


def find_memory(length: int) -> list[float]:
    """Return the peak memory of weights and of all, in GB, each in a process of its own."""
    peaks = []
    for way in ("weights", "all"):
        command = [sys.executable, __file__, "--one", str(length), way]
        peaks.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return peaks


def measure_memory(length: int, way: str) -> float:
    """Return the peak memory of one way in GB, after one short run to get warm."""
    action = make_actions(load())[way]
    action(16)
    with Memory() as memory:
        action(length)
    return round(memory.peak / 1e9, 3)


class Memory:
    """The most that this process holds above what it held, looked at every few milliseconds."""

    def __enter__(self) -> Memory:
        import psutil

        self._process = psutil.Process()
        self._base = self._process.memory_info().rss
        self.peak, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self.peak = max(self.peak, self._process.memory_info().rss - self._base)


def load() -> Any:
    """Return the bundled model."""
    from reportgen import load_model

    return load_model("smollm2-135m", device="cpu")


def make_actions(model: Any) -> dict[str, Callable[[int], Any]]:
    """Return what runs each way on a text of so many tokens; what it returns is what would be kept."""
    from evidence import NothingCollector, make_prompt

    from reportgen.captures import capture as captures
    from reportgen.captures.generation import generate
    from reportgen.evidence.evidence_collector import EvidenceCollector

    def plain(length: int) -> Any:
        prompt = make_prompt(model, length, NEW_TOKENS)
        return generate(model, [model.tokenizer(prompt.text)["input_ids"]], NEW_TOKENS, prompt.generation)

    def weights(length: int) -> Any:
        prompt = make_prompt(model, length, NEW_TOKENS, without=("predictions",))
        return captures.capture(model, prompt, NothingCollector)

    def everything(length: int) -> Any:
        return captures.capture(model, make_prompt(model, length, NEW_TOKENS), EvidenceCollector)

    def in_second_pass(action: Callable[[int], Any]) -> Callable[[int], Any]:
        def run(length: int) -> Any:
            usual: Any = captures.generate
            captures.generate = lambda *args, **settings: usual(*args, **{**settings, "recorded": False})
            try:
                return action(length)
            finally:
                captures.generate = usual

        return run

    actions = plain, weights, everything, in_second_pass(weights), in_second_pass(everything)
    return dict(zip(WAYS, actions, strict=True))


if __name__ == "__main__":
    main()
