"""The page of families is what the script measures today, and the weights of each are those of transformers."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import numpy as np
import pytest
import torch
from counts import FULL, count
from families import ALL, FAMILIES, OTHERS, captured, make_network
from root import ROOT

PAGE = (ROOT / "docs" / "families.md").read_text("utf-8")
ROWS = {row.split("`")[1]: row for row in PAGE.splitlines(keepends=True) if row.startswith("| `")}
"""By ``model_type``; the heads of the tables name no family."""
CAPTURED = [row.split("`")[1] for row in PAGE.partition("## Refused")[0].splitlines() if row.startswith("| `")][1:]

SAMPLE = ALL if FULL else sorted({*FAMILIES, *OTHERS})
"""Those that are measured; under ``REPORTGEN_TESTS=full`` all."""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """Return the script that writes the page."""
    spec = importlib.util.spec_from_file_location("families_script", ROOT / "docs" / "tools" / "families.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sample_is_as_large_as_it_is_said_to_be() -> None:
    assert len(SAMPLE) == count("model families")


def test_every_family_of_transformers_has_a_row() -> None:
    families = {name for name in ROWS if name != "model_type"}
    assert families == set(ALL), "run `python docs/tools/families.py --write` with this version of transformers"


def test_page_is_made_of_its_rows(script: ModuleType) -> None:
    """Its totals are those of its tables."""
    states, kind = {}, ""
    for row in PAGE.splitlines():
        kind = {"## Captured": "captured", "## Refused": "refused", "## Not measured": "unbuilt"}.get(row, kind)
        if row.startswith("| `") and "`model_type`" not in row:
            name, *cells = row.removeprefix("| ").removesuffix(" |").split(" | ")
            states[name.strip("`")] = script.State(kind, tuple(cells))
    assert script.write_page(states) == PAGE


@pytest.mark.parametrize("family", SAMPLE)
def test_documented_row_is_the_measured_one(script: ModuleType, family: str) -> None:
    assert ROWS[family] == script.line(family, script.measure(family))


@pytest.mark.parametrize("family", [family for family in SAMPLE if family in CAPTURED])
def test_weights_are_those_that_transformers_gives(family: str) -> None:
    """Of a plain pass over the same tokens, in which nothing is hooked; so are the tokens that were generated."""
    network = make_network(family)
    made = captured(family)
    assert max(step.logprob_drift for step in made.steps) < 2e-2
    length = len(made.tokens)
    network.set_attn_implementation("eager")
    network.config._attn_implementation = "eager"  # Falcon looks here alone
    token_ids = torch.tensor([[token.token_id for token in made.tokens]])
    with torch.inference_mode():
        given = network(token_ids, output_attentions=True, use_cache=False).attentions
    # Layers without attention give nothing, or what they remember, which has another shape.
    expected = [weights[0] for weights in given if weights is not None and weights.shape[-2:] == (length, length)]
    rows, columns = torch.tril_indices(length, length)
    assert len(expected) == len(made.layers) > 0
    for place, weights in enumerate(expected):
        found = torch.from_numpy(made.triangles[place].astype(np.float32))
        torch.testing.assert_close(found, weights[:, rows, columns].float(), atol=1e-3, rtol=0)
        assert not weights.triu(1).any()


def test_refusals_name_a_reason() -> None:
    """Not the error of a library that was not foreseen."""
    assert not re.search(r"the run failed|Error", PAGE.partition("## Refused")[2])
