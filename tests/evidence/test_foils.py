"""Foils: every effect on the written token against one that was not written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import make_network, without_head
from oracle import define_effects, run_exactly
from tiny import make_gpt2, make_llama, make_tokenizer

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.evidence.kinds.attribution import Attribution, list_foil_rows
from reportgen.evidence.opening import find_opening
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.pages.data_tables import make_tables
from reportgen.prompts.prompt_file import load_prompts
from reportgen.records import Foil, Prompt
from reportgen.records.errors import PromptError, PromptFileError

FOILS: tuple[Foil | str, ...] = ("x", Foil("q", 2), "e")
PROMPT = Prompt(text="The cat ate the rat. The cat sat", max_new_tokens=4, foils=FOILS)


def run(network: Any, prompt: Prompt = PROMPT) -> Capture:
    return capture(wrap_model(network, make_tokenizer(), name="tiny"), prompt)


def attribution_of(made: Capture) -> Attribution:
    assert made.evidence.attribution is not None, made.evidence.missing
    return made.evidence.attribution


def logits_of(network: Any, made: Capture) -> np.ndarray:
    """Return the logits of a plain pass at the steps, in float64."""
    ids = torch.tensor([[token.token_id for token in made.tokens]])
    with torch.inference_mode():
        return network(ids).logits[0, made.num_prompt_tokens - 1 : -1].double().numpy()


def written_of(made: Capture, step: int) -> int:
    return made.tokens[made.num_prompt_tokens + step].token_id


def rows_of(made: Capture, table: str) -> list[dict[str, Any]]:
    columns = make_tables(made)[table]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "gpt_oss", "bloom", "falcon", "cohere", "granite"])
def test_parts_add_up_to_the_difference_of_the_logits(family: str) -> None:
    """Before a soft cap, as the model's own logits differ; nothing at the steps that a foil is not for."""
    network = make_network(family)
    made = run(network)
    found, logits = attribution_of(made), logits_of(network, made)
    if (cap := getattr(network.config, "final_logit_softcapping", None)) is not None:
        logits = cap * np.arctanh(logits / cap)
    assert [(foil.step, foil.token.text) for foil in made.measured_foils] == [(0, "x"), (2, "q"), (0, "e")]
    for number, foil in enumerate(made.measured_foils):
        contrast = found.foil_contrast(number)
        others = [step for step in range(len(made.steps)) if step != foil.step]
        assert np.isnan(found.heads[contrast, others]).all()
        assert np.isnan(found.logits[contrast, others]).all()
        expected = logits[foil.step, written_of(made, foil.step)] - logits[foil.step, foil.token.token_id]
        parts = found.heads[contrast, foil.step].sum(dtype=float) + found.other_parts[contrast, foil.step].sum()
        parts += found.embedding[contrast, foil.step] + found.biases[contrast, foil.step]
        assert parts + found.rounding[contrast, foil.step] == pytest.approx(expected, rel=2e-3, abs=2e-3)
        assert found.read is not None
        assert found.sources is not None
        cells = list_foil_rows(made)[number]
        attention = found.heads[contrast, foil.step].sum(dtype=float)
        assert found.read[cells].sum(dtype=float) == pytest.approx(attention, rel=1e-4, abs=1e-4)
        by_head = found.sources[:, :, cells].sum(2, dtype=float)
        assert by_head == pytest.approx(found.heads[contrast, foil.step], rel=1e-3, abs=1e-3)


