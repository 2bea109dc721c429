"""The logit lens: the last layer is the model itself, earlier ones are its end on an earlier stream."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from families import FAMILIES, captured, make_network
from tiny import make_tokenizer

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.evidence.kinds.lens import Lens
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.records import Prompt

PROMPT = Prompt(text="The cat ate", max_new_tokens=4)


def lens_of(made: Capture) -> Lens:
    assert made.evidence.lens is not None, made.evidence.missing
    return made.evidence.lens


@pytest.mark.parametrize("family", [*sorted(FAMILIES), "gemma3", "gemma4_unified", "phi4_multimodal"])
def test_last_layer_is_the_models_own_distribution(family: str) -> None:
    made = captured(family)
    lens = lens_of(made)
    assert lens.logprobs[-1] == pytest.approx([step.raw.logprob for step in made.steps], abs=1e-4)
    assert lens.ranks[-1].tolist() == [step.raw.rank for step in made.steps]
    best = [step.raw.alternatives[0] for step in made.steps]
    assert [token.token_id for token in lens.best[-1]] == [token.token_id for token, _ in best]
    assert lens.best_logprobs[-1] == pytest.approx([logprob for _, logprob in best], abs=1e-4)


@pytest.mark.parametrize("family", ["bert", "bart", "rembert", "trocr"])
def test_ends_that_are_more_than_norm_and_unembedding_are_refused(family: str) -> None:
    """BERT has a layer of its own between the two, BART and TrOCR no norm behind their layers but one before them."""
    evidence = captured(family).evidence
    assert evidence.lens is None
    assert evidence.missing["lens"].endswith("the input of its unembedding is not the normed residual stream")


@pytest.mark.parametrize("num_tokens", [259, 2048, 2049, 5003])
def test_every_layer_goes_through_the_models_end_once(num_tokens: int) -> None:
    """Over vocabularies that are read at once, and in several parts of which the last is short."""
    network = make_network("llama", vocab_size=num_tokens, num_hidden_layers=3)
    made = capture(wrap_model(network, make_tokenizer(), name="tiny"), PROMPT)
    lens = lens_of(made)
    ids = torch.tensor([[token.token_id for token in made.tokens]])
    with torch.inference_mode():
        hidden = network(ids, output_hidden_states=True).hidden_states
        for layer in (0, 1):  # transformers norms the last one itself
            rows = hidden[layer + 1][0, made.num_prompt_tokens - 1 : -1]
            logprobs = network.lm_head(network.model.norm(rows)).log_softmax(-1)
            for step, row in enumerate(logprobs):
                chosen = made.tokens[made.num_prompt_tokens + step].token_id
                assert lens.logprobs[layer, step] == pytest.approx(float(row[chosen]), abs=1e-4)
                assert lens.ranks[layer, step] == 1 + int((row > row[chosen]).sum())
                assert lens.best[layer][step].token_id == int(row.argmax())
                assert lens.best_logprobs[layer, step] == pytest.approx(float(row.max()), abs=1e-4)


def test_all_layers_are_read_whichever_are_selected(tiny_llama: LoadedModel) -> None:
    from reportgen.records.selection import parse_selection

    assert lens_of(capture(tiny_llama, replace(PROMPT, layers=parse_selection("1")))).layers == (0, 1, 2)


def test_chosen_token_never_outranks_itself(smollm2: LoadedModel) -> None:
    """Its logit is worked out twice, alone and among all; rounding must not tell."""
    made = capture(smollm2, Prompt(text="The cat ate the mat. And then sat on a rat.", max_new_tokens=8))
    lens = lens_of(made)
    assert lens.ranks[-1].tolist() == [1] * 8
    firsts = lens.ranks == 1
    assert np.array_equal(lens.logprobs[firsts], lens.best_logprobs[firsts])
