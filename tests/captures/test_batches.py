"""Prompts that run side by side: which, and that each gets what it would get alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import make_network
from tiny import make_llama, make_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from reportgen.build.build import build_site
from reportgen.build.capture import capture, capture_in_turn
from reportgen.build.options import BuildOptions
from reportgen.captures.batches import make_batches
from reportgen.captures.record import Capture
from reportgen.captures.tokenization import encode_prompt
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.records import EncodedPrompt, Generation, Prompt, SourceLocation
from reportgen.records.errors import CaptureMismatch, PromptError, PromptTooLong, UnsupportedModel
from reportgen.records.selection import parse_selection

TEXTS = ("The cat ate", "A dog", "the rat and the cat sat", "x", "12 3 4 5 6")


def capture_all(model: LoadedModel, prompts: list[Prompt]) -> list[object]:
    """Return what becomes of prompts that run side by side."""
    return [*capture_in_turn(model, [encode_prompt(model, prompt) for prompt in prompts])]


def prompts_of(*lengths: int, **settings: object) -> list[Prompt]:
    return [Prompt(text="a" * length, max_new_tokens=5, **settings) for length in lengths]  # pyright: ignore


def lengths_of(batches: list[list[EncodedPrompt]]) -> list[list[int]]:
    return [[len(encoded.prompt.text) for encoded in batch] for batch in batches]


def test_prompts_of_similar_length_run_together(tiny_llama: LoadedModel) -> None:
    """In the order of the first of each batch, and in a batch in the order of the prompts."""
    prompts = prompts_of(40, 10, 60, 12, 15, 41, 100)
    assert lengths_of(make_batches(tiny_llama, prompts)) == [[40, 60, 41], [10, 12, 15], [100]]


def test_long_texts_run_alone(tiny_llama: LoadedModel) -> None:
    assert lengths_of(make_batches(tiny_llama, prompts_of(350, 355, 360))) == [[350, 355], [360]]


def test_no_batch_is_larger_than_was_asked_for(tiny_llama: LoadedModel) -> None:
    prompts = prompts_of(*[10] * 20)
    assert [len(batch) for batch in make_batches(tiny_llama, prompts)] == [16, 4]
    assert [len(batch) for batch in make_batches(tiny_llama, prompts, 7)] == [7, 7, 6]
    assert [len(batch) for batch in make_batches(tiny_llama, prompts, 1)] == [1] * 20


@pytest.mark.parametrize(
    "settings",
    [
        {"generation": Generation(do_sample=True)},
        {"generation": Generation(num_beams=2)},
        {"generation": Generation(repetition_penalty=1.2)},
        {"evidence": ("ablation",)},
    ],
)
def test_prompts_that_look_at_their_neighbours_run_alone(tiny_llama: LoadedModel, settings: dict) -> None:
    prompts = prompts_of(10, 11, **settings)
    assert lengths_of(make_batches(tiny_llama, prompts)) == [[10], [11]]


def test_forecast_takes_a_position(tiny_llama: LoadedModel) -> None:
    """A batch of eight holds 1,024 positions."""
    for length, expected in ((127, [8]), (128, [7, 1])):
        prompts = [Prompt(text="a" * length, max_new_tokens=0)] * 8
        assert [len(batch) for batch in make_batches(tiny_llama, prompts)] == expected


def test_prompts_that_go_on_for_another_number_of_tokens_run_apart(tiny_llama: LoadedModel) -> None:
    prompts = [*prompts_of(10, 11), replace(prompts_of(10)[0], max_new_tokens=3)]
    assert lengths_of(make_batches(tiny_llama, prompts)) == [[10, 11], [10]]


def test_prompt_without_tokens_keeps_the_others_together(tiny_llama: LoadedModel) -> None:
    """It fails, and would have failed them."""
    assert lengths_of(make_batches(tiny_llama, prompts_of(0, 10, 40), 3)) == [[0], [10, 40]]


def test_model_that_padding_disturbs_runs_one_by_one() -> None:
    """Here what a position is given depends on how long the text is."""
    network = make_llama()
    network.model.embed_tokens.register_forward_hook(lambda _, __, output: output + output.shape[1])
    model = wrap_model(network, make_tokenizer(), name="length")
    assert lengths_of(make_batches(model, prompts_of(10, 11))) == [[10], [11]]


def make_with_rope(rope: dict[str, Any], longest: int = 512) -> LoadedModel:
    """Return a model whose rotary positions have these settings."""
    torch.manual_seed(0)
    config = make_llama().config.to_dict() | {"max_position_embeddings": longest, "rope_parameters": rope}
    network = LlamaForCausalLM(LlamaConfig(**config)).eval()
    network.load_state_dict(make_llama().state_dict())
    return wrap_model(network, make_tokenizer(), name="scaled")


LONG_ROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 2, "long_factor": [4.0] * 2,
    "original_max_position_embeddings": 24,
}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 8.0}


@pytest.mark.parametrize(("rope", "longest"), [(LONG_ROPE, 512), (DYNAMIC, 24)])
@pytest.mark.parametrize("batch_size", [0, 2, 8])
def test_texts_beyond_the_switch_of_the_rope_run_alone(rope: dict[str, Any], longest: int, batch_size: int) -> None:
    """With 5 new tokens, 19 is the longest prompt that ends before position 24."""
    prompts = prompts_of(18, 19, 20, 25, 26)
    model = make_with_rope(rope, longest)
    assert lengths_of(make_batches(model, prompts, batch_size)) == [[18, 19], [20], [25], [26]]
    without = make_with_rope({"rope_type": "default", "rope_theta": 10000.0})
    assert lengths_of(make_batches(without, prompts, 8)) == [[18, 19, 20, 25, 26]]


@pytest.mark.parametrize(("rope", "longest"), [(LONG_ROPE, 512), (DYNAMIC, 24)])
def test_numbers_of_scaled_positions_do_not_depend_on_neighbours(rope: dict[str, Any], longest: int) -> None:
    """Neither on those of the batch nor on those that ran before."""
    prompts = prompts_of(60, 10, 30, 12)
    model = make_with_rope(rope, longest)
    together = {
        one.prompt.text: one
        for batch in make_batches(model, prompts, 4)
        for one in capture_in_turn(model, batch)
        if isinstance(one, Capture)
    }
    assert len(together) == 4
    for prompt in prompts:
        assert_close(together[prompt.text], capture(make_with_rope(rope, longest), prompt))


def assert_close(found: Capture, expected: Capture) -> None:
    """In everything that a page shows, to the last digits: one row and several go through other kernels."""
    assert (found.tokens, found.num_prompt_tokens, found.layers) == (
        expected.tokens, expected.num_prompt_tokens, expected.layers,
    )  # fmt: skip
    pairs = [(found.triangles, expected.triangles)]
    for ours, theirs in ((found.prompt_predictions, expected.prompt_predictions), (found.steps, expected.steps)):
        predictions = [[getattr(one, "raw", one) for one in some] for some in (ours, theirs)]
        assert [one.rank for one in predictions[0]] == [one.rank for one in predictions[1]]
        pairs.append(tuple(np.array([one.logprob for one in some]) for some in predictions))  # pyright: ignore
    ours, theirs = found.evidence, expected.evidence
    assert ours.missing == theirs.missing
    pairs += [(ours.scores[name], theirs.scores[name]) for name in theirs.scores]
    pairs += [(getattr(ours, name), getattr(theirs, name)) for name in ("value_norms", "rollout")]
    for name in ("heads", "other_parts", "sources", "logits"):
        pairs.append((getattr(ours.attribution, name), getattr(theirs.attribution, name)))
    pairs.append((ours.lens.logprobs, theirs.lens.logprobs))  # pyright: ignore[reportOptionalMemberAccess]
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "gpt_neox", "bloom", "gpt_oss", "gemma3_text", "opt"])
def test_each_gets_what_it_gets_alone(family: str) -> None:
    model = wrap_model(make_network(family), make_tokenizer(), name=family)
    prompts = [Prompt(text=text, max_new_tokens=6) for text in TEXTS]
    assert lengths_of(make_batches(model, prompts, 5)) == [[len(text) for text in TEXTS]]
    for prompt, found in zip(prompts, capture_all(model, prompts), strict=True):
        assert isinstance(found, Capture)
        assert_close(found, capture(model, prompt))


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "gpt_neox", "gemma3_text", "opt"])
def test_hardly_a_weight_differs_in_its_last_bit(family: str) -> None:
    """Which kernel multiplies matrices depends on their size, and so may the last bit of what they give."""
    model = wrap_model(make_network(family), make_tokenizer(), name=family)
    prompts = [Prompt(text=text * 2 + " and so on", max_new_tokens=6) for text in TEXTS if len(text) > 3]
    for prompt, found in zip(prompts, capture_all(model, prompts), strict=True):
        assert isinstance(found, Capture)
        alone = capture(model, prompt)
        assert (found.triangles == alone.triangles).mean() > 0.99
        assert np.abs(found.triangles.astype(np.float32) - alone.triangles).max() <= 2**-11


def test_text_that_ends_early_ends_alone() -> None:
    """What stands behind its stop token in the batch is padding, and is not its own."""
    model = wrap_model(make_llama(), make_tokenizer(), name="tiny")
    prompts = [Prompt(text=text, max_new_tokens=30) for text in TEXTS]
    made = [[token.token_id for token in capture(model, prompt).tokens[len(prompt.text) :]] for prompt in prompts]
    stop = next(token_id for token_id in made[0] if sum(token_id in tokens for tokens in made) < len(made))
    model.network.generation_config.eos_token_id = [stop, 2]  # pyright: ignore[reportOptionalMemberAccess]
    together = [one for one in capture_all(model, prompts) if isinstance(one, Capture)]
    assert [one.tokens for one in together] == [capture(model, prompt).tokens for prompt in prompts]
    ends = [len(one.steps) for one in together]
    assert min(ends) < max(ends) == 30
    assert together[0].tokens[-1].token_id == stop


def test_prompt_that_fails_does_not_fail_the_others(tiny_llama: LoadedModel) -> None:
    prompts = [Prompt(text="abc"), Prompt(text="x" * 600, place=SourceLocation("prompts.yaml", 4)), Prompt(text="abd")]
    first, failed, last = capture_all(tiny_llama, prompts)
    assert isinstance(first, Capture)
    assert isinstance(last, Capture)
    assert isinstance(failed, PromptTooLong)
    assert str(failed).startswith("prompts.yaml:4: ")


def test_batch_that_does_not_fit_runs_one_by_one(tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = tiny_llama.network.model.forward

    def fail_on_many(input_ids: object, *rest: object, **named: object) -> object:
        if len(input_ids) > 1:  # pyright: ignore[reportArgumentType]
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return forward(input_ids, *rest, **named)

    monkeypatch.setattr(tiny_llama.network.model, "forward", fail_on_many)
    made = capture_all(tiny_llama, [Prompt(text="abc"), Prompt(text="abd")])
    assert [type(one) for one in made] == [Capture, Capture]


def test_each_prompt_says_what_is_wrong_with_the_model() -> None:
    network = make_network("lfm2", layer_types=["conv"] * 3)
    model = wrap_model(network, make_tokenizer(), name="without-attention")
    made = capture_all(model, [Prompt(text="abc"), Prompt(text="abd")])
    assert [type(one) for one in made] == [UnsupportedModel, UnsupportedModel]


def test_weights_that_are_wrong_are_told_of_each() -> None:
    network = make_network("gpt2")
    model = wrap_model(network, make_tokenizer(), name="broken")
    network.transformer.h[1].attn.register_forward_hook(
        lambda _, __, output: (output[0], None if output[1] is None else output[1] * 1.1)
    )
    made = capture_all(model, [Prompt(text="abc"), Prompt(text="abd")])
    assert [type(one) for one in made] == [CaptureMismatch, CaptureMismatch]
    assert issubclass(CaptureMismatch, PromptError)


def test_prompts_with_and_without_generation_run_in_batches_of_their_own(tiny_gpt2: LoadedModel) -> None:
    """Of three forecasts, one has no room; each is what it is alone."""
    texts = ("a" * 256, "The cat ate the mat " * 10, "a b" * 70)
    prompts = [Prompt(text=text, max_new_tokens=0, layers=parse_selection(0)) for text in texts]
    prompts += [Prompt(text=text, max_new_tokens=3, layers=parse_selection(0)) for text in texts[1:]]
    batches = make_batches(tiny_gpt2, prompts, 8)
    assert [[each.prompt.max_new_tokens for each in batch] for batch in batches] == [[0, 0, 0], [3, 3]]
    made = [one for batch in batches for one in capture_in_turn(tiny_gpt2, batch)]
    assert [len(one.steps) for one in made if isinstance(one, Capture)] == [0, 1, 1, 3, 3]
    for prompt, together in zip(prompts, made, strict=True):
        assert isinstance(together, Capture)
        alone = capture(tiny_gpt2, prompt)
        assert together.tokens == alone.tokens
        assert together.is_forecast == alone.is_forecast == (prompt.max_new_tokens == 0 and len(prompt.text) < 256)
        assert [step.raw.logprob for step in together.steps] == pytest.approx(
            [step.raw.logprob for step in alone.steps], abs=1e-4
        )


def test_failing_generation_of_a_batch_is_tried_prompt_by_prompt(
    tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then each forecast that can be had is had."""
    generate = tiny_llama.network.generate

    def fail(inputs: torch.Tensor, **options: Any) -> Any:
        if len(inputs) > 1 or inputs.shape[1] == 3:
            raise RuntimeError("not this one")
        return generate(inputs, **options)

    monkeypatch.setattr(tiny_llama.network, "generate", fail)
    made = capture_all(tiny_llama, [Prompt(text=text, max_new_tokens=0) for text in ("abc", "abcd")])
    assert [one.is_forecast for one in made if isinstance(one, Capture)] == [False, True]


