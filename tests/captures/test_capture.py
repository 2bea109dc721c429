"""A model and a prompt to a capture: equal to what transformers itself gives, for every layer, head and step."""

from __future__ import annotations

import copy
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from families import make_network
from tiny import make_gpt2, make_llama, make_tokenizer
from tokenizers import processors

from reportgen.build.capture import capture
from reportgen.captures.record import ONE_PASS, Capture
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.pages.encoding import describe_capture
from reportgen.pages.tables import make_settings, make_token_views, warn_of_drift
from reportgen.records import Generation, Prompt, SourceLocation
from reportgen.records.errors import CaptureMismatch, PromptError, PromptTooLong, UnsupportedModel
from reportgen.records.selection import parse_selection

HALF_STEP = 2**-11
"""Rounding of float16 below 1, and room for float32 rounding of another order of work."""

TEXT = "The cat ate the mat. And then sat on a rat."
SAMPLED = Generation(do_sample=True, temperature=0.8, top_k=5, seed=3)
MODELS = ("tiny_llama", "tiny_gpt2", pytest.param("smollm2", marks=pytest.mark.model))
PLACE = SourceLocation("prompts.yaml", 4, {"text": 5, "messages": 5, "layers": 6, "heads": 7})


@pytest.fixture
def llama() -> LoadedModel:
    """Return a Llama of its own, to be spoilt."""
    return wrap_model(make_llama(), make_tokenizer(), name="tiny-llama")


@contextmanager
def eager(model: LoadedModel) -> Iterator[Any]:
    """Yield the network as it must be for transformers to hand out attention."""
    model.network.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            yield model.network
    finally:
        model.network.set_attn_implementation("sdpa")


def ids_of(captured: Capture) -> list[int]:
    return [token.token_id for token in captured.tokens]


def generated_ids(captured: Capture) -> list[int]:
    return ids_of(captured)[captured.num_prompt_tokens :]


def plain_logprobs(model: LoadedModel, captured: Capture) -> torch.Tensor:
    """Return ``[position, vocabulary]`` of one plain pass over all tokens."""
    with torch.inference_mode():
        return model.network(torch.tensor([ids_of(captured)])).logits[0].double().log_softmax(-1)


def generate_greedily(network: Any, token_ids: list[int], **settings: Any) -> Any:
    """Run transformers' own generation for ten tokens."""
    prompt_ids = torch.tensor([token_ids])
    return network.generate(
        prompt_ids, attention_mask=torch.ones_like(prompt_ids), max_new_tokens=10, do_sample=False,
        return_dict_in_generate=True, **settings,
    )  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def run(request: pytest.FixtureRequest) -> tuple[LoadedModel, Capture]:
    """Return a model, and its capture of a prompt with ten greedy tokens."""
    model = request.getfixturevalue(request.param)
    return model, capture(model, Prompt(text=TEXT, max_new_tokens=10))


def test_prompt_block_equals_the_forward_pass(run: tuple[LoadedModel, Capture]) -> None:
    """``model(..., output_attentions=True)`` on the prompt alone, every layer and head."""
    model, captured = run
    length = captured.num_prompt_tokens
    with eager(model) as network:
        expected = network(torch.tensor([ids_of(captured)[:length]]), output_attentions=True).attentions
    assert (captured.layers, captured.heads) == (tuple(range(len(expected))), tuple(range(expected[0].shape[1])))
    for layer in captured.layers:
        for head in captured.heads:
            found = captured.attention[layer, head, :length, :length]
            np.testing.assert_allclose(found, expected[layer][0, head], atol=HALF_STEP, rtol=0)


def test_every_step_equals_the_generation(run: tuple[LoadedModel, Capture]) -> None:
    """``generate(output_attentions=True)``: the last row that each step saw, every layer and head."""
    model, captured = run
    with eager(model) as network:
        output = generate_greedily(network, ids_of(captured)[: captured.num_prompt_tokens], output_attentions=True)
    assert generated_ids(captured) == output.sequences[0, captured.num_prompt_tokens :].tolist()
    assert len(captured.steps) == len(output.attentions) == 10
    for layer in captured.layers:
        for head in captured.heads:
            pattern = captured.attention[layer, head]
            for step, attentions in enumerate(output.attentions):
                query_pos = captured.query_pos_of_step(step)
                expected = attentions[layer][0, head, -1]
                assert expected.shape == (query_pos + 1,)
                np.testing.assert_allclose(pattern[query_pos, : query_pos + 1], expected, atol=HALF_STEP, rtol=0)
                assert not pattern[query_pos, query_pos + 1 :].any()


