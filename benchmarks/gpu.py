"""What a capture costs on a CUDA GPU, in bfloat16, and whether its weights are those of eager attention.

    python benchmarks/gpu.py [--runs N] [--tiny]

SmolLM2-135M and random weights in the shape of Llama 2 7B, with 512 and 4,096 tokens, 64 more generated. Three tables
are printed and, after each case, written to benchmarks/results/gpu.md:

- Plain generation, this program without evidence (weights), and with all of it (capture), in turns. Seconds end when
  the GPU is done. GPU memory is the peak of what torch allocates above the model, host memory that of the process.
- Which run the weights are of, and how far they are from those of eager attention, which generates the same tokens step
  by step in the same network, with its own cache. In the first layer both read the same, and eager attention alone
  rounds its scores and weights to bfloat16: a score of 30 by up to 0.06. From layer to layer, such differences grow.
- A page drawn alone, and in a thread that starts together with the next capture; and that capture. The page shows as
  many heads as have 48 million weights.

Figures are medians of N runs (default 3) after one of a short text that is not counted; host memory is the most of all
runs. Texts over 1,000 tokens run once. A case that fails is listed with its error. --tiny does all of this without a
GPU, with a tiny network, and writes nothing.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import torch
from capture import Memory
from evidence import NothingCollector, make_prompt
from scaling import make_tiny
from timing import describe_run
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig

from reportgen import LoadedModel, PageOptions, Prompt, ReportgenError, capture, load_model, wrap_model
from reportgen.captures.attention import count_cells
from reportgen.captures.capture import capture as capture_with
from reportgen.captures.capture import free_memory
from reportgen.captures.generation import generate
from reportgen.captures.quantization import dequantize_sqrt
from reportgen.captures.record import Capture
from reportgen.instrumentation.anatomy import find_attention
from reportgen.instrumentation.inputs import generating, make_prompts, using
from reportgen.models.bundled import fetch_model
from reportgen.pages.page import draw_page, warm_up
from reportgen.records.selection import Selection

RESULTS = Path(__file__).parent / "results" / "gpu.md"
MODELS = ("SmolLM2-135M, 30 × 9 heads", "random Llama 2 7B, 32 × 32 heads")
TINY = "tiny random Llama, 3 × 4 heads"
CASES, TINY_CASES = ((512, 64), (4096, 64)), ((24, 6), (48, 6))
"""Prompt tokens, and tokens generated."""
LONG = 1000
"""Tokens from which on a case runs once."""
DRAWN_CELLS = 48_000_000
"""Weights on a page; those of all heads of SmolLM2 over 576 tokens are 45 million."""
WHOLE = PageOptions(max_page_mb=0)
"""No weights are left out, so that a page of any size is drawn."""
HEAD = f"""# What a capture costs on a GPU