def test_same_tokens_on_the_real_model(smollm2: LoadedModel) -> None:
    prompts = [Prompt(text=text, max_new_tokens=6) for text in ("The cat ate the mat. And then", "Water boils at")]
    assert len(make_batches(smollm2, prompts, 4)) == 1
    for prompt, together in zip(prompts, capture_all(smollm2, prompts), strict=True):
        assert isinstance(together, Capture)
        alone = capture(smollm2, prompt)
        assert together.tokens == alone.tokens
        assert np.abs(together.attention[16, 3] - alone.attention[16, 3]).max() < 1e-3
        assert [step.raw.logprob for step in together.steps] == pytest.approx(
            [step.raw.logprob for step in alone.steps], abs=1e-4
        )


def test_each_prompt_is_tokenized_once_in_a_run(
    tmp_path: Path, tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    tokenizer: Any = tiny_llama.tokenizer
    call = type(tokenizer).__call__

    def note(self: object, text: str, **options: object) -> object:
        texts.append(text)
        return call(self, text, **options)

    monkeypatch.setattr(type(tokenizer), "__call__", note)
    build_site([Prompt(text=text, max_new_tokens=1) for text in TEXTS], tmp_path, BuildOptions(model=tiny_llama))
    assert [text for text in texts if text in TEXTS] == list(TEXTS)
