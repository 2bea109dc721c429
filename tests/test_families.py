"""The page of families is what the script measures today, and the weights of each are those of transformers."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from families import ALL, FAMILIES, make_network
from tiny import make_tokenizer

from reportgen.captures.capture import capture
from reportgen.models.model import wrap_model
from reportgen.records import Prompt

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "families.md").read_text("utf-8")
ROWS = {row.split("`")[1]: row for row in PAGE.splitlines(keepends=True) if row.startswith("| `")}
"""By ``model_type``; the heads of the tables name no family."""
CAPTURED = [row.split("`")[1] for row in PAGE.partition("## Refused")[0].splitlines() if row.startswith("| `")][1:]

OTHERS = (
    "axk2", "bamba", "bart", "bert", "cpmant", "dbrx", "deepseek_v4", "dory", "falcon_h1", "gemma3", "gemma4",
    "gemma4_assistant", "glm_moe_dsa", "hy_v4", "inkling2_text", "kimi_linear", "longcat_flash", "mamba2",
    "mimo_v2_flash", "minicpm3", "minimax", "mllama", "modernbert-decoder", "moshi", "musicgen", "nemotron_h",
    "openai-gpt", "phi4_multimodal", "prophetnet", "qwen4_exp", "recurrent_gemma", "reformer", "roberta", "xlm",
    "xlnet", "zamba2",
)  # fmt: skip
"""Of those that are not written out, one of each kind."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks as small as these only wait for a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """Return the script that writes the page."""
    spec = importlib.util.spec_from_file_location("families_script", ROOT / "scripts" / "families.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_family_of_transformers_has_a_row() -> None:
    families = {name for name in ROWS if name != "model_type"}
    assert families == set(ALL), "run `python scripts/families.py --write` with this version of transformers"


def test_page_is_made_of_its_rows(script: ModuleType) -> None:
    """Its totals are those of its tables."""
    states, kind = {}, ""
    for row in PAGE.splitlines():
        kind = {"## Captured": "captured", "## Refused": "refused", "## Not measured": "unbuilt"}.get(row, kind)
        if row.startswith("| `") and "`model_type`" not in row:
            name, *cells = row.removeprefix("| ").removesuffix(" |").split(" | ")
            states[name.strip("`")] = script.State(kind, tuple(cells))
    assert script.write_page(states) == PAGE


@pytest.mark.parametrize("family", sorted({*FAMILIES, *OTHERS}))
def test_documented_row_is_the_measured_one(script: ModuleType, family: str) -> None:
    assert ROWS[family] == script.line(family, script.measure(family))


@pytest.mark.parametrize("family", CAPTURED)
def test_weights_are_those_that_transformers_gives(family: str) -> None:
    """Of a plain pass over the same tokens, in which nothing is hooked; so are the tokens that were generated."""
    network = make_network(family)
    captured = capture(wrap_model(network, make_tokenizer(), name=family), Prompt(text="The cat ate", max_new_tokens=4))
    assert max(step.replay_difference for step in captured.steps) < 2e-2
    length = len(captured.tokens)
    network.set_attn_implementation("eager")
    network.config._attn_implementation = "eager"  # Falcon looks here alone
    token_ids = torch.tensor([[token.token_id for token in captured.tokens]])
    with torch.inference_mode():
        given = network(token_ids, output_attentions=True, use_cache=False).attentions
    # Layers without attention give nothing, or what they remember, which has another shape.
    expected = [weights[0] for weights in given if weights is not None and weights.shape[-2:] == (length, length)]
    rows, columns = torch.tril_indices(length, length)
    assert len(expected) == len(captured.layers) > 0
    for place, weights in enumerate(expected):
        found = torch.from_numpy(captured.triangles[place]).float()
        torch.testing.assert_close(found, weights[:, rows, columns].float(), atol=1e-3, rtol=0)
        assert not weights.triu(1).any()


def test_refusals_name_a_reason() -> None:
    """Not the error of a library that was not foreseen."""
    assert not re.search(r"the run failed|Error", PAGE.partition("## Refused")[2])