Made by `python benchmarks/gpu.py`: bfloat16, all layers and heads, medians of {{runs}} runs in turns, one run where the
text is over {LONG:,} tokens. Memory is the peak above the loaded model. {{run}}.
"""


@dataclass(frozen=True)
class Cost:
    """Seconds of one run, and gigabytes above what was held before it; ``device`` is NaN without a GPU."""

    seconds: float
    device: float
    host: float


@dataclass
class Tables:
    """Rows of the tables, each with its model first."""

    costs: list[tuple[str, ...]] = field(default_factory=list)
    equality: list[tuple[str, ...]] = field(default_factory=list)
    drawing: list[tuple[str, ...]] = field(default_factory=list)
    failed: list[tuple[str, ...]] = field(default_factory=list)

    def write(self) -> str:
        """Return the tables that have rows in Markdown."""
        parts = (
            ("way | seconds | ratio | GPU memory, GB | host memory, GB", self.costs),
            ("strategy | largest difference from eager, first layer | all layers | mean | kept as", self.equality),
            ("layers × heads | page, MB | draw, s | beside, s | capture, s | beside, s", self.drawing),
            ("failed", self.failed),
        )
        text = ""
        for names, rows in parts:
            ruler = "|".join(["---"] * (names.count("|") + 3))
            lines = (f"| model | tokens | {names} |", f"|{ruler}|", *(f"| {' | '.join(row)} |" for row in rows))
            text += "\n" + "\n".join(lines) + "\n" if rows else ""
        return text


@click.command()
@click.option("--runs", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--tiny", is_flag=True, help="A tiny network on the CPU; nothing is written.")
def main(runs: int, tiny: bool) -> None:
    """Measure, print the tables and write them."""
    if not tiny and not torch.cuda.is_available():
        raise click.ClickException("torch finds no CUDA GPU; --tiny runs a tiny network on the CPU")
    head, tables = HEAD.format(runs=runs, run=describe_run()), Tables()
    warm_up(WHOLE)
    for name in (TINY,) if tiny else MODELS:
        model = load(name)
        measure(model, name, make_prompt(model, 16, 2), 1, Tables())  # kernels are loaded in the first runs
        for length, num_steps in TINY_CASES if tiny else CASES:
            try:
                measure(model, name, make_prompt(model, length, num_steps), runs if length < LONG else 1, tables)
            except (ReportgenError, torch.OutOfMemoryError) as error:
                tables.failed.append((name, f"{length:,} + {num_steps}", str(error).partition("\n")[0]))
            click.echo(f"{name}, {length} tokens: done", err=True)
            if not tiny:
                RESULTS.write_text(head + tables.write(), "utf-8")
        del model
        free_memory()
    click.echo(head + tables.write())


def load(name: str) -> LoadedModel:
    """Return one of the models in bfloat16."""
    if name == MODELS[0]:
        return load_model("smollm2-135m", device="cuda", dtype="bfloat16")
    if name == TINY:
        with tempfile.TemporaryDirectory() as folder:
            return load_model(str(make_tiny(Path(folder))), device="cpu", dtype="bfloat16")
    return make_large("cuda", hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32)


def make_large(device: str, **shape: int) -> LoadedModel:
    """Return a Llama of random weights on a device, with SmolLM2's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(str(fetch_model("smollm2-135m")))
    config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=8192, **shape)  # pyright: ignore
    torch.manual_seed(0)
    with torch.device(device):
        network = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return wrap_model(network, tokenizer, name="random-llama")


def measure(model: LoadedModel, name: str, prompt: Prompt, runs: int, tables: Tables) -> None:
    """Measure one case, and add its rows to the tables as soon as each is known."""
    token_ids: Any = model.tokenizer(prompt.text)["input_ids"]
    captured: list[Capture] = []

    def plain() -> object:
        return generate(model, [token_ids], prompt.max_new_tokens, prompt.generation)

    def weights() -> object:
        captured[:] = [capture_with(model, prompt, NothingCollector)]
        return captured

    ways = {"generate": plain, "weights": weights, "capture": lambda: capture(model, prompt)}
    costs = [{way: weigh(model, action) for way, action in ways.items()} for _ in range(runs)]
    case = (name, f"{captured[0].num_prompt_tokens:,} + {captured[0].num_generated_tokens}")
    for way in ways:
        seconds, device = (
            statistics.median(getattr(cost[way], key) for cost in costs) for key in ("seconds", "device")
        )
        ratio = statistics.median(cost[way].seconds / cost["generate"].seconds for cost in costs)
        host = max(cost[way].host for cost in costs)
        on_device = f"{device:.2f}" if model.network.device.type == "cuda" else "–"
        tables.costs.append((*case, way, f"{seconds:.2f}", f"{ratio:.2f}", on_device, f"{host:.2f}"))
    differences = (f"{difference:.1e}" for difference in compare_with_eager(model, captured[0]))
    tables.equality.append((*case, captured[0].strategy, *differences, str(captured[0].triangles.dtype)))
    captured.clear()
    tables.drawing.append((*case, *draw_beside(model, prompt, len(token_ids) + prompt.max_new_tokens, runs)))


def weigh(model: LoadedModel, action: Callable[[], object]) -> Cost:
    """Return what an action costs; what it returns is held until then."""
    free_memory()
    device = model.network.device
    is_gpu = device.type == "cuda"
    before = torch.cuda.memory_allocated(device) if is_gpu else 0
    if is_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    with Memory() as memory:
        seconds, kept = clock(action, device)
    del kept
    peak = torch.cuda.max_memory_allocated(device) - before if is_gpu else float("nan")
    return Cost(seconds, peak / 1e9, memory.peak / 1e9)


