"""What can be measured on each family of models, by running a tiny network of each.

    python scripts/families.py            print the table
    python scripts/families.py --write    put it into docs/families.md

Networks are those of tests/families.py: random, seeded, with norms and biases away from 1 and 0.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "families.md"
sys.path.insert(0, str(ROOT / "tests"))

# ruff: noqa: E501 (a row of a Markdown table is one line)
HEAD = """# Families of models

Made by `python scripts/families.py --write` from one tiny random network of each family (`tests/families.py`), with
norms and biases away from 1 and 0, so that a part that is left out would show. *Sum* is the largest distance of an
attribution's parts from the logit that the network gave, relative to the largest part, over four steps; over 1e-3 a page
withholds it. *yes* is measured and held by a test; everything else says why not, as the page does.

| `model_type` | class | layers with attention | head scores | weighted attention | attribution | sum | logit lens | ablation |
|---|---|---|---|---|---|---|---|---|
"""


def make_page() -> str:
    """Return the whole page."""
    from families import FAMILIES

    return HEAD + "".join(f"| {' | '.join(describe(family))} |\n" for family in sorted(FAMILIES))


def describe(family: str) -> list[str]:
    """Return the row of one family."""
    from families import make_network
    from tiny import make_tokenizer

    from reportgen import Prompt, capture, wrap_model

    network = make_network(family)
    model = wrap_model(network, make_tokenizer(), name=family)
    prompt = Prompt(text="The cat ate", max_new_tokens=4, evidence=("ablation",))
    captured = capture(model, prompt)
    evidence = captured.evidence
    layers = f"{len(captured.layers)} of {model.info.num_layers}"
    found = evidence.attribution
    return [
        f"`{family}`",
        type(network).__name__,
        layers,
        "yes" if evidence.scores else "no",
        "yes" if evidence.value_norms is not None else reason(evidence.missing["value_norms"]),
        "yes" + (", before the soft cap" if found.note else "") if found else reason(evidence.missing["attribution"]),
        f"{magnitude(float(found.residuals.max()))}" if found else "",
        "yes" if evidence.lens else reason(evidence.missing["lens"]),
        "yes" if evidence.ablations else reason(evidence.missing["ablations"]),
    ]


def reason(missing: str) -> str:
    """Return why, without the name of the class, which stands in the row."""
    return f"no: {missing.partition(': ')[2]}"


def magnitude(residual: float) -> str:
    """Return a bound that does not change with the processor's rounding."""
    return next(f"< {bound:.0e}".replace("e-0", "e-") for bound in (1e-5, 1e-4, 1e-3, 1) if residual < bound)


@click.command()
@click.option("--write", is_flag=True, help="Write docs/families.md instead of printing.")
def main(write: bool) -> None:
    """Make the page."""
    if write:
        PAGE.write_text(make_page(), "utf-8")
    else:
        click.echo(make_page())


if __name__ == "__main__":
    main()