def test_logprobs_are_those_of_transformers(run: tuple[LoadedModel, Capture]) -> None:
    """Of each generated token as ``compute_transition_scores`` has it, of each prompt token as a plain pass has it."""
    model, captured = run
    output = generate_greedily(
        model.network, ids_of(captured)[: captured.num_prompt_tokens], output_scores=True, output_logits=True
    )
    found = [step.raw.logprob for step in captured.steps]
    # transformers' own, in float32, is off by 2e-4 on 49,152 tokens.
    expected = model.network.compute_transition_scores(output.sequences, output.scores, normalize_logits=True)[0]
    assert found == pytest.approx(expected.tolist(), abs=5e-4)
    exact = [logits[0].double().log_softmax(-1) for logits in output.logits]
    chosen = zip(exact, generated_ids(captured), strict=True)
    assert found == pytest.approx([float(row[token_id]) for row, token_id in chosen], abs=1e-6)
    assert [step.step for step in captured.steps] == list(range(10))
    assert all(0 <= step.logprob_drift < 1e-4 for step in captured.steps)
    assert all(step.raw.rank == 1 and step.raw == step.filtered for step in captured.steps)

    logprobs = plain_logprobs(model, captured)
    for position, prediction in enumerate(captured.prompt_predictions, start=1):
        row, token_id = logprobs[position - 1], captured.tokens[position].token_id
        assert prediction.logprob == pytest.approx(float(row[token_id]), abs=1e-4)
        assert prediction.entropy == pytest.approx(float(-(row.exp() * row).sum()), abs=1e-3)
        assert prediction.alternatives[0][1] == pytest.approx(float(row.max()), abs=1e-4)
        assert len(prediction.alternatives) == 10
    assert len(captured.prompt_predictions) == captured.num_prompt_tokens - 1


def scale_logits_of_the_pass(model: LoadedModel, factor: float) -> None:
    """Make the eager pass, and it alone, give other logits than the generation."""

    def scale(_module: object, _inputs: object, logits: torch.Tensor) -> torch.Tensor:
        return logits * factor if model.network.config._attn_implementation == "eager" else logits

    model.network.lm_head.register_forward_hook(scale)


def test_replay_difference_is_measured(llama: LoadedModel) -> None:
    """A pass that sees other numbers than the generation shows in it."""
    scale_logits_of_the_pass(llama, 2)
    captured = capture(llama, Prompt(text="ab", max_new_tokens=2))
    doubled = plain_logprobs(llama, captured).mul(2).log_softmax(-1)
    for step in captured.steps:
        query_pos = captured.query_pos_of_step(step.step)
        replayed = float(doubled[query_pos, ids_of(captured)[query_pos + 1]])
        assert step.logprob_drift == pytest.approx(abs(step.raw.logprob - replayed), abs=1e-4)
        assert step.logprob_drift > 0.01


def test_tokens_are_prompt_then_generated(tiny_llama: LoadedModel) -> None:
    captured = capture(tiny_llama, Prompt(text="I 🤷", max_new_tokens=3))
    assert [token.text for token in captured.tokens[:6]] == ["I", " ", "", "", "", "🤷"]
    assert captured.num_prompt_tokens == 6
    assert captured.num_tokens == 6 + len(captured.steps) == 9
    assert replace(captured.model, features=()) == tiny_llama.info
    assert set(captured.versions) == {"reportgen", "torch", "transformers", "numpy", "python"}
    assert captured.versions["torch"].partition("+")[0] == torch.__version__.partition("+")[0]


def test_sampling_is_repeated_by_its_seed(tiny_llama: LoadedModel) -> None:
    """And the caller's own random numbers go on as if nothing had been."""
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (
        generated_ids(capture(tiny_llama, Prompt(text="abc", generation=Generation(do_sample=True, seed=seed))))
        for seed in (1, 1, 2)
    )
    assert first == again != other
    assert torch.equal(torch.rand(3), expected)


def test_filters_change_the_filtered_distribution_alone(tiny_llama: LoadedModel) -> None:
    """Of the raw one, the five best at temperature 0.8 are left; the token drawn is one of them."""
    captured = capture(tiny_llama, Prompt(text="ab", max_new_tokens=8, generation=SAMPLED))
    logprobs = plain_logprobs(tiny_llama, captured)
    assert any(step.raw.rank > 1 for step in captured.steps)
    for step in captured.steps:
        query_pos = captured.query_pos_of_step(step.step)
        token_id = ids_of(captured)[query_pos + 1]
        assert step.raw.logprob == pytest.approx(float(logprobs[query_pos, token_id]), abs=1e-4)
        assert len(step.raw.alternatives) == 10
        best = logprobs[query_pos].topk(5)
        filtered = (best.values / 0.8).log_softmax(-1)
        assert [token.token_id for token, _ in step.filtered.alternatives] == best.indices.tolist()
        assert [logprob for _, logprob in step.filtered.alternatives] == pytest.approx(filtered.tolist(), abs=1e-4)
        chosen = filtered[best.indices.tolist().index(token_id)]
        assert step.filtered.logprob == pytest.approx(float(chosen), abs=1e-4)


