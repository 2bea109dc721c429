"""The logit lens: the last layer is the model itself, earlier ones are its end on an earlier stream."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from families import FAMILIES, make_network
from tiny import make_llama, make_tokenizer

from reportgen.captures.capture import capture
from reportgen.captures.record import Capture
from reportgen.evidence import lens as lens_module
from reportgen.evidence.record import Lens
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.records import Prompt

PROMPT = Prompt(text="The cat ate", max_new_tokens=4)


def lens_of(captured: Capture) -> Lens:
    assert captured.evidence.lens is not None, captured.evidence.missing
    return captured.evidence.lens


@pytest.mark.parametrize("family", [*sorted(FAMILIES), "gemma3", "gemma4_unified", "phi4_multimodal"])
def test_last_layer_is_the_models_own_distribution(family: str) -> None:
    captured = capture(wrap_model(make_network(family), make_tokenizer(), name="tiny"), PROMPT)
    lens = lens_of(captured)
    assert lens.logprobs[-1] == pytest.approx([step.raw.logprob for step in captured.steps], abs=1e-4)
    assert lens.ranks[-1].tolist() == [step.raw.rank for step in captured.steps]
    best = [step.raw.alternatives[0] for step in captured.steps]
    assert [token.token_id for token in lens.best[-1]] == [token.token_id for token, _ in best]
    assert lens.best_logprobs[-1] == pytest.approx([logprob for _, logprob in best], abs=1e-4)


@pytest.mark.parametrize("family", ["bert", "bart", "rembert", "trocr"])
def test_ends_that_are_more_than_norm_and_unembedding_are_refused(family: str) -> None:
    """BERT has a layer of its own between the two, BART and TrOCR no norm behind their layers but one before them."""
    captured = capture(wrap_model(make_network(family), make_tokenizer(), name="tiny"), PROMPT)
    assert captured.evidence.lens is None
    assert captured.evidence.missing["lens"].endswith("what its unembedding reads is not the normed residual stream")


def test_every_layer_goes_through_the_models_end_once(tiny_llama: LoadedModel) -> None:
    captured = capture(tiny_llama, PROMPT)
    lens = lens_of(captured)
    network = make_llama()
    ids = torch.tensor([[token.token_id for token in captured.tokens]])
    with torch.inference_mode():
        hidden = network(ids, output_hidden_states=True).hidden_states
        for layer in (0, 1):  # transformers norms the last one itself
            rows = hidden[layer + 1][0, captured.num_prompt_tokens - 1 : -1]
            logprobs = network.lm_head(network.model.norm(rows)).log_softmax(-1)
            for step, row in enumerate(logprobs):
                chosen = captured.tokens[captured.num_prompt_tokens + step].token_id
                assert lens.logprobs[layer, step] == pytest.approx(float(row[chosen]), abs=1e-4)
                assert lens.ranks[layer, step] == int((row > row[chosen]).sum())
                assert lens.best[layer][step].token_id == int(row.argmax())
                assert lens.best_logprobs[layer, step] == pytest.approx(float(row.max()), abs=1e-4)


@pytest.mark.parametrize("size", [1, 7, 64, 259, 1000])
def test_vocabulary_may_be_read_in_parts(tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    whole = lens_of(capture(tiny_llama, PROMPT))
    monkeypatch.setattr(lens_module, "_VOCABULARY", size)
    parts = lens_of(capture(tiny_llama, PROMPT))
    assert np.allclose(parts.logprobs, whole.logprobs, atol=1e-5)
    assert np.array_equal(parts.ranks, whole.ranks)
    assert parts.best == whole.best


def test_all_layers_are_read_whichever_are_selected(tiny_llama: LoadedModel) -> None:
    from reportgen.selection import parse_selection

    assert lens_of(capture(tiny_llama, replace(PROMPT, layers=parse_selection("1")))).layers == (0, 1, 2)


def test_chosen_token_never_outranks_itself(smollm2: LoadedModel) -> None:
    """Its logit is worked out twice, alone and among all; rounding must not tell."""
    captured = capture(smollm2, Prompt(text="The cat ate the mat. And then sat on a rat.", max_new_tokens=8))
    lens = lens_of(captured)
    assert lens.ranks[-1].tolist() == [0] * 8
    firsts = lens.ranks == 0
    assert np.array_equal(lens.logprobs[firsts], lens.best_logprobs[firsts])
