"""A recorded generation: what it shows equals a pass over the whole text, and the tokens are those of a plain run."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from threading import Thread
from typing import Any

import pytest
import torch
from families import FAMILIES, make_network
from instrumentation.test_strategy import EAGER
from tiny import make_llama, make_tokenizer
from torch.nn import functional
from transformers import GenerationConfig, PreTrainedModel

from reportgen.build.capture import capture
from reportgen.captures.record import ONE_PASS, SECOND_PASS, Capture
from reportgen.instrumentation.fast_calls import FAST_CALLS
from reportgen.instrumentation.inputs import make_prompts
from reportgen.instrumentation.logits import run_pass
from reportgen.instrumentation.observer import HeadTrace, LayerTrace, Observer, RowTrace, TracedText
from reportgen.instrumentation.recording import Recorder, Recording, record
from reportgen.instrumentation.strategy import find_strategy
from reportgen.models.model import wrap_model
from reportgen.records import Generation, Prompt

LONG = [5, 9, 5, 200, 31, 7, 9, 12, 44, 3, 9, 5, 77, 80]
PROMPTS = (LONG, LONG[3:9])
"""The first is longer than the window of every family that has one."""
NEW_TOKENS = 6
FAST_ATTENTION = functional.scaled_dot_product_attention
SECOND = {*EAGER, "opt"}
"""Families that need a second pass: eager attention gives their weights, or their end cannot be run alone."""


class Keeper(Observer):
    """Keeps all that it sees."""

    def __init__(self) -> None:
        self.weights: dict[int, torch.Tensor] = {}
        self.heads: dict[int, HeadTrace] = {}
        self.layers: dict[int, LayerTrace] = {}

    def see_heads(self, trace: HeadTrace) -> None:
        self.heads[trace.layer] = trace
        self.weights[trace.layer] = torch.zeros(trace.shape)

    def see_rows(self, trace: RowTrace) -> None:
        num_rows, num_keys = trace.weights.shape[1:]
        self.weights[trace.layer][:, trace.first : trace.first + num_rows, :num_keys] = trace.weights

    def see_layer(self, trace: LayerTrace) -> None:
        self.layers[trace.layer] = trace


def generate(network: PreTrainedModel, prompts: Sequence[list[int]], **settings: Any) -> Any:
    """Run plain generation, without a stop token."""
    network.generation_config = GenerationConfig(pad_token_id=0)
    options = {"max_new_tokens": NEW_TOKENS, "return_dict_in_generate": True, **settings}
    return network.generate(**make_prompts(network, prompts, 0), **options)  # pyright: ignore[reportCallIssue]


def texts_of(sequences: torch.Tensor, prompts: Sequence[list[int]]) -> list[list[int]]:
    length = max(map(len, prompts))
    return [[*prompt, *made] for prompt, made in zip(prompts, sequences[:, length:].tolist(), strict=True)]


def watch(texts: Sequence[list[int]], prompts: Sequence[list[int]]) -> tuple[list[TracedText], list[Keeper]]:
    """Return texts with an observer each, at the positions that predict the new tokens."""
    keepers = [Keeper() for _ in texts]
    rows = [slice(len(prompt) - 1, len(text) - 1) for prompt, text in zip(prompts, texts, strict=True)]
    traced = [TracedText(text, row, [own]) for text, row, own in zip(texts, rows, keepers, strict=True)]
    return traced, keepers


def compare(
    network: PreTrainedModel, recording: Recording, texts: list[list[int]], prompts: Sequence[list[int]]
) -> None:
    """Compare a recording with a pass over the whole texts: weights, head outputs, residual stream, logits."""
    recorded, found = watch(texts, prompts)
    traced, expected = watch(texts, prompts)
    logits, whole = recording.show(recorded), run_pass(network, traced)
    for place, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one.weights.keys() == other.weights.keys()
        assert one.layers.keys() == other.layers.keys()
        for layer, weights in other.weights.items():
            close(one.weights[layer], weights)
            close(one.heads[layer].weights, other.heads[layer].weights)
            close(one.heads[layer].z, other.heads[layer].z)
            close(one.heads[layer].attn_out, other.heads[layer].attn_out)
            if other.heads[layer].values is not None:
                close(one.heads[layer].values, other.heads[layer].values)
        for layer, trace in other.layers.items():
            close(one.layers[layer].resid_pre, trace.resid_pre)
            close(one.layers[layer].resid_post, trace.resid_post)
            assert [call.module for call in one.layers[layer].calls] == [call.module for call in trace.calls]
            for call, same in zip(one.layers[layer].calls, trace.calls, strict=True):
                close(call.gave, same.gave)
        for rows in (slice(0, len(texts[place])), slice(2, 5)):
            for part, same in zip(logits[place].read(rows), whole[place].read(rows), strict=True):
                close(part, same)


def close(found: torch.Tensor | None, expected: torch.Tensor | None) -> None:
    assert found is not None
    assert expected is not None
    largest = float(expected.abs().max()) if expected.numel() else 0.0
    torch.testing.assert_close(found, expected, atol=2e-4 * max(1.0, largest), rtol=0)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_recording_shows_what_a_second_pass_shows(family: str) -> None:
    """Of prompts of different lengths, padded on the left."""
    network = make_network(family)
    assert find_strategy(network).one_pass == (family not in SECOND)
    if family in SECOND:
        return
    prompts = PROMPTS if find_strategy(network).supports_left_padding else PROMPTS[:1]
    output, recording = record(network, lambda: generate(network, prompts))
    assert recording.unsuitable == ""
    assert output.sequences.tolist() == generate(network, prompts).sequences.tolist()
    compare(network, recording, texts_of(output.sequences, prompts), prompts)


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": True, "temperature": 0.8, "top_k": 9},
        {"do_sample": True, "top_p": 0.9},
        {"repetition_penalty": 1.3},
        {"no_repeat_ngram_size": 2},
    ],
)
def test_recording_leaves_tokens_and_random_numbers_alone(settings: dict[str, Any]) -> None:
    network = make_llama()
    torch.manual_seed(5)
    plain = generate(network, PROMPTS, **settings).sequences
    state = torch.get_rng_state()
    torch.manual_seed(5)
    output, recording = record(network, lambda: generate(network, PROMPTS, **settings))
    assert torch.equal(output.sequences, plain)
    assert torch.equal(torch.get_rng_state(), state)
    compare(network, recording, texts_of(output.sequences, PROMPTS), PROMPTS)


@pytest.mark.parametrize(
    ("family", "settings", "reason"),
    [
        ("llama", {"cache_implementation": "static"}, "and its keys"),
        ("llama", {"use_cache": False}, "it has no cache"),
        ("llama", {"prefill_chunk_size": 4}, "it reads several tokens at a step"),
        ("bloom", {}, "called fast attention 0 times"),
        ("diffllama", {}, "called fast attention 2 times"),
    ],
)
def test_unsuitable_generation_is_named_and_goes_on(family: str, settings: dict[str, Any], reason: str) -> None:
    network = make_network(family)
    plain = generate(network, PROMPTS[:1], **settings).sequences
    output, recording = record(network, lambda: generate(network, PROMPTS[:1], **settings))
    assert reason in recording.unsuitable
    assert torch.equal(output.sequences, plain)


def test_weights_in_half_precision_are_those_of_the_run() -> None:
    """Equal to eager attention step by step with the same cache.

    The inputs of the first layer are the same to the bit. Those of the next ones are rounded otherwise.
    """
    network = make_llama().to(torch.bfloat16)
    output, recording = record(network, lambda: generate(network, PROMPTS[:1]))
    (text,) = texts_of(output.sequences, PROMPTS[:1])
    network.set_attn_implementation("eager")
    eager = generate(network, PROMPTS[:1], output_attentions=True)
    network.set_attn_implementation("sdpa")
    assert eager.sequences.tolist() == [text]
    traced, (found,) = watch([text], PROMPTS[:1])
    recording.show(traced)
    for step, attentions in enumerate(eager.attentions):
        for layer, weights in enumerate(attentions):
            row = found.weights[layer][:, len(LONG) - 1 + step, : len(LONG) + step]
            atol = 2**-6 if layer == 0 else 0.06
            torch.testing.assert_close(row, weights[0, :, -1].float(), atol=atol, rtol=0)


def test_hooks_and_modes_are_gone_also_after_an_error() -> None:
    network = make_llama()
    network.model.layers[1].self_attn.o_proj.register_forward_hook(fail := Fail())
    with pytest.raises(RuntimeError, match="not now"):
        record(network, lambda: generate(network, PROMPTS))
    fail.is_on = False
    assert torch.overrides._get_current_function_mode_stack() == []
    assert functional.scaled_dot_product_attention is FAST_ATTENTION
    modules = [part for part in network.modules() if part._forward_hooks or part._forward_pre_hooks]
    assert modules == [network.model.layers[1].self_attn.o_proj]


def test_fast_attention_is_followed_in_its_own_thread_and_put_back() -> None:
    followed: list[int] = []
    query = torch.zeros(1, 1, 2, 4)

    def call() -> None:
        functional.scaled_dot_product_attention(query, query, value=query)

    with FAST_CALLS:
        FAST_CALLS.follow(lambda args, kwargs, result: followed.append(len(args) + 10 * len(kwargs) + result.ndim))
        with FAST_CALLS:
            call()
        other = Thread(target=call)
        other.start()
        other.join()
        call()
        FAST_CALLS.follow(None)
        call()
    assert followed == [16, 16]
    assert functional.scaled_dot_product_attention is FAST_ATTENTION


def test_activations_are_copied_once_unless_they_are_changed_in_place() -> None:
    """A tensor that two modules pass on is kept once; a new one at the same address is another one."""
    network = make_llama()
    recorder = Recorder(network, streams=True)
    recorder._begin(network, (), {"input_ids": torch.zeros(1, 2, dtype=torch.long), "past_key_values": 1})

    def pick(value: torch.Tensor) -> list[list[float]]:
        picked = recorder.pick(value)
        assert picked is not None
        return picked.tolist()

    stream = torch.zeros(1, 2, 3)
    first = recorder.pick(stream)
    assert recorder.pick(stream) is first
    assert pick(stream) == [[0, 0, 0]]
    stream.add_(1)
    assert pick(stream) == [[1, 1, 1]]
    for number in range(20):
        assert pick(torch.full((1, 2, 3), float(number))) == [[number] * 3]
    with torch.inference_mode():
        stream = torch.zeros(1, 2, 3)
        assert pick(stream) == [[0, 0, 0]]
        stream.add_(1)
        assert pick(stream) == [[1, 1, 1]]


class Fail:
    """A hook that fails at the second token."""

    is_on = True

    def __call__(self, _: object, given: tuple[torch.Tensor], __: object) -> None:
        if self.is_on and given[0].shape[1] == 1:
            raise RuntimeError("not now")


def test_recorder_holds_each_position_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries, keys and values of each position, and of each pass the activations at its last position."""
    network = make_llama()
    sizes: list[int] = []
    finish = Recorder.finish

    def measure(self: Recorder, num_positions: int) -> Recording:
        heads = [one for modules in self.heads.values() for one in modules]
        parts = [part for one in heads for part in (*one.queries, *one.keys, *one.values)]
        storages = {part.untyped_storage().data_ptr(): part.untyped_storage().nbytes() for part in parts}
        sizes.append(sum(storages.values()))
        return finish(self, num_positions)

    monkeypatch.setattr(Recorder, "finish", measure)
    record(network, lambda: generate(network, PROMPTS[:1]))
    config, length = network.config, len(LONG) + NEW_TOKENS
    heads = config.num_attention_heads + 2 * config.num_key_value_heads
    assert sizes == [4 * config.num_hidden_layers * length * heads * config.head_dim]


def test_capture_says_which_run_it_is_of() -> None:
    model = wrap_model(make_llama(), make_tokenizer(), name="tiny")
    prompt = Prompt(text="The cat ate the mat", max_new_tokens=4)
    assert capture(model, prompt).strategy == ONE_PASS
    assert capture(model, Prompt(text="The cat", max_new_tokens=0)).strategy == ONE_PASS
    beams = Prompt(text="The cat ate", max_new_tokens=4, generation=Generation(num_beams=2))
    assert capture(model, beams).strategy == SECOND_PASS
    bloom = wrap_model(make_network("bloom"), make_tokenizer(), name="bloom")
    assert capture(bloom, prompt).strategy == SECOND_PASS


def test_nothing_of_a_recording_outlives_its_capture() -> None:
    model = wrap_model(make_llama(), make_tokenizer(), name="tiny")
    made = capture(model, Prompt(text="The cat ate the mat", max_new_tokens=4))
    gc.collect()
    assert isinstance(made, Capture)
    assert [one for one in gc.get_objects() if isinstance(one, Recording | Recorder)] == []