def test_nothing_is_filtered_that_was_not_asked_for(tiny_llama: LoadedModel) -> None:
    """Of its own, transformers would keep the 50 most probable tokens."""
    generation = Generation(do_sample=True, seed=3)
    captured = capture(tiny_llama, Prompt(text="ab", max_new_tokens=8, generation=generation))
    for step in captured.steps:
        assert step.filtered.logprob == pytest.approx(step.raw.logprob, abs=1e-6)
        assert step.filtered.entropy == pytest.approx(step.raw.entropy, abs=1e-6)


def test_repetition_penalty_changes_the_filtered_distribution_alone(tiny_llama: LoadedModel) -> None:
    """A token that stands in the context already has its logit divided, or multiplied where it is negative."""
    captured = capture(tiny_llama, Prompt(text="aaaa", max_new_tokens=6, generation=Generation(repetition_penalty=3.0)))
    with torch.inference_mode():
        logits = tiny_llama.network(torch.tensor([ids_of(captured)])).logits[0]
    for step in captured.steps:
        query_pos = captured.query_pos_of_step(step.step)
        token_ids, row = ids_of(captured), logits[query_pos].clone()
        assert step.raw.logprob == pytest.approx(float(row.log_softmax(-1)[token_ids[query_pos + 1]]), abs=1e-4)
        for token_id in set(token_ids[: query_pos + 1]):
            row[token_id] *= 3.0 if row[token_id] < 0 else 1 / 3.0
        penalised = row.log_softmax(-1)
        assert token_ids[query_pos + 1] == int(penalised.argmax())
        assert step.filtered.logprob == pytest.approx(float(penalised.max()), abs=1e-4)
    assert any(abs(step.filtered.logprob - step.raw.logprob) > 1e-3 for step in captured.steps)


@pytest.mark.parametrize("do_sample", [False, True])
def test_beams_keep_the_rows_of_the_beam_that_won(tiny_llama: LoadedModel, do_sample: bool) -> None:
    """Beams swap places from step to step; each token's probability is that after its own context."""
    prompt = Prompt(text="ab", max_new_tokens=12, generation=Generation(num_beams=4, do_sample=do_sample))
    captured = capture(tiny_llama, prompt)
    logprobs = plain_logprobs(tiny_llama, captured)
    for step in captured.steps:
        query_pos = captured.query_pos_of_step(step.step)
        expected = float(logprobs[query_pos, ids_of(captured)[query_pos + 1]])
        assert step.raw.logprob == pytest.approx(expected, abs=1e-4)
        assert step.logprob_drift < 1e-4
        assert step.filtered is None
    if not do_sample:
        output = generate_greedily(tiny_llama.network, ids_of(captured)[:2], num_beams=4, output_scores=True)
        first_ten = capture(tiny_llama, replace(prompt, max_new_tokens=10))
        assert ids_of(first_ten) == output.sequences[0].tolist()


def test_scores_of_beams_with_a_penalty_are_no_distribution(tiny_llama: LoadedModel) -> None:
    """The reason for which there is no filtered distribution: the penalty multiplies log-probabilities."""
    generation = Generation(num_beams=3, repetition_penalty=2.5)
    captured = capture(tiny_llama, Prompt(text="abab", max_new_tokens=10, generation=generation))
    output = generate_greedily(
        tiny_llama.network, ids_of(captured)[:4], num_beams=3, repetition_penalty=2.5, output_scores=True
    )
    assert ids_of(captured) == output.sequences[0].tolist()
    logprobs = plain_logprobs(tiny_llama, captured)
    sums = []
    for step, row in enumerate(output.beam_indices[0].tolist()):
        penalised = logprobs[3 + step].clone()
        seen = list(set(ids_of(captured)[: 4 + step]))
        penalised[seen] *= 2.5
        assert torch.allclose(output.scores[step][row].double(), penalised.double(), atol=1e-3)
        sums.append(float(penalised.exp().sum()))
    assert min(sums) < 0.999
    assert all(step.filtered is None for step in captured.steps)