def test_effects_by_head_mlp_and_token_read_are_those_of_float64(smollm2: LoadedModel) -> None:
    text = "When Mary and John went to the store, John gave a drink to"
    made = capture(smollm2, Prompt(text=text, max_new_tokens=2, foils=(" John", Foil(" and", 1))))
    exact = run_exactly(smollm2.network, [token.token_id for token in made.tokens])
    found = attribution_of(made)
    assert found.sources is not None
    for number, foil in enumerate(made.measured_foils):
        query_pos, contrast = made.query_pos_of_step(foil.step), found.foil_contrast(number)
        expected = define_effects(exact, query_pos, written_of(made, foil.step), foil.token.token_id)
        assert found.sources[:, :, list_foil_rows(made)[number]] == pytest.approx(expected["sources"], abs=3e-4)
        assert found.heads[contrast, foil.step] == pytest.approx(expected["sources"].sum(-1), abs=3e-4)
        assert found.other_parts[contrast, foil.step] == pytest.approx(expected["other_parts"], abs=3e-4)
        logprobs = exact.logits[query_pos] - np.logaddexp.reduce(exact.logits[query_pos])
        assert foil.logprob == pytest.approx(logprobs[foil.token.token_id], abs=1e-4)
        assert foil.rank == 1 + (logprobs > logprobs[foil.token.token_id]).sum()
    lens = made.evidence.lens
    assert lens is not None
    over = lens.logprobs[:, 0] - lens.foil_logprobs[:, 0]
    unembedding = smollm2.network.get_output_embeddings().weight.detach().double()
    norm: Any = exact.network.get_submodule("model.norm")
    for layer in range(len(lens.layers) - 1):
        resid = torch.from_numpy(exact.resid[layer + 1][made.query_pos_of_step(0)])
        logits = (norm(resid) @ unembedding.T).detach()
        expected = float(logits[written_of(made, 0)] - logits[made.measured_foils[0].token.token_id])
        assert over[layer] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("method", ["ablation", "mean-ablation"])
@pytest.mark.parametrize("make", [make_llama, make_gpt2])
def test_ablation_against_a_foil_equals_a_loop_of_passes(make: Any, method: str) -> None:
    network = make()
    made = run(network, replace(PROMPT, evidence=(method,)))
    changes = made.evidence.foil_ablations[method]
    projections = [
        module for name, module in network.named_modules() if name.endswith(("self_attn.o_proj", "attn.c_proj"))
    ]
    usual = logits_of(network, made)
    for layer, projection in enumerate(projections):
        for head in made.heads:
            with without_head(projection, head, len(made.heads), method):
                without = logits_of(network, made)
            for number, foil in enumerate(made.measured_foils):
                pair = [written_of(made, foil.step), foil.token.token_id]
                before, after = (float(-np.diff(logits[foil.step, pair])[0]) for logits in (usual, without))
                assert changes[number, foil.step, layer, head] == pytest.approx(after - before, abs=2e-4)
    others = [step for step in range(4) if step != made.measured_foils[0].step]
    assert np.isnan(changes[0, others]).all()


def test_a_page_opens_on_the_step_and_the_head_of_the_first_foil() -> None:
    made = run(make_llama(), replace(PROMPT, foils=(Foil("q", 2), "x")))
    opening, found = find_opening(made), attribution_of(made)
    assert found.sources is not None
    effects = found.sources[:, :, list_foil_rows(made)[0]].copy()
    effects[:, :, [0, -1]] = -np.inf  # the first token, and the position that predicts
    effects[:, :, made.num_prompt_tokens :] = -np.inf
    layer, head, key_pos = np.unravel_index(effects.argmax(), effects.shape)
    assert effects.max() > 0
    assert (opening.step, opening.layer, opening.head, opening.key_pos) == (2, layer, head, key_pos)


def test_a_foil_that_was_written_or_has_no_step_is_not_measured() -> None:
    made = run(make_llama(1), replace(PROMPT, foils=("-", "x")))
    assert made.tokens[made.num_prompt_tokens].text == "-"
    assert [foil.missing for foil in made.foils] == ["it is what the model wrote", ""]
    assert made.foils[0].rank == 1
    assert [foil.token.text for foil in made.measured_foils] == ["x"]
    alone = run(make_llama(1), replace(PROMPT, foils=("x",)))
    assert len(attribution_of(made).heads) == len(attribution_of(alone).heads)
    network: Any = make_llama(1)
    network.generation_config.eos_token_id = made.tokens[made.num_prompt_tokens + 1].token_id
    ended = run(network, replace(PROMPT, foils=(Foil("x", 3),)))
    assert [(foil.missing, foil.logprob) for foil in ended.foils] == [("the text ends before token 4", None)]
    assert not ended.measured_foils


