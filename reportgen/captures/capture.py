"""A model and a prompt to a capture: tokens, attention and predictions.

Text is generated with the model's fast attention, then one pass over prompt and generated tokens gives the weights.
"""

from __future__ import annotations

import gc
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from math import isnan
from platform import python_version

import torch
from transformers import PreTrainedModel

from reportgen import __version__
from reportgen.captures.attention import AttentionResult, CaptureRequest, attend, find_capture_strategy
from reportgen.captures.collector import Collector, CollectorInput, MakeCollector, Watch
from reportgen.captures.generation import GenerationResult, find_runners_up, generate
from reportgen.captures.predictions import Predictor
from reportgen.captures.record import Capture
from reportgen.captures.tokenization import check_memory, encode_prompt
from reportgen.captures.tokens import make_tokens
from reportgen.instrumentation.anatomy import output_device
from reportgen.instrumentation.layer_types import confirm_layer_types, detect_layer_types, find_features
from reportgen.instrumentation.logits import Logits
from reportgen.models.hf_errors import quiet
from reportgen.models.model import LoadedModel
from reportgen.records import EncodedPrompt, LayerType, Prediction, Prompt, Step
from reportgen.records.errors import (
    CaptureMismatch,
    ModelError,
    NotEnoughMemory,
    PromptError,
    ReportgenError,
    first_line,
)
from reportgen.records.selection import Selection

_ROWS = 64
"""Positions whose logits are worked out at once."""

_NO_MEMORY = re.compile("out of memory|DefaultCPUAllocator|bad_alloc|[Cc]annot allocate memory|ALLOC_FAILED")
"""What torch says where memory is full; only CUDA's has an error class of its own."""


def capture(
    model: LoadedModel, prompt: Prompt, make_collector: MakeCollector, watch: Watch = lambda *_: None
) -> Capture:
    """Run one prompt; ``build.capture`` documents the result and the errors.

    Args:
        model: model to run the prompt on; the network is not changed.
        prompt: prompt to run; its ``model`` is ignored.
        make_collector: creates what measures the evidence.
        watch: receives the progress of ablation, if requested.
    """
    return _Capturer(model, make_collector, lambda _: watch).capture_all([encode_prompt(model, prompt)])[0]


def capture_in_turn(
    model: LoadedModel,
    prompts: Sequence[EncodedPrompt],
    make_collector: MakeCollector,
    watch: Callable[[Prompt], Watch] = lambda _: lambda *_: None,
    wanted: Callable[[Prompt], bool] = lambda _: True,
) -> Iterator[Capture | PromptError | ModelError]:
    """Run the prompts of one batch, as ``make_batches`` returns it.

    No capture is kept after it is taken, because the next one may need its memory.

    Args:
        model: as in ``capture``.
        prompts: prompts that can be continued together.
        make_collector: creates what measures the evidence of each.
        watch: returns what receives the progress of a prompt's ablation.
        wanted: returns whether the capture of a prompt is requested. The others run too, so that the numbers of these
            do not depend on which pages exist already.

    Yields:
        For each requested prompt its capture, or the error that ``capture`` would raise: a prompt that fails does not
        fail the others. If memory does not hold all, halves of the batch are tried, and a prompt that fails alone is
        tried once more.
    """
    yield from _Capturer(model, make_collector, watch, wanted).capture_in_turn(prompts)