def test_filters_apply_in_the_order_of_the_documentation(tiny_llama: LoadedModel) -> None:
    """Penalty, then temperature, then top-k, then top-p; what is left is divided by its sum."""
    generation = Generation(do_sample=True, temperature=0.6, top_k=40, top_p=0.7, repetition_penalty=1.8, seed=4)
    captured = capture(tiny_llama, Prompt(text="abcab", max_new_tokens=8, generation=generation))
    with torch.inference_mode():
        logits = tiny_llama.network(torch.tensor([ids_of(captured)])).logits[0].double()
    for step in captured.steps:
        query_pos = captured.query_pos_of_step(step.step)
        row = logits[query_pos].clone()
        for token_id in set(ids_of(captured)[: query_pos + 1]):
            row[token_id] *= 1.8 if row[token_id] < 0 else 1 / 1.8
        best = (row / 0.6).topk(40)
        probs = best.values.softmax(-1)
        probs = probs[: int((probs.cumsum(-1) < 0.7).sum()) + 1]
        probs = probs / probs.sum()
        found = {token.token_id: logprob for token, logprob in step.filtered.alternatives}
        expected = dict(zip(best.indices.tolist(), probs.log().tolist(), strict=False))
        assert found == pytest.approx({token_id: expected[token_id] for token_id in found}, abs=1e-4)
        assert step.filtered.entropy == pytest.approx(float(-(probs * probs.log()).sum()), abs=1e-4)
        assert step.filtered.logprob == pytest.approx(expected[ids_of(captured)[query_pos + 1]], abs=1e-4)


def test_beams_that_end_early() -> None:
    """Others went on after the one that won: their steps are not its steps."""
    network = make_llama(1)
    with torch.no_grad():
        network.lm_head.weight[2] *= 3
    model = wrap_model(network, make_tokenizer())
    captured = capture(model, Prompt(text="abc", max_new_tokens=20, generation=Generation(num_beams=3)))
    logprobs = plain_logprobs(model, captured)
    tokens = generated_ids(captured)
    assert tokens[-1] == 2
    assert 1 < len(captured.steps) == len(tokens) < 20
    for step, token_id in zip(captured.steps, tokens, strict=True):
        expected = logprobs[captured.query_pos_of_step(step.step), token_id]
        assert step.raw.logprob == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("stop_step", [0, 3])
def test_stop_token_is_the_last_one_shown(llama: LoadedModel, stop_step: int) -> None:
    """Even where it comes at once; which token stops is known from the model's shipped config."""
    tokens = generated_ids(capture(llama, Prompt(text="ab", max_new_tokens=6)))
    assert tokens[stop_step] not in tokens[:stop_step]
    llama.network.generation_config.eos_token_id = [258, tokens[stop_step]]
    captured = capture(llama, Prompt(text="ab", max_new_tokens=6))
    assert generated_ids(captured) == tokens[: stop_step + 1]
    assert len(captured.steps) == stop_step + 1


def test_shipped_sampling_settings_are_not_used(llama: LoadedModel) -> None:
    """And the config that held them is put back as it was."""
    expected = generated_ids(capture(llama, Prompt(text="ab")))
    shipped = llama.network.generation_config
    shipped.update(do_sample=True, temperature=9.0, top_k=200, repetition_penalty=5.0)
    before = copy.deepcopy(shipped)
    assert generated_ids(capture(llama, Prompt(text="ab"))) == expected
    assert llama.network.generation_config is shipped
    assert shipped == before


@pytest.mark.parametrize(
    "generation",
    [
        Generation(),
        SAMPLED,
        Generation(do_sample=True, temperature=50.0, seed=1),
        Generation(num_beams=3),
        Generation(repetition_penalty=5.0),
    ],
)
def test_forecast_is_the_greedy_token_whatever_the_settings(tiny_llama: LoadedModel, generation: Generation) -> None:
    """It is marked, and its numbers are those of one generated token."""
    expected = capture(tiny_llama, Prompt(text=TEXT, max_new_tokens=1))
    captured = capture(tiny_llama, Prompt(text=TEXT, max_new_tokens=0, generation=generation))
    assert (captured.is_forecast, captured.num_generated_tokens) == (True, 0)
    assert (expected.is_forecast, expected.num_generated_tokens) == (False, 1)
    assert captured.num_tokens == captured.num_prompt_tokens + 1 == len(TEXT) + 1
    assert captured.query_pos_of_step(0) == len(TEXT) - 1
    assert replace(captured, prompt=expected.prompt) == expected


def test_forecast_of_an_end_token(llama: LoadedModel) -> None:
    (token_id,) = generated_ids(capture(llama, Prompt(text="ab", max_new_tokens=1)))
    llama.network.generation_config.eos_token_id = token_id
    captured = capture(llama, Prompt(text="ab", max_new_tokens=0))
    assert captured.is_forecast
    assert generated_ids(captured) == [token_id]


