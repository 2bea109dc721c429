"""What can be measured on each family of models, by running a tiny network of each.

    python docs/tools/families.py            print the page
    python docs/tools/families.py --write    put it into docs/families.md

Networks are those of tests/families.py: random, seeded, with norms and biases away from 1 and 0. All of them take
about twenty seconds.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import numpy as np

if TYPE_CHECKING:
    from reportgen import Capture
    from reportgen.evidence.kinds.attribution import Attribution

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "families.md"
sys.path.insert(0, str(ROOT / "tests"))

# ruff: noqa: E501 (a row of a Markdown table is one line)
HEAD = """# Families of models

{captured} of the {all} causal architectures of transformers {version} are captured; {refused} are refused by name{unbuilt}.

`python docs/tools/families.py --write` makes this page from one tiny random network of each family
(`tests/families.py`). Norms and biases of these networks differ from 1 and 0, so that a missing part would show. A test
compares the weights of each captured family with those that transformers returns: every night for all families, and in
`make test` for one of each kind. *Sum* is the largest difference between the sum of an attribution's parts and the
logit of the network, relative to the largest part, over four steps. If it is over 1e-3, a page does not show the
attribution. *yes* is measured and checked by a test. Other entries give the reason, as the page does.

## Captured

*Special*: *decoder alone* means that the model with its encoder is refused. `is_decoder` means that a model whose config
does not set it is refused as an encoder. *text alone* means that only the text part is captured of a model that also
processes images or sound. *Run* is what the numbers are of: *one pass* is the generation itself, *second pass* a pass
over the whole text after it.

| `model_type` | class | layers with attention | special | run | head scores | weight × value | attribution | sum | logit lens | ablation |
|---|---|---|---|---|---|---|---|---|---|---|
"""
REFUSED = """
## Refused

| `model_type` | class | refused when | reason |
|---|---|---|---|
"""
UNBUILT = """
## Not measured

| `model_type` | class | reason |
|---|---|---|
"""


class State(NamedTuple):
    """What became of one family.

    Attributes:
        row: of the table that it belongs to, without ``model_type``.
        kind: ``captured``, ``refused``, or ``unbuilt`` where the network cannot be made.
    """

    kind: str
    row: tuple[str, ...]


def make_page() -> str:
    """Return the whole page."""
    from families import ALL

    return write_page({family: measure(family) for family in ALL})


def write_page(states: dict[str, State]) -> str:
    """Return the page of what became of each family."""
    import transformers

    counts = {kind: sum(state.kind == kind for state in states.values()) for kind in ("captured", "refused", "unbuilt")}
    unbuilt = (
        f", {counts['unbuilt']} could not be built on the machine that made this page" if counts["unbuilt"] else ""
    )
    head = HEAD.format(**{**counts, "unbuilt": unbuilt}, all=len(states), version=transformers.__version__)
    tables = {"captured": head, "refused": REFUSED, "unbuilt": UNBUILT}
    return "".join(
        table + "".join(line(family, state) for family, state in sorted(states.items()) if state.kind == kind)
        for kind, table in tables.items()
        if counts[kind]
    )


def line(family: str, state: State) -> str:
    """Return a row as the page holds it."""
    return f"| `{family}` | {' | '.join(state.row)} |\n"


def measure(family: str) -> State:
    """Run the network of one family, and return what became of it; what cannot be told by name is raised."""
    from families import captured, make_config

    from reportgen.models.config import architecture_of, check_attention
    from reportgen.records.errors import CaptureMismatch, UnsupportedModel

    config = make_config(family)
    architecture = architecture_of(config)
    try:
        check_attention(config, family)
    except UnsupportedModel as error:
        return State("refused", (architecture, "its config is read", reason_of_refusal(error)))
    try:
        return State("captured", describe(family, captured(family)))
    except ImportError as error:
        return State("unbuilt", (architecture, first_sentence(error)))
    except (UnsupportedModel, CaptureMismatch) as error:
        return State("refused", (architecture, "a prompt runs", reason_of_refusal(error)))


def describe(family: str, capture: Capture) -> tuple[str, ...]:
    """Return the row of a family that is captured."""
    evidence = capture.evidence
    found = evidence.attribution
    return (
        capture.model.architecture,
        f"{len(capture.layers)} of {capture.model.num_layers}",
        ", ".join(special(family)),
        capture.strategy,
        "yes" if evidence.scores else "no",
        "yes" if evidence.value_norms is not None else reason(evidence.missing["value_norms"]),
        "yes" + (", before the soft cap" if found.note else "") if found else reason(evidence.missing["attribution"]),
        f"{magnitude(measure_residual(found))}" if found else "",
        "yes" if evidence.lens else reason(evidence.missing["lens"]),
        "yes" if evidence.ablations else reason(evidence.missing["ablations"]),
    )


def special(family: str) -> list[str]:
    """Return what a reader should know of a family before he takes its row for that of his checkpoint."""
    from families import make_config
    from transformers import AutoConfig

    default, made, labels = AutoConfig.for_model(family), make_config(family), []
    if default.is_encoder_decoder and not made.is_encoder_decoder:
        labels.append("decoder alone")
    elif getattr(default, "is_decoder", None) is False and made.is_decoder:
        labels.append("`is_decoder`")
    if {"vision_config", "audio_config", "vq_config"} & set(made.sub_configs):
        labels.append("text alone")
    return labels


def reason_of_refusal(error: Exception) -> str:
    """Return why, without the name of the class, which stands in the row, and without advice."""
    message = str(error).partition("; ")[0]
    return re.sub(r"^(model '.*?': \w+ is |\w+: )", "", message)


def first_sentence(error: Exception) -> str:
    """Return the first line of a library's error that says something."""
    return next(text.strip().partition(" but ")[0] for text in str(error).splitlines() if text.strip())


def reason(missing: str) -> str:
    """Return why, without the name of the class, which stands in the row."""
    return f"no: {missing.partition(': ')[2]}"


def measure_residual(found: Attribution) -> float:
    """Return how far the parts of the worst step are from the logit, relative to the largest logit."""
    return float(np.abs(found.rounding).max() / np.abs(found.logits).max())


def magnitude(residual: float) -> str:
    """Return a bound that does not change with the processor's rounding."""
    return next(f"< {bound:.0e}".replace("e-0", "e-") for bound in (1e-5, 1e-4, 1e-3, 1) if residual < bound)


@click.command()
@click.option("--write", is_flag=True, help="Write docs/families.md instead of printing.")
def main(write: bool) -> None:
    """Make the page."""
    import torch

    torch.set_num_threads(1)  # networks as small as these only wait for a second one
    if write:
        PAGE.write_text(make_page(), "utf-8")
    else:
        click.echo(make_page())


if __name__ == "__main__":
    main()
