"""A model and a prompt to a capture: tokens, attention and predictions.

Text is generated with the model's fast attention, then one eager pass over prompt and generated tokens gives the
weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from math import isnan
from platform import python_version
from typing import Any

import torch
from transformers import PreTrainedModel

from reportgen import __version__
from reportgen.captures.attention import Attended, attend
from reportgen.captures.generation import Generated, find_rivals, generate
from reportgen.captures.predictions import Predictor
from reportgen.captures.record import Capture
from reportgen.captures.tokens import make_tokens
from reportgen.errors import CaptureMismatch, PromptError, PromptTooLong, ReportgenError
from reportgen.evidence.ablation import Watch
from reportgen.evidence.gather import Gatherer
from reportgen.models.calls import quiet
from reportgen.models.model import LoadedModel
from reportgen.network.parts import output_device
from reportgen.records import Prediction, Prompt, Step, Token
from reportgen.selection import Selection

_NO_MEMORY = re.compile("out of memory|DefaultCPUAllocator")
"""What torch says where memory is full; only CUDA's has an error class of its own."""


def capture(model: LoadedModel, prompt: Prompt, watch: Watch = lambda *_: None) -> Capture:
    """Run one prompt.

    Args:
        model: what to run it on; the network is left as it was.
        prompt: what to run; its ``model`` is not looked at.
        watch: told how far ablation is, if it is asked for: heads done, of how many, seconds left.

    Returns:
        The record of the run.

    Raises:
        PromptTooLong: prompt and generated tokens do not fit the model's context window.
        CaptureMismatch: the model's attention is not causal softmax attention.
        UnsupportedModel: the model gives no attention weights.
        PromptError: the prompt cannot be encoded, selects what the model lacks, or the run failed.
    """
    layers = _resolve(prompt, "layers", prompt.layers, model.info.num_layers)
    heads = _resolve(prompt, "heads", prompt.heads, model.info.num_heads)
    prompt_ids = _encode(model, prompt)
    _check_room(model, prompt, len(prompt_ids))
    with _prompt_errors(prompt), _evaluating(model.network), quiet():
        generated = generate(model, prompt_ids, prompt.max_new_tokens, prompt.generation)
        token_ids = [*prompt_ids, *generated.token_ids]
        rivals = find_rivals(generated, output_device(model.network))
        gatherer = Gatherer(model.network, token_ids, layers, heads, rivals)
        attended = attend(
            model.network, token_ids, layers, heads, model.info.num_heads, (gatherer,), gatherer.rows
        )  # fmt: skip
        if not attended.layers:
            where = prompt.place.of("layers")
            raise PromptError(f"{where}: layers {prompt.layers} of {model.info.name} have no attention; select others")
        gatherer.ablate(prompt.evidence, watch)
        predictor = Predictor(model.tokenizer)
        return Capture(
            prompt=prompt,
            model=model.info,
            tokens=make_tokens(model.tokenizer, token_ids),
            num_prompt_tokens=len(prompt_ids),
            layers=attended.layers,
            heads=heads,
            triangles=attended.triangles,
            prompt_predictions=_predict_prompt(predictor, attended, prompt_ids),
            steps=_predict_steps(predictor, attended, generated, len(prompt_ids)),
            versions=_versions(),
            evidence=gatherer.finish(predictor.token, _make_rivals(predictor, rivals)),
        )


def _make_rivals(predictor: Predictor, rivals: torch.Tensor) -> tuple[tuple[Token, ...], ...]:
    return tuple(tuple(predictor.token(token_id) for token_id in row) for row in rivals.tolist())


def _versions() -> dict[str, str]:
    packages = ("torch", "transformers", "numpy")
    return {"reportgen": __version__} | {name: version(name) for name in packages} | {"python": python_version()}


def _predict_prompt(predictor: Predictor, attended: Attended, prompt_ids: list[int]) -> tuple[Prediction, ...]:
    return tuple(
        predictor.predict(attended.logits[position - 1], token_id)
        for position, token_id in enumerate(prompt_ids[1:], start=1)
    )