def test_prompt_that_fills_the_context_has_no_forecast(tiny_gpt2: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """One token less leaves room for it."""
    prompt = Prompt(text="a" * 255, max_new_tokens=0, layers=parse_selection(0), evidence=("ablation",))
    assert capture(tiny_gpt2, replace(prompt, evidence=())).is_forecast
    monkeypatch.setattr(tiny_gpt2.network, "generate", forbid)
    captured = capture(tiny_gpt2, replace(prompt, text="a" * 256))
    assert (captured.num_tokens, captured.steps, captured.is_forecast) == (256, (), False)
    reason = "no tokens were generated: the prompt fills the context window of 256 tokens"
    assert {captured.evidence.missing[kind] for kind in ("attribution", "lens", "ablations")} == {reason}


def test_model_that_cannot_generate_is_captured_without_a_forecast(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it reads of the prompt is the same."""
    expected = capture(llama, Prompt(text=TEXT, max_new_tokens=5))

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("its cache is broken")

    monkeypatch.setattr(llama.network, "generate", fail)
    captured = capture(llama, Prompt(text=TEXT, max_new_tokens=0))
    length = len(TEXT)
    assert (captured.num_tokens, captured.num_prompt_tokens, captured.steps) == (length, length, ())
    assert captured.evidence.missing["attribution"] == (
        "no tokens were generated: the next token could not be found, RuntimeError: its cache is broken"
    )
    np.testing.assert_allclose(captured.attention[2, 3], expected.attention[2, 3, :length, :length], atol=HALF_STEP)
    for found, wanted in zip(captured.prompt_predictions, expected.prompt_predictions, strict=True):
        assert found.logprob == pytest.approx(wanted.logprob, abs=1e-4)


def test_positions_begin_where_the_model_was_trained_to_begin() -> None:
    """RoBERTa's begin behind that of its padding token, in the text that is made as in the pass."""
    network = make_network("roberta")
    captured = capture(
        wrap_model(network, make_tokenizer(), name="roberta"), Prompt(text="The cat ate", max_new_tokens=4)
    )
    with torch.inference_mode():
        logits = network(torch.tensor([[token.token_id for token in captured.tokens]])).logits[0].log_softmax(-1)
    for step in captured.steps:
        row = captured.query_pos_of_step(step.step)
        token = captured.tokens[row + 1]
        assert step.raw.logprob == pytest.approx(float(logits[row, token.token_id]), abs=1e-4)
        assert step.logprob_drift < 1e-4


def test_model_that_reads_more_than_the_text_to_generate_is_refused() -> None:
    """XLM predicts in the place of a token that it puts behind the text; the pass alone is what it seems."""
    model = wrap_model(make_network("xlm"), make_tokenizer(), name="xlm")
    with pytest.raises(UnsupportedModel, match="^XLMWithLMHeadModel: it predicts after a token that is not in"):
        capture(model, Prompt(text="abc", max_new_tokens=2))
    assert not model.network._forward_pre_hooks
    alone = capture(model, Prompt(text="abc", max_new_tokens=0))
    assert (alone.layers, alone.steps) == ((0, 1, 2, 3), ())
    assert alone.evidence.missing["lens"].endswith(
        "it predicts after a token that is not in the text, so that no row of attention belongs to a step"
    )


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_gpt2"])
@pytest.mark.parametrize("max_new_tokens", [0, 3])
def test_prompt_of_one_token(request: pytest.FixtureRequest, name: str, max_new_tokens: int) -> None:
    """It reads itself alone, and no prompt token was predicted; with no tokens to generate, one is forecast."""
    captured = capture(request.getfixturevalue(name), Prompt(text="b", max_new_tokens=max_new_tokens))
    assert captured.num_prompt_tokens == 1
    assert captured.num_tokens == 1 + max(max_new_tokens, 1)
    assert captured.prompt_predictions == ()
    pattern = captured.attention[1, 1]
    assert pattern[0, 0] == 1
    np.testing.assert_allclose(pattern.sum(-1), 1, atol=1e-2)


def test_selected_layers_and_heads(tiny_llama: LoadedModel) -> None:
    """Negative numbers count from the end; what is kept is what the whole would hold there."""
    whole = capture(tiny_llama, Prompt(text=TEXT))
    part = capture(tiny_llama, Prompt(text=TEXT, layers=parse_selection("-1, 0"), heads=parse_selection([1, -1])))
    assert (part.layers, part.heads) == ((0, 2), (1, 3))
    assert part.triangles.shape == (2, 2, whole.triangles.shape[2])
    assert part.triangles.dtype == np.float16
    for layer in part.layers:
        for head in part.heads:
            assert np.array_equal(part.attention[layer, head], whole.attention[layer, head])
            assert np.array_equal(part.triangles[0, 0, part.row(5)], part.attention[0, 1, 5, :6])
    with pytest.raises(IndexError, match="layer 1 was not captured; the captured ones are 0, 2"):
        part.attention[1, 1]


def test_chat_messages(tiny_llama: LoadedModel) -> None:
    """As the chat template writes them, up to where the model answers."""
    captured = capture(tiny_llama, Prompt(messages=({"role": "user", "content": "Hi"},), max_new_tokens=1))
    prompt_tokens = captured.tokens[: captured.num_prompt_tokens]
    text = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert "".join(token.text for token in prompt_tokens) == text
    assert [token.text for token in prompt_tokens if token.special] == ["<|im_start|>", "<|im_end|>", "<|im_start|>"]


TOOL_TEMPLATE = (
    "{% for tool in tools or [] %}<|tool|>{{ tool.function.name }}<|im_end|>{% endfor %}"
    "{% for message in messages %}{% if message.role == 'tool' %}<|tool|>"
    "{% else %}<|im_start|>{{ message.role }}\n{% endif %}{{ message.content }}<|im_end|>{% endfor %}"
    "<|im_start|>assistant\n"
)  # fmt: skip
TOOLS = ({"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}},)
TOOL_CHAT = (
    {"role": "user", "content": "Rain?"}, {"role": "assistant", "content": "weather()"},
    {"role": "tool", "content": "<|im_end|> no"},
)  # fmt: skip


def make_tool_model() -> LoadedModel:
    """Return a model whose tokenizer marks what tools say with a special token of its own."""
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|tool|>"]})
    tokenizer.chat_template = TOOL_TEMPLATE
    network = make_llama()
    network.resize_token_embeddings(260, mean_resizing=False)
    return wrap_model(network, tokenizer, name="tools")


def test_special_tokens_of_a_chat_with_tools_are_marked() -> None:
    """On the strip and for the axes; the words between them are not, whatever role they stand in."""
    captured = capture(make_tool_model(), Prompt(messages=TOOL_CHAT, tools=TOOLS, max_new_tokens=2))
    special = [token.text for token in captured.tokens[: captured.num_prompt_tokens] if token.special]
    assert special == [
        "<|tool|>", "<|im_end|>", "<|im_start|>", "<|im_end|>", "<|im_start|>", "<|im_end|>",
        "<|tool|>", "<|im_end|>", "<|im_end|>", "<|im_start|>",
    ]  # fmt: skip
    views, described = make_token_views(captured), describe_capture(captured)["tokens"]
    for token, view, (_, shown, flag) in zip(captured.tokens, views, described, strict=True):
        assert (view.special, bool(flag)) == (token.special, token.special)
        assert view.shown == shown == token.shown
        assert token.shown == token.text or not token.special
    assert "".join(token.text for token in captured.tokens if not token.special).startswith("weatheruser\nRain?")
    assert dict(make_settings(captured))["tools"] == "weather"


def test_tools_that_the_template_passes_over_are_an_error(tiny_llama: LoadedModel) -> None:
    """A page would claim that the model knew of them."""
    with pytest.raises(PromptError, match="^prompts.yaml:5: tiny-llama's chat template does not use tools; leave"):
        capture(tiny_llama, Prompt(messages=TOOL_CHAT, tools=TOOLS, place=replace(PLACE, key_lines={"tools": 5})))
    with_tools = capture(make_tool_model(), Prompt(messages=TOOL_CHAT, tools=TOOLS, max_new_tokens=0))
    without = capture(make_tool_model(), Prompt(messages=TOOL_CHAT, max_new_tokens=0))
    assert with_tools.num_tokens > without.num_tokens


@pytest.mark.parametrize(
    "generation",
    [
        Generation(do_sample=True, seed=5),
        Generation(do_sample=True, temperature=1.7, top_k=40, top_p=0.95, seed=5),
        Generation(num_beams=4),
        Generation(num_beams=3, do_sample=True, seed=5),
        Generation(repetition_penalty=1.8),
        Generation(repetition_penalty=0.6, num_beams=2),
    ],
)
@pytest.mark.parametrize("name", ["tiny_llama", "tiny_gpt2"])
def test_pass_is_over_the_final_sequence(request: pytest.FixtureRequest, name: str, generation: Generation) -> None:
    """However it was found: the pass gives each of its tokens the log-probability that the generation gave."""
    model = request.getfixturevalue(name)
    captured = capture(model, Prompt(text="The cat", max_new_tokens=12, generation=generation))
    assert captured.steps
    assert captured.logprob_drift < 1e-4
    assert not warn_of_drift(captured)


def test_stop_token_at_once_is_shown_as_special(llama: LoadedModel) -> None:
    """A generation of one token, which ends the text, also where several tokens would and by beams."""
    with torch.no_grad():
        llama.network.lm_head.weight[2] = 50 * llama.network.lm_head.weight.abs().max()
        llama.network.model.norm.weight.abs_()
    for stop, beams in ((2, 1), ([200, 2], 1), ([200, 2], 2)):
        llama.network.generation_config.eos_token_id = stop
        prompts = (Prompt(text=text, max_new_tokens=5, generation=Generation(num_beams=beams)) for text in "abcdefgh")
        captured = next(found for found in (capture(llama, prompt) for prompt in prompts) if len(found.steps) == 1)
        assert (captured.tokens[-1].token_id, captured.tokens[-1].text) == (2, "<|im_end|>")
        assert captured.tokens[-1].special
        assert captured.steps[0].raw.logprob > -0.1


def test_special_tokens_are_added_as_asked() -> None:
    """To a text on demand; never to messages, whose template has written them."""
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
    )
    model = wrap_model(make_llama(), tokenizer, name="tiny-llama")
    prompt = Prompt(text="a", max_new_tokens=0)
    assert [token.text for token in capture(model, prompt).tokens[:-1]] == ["<|im_start|>", "a"]
    assert [token.text for token in capture(model, replace(prompt, add_special_tokens=False)).tokens[:-1]] == ["a"]
    chat = capture(model, Prompt(messages=({"role": "user", "content": "Hi"},), max_new_tokens=0))
    assert ids_of(chat)[:2] != [1, 1]


@pytest.mark.parametrize(
    ("prompt", "kind", "message"),
    [
        (Prompt(text="a" * 500, max_new_tokens=13), PromptTooLong, "5: 500 prompt tokens and 13 .* 512; shorten"),
        (Prompt(text="a" * 513, max_new_tokens=0), PromptTooLong, "5: 513 prompt tokens and 0 .* 512; shorten"),
        (Prompt(text=""), PromptError, "5: it has no tokens in tiny-llama; write some text"),
        (Prompt(text="a", layers=parse_selection("1-3")), PromptError, "6: layers 1-3: there is no 3: .* 0 to 2"),
        (Prompt(text="a", heads=parse_selection(-5)), PromptError, "7: heads -5: there is no -5: .* has 4, 0 to 3"),
        (Prompt(text="a", layers=parse_selection("2--3")), PromptError, "6: .*backwards"),
    ],
)
def test_prompts_that_cannot_run(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch, prompt: Prompt, kind: type[PromptError], message: str
) -> None:
    """Each with the line of the key at fault, before the network has done any work."""
    monkeypatch.setattr(llama.network, "forward", forbid)
    with pytest.raises(PromptError, match=f"^prompts.yaml:{message}") as raised:
        capture(llama, replace(prompt, place=PLACE))
    assert type(raised.value) is kind


def test_context_window_can_be_filled(tiny_gpt2: LoadedModel) -> None:
    """GPT-2 has learned 256 positions, and not one more."""
    captured = capture(tiny_gpt2, Prompt(text="a" * 250, max_new_tokens=6, layers=parse_selection(0)))
    assert captured.num_tokens == 256
    with pytest.raises(PromptTooLong):
        capture(tiny_gpt2, Prompt(text="a" * 251, max_new_tokens=6))


def test_messages_without_a_chat_template(llama: LoadedModel) -> None:
    llama.tokenizer.chat_template = None
    messages = ({"role": "user", "content": "Hi"},)
    with pytest.raises(PromptError, match="^prompts.yaml:5: tiny-llama has no chat template; write text"):
        capture(llama, Prompt(messages=messages, place=PLACE))


def test_chat_template_that_refuses(llama: LoadedModel) -> None:
    """Templates raise on roles that they do not know."""
    llama.tokenizer.chat_template = "{{ raise_exception('no system role') }}"
    messages = ({"role": "system", "content": "Hi"},)
    with pytest.raises(PromptError, match="^prompts.yaml:5: tiny-llama's tokenizer cannot encode it, .*no system role"):
        capture(llama, Prompt(messages=messages, place=PLACE))


def forbid(*_: object, **__: object) -> None:
    raise AssertionError("the network was used")


def fail_with(error: BaseException) -> Callable[..., None]:
    """Return a stand-in for a method, which raises."""

    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 18.13 GB)"),
    ],
)
def test_out_of_memory_gives_advice(llama: LoadedModel, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(llama.network.model, "forward", fail_with(error))
    with pytest.raises(PromptError, match="^prompts.yaml:4: out of memory; shorten it, .*bfloat16"):
        capture(llama, Prompt(text="a", place=PLACE))


@pytest.mark.parametrize("error", [RuntimeError("boom\nmore"), AttributeError("boom"), NotImplementedError("boom")])
def test_whatever_the_network_raises_fails_one_prompt(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(llama.network.model, "forward", fail_with(error))
    with pytest.raises(PromptError, match=r"^prompts.yaml:4: the run failed, \w+: boom; -v shows where$") as raised:
        capture(llama, Prompt(text="a", place=PLACE))
    assert raised.value.__cause__ is error


def test_an_interrupt_is_not_a_failed_prompt(llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama.network.model, "forward", fail_with(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        capture(llama, Prompt(text="a"))


@pytest.mark.parametrize("max_new_tokens", [0, 3])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_not_finite(llama: LoadedModel, max_new_tokens: int, value: float) -> None:
    """Of the vocabulary alone, so that attention is as it should be."""
    with torch.no_grad():
        llama.network.lm_head.weight[9] = value
    with pytest.raises(PromptError, match="^prompts.yaml:4: .*not finite.*float32"):
        capture(llama, Prompt(text="abc", max_new_tokens=max_new_tokens, place=PLACE))


def test_logits_that_are_not_finite_in_the_pass_alone(llama: LoadedModel) -> None:
    """A prompt of one token has no prediction that would show it."""
    scale_logits_of_the_pass(llama, math.nan)
    with pytest.raises(PromptError, match="^prompts.yaml:4: .*not finite.*float32"):
        capture(llama, Prompt(text="a", max_new_tokens=1, place=PLACE))


def test_mismatch_names_the_prompt(llama: LoadedModel) -> None:
    def double(_module: object, _inputs: object, output: tuple[torch.Tensor, torch.Tensor | None]) -> object:
        hidden, weights = output
        return hidden, None if weights is None else weights * 2

    llama.network.model.layers[1].self_attn.register_forward_hook(double)
    with pytest.raises(CaptureMismatch, match="^prompts.yaml:4: layer 1: rows of attention sum to 2.0000"):
        capture(llama, Prompt(text="abc", place=PLACE))


def state_of(model: LoadedModel) -> tuple[object, ...]:
    """Return all that a capture changes for a time."""
    network = model.network
    return (
        network.config._attn_implementation,
        network.model.config._attn_implementation,
        [module.training for module in network.modules()],
        [len(module._forward_hooks) for module in network.modules()],
        id(network.generation_config),
        network.generation_config.to_dict(),
        torch.get_rng_state().tolist(),
        torch.is_grad_enabled(),
    )


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("failing", [False, True])
def test_model_is_left_as_it_was(llama: LoadedModel, failing: bool, implementation: str) -> None:
    """After success and failure; a part that was frozen in a network that trains stays frozen."""
    llama.network.set_attn_implementation(implementation)
    llama.network.train()
    llama.network.model.layers[1].eval()
    if failing:
        with torch.no_grad():
            llama.network.lm_head.weight[9] = math.nan
    before = state_of(llama)
    failed = False
    try:
        capture(llama, Prompt(text="abc", max_new_tokens=3, generation=Generation(do_sample=True)))
    except PromptError:
        failed = True
    assert failed == failing
    assert state_of(llama) == before


def test_dropout_of_a_network_that_trains_is_off() -> None:
    """GPT-2 drops a tenth of its attention while it trains."""
    network = make_gpt2()
    expected = capture(wrap_model(network, make_tokenizer()), Prompt(text=TEXT))
    model = wrap_model(network, make_tokenizer())
    network.train()
    captured = capture(model, Prompt(text=TEXT))
    assert network.training
    assert ids_of(captured) == ids_of(expected)
    assert np.array_equal(captured.triangles, expected.triangles)


def test_nothing_is_said(llama: LoadedModel, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither of texts longer than the tokenizer expects, nor of padding."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    llama.tokenizer.model_max_length = 200
    logging.getLogger("transformers").addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            capture(llama, Prompt(text="a" * 300))
    finally:
        logging.getLogger("transformers").removeHandler(handler)
    assert said == []
    assert capfd.readouterr() == ("", "")


def test_bfloat16(llama: LoadedModel) -> None:
    """A recorded run has no difference to tell, whatever it rounds."""
    model = wrap_model(llama.network.to(torch.bfloat16), make_tokenizer())
    captured = capture(model, Prompt(text=TEXT))
    assert captured.layers == (0, 1, 2)
    assert captured.strategy == ONE_PASS
    assert all(step.logprob_drift < 1e-9 for step in captured.steps)