def clock(action: Callable[[], Any], device: torch.device | None = None) -> tuple[float, Any]:
    """Return the seconds of an action and its result; it ends when a given GPU is done."""
    synchronize = torch.cuda.synchronize if device is not None and device.type == "cuda" else lambda _: None
    synchronize(device)
    start = time.perf_counter()
    result = action()
    synchronize(device)
    return time.perf_counter() - start, result


def compare_with_eager(model: LoadedModel, captured: Capture) -> tuple[float, float, float]:
    """Return differences of the captured weights from eager attention: largest of the first layer, of all, mean of all.

    Weights of a layer are compared when it returns them, because those of all layers of a long text do not fit.

    Args:
        model: the model of the capture.
        captured: capture of all layers and heads.
    """
    network, token_ids = model.network, [token.token_id for token in captured.tokens]
    read = dict.fromkeys(captured.layers, 0)
    largest, total = dict.fromkeys(captured.layers, 0.0), 0.0

    def compare(layer: int, weights: torch.Tensor) -> None:
        nonlocal total
        first, last = read[layer], read[layer] + weights.shape[2]
        read[layer] = last
        # Row by row, the weights of keys up to the query: the order in which a capture keeps them.
        seen = torch.ones(weights.shape[2:], dtype=torch.bool, device=weights.device).tril(first)
        cells = slice(captured.row(first).start, captured.row(last - 1).stop)
        expected = dequantize_sqrt(captured.triangles[captured.layers.index(layer), :, cells])
        difference = (weights[0][:, seen].float() - torch.from_numpy(expected).to(weights.device)).abs()
        largest[layer] = max(largest[layer], float(difference.max()))
        total += float(difference.sum(dtype=torch.float64))

    # ``generate`` does not read its last token: with one more, it reads all of the text.
    following = [*token_ids, 0]
    steps = len(following) - captured.num_prompt_tokens
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(using(network, "eager"))
        stack.enter_context(generating(network, GenerationConfig(pad_token_id=0)))
        for layer, module in find_attention(network):
            stack.callback(watch_weights(module, lambda weights, layer=layer: compare(layer, weights)))
        network.generate(  # pyright: ignore[reportCallIssue]
            **make_prompts(network, [token_ids[: captured.num_prompt_tokens]], 0),
            max_new_tokens=steps,
            prefix_allowed_tokens_fn=lambda _, ids: [following[len(ids)]],
        )
    if set(read.values()) != {len(token_ids)}:
        raise ValueError(f"eager attention read {set(read.values())} positions and not {len(token_ids)}")
    return largest[captured.layers[0]], max(largest.values()), total / captured.triangles.size


def watch_weights(module: nn.Module, see: Callable[[torch.Tensor], None]) -> Callable[[], None]:
    """Show the weights that an attention module returns, ``[batch, head, query_pos, key_pos]``; return how to stop."""
    return module.register_forward_hook(lambda _, __, output: see(output[1])).remove


def draw_beside(model: LoadedModel, prompt: Prompt, length: int, runs: int) -> tuple[str, ...]:
    """Return the columns of a page that is drawn alone and beside a capture."""
    cells = count_cells(length)
    num_heads = max(1, min(model.info.num_heads, DRAWN_CELLS // cells))
    num_layers = max(1, min(model.info.num_layers, DRAWN_CELLS // (cells * num_heads)))
    layers, heads = Selection(((-num_layers, -1),)), Selection(((0, num_heads - 1),))
    some, device = replace(prompt, layers=layers, heads=heads), model.network.device
    captured, size = capture(model, some), 0.0
    rows: list[tuple[float, ...]] = []
    with ThreadPoolExecutor(1) as pool:
        for _ in range(runs):
            drawing, page = clock(lambda: draw_page(captured, WHOLE))
            size = len(page.html.encode()) / 1e6
            capturing, _ = clock(lambda: capture(model, some), device)
            # Drawing does not wait for the GPU, on which the capture is busy.
            drawn = pool.submit(clock, lambda: draw_page(captured, WHOLE))
            beside, _ = clock(lambda: capture(model, some), device)
            rows.append((drawing, drawn.result()[0], capturing, beside))
    medians = (f"{statistics.median(column):.2f}" for column in zip(*rows, strict=True))
    return f"{num_layers} × {num_heads}", f"{size:.1f}", *medians


if __name__ == "__main__":
    main()