def free_memory() -> None:
    """Give back what nobody holds any more: hooks make circles of a network, and CUDA keeps what it once had."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class _PreparedPrompt:
    """A prompt in numbers of the model: its layers, its heads, its tokens."""

    prompt: Prompt
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    token_ids: list[int]


def _prepare(model: LoadedModel, encoded: EncodedPrompt) -> _PreparedPrompt:
    prompt = encoded.prompt
    layers = _resolve(prompt, "layers", prompt.layers, model.info.num_layers)
    heads = _resolve(prompt, "heads", prompt.heads, model.info.num_heads)
    if encoded.error is not None:
        raise encoded.error
    return _PreparedPrompt(prompt, layers, heads, list(encoded.token_ids))


@dataclass(frozen=True)
class _Capturer:
    """Runs prompts on one model; the attributes are the arguments of ``capture_in_turn``."""

    model: LoadedModel
    make_collector: MakeCollector
    watch: Callable[[Prompt], Watch]
    wanted: Callable[[Prompt], bool] = lambda _: True

    def capture_in_turn(self, prompts: Sequence[EncodedPrompt]) -> Iterator[Capture | PromptError | ModelError]:
        made = self._try_all(prompts) if len(prompts) > 1 else None
        if isinstance(made, list):
            while made:
                yield made.pop(0)
        elif isinstance(made, NotEnoughMemory):
            free_memory()
            middle = len(prompts) // 2
            for half in (prompts[:middle], prompts[middle:]):
                if any(self.wanted(encoded.prompt) for encoded in half):
                    yield from self.capture_in_turn(half)
        else:  # there is one prompt, or one fails: running each alone tells which
            for encoded in prompts:
                if self.wanted(encoded.prompt):
                    yield self._capture_alone(encoded)

    def _capture_alone(self, encoded: EncodedPrompt) -> Capture | PromptError | ModelError:
        made = self._try_all([encoded])
        if isinstance(made, NotEnoughMemory):
            free_memory()
            made = self._try_all([encoded])
        return made[0] if isinstance(made, list) else made

    def _try_all(
        self, prompts: Sequence[EncodedPrompt]
    ) -> list[Capture | PromptError | ModelError] | PromptError | ModelError:
        """Run prompts together; return an error without the frames that hold the memory of the run."""
        try:
            return [*self.capture_all(prompts)]
        except (PromptError, ModelError) as error:
            cause: BaseException | None = error
            while cause is not None:
                traceback.clear_frames(cause.__traceback__)
                cause = cause.__cause__ or cause.__context__
            return error

    def capture_all(self, prompts: Sequence[EncodedPrompt]) -> list[Capture]:
        """Run prompts together and return the requested captures."""
        prepared = [_prepare(self.model, encoded) for encoded in prompts]
        model, network = self.model, self.model.network
        with _prompt_errors(prepared[0].prompt), _evaluating(network), quiet():
            strategy = find_capture_strategy(network)  # before anything is generated
            _check_memory(prepared, fast=strategy.fast)
            settings = prepared[0].prompt.max_new_tokens, prepared[0].prompt.generation
            generated = generate(model, [one.token_ids for one in prepared], *settings)
            layer_types = detect_layer_types(network, model.info)
            inputs = [_make_input(network, *pair, layer_types) for pair in zip(prepared, generated, strict=True)]
            collectors = [self.make_collector(given) for given in inputs]
            requests = [
                CaptureRequest(collector.token_ids, one.layers, one.heads, collector.rows, (collector,))
                for one, collector in zip(prepared, collectors, strict=True)
            ]
            results = attend(network, requests, model.info.num_heads)
            parts = zip(prepared, generated, collectors, results, strict=True)
            return [self._finish(*part) for part in parts if self.wanted(part[0].prompt)]

    def _finish(
        self, one: _PreparedPrompt, generated: GenerationResult, collector: Collector, attended: AttentionResult
    ) -> Capture:
        model, prompt = self.model, one.prompt
        if not attended.layers:
            where = prompt.place.of("layers")
            raise PromptError(f"{where}: layers {prompt.layers} of {model.info.name} have no attention; select others")
        collector.end(attended.logits)
        collector.ablate(prompt.evidence, self.watch(prompt))
        predictor = Predictor(model.tokenizer)
        layer_types = confirm_layer_types(
            detect_layer_types(model.network, model.info), attended.layers, attended.attention, len(collector.token_ids)
        )
        return Capture(
            prompt=prompt,
            model=replace(model.info, features=find_features(model.network, layer_types, model.info.num_heads)),
            tokens=make_tokens(model.tokenizer, collector.token_ids),
            num_prompt_tokens=len(one.token_ids),
            layers=attended.layers,
            heads=one.heads,
            attention=attended.attention,
            prompt_predictions=_predict_prompt(predictor, attended.logits, one.token_ids),
            steps=_predict_steps(predictor, attended.logits, generated, len(one.token_ids)),
            versions=_versions(),
            evidence=collector.finish(predictor.token),
            layer_types=layer_types,
            sink_mass=attended.sink_mass,
        )


def _check_memory(prepared: Sequence[_PreparedPrompt], *, fast: bool) -> None:
    needed = 0
    for one in prepared:
        length = len(one.token_ids) + one.prompt.max_new_tokens
        needed += check_memory(one.prompt, length, len(one.layers), len(one.heads), fast=fast, others=needed)


def _make_input(
    network: PreTrainedModel, one: _PreparedPrompt, generated: GenerationResult, layer_types: Sequence[LayerType]
) -> CollectorInput:
    runners_up = find_runners_up(generated, output_device(network))
    token_ids = [*one.token_ids, *generated.token_ids]
    return CollectorInput(network, token_ids, one.layers, one.heads, runners_up, layer_types)


def _versions() -> dict[str, str]:
    packages = ("torch", "transformers", "numpy")
    return {"reportgen": __version__} | {name: version(name) for name in packages} | {"python": python_version()}


def _predict_prompt(predictor: Predictor, logits: Logits, prompt_ids: list[int]) -> tuple[Prediction, ...]:
    chosen = prompt_ids[1:]
    made: list[Prediction] = []
    for first in range(0, len(chosen), _ROWS):
        some = chosen[first : first + _ROWS]
        made += predictor.predict_all(logits.read(slice(first, first + len(some)))[0], some)
    return tuple(made)


def _predict_steps(
    predictor: Predictor, logits: Logits, generated: GenerationResult, num_prompt_tokens: int
) -> tuple[Step, ...]:
    if not generated.token_ids:
        return ()
    raw, filtered = (
        predictor.predict_all(torch.stack(rows), generated.token_ids) for rows in (generated.raw, generated.filtered)
    )
    rows = slice(num_prompt_tokens - 1, num_prompt_tokens - 1 + len(raw))
    replayed = logits.read(rows)[0].float().log_softmax(-1).cpu()
    steps = []
    for step, token_id in enumerate(generated.token_ids):
        difference = abs(raw[step].logprob - float(replayed[step, token_id]))
        if isnan(difference):
            raise ValueError("the logits of the pass that attention is taken from are not finite, try --dtype float32")
        steps.append(Step(step, raw[step], filtered[step], difference))
    return tuple(steps)


def _resolve(prompt: Prompt, what: str, selection: Selection, count: int) -> tuple[int, ...]:
    try:
        return selection.resolve(count)
    except ValueError as error:
        raise PromptError(f"{prompt.place.of(what)}: {what} {selection}: {error}") from error


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
    except BaseException as error:  # a network may bring its own code, which may raise anything
        if isinstance(error, KeyboardInterrupt | GeneratorExit):
            raise
        if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
            advice = "shorten it, select fewer layers, or use --dtype bfloat16 or another --device"
            raise NotEnoughMemory(f"{where}: out of memory; {advice}") from error
        raise PromptError(f"{where}: the run failed, {first_line(error)}; -v shows where") from error