def test_tables_have_the_same_numbers_and_add_up() -> None:
    made = run(make_llama(), replace(PROMPT, evidence=("ablation",)))
    found = attribution_of(made)
    rows = [row for row in rows_of(made, "attribution") if row["against"] == "foil" and row["against_text"] == "e"]
    assert {row["step"] for row in rows} == {0}
    parts = [row["logit"] for row in rows if row["part"] != "all"]
    assert sum(parts) == pytest.approx(found.logits[found.foil_contrast(2), 0], abs=1e-4)
    read = [row for row in rows_of(made, "attribution") if row["against"] == "foil, by token read"]
    assert [row["key_pos"] for row in read if row["against_text"] == "q"] == list(range(made.num_prompt_tokens + 2))
    assert [(row["step"], row["text"], row["missing"]) for row in rows_of(made, "foils")] == [
        (0, "x", None), (2, "q", None), (0, "e", None),
    ]  # fmt: skip
    ablated = [row for row in rows_of(made, "foil-ablation") if row["against_text"] == "q"]
    assert [row["logit_change"] for row in ablated] == pytest.approx(
        made.evidence.foil_ablations["ablation"][1, 2].ravel().tolist()
    )
    lens = [row for row in rows_of(made, "lens") if row["against_text"] == "x" and row["layer"] == 2]
    foil = made.measured_foils[0]
    assert foil.logprob is not None
    assert lens[0]["logit_difference"] == pytest.approx(made.steps[0].raw.logprob - foil.logprob, abs=1e-4)


def test_a_capture_with_foils_survives_its_file(tmp_path: Path) -> None:
    made = run(make_llama(), replace(PROMPT, evidence=("ablation",)))
    made.save(tmp_path / "made.safetensors")
    assert Capture.load(tmp_path / "made.safetensors") == made


def test_the_first_window_shows_what_is_over_the_foil() -> None:
    from reportgen.pages.page import make_page_context, render_page

    made = run(make_llama())
    found, context = attribution_of(made), make_page_context(made)
    assert next(iter(context.contrasts)) == "foil-1"
    assert {f"foil-{n}" for n in (1, 2, 3)} < context.contrasts.keys()
    claim = "".join(part if isinstance(part, str) else str(part[1]) for part in context.answer["claim"])
    foil = made.measured_foils[0]
    assert foil.logprob is not None
    assert f"Its foil x has {100 * np.exp(foil.logprob):.1f}"[:16] in claim
    assert " over x." in claim
    heads = context.panels["heads"]
    assert heads is not None
    layer = made.layers.index(context.opening.layer)
    expected = found.heads[found.foil_contrast(0), 0, layer]
    assert [note.effect for note in heads.notes] == [f"{value:+.1f}".replace("-", "−") if abs(value) >= 0.05 else "0.0"
                                                    for value in expected]  # fmt: skip
    assert "over <bdi" in render_page(made)


def test_a_foil_is_one_token_of_the_model(smollm2: LoadedModel) -> None:
    with pytest.raises(PromptError) as error:
        capture(smollm2, Prompt(text="Hello", max_new_tokens=1, foils=(" Johnathan's",)))
    assert str(error.value) == (
        "prompt: the foil \" Johnathan's\" must be one token of smollm2-135m, and is 3: ' John', 'athan', \"'s\"; "
        "write one of its tokens, with its leading space"
    )
    made = capture(smollm2, Prompt(text="Hello", max_new_tokens=1, foils=("\n", "<|im_end|>", "Hello", " Hello")))
    assert [foil.token.text for foil in made.foils] == ["\n", "<|im_end|>", "Hello", " Hello"]


def test_wrong_foils_are_refused() -> None:
    for foils, says in {
        (Foil("x", 4),): "the foil 'x' is for step 4, and the last step is 3; lower its step or raise max_new_tokens",
        ("",): "foils[1].token is empty; write something or leave the key out",
        ("x", Foil("x")): "foils names 'x' twice for one step; keep one",
        (Foil("x", -1),): "foils[1].step must be greater than or equal to 0, got the number -1",
    }.items():
        with pytest.raises(PromptError) as error:
            replace(PROMPT, foils=foils)
        assert says in str(error.value)


def test_mistakes_of_a_file_are_told_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text(
        """\
- text: a
  max_new_tokens: 2
  foils: [x, {token: y, step: 4}]
- text: a
  foils:
    - {tokn: y}
- text: a
  foils: x
""",
        encoding="utf-8",
    )
    with pytest.raises(PromptFileError) as error:
        load_prompts(path)
    assert str(error.value).replace(f"{path}:", "").splitlines() == [
        "3: prompt 1: the foil 'y' is for step 4, and the last step is 1; lower its step or raise max_new_tokens",
        "6: foils[1] of prompt 2 lacks the key 'token'; add it",
        "6: unknown key 'tokn' in foils[1] of prompt 2; did you mean 'token'?",
        "8: foils of prompt 3 must be a list, got the text 'x'; write [x]",
    ]