def _predict_steps(
    predictor: Predictor, attended: Attended, generated: Generated, num_prompt_tokens: int
) -> tuple[Step, ...]:
    steps = []
    for step, (token_id, raw, filtered) in enumerate(
        zip(generated.token_ids, generated.raw, generated.filtered, strict=True)
    ):
        prediction = predictor.predict(raw, token_id)
        replayed = attended.logits[num_prompt_tokens - 1 + step].float().log_softmax(-1)[token_id]
        difference = abs(prediction.logprob - float(replayed))
        if isnan(difference):
            raise ValueError("the logits of the pass that attention is taken from are not finite, try --dtype float32")
        steps.append(Step(step, prediction, predictor.predict(filtered, token_id), difference))
    return tuple(steps)


def _resolve(prompt: Prompt, what: str, selection: Selection, count: int) -> tuple[int, ...]:
    try:
        return selection.resolve(count)
    except ValueError as error:
        raise PromptError(f"{prompt.place.of(what)}: {what} {selection}: {error}") from error


def _encode(model: LoadedModel, prompt: Prompt) -> list[int]:
    where = prompt.place.of(_key(prompt))
    tokenizer: Any = model.tokenizer
    if prompt.messages and not tokenizer.chat_template:
        raise PromptError(f"{where}: {model.info.name} has no chat template; write text, or take a model for chats")
    try:
        if prompt.messages:
            encoded = _apply_template(tokenizer, prompt)
        else:
            encoded = tokenizer(prompt.text, add_special_tokens=prompt.add_special_tokens, verbose=False)
    except Exception as error:  # a tokenizer, or a template that came with it, may raise anything
        raise PromptError(f"{where}: {model.info.name}'s tokenizer cannot encode it, {_first_line(error)}") from error
    token_ids = list(encoded["input_ids"])
    if prompt.tools and token_ids == list(_apply_template(tokenizer, replace(prompt, tools=()))["input_ids"]):
        where = prompt.place.of("tools")
        raise PromptError(
            f"{where}: {model.info.name}'s chat template has no place for tools; leave them out, or take a model that "
            "was trained to call them"
        )
    if not token_ids:
        raise PromptError(f"{where}: it has no tokens in {model.info.name}; give it some text")
    return token_ids


def _apply_template(tokenizer: Any, prompt: Prompt) -> Any:
    return tokenizer.apply_chat_template(
        [dict(message) for message in prompt.messages],
        tools=[dict(tool) for tool in prompt.tools] or None,
        add_generation_prompt=True,
        return_dict=True,
    )


def _key(prompt: Prompt) -> str:
    return "messages" if prompt.messages else "text"


def _check_room(model: LoadedModel, prompt: Prompt, num_prompt_tokens: int) -> None:
    where, window = prompt.place.of(_key(prompt)), model.info.context_window
    if window is not None and num_prompt_tokens + prompt.max_new_tokens > window:
        raise PromptTooLong(
            f"{where}: {num_prompt_tokens} prompt tokens and {prompt.max_new_tokens} to generate do not fit "
            f"{model.info.name}'s context window of {window}; shorten the text or lower max_new_tokens"
        )


@contextmanager
def _evaluating(network: PreTrainedModel) -> Iterator[None]:
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _prompt_errors(prompt: Prompt) -> Iterator[None]:
    """What goes wrong inside the model is this prompt's failure, not the run's."""
    where = prompt.place.of()
    try:
        yield
    except CaptureMismatch as error:
        raise CaptureMismatch(f"{where}: {error}") from error
    except ReportgenError:
        raise
    except Exception as error:  # a network may bring its own code, which may raise anything
        if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
            problem = "out of memory; shorten it, select fewer layers, or use --dtype bfloat16 or another --device"
        else:
            problem = f"the run failed, {_first_line(error)}; -v shows where"
        raise PromptError(f"{where}: {problem}") from error


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
