"""Does the induction score find heads that matter? Random tokens said twice, every head taken out in turn.

    python benchmarks/induction.py

Prints the heads with the largest induction scores on the bundled model, what taking each out does to the mean
log-probability of the second half's tokens, and the same for the median head.
"""

from __future__ import annotations

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from timing import describe_run

from reportgen import Capture, Prompt, capture, load_model
from reportgen.evidence.collectors.ablation import Ablator
from reportgen.models.model import LoadedModel

NUM_TOKENS = 24
STRONGEST = 5


@click.command()
@click.option("--seed", default=0, show_default=True)
def main(seed: int) -> None:
    """Measure and print a table."""
    model = load_model("smollm2-135m", device="cpu")
    captured = capture_repeated(model, seed)
    tokens = [token.token_id for token in captured.tokens[: captured.num_prompt_tokens]]
    rows = slice(len(tokens) // 2, len(tokens) - 1)
    projections = {number: block.self_attn.o_proj for number, block in enumerate(model.network.model.layers)}
    with torch.inference_mode():
        ablator = Ablator(model.network, tokens, rows, None, None)
        changes = ablator.ablate(projections, captured.heads, len(captured.heads), "ablation", lambda *_: None).mean(0)
    induction = captured.evidence.scores["induction"]
    ranks = changes.ravel().argsort().argsort().reshape(changes.shape)
    table = Table("head", "induction", "change of log-probability", "rank among ablations")
    for layer, head in list_strongest(captured):
        score, change = induction[layer, head], changes[layer, head]
        table.add_row(
            f"L{layer} H{head}", f"{score:.3f}", f"{change:+.3f}", f"{ranks[layer, head] + 1} of {ranks.size}"
        )
    table.add_row("median of all", f"{np.nanmedian(induction):.3f}", f"{np.median(changes):+.3f}", "")
    Console().print(table)
    click.echo(describe_run())
    print(f"correlation of the two over all heads: {np.corrcoef(induction.ravel(), -changes.ravel())[0, 1]:.2f}")


def capture_repeated(model: LoadedModel, seed: int) -> Capture:
    """Return the capture of random tokens said twice."""
    token_ids = np.random.default_rng(seed).integers(1000, 40000, NUM_TOKENS).tolist()
    return capture(model, Prompt(text=str(model.tokenizer.decode(token_ids)) * 2, max_new_tokens=0))


def list_strongest(captured: Capture) -> list[tuple[int, int]]:
    """Return layer and head of the largest induction scores."""
    order = np.argsort(-captured.evidence.scores["induction"], axis=None)[:STRONGEST]
    return [divmod(int(place), len(captured.heads)) for place in order]


if __name__ == "__main__":
    main()
