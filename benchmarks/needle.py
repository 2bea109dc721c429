"""Does the retrieval score find heads that matter? A code in a text of about 400 tokens, some heads taken out in turn.

    python benchmarks/needle.py

Prints the answer of the bundled model, the heads with the largest retrieval scores, what taking each out does to the
mean log-probability of the digits of the code as the model wrote them, and the same for the other heads that change it
most. Those were drawn by lot.
"""

from __future__ import annotations

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from timing import describe_run

from reportgen import Prompt, capture, load_model
from reportgen.evidence.collectors.ablation import Ablator

NEEDLE = "The code of the lighthouse is 4217."
QUESTION = "What is the code of the lighthouse?"
TEXT = (
    "The harbour lies at the end of a long road between two hills. In the morning the boats leave before the sun "
    "is up, and in the evening they come back with the tide. An old man sells bread and coffee from a cart near "
    "the church. He has done so for thirty years, and he knows the name of every sailor. Children play on the "
    "stone wall and throw shells into the water. When the wind comes from the north, nobody goes out, and the men "
    "mend their nets in the shade of the boathouse. Behind the market there is a small museum with maps, ropes "
    "and a ship in a bottle. Few visitors find it, because the sign fell down in a storm and was never put up "
    "again. {} The keeper of the museum is a woman of eighty. She tells the story of the great fire to anyone who "
    "asks, and to some who do not. After the fire the houses were built of stone, and the streets were made wide "
    "enough for two carts. In summer the town smells of fish, salt and warm tar. In winter it smells of smoke. "
    "There is one school, one doctor and one policeman, and they play cards together on Thursday nights. The "
    "railway came late and left early; now a bus stops twice a day in front of the post office. People wave to "
    "the driver, and he waves back. On the last Sunday of August there is a feast with music and lanterns, and "
    "everyone dances on the quay until the band is too tired to go on. The next day the tables are carried back "
    "into the houses, and the harbour is quiet again."
)
STRONGEST = 5


@click.command()
@click.option("--new-tokens", default=12, show_default=True)
@click.option("--others", default=40, show_default=True, help="Number of other heads to take out.")
@click.option("--seed", default=0, show_default=True)
def main(new_tokens: int, others: int, seed: int) -> None:
    """Measure and print a table."""
    model = load_model("smollm2-135m", device="cpu")
    messages = ({"role": "user", "content": f"{TEXT.format(NEEDLE)}\n\n{QUESTION}"},)
    spans = {"needle": NEEDLE, "question": QUESTION}
    captured = capture(model, Prompt(messages=messages, spans=spans, max_new_tokens=new_tokens))
    tokens = [token.token_id for token in captured.tokens]
    first = captured.num_prompt_tokens
    written = "".join(token.text for token in captured.tokens[first:])
    click.echo(f"{first} tokens; the model wrote {written!r}")
    retrieval = captured.evidence.scores["retrieval"]
    order = np.argsort(-retrieval, axis=None)
    drawn = np.random.default_rng(seed).choice(order[STRONGEST:], others, replace=False)
    wanted = np.zeros(retrieval.size, np.bool_)
    wanted[[*order[:STRONGEST], *drawn]] = True
    projections = {number: block.self_attn.o_proj for number, block in enumerate(model.network.model.layers)}
    with torch.inference_mode():
        ablator = Ablator(model.network, tokens, slice(first - 1, len(tokens) - 1), None, None)
        by_step = ablator.ablate(
            projections, captured.heads, len(captured.heads), "ablation", report, wanted.reshape(retrieval.shape)
        )
    digits = [step for step in range(len(captured.steps)) if captured.tokens[first + step].text.strip().isdigit()]
    changes = by_step[digits or slice(None)].mean(0).ravel()
    ranked = [int(place) for place in np.argsort(changes) if wanted[place]]
    table = Table("head", "retrieval", "change of log-probability", f"rank of {len(ranked)} ablations")
    for place in dict.fromkeys([*order[:STRONGEST].tolist(), *ranked[:STRONGEST]]):
        layer, head = divmod(place, len(captured.heads))
        numbers = f"{retrieval.flat[place]:.3f}", f"{changes[place]:+.3f}", str(ranked.index(place) + 1)
        table.add_row(f"L{layer} H{head}", *numbers)
    table.add_row("median", f"{np.median(retrieval):.3f}", f"{np.median(changes[ranked]):+.3f}", "")
    Console().print(table)
    click.echo(f"{len(digits)} tokens are digits; {describe_run()}")


def report(done: int, total: int, seconds: float) -> None:
    """Print how far the ablation is."""
    click.echo(f"{done} of {total} heads, {seconds:.0f} s left", err=True)


if __name__ == "__main__":
    main()
