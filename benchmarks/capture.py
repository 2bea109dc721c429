"""What a capture costs, beside plain generation of the same tokens and two other ways to get the same weights.

    python benchmarks/capture.py [--runs N] [--quick]

Each way runs in processes of its own, turn and turn about, after one run in the same process that is not counted. Times
are wall and processor seconds, medians over the runs; memory is the most that the process held above what the loaded
model took. The table is printed and written to benchmarks/results/capture.md.

- generate: text alone, with the fast attention; no weights.
- notebook: a forward pass and a generation, both with output_attentions=True and eager attention.
- held: plain generation, then one eager pass with output_attentions=True; every layer held as float32.
- weights: this program, without evidence.
- capture: this program, evidence and predictions among it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from timing import describe_run

RESULTS = Path(__file__).parent / "results" / "capture.md"
WAYS = ("generate", "notebook", "held", "weights", "capture")
MODELS = ("SmolLM2-135M, 30 × 9 heads", "random GPT-2 medium, 24 × 16 heads")
NEW_TOKENS = 30
LENGTHS = (32, 256, 1024, 2048 - NEW_TOKENS)
LONG = 1000
"""Tokens from which on a case runs once: it takes minutes, and little else on the machine shows in it."""
HEAD = f"""# What a capture costs

Made by `python benchmarks/capture.py`: {NEW_TOKENS} generated tokens, float32, all layers and heads, medians over
{{runs}} fresh processes, one where the text is over {LONG} tokens. {{run}}.

*Ratio* is of processor time to plain generation; memory is the peak above the loaded model. *notebook* holds the
weights of a forward pass and of every generation step, *held* those of one eager pass; *weights* is this program
without evidence, *capture* all of it.

| model | tokens | way | seconds | processor s | ratio | memory, GB |
|---|---|---|---|---|---|---|
"""


@click.command()
@click.option("--runs", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--quick", is_flag=True, help="The shortest case of the first model alone; nothing is written.")
@click.option("--one", nargs=3, type=(str, int, str), help="Run one way in this process: model, tokens, way.")
def main(runs: int, quick: bool, one: tuple[str, int, str] | None) -> None:
    """Measure, print a table and write it."""
    if one:
        click.echo(json.dumps(measure(*one)))
        return
    table = HEAD.format(runs=runs, run=describe_run())
    for model in MODELS[:1] if quick else MODELS:
        for length in LENGTHS[:1] if quick else LENGTHS:
            table += "".join(compare(model, length, runs if length < LONG else 1))
    click.echo(table)
    if not quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(table, "utf-8")


def compare(model: str, length: int, runs: int) -> list[str]:
    """Return the rows of one case."""
    found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    for _ in range(runs):
        for way in WAYS:
            command = [sys.executable, __file__, "--one", model, str(length), way]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[way].append(tuple(json.loads(done.stdout)))
    click.echo(f"{model}, {length} tokens: done", err=True)
    middle = {way: [statistics.median(column) for column in zip(*rows, strict=True)] for way, rows in found.items()}
    plain = middle["generate"][1]
    return [
        f"| {model} | {length} + {NEW_TOKENS} | {way} | {wall:.2f} | {used:.2f} | {used / plain:.2f} | {peak:.2f} |\n"
        for way, (wall, used, peak) in middle.items()
    ]


def measure(model: str, length: int, way: str) -> tuple[float, float, float]:
    """Return wall seconds, processor seconds and peak gigabytes of one way, after one short run to get warm."""
    action = make_action(load(model), way)
    action(16)
    with Memory() as memory:
        wall, used = time.perf_counter(), time.process_time()
        kept = action(length)
        wall, used = time.perf_counter() - wall, time.process_time() - used
    del kept
    return round(wall, 3), round(used, 3), round(memory.peak / 1e9, 3)


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


def load(model: str) -> Any:
    """Return one of the models."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    from reportgen import load_model, wrap_model
    from reportgen.models.bundled import fetch_model

    if model == MODELS[0]:
        return load_model("smollm2-135m", device="cpu")
    torch.manual_seed(0)
    config = GPT2Config(n_layer=24, n_head=16, n_embd=1024, n_positions=4096, bos_token_id=0, eos_token_id=0)
    tokenizer = AutoTokenizer.from_pretrained(str(fetch_model("smollm2-135m")))
    return wrap_model(GPT2LMHeadModel(config).eval(), tokenizer, name="gpt2-medium")


def make_action(model: Any, way: str) -> Callable[[int], Any]:
    """Return what runs one way on a text of so many tokens; what it returns is what would be kept."""
    import torch
    from evidence import NothingCollector, make_prompt

    from reportgen import capture
    from reportgen.captures.capture import capture as capture_with
    from reportgen.captures.generation import generate

    network = model.network

    def ids_of(length: int) -> list[int]:
        return model.tokenizer(make_prompt(model, length, NEW_TOKENS).text)["input_ids"]

    def notebook(length: int) -> Any:
        network.set_attn_implementation("eager")
        input_ids = torch.tensor([ids_of(length)])
        with torch.inference_mode():
            once = network(input_ids, output_attentions=True)
            steps = network.generate(
                input_ids, attention_mask=torch.ones_like(input_ids), max_new_tokens=NEW_TOKENS, do_sample=False,
                output_attentions=True, return_dict_in_generate=True,
            )  # fmt: skip
        return once, steps

    def held(length: int) -> Any:
        token_ids = ids_of(length)
        made = generate(model, [token_ids], NEW_TOKENS, make_prompt(model, length, NEW_TOKENS).generation)[0]
        network.set_attn_implementation("eager")
        with torch.inference_mode():
            kept = network(torch.tensor([[*token_ids, *made.token_ids]]), output_attentions=True)
        network.set_attn_implementation("sdpa")
        return kept

    def plain(length: int) -> Any:
        return generate(model, [ids_of(length)], NEW_TOKENS, make_prompt(model, length, NEW_TOKENS).generation)

    def ours(length: int) -> Any:
        return capture(model, make_prompt(model, length, NEW_TOKENS))

    def weights(length: int) -> Any:
        return capture_with(model, make_prompt(model, length, NEW_TOKENS), NothingCollector)

    return {"generate": plain, "notebook": notebook, "held": held, "weights": weights, "capture": ours}[way]


if __name__ == "__main__":
    main()
