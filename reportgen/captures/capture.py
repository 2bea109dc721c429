"""Run prompts on a model and capture tokens, attention and predictions.

Text is generated with the model's fast attention. Attention and evidence are taken from that run, or, where a short
test shows that they cannot be, from a second forward pass over prompt and generated tokens. If a prompt asks for no
tokens, its most probable next token is measured as a generated one would be.
"""

from __future__ import annotations

import gc
import traceback
import warnings
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
from reportgen.captures.generation import (
    GenerationResult,
    count_new_tokens,
    find_next_tokens,
    find_runners_up,
    generate,
    score,
)
from reportgen.captures.predictions import Predictor, widen
from reportgen.captures.record import ONE_PASS, SECOND_PASS, Capture
from reportgen.captures.tokenization import check_memory, encode_prompt
from reportgen.captures.tokens import make_tokens
from reportgen.instrumentation.anatomy import output_device
from reportgen.instrumentation.layer_types import confirm_layer_types, detect_layer_types, find_features
from reportgen.instrumentation.logits import Logits
from reportgen.instrumentation.recording import Recording
from reportgen.instrumentation.strategy import CaptureStrategy
from reportgen.models.hf_errors import quiet
from reportgen.models.model import LoadedModel
from reportgen.records import (
    PREDICTIONS,
    EncodedPrompt,
    FoilToken,
    LayerType,
    Prediction,
    Prompt,
    Span,
    Step,
    public_name,
)
from reportgen.records.errors import (
    CaptureMismatch,
    ModelError,
    NotEnoughMemory,
    PromptError,
    ReportgenError,
    first_line,
    is_out_of_memory,
)
from reportgen.records.selection import Selection
from reportgen.records.span import GENERATED, GIVEN

_CELLS = 1 << 23
"""Maximum number of logits of the prompt computed at a time; each product reads the whole unembedding."""


def capture(
    model: LoadedModel, prompt: Prompt, make_collector: MakeCollector, watch: Watch = lambda *_: None
) -> Capture:
    """Run one prompt and return its capture; ``build.capture`` documents the result and the errors.

    Args:
        model: model to run the prompt on; the network is not changed.
        prompt: prompt to run; its ``model`` is ignored. What its author may not have meant is a ``UserWarning``.
        make_collector: creates the collector that measures the evidence.
        watch: progress callback of ablation; called only if the prompt requests ablation.
    """
    encoded = encode_prompt(model, prompt)
    for warning in encoded.warnings:
        warnings.warn(f"{prompt.place.of()}: {warning}", stacklevel=4)  # of who calls reportgen.capture
    return _Capturer(model, make_collector, lambda _: watch).capture_all([encoded])[0]


def capture_in_turn(
    model: LoadedModel,
    prompts: Sequence[EncodedPrompt],
    make_collector: MakeCollector,
    watch: Callable[[Prompt], Watch] = lambda _: lambda *_: None,
    wanted: Callable[[Prompt], bool] = lambda _: True,
) -> Iterator[Capture | PromptError | ModelError]:
    """Run the prompts of one batch of ``make_batches`` and yield their captures one by one.

    No capture is kept after it is yielded, because the next one may need its memory.

    Args:
        model: as in ``capture``.
        prompts: prompts that can be continued together.
        make_collector: creates the collector that measures the evidence of a prompt.
        watch: returns the progress callback for the ablation of a prompt.
        wanted: returns whether the capture of a prompt is requested. The other prompts run too, so that the numbers
            of the requested ones do not depend on which pages already exist.

    Yields:
        For each requested prompt its capture, or the error that ``capture`` would raise. An error in one prompt does
        not affect the others. If the batch does not fit into memory, it is split in halves; a single prompt that does
        not fit is tried once more.
    """
    yield from _Capturer(model, make_collector, watch, wanted).capture_in_turn(prompts)


def free_memory() -> None:
    """Release unused memory."""
    gc.collect()  # hooks create reference cycles in a network
    # The allocator of torch keeps freed CUDA memory for itself.
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class _PreparedPrompt:
    """A prompt with its layer numbers, head numbers and token ids for one model."""

    encoded: EncodedPrompt
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    token_ids: list[int]

    @property
    def prompt(self) -> Prompt:
        return self.encoded.prompt

    def list_spans(self, generated: GenerationResult) -> tuple[Span, ...]:
        """Return the spans of the prompt and that of the generated or given tokens."""
        spans = self.encoded.spans
        if not spans or not self.prompt.max_new_tokens or not generated.token_ids:
            return spans
        name, first = GIVEN if self.prompt.continuation else GENERATED, len(self.token_ids)
        return (*spans, Span(name, first, first + len(generated.token_ids) - 1))


def _prepare(model: LoadedModel, encoded: EncodedPrompt) -> _PreparedPrompt:
    prompt = encoded.prompt
    layers = _resolve(prompt, "layers", prompt.layers, model.info.num_layers)
    heads = _resolve(prompt, "heads", prompt.heads, model.info.num_heads)
    if encoded.error is not None:
        raise encoded.error
    return _PreparedPrompt(encoded, layers, heads, list(encoded.token_ids))


@dataclass(frozen=True)
class _Capturer:
    """Runs prompts on one model; the attributes are the arguments of ``capture_in_turn``."""

    model: LoadedModel
    make_collector: MakeCollector
    watch: Callable[[Prompt], Watch]
    wanted: Callable[[Prompt], bool] = lambda _: True

    def capture_in_turn(self, prompts: Sequence[EncodedPrompt]) -> Iterator[Capture | PromptError | ModelError]:
        result = self._try_all(prompts) if len(prompts) > 1 else None
        if isinstance(result, list):
            while result:
                yield result.pop(0)
        elif isinstance(result, NotEnoughMemory):
            free_memory()
            middle = len(prompts) // 2
            for half in (prompts[:middle], prompts[middle:]):
                if any(self.wanted(encoded.prompt) for encoded in half):
                    yield from self.capture_in_turn(half)
        else:  # there is only one prompt, or one of them fails; running each alone shows which one
            for encoded in prompts:
                if self.wanted(encoded.prompt):
                    yield self._capture_alone(encoded)

    def _capture_alone(self, encoded: EncodedPrompt) -> Capture | PromptError | ModelError:
        result = self._try_all([encoded])
        if isinstance(result, NotEnoughMemory):
            free_memory()
            result = self._try_all([encoded])
        return result[0] if isinstance(result, list) else result

    def _try_all(
        self, prompts: Sequence[EncodedPrompt]
    ) -> list[Capture | PromptError | ModelError] | PromptError | ModelError:
        """Run prompts together and return their captures, or the error that occurred.

        The frames of the traceback are cleared, because their local variables keep the memory of the run in use.
        """
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
            strategy = find_capture_strategy(network)  # raise before generation, which takes time
            self._check_memory(prepared, strategy)
            generated = self._generate(prepared, recorded=strategy.one_pass)
            recording = _find_recording(generated)
            layer_types = detect_layer_types(network, model.info)
            inputs = [_make_input(network, *pair, layer_types) for pair in zip(prepared, generated, strict=True)]
            collectors = [self.make_collector(given) for given in inputs]
            requests = [
                CaptureRequest(collector.token_ids, prompt.layers, prompt.heads, collector.rows, (collector,))
                for prompt, collector in zip(prepared, collectors, strict=True)
            ]
            rows = [one.row for one in generated]
            results = attend(network, strategy, requests, model.info.num_heads, recording, rows)
            parts = zip(prepared, generated, collectors, results, strict=True)
            run = SECOND_PASS if recording is None else ONE_PASS
            return [replace(self._finish(*part), strategy=run) for part in parts if self.wanted(part[0].prompt)]

    def _generate(self, prepared: Sequence[_PreparedPrompt], *, recorded: bool) -> list[GenerationResult]:
        prompt, texts = prepared[0].prompt, [one.token_ids for one in prepared]
        streams = self.make_collector.follows_stream(prompt.without)
        if prompt.continuation:
            return [score(self.model, one.token_ids, one.encoded.continuation_ids) for one in prepared]
        if prompt.max_new_tokens == 0:
            return find_next_tokens(self.model, texts, recorded=recorded, streams=streams)
        options = {"recorded": recorded, "streams": streams}
        if prompt.generation.num_return_sequences == 1:
            return generate(self.model, texts, prompt.max_new_tokens, prompt.generation, **options)
        # All sequences are generated, however many of them are captured: each changes the tokens of the others.
        found = generate(self.model, texts[:1], prompt.max_new_tokens, prompt.generation, **options)
        numbers = [one.prompt.generation.return_sequence or 1 for one in prepared]
        return [found[number - 1] for number in numbers]

    def _check_memory(self, prepared: Sequence[_PreparedPrompt], strategy: CaptureStrategy) -> None:
        needed = 0
        for item in prepared:
            length = len(item.token_ids) + count_new_tokens(item.encoded, self.model.info.context_window)
            size = item.token_ids, length, self.model.info.num_layers
            evidence = self.make_collector.count_bytes(*size, item.prompt.without)
            evidence += strategy.recorded_bytes * length
            sizes = length, len(item.layers), len(item.heads)
            needed += check_memory(item.prompt, *sizes, fast=strategy.fast, evidence=evidence, others=needed)

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
        vocabulary = model.network.config.get_text_config(decoder=True).vocab_size
        layer_types = confirm_layer_types(
            detect_layer_types(model.network, model.info), attended.layers, attended.triangles, len(collector.token_ids)
        )
        return Capture(
            # What is made of a capture is published, and a path can name a person.
            prompt=replace(prompt, model=public_name(prompt.model), adapter=public_name(prompt.adapter)),
            model=replace(
                model.info,
                name=public_name(model.info.name),
                adapter=public_name(model.info.adapter),
                features=find_features(model.network, layer_types, model.info.num_heads),
            ),
            tokens=make_tokens(model.tokenizer, collector.token_ids),
            foils=tuple(_make_foil(predictor, generated, *found) for found in _find_foils(one, generated)),
            num_prompt_tokens=len(one.token_ids),
            layers=attended.layers,
            heads=one.heads,
            triangles=attended.triangles,
            prompt_predictions=()
            if PREDICTIONS in prompt.without
            else _predict_prompt(predictor, attended.logits, one.token_ids, vocabulary),
            steps=_predict_steps(predictor, attended.logits, generated, len(one.token_ids)),
            versions=_versions(),
            evidence=collector.finish(predictor.token),
            layer_types=layer_types,
            sink_mass=attended.sink_mass,
            spans=one.list_spans(generated),
            unplaced=one.encoded.unplaced,
        )


def _find_recording(generated: Sequence[GenerationResult]) -> Recording | None:
    """Return the recording that holds all texts of a batch; ``None`` if a pass over them is needed."""
    recording = generated[0].recording
    recorded = recording is not None and not recording.unsuitable
    return recording if recorded and all(one.recording is recording for one in generated) else None


def _make_input(
    network: PreTrainedModel, one: _PreparedPrompt, generated: GenerationResult, layer_types: Sequence[LayerType]
) -> CollectorInput:
    runners_up = find_runners_up(generated, output_device(network))
    token_ids = [*one.token_ids, *generated.token_ids]
    return CollectorInput(
        network,
        token_ids,
        one.layers,
        one.heads,
        runners_up,
        layer_types,
        foils=[(step, token_id) for step, token_id, missing in _find_foils(one, generated) if not missing],
        no_steps=generated.no_tokens,
        without=one.prompt.without,
        spans=one.list_spans(generated),
    )


def _find_foils(one: _PreparedPrompt, generated: GenerationResult) -> list[tuple[int, int, str]]:
    """Return step, token id and the reason why nothing is compared with it, of each foil of a prompt."""
    found, count = [], len(generated.token_ids)
    for foil, token_id in zip(one.prompt.foils, one.encoded.foil_ids, strict=True):
        missing = ""
        if foil.step >= count:
            missing = f"the text ends before token {foil.step + 1}" if count else "no token was written"
        elif generated.token_ids[foil.step] == token_id:
            missing = "it is the given token" if one.prompt.continuation else "it is what the model wrote"
        found.append((foil.step, token_id, missing))
    return found


def _make_foil(predictor: Predictor, generated: GenerationResult, step: int, token_id: int, missing: str) -> FoilToken:
    token = predictor.token(token_id)
    if step >= len(generated.raw):
        return FoilToken(token, step, missing=missing)
    (predicted,) = predictor.predict_all(generated.raw[step][None], [token_id])
    return FoilToken(token, step, predicted.logprob, predicted.rank, missing)


def _versions() -> dict[str, str]:
    packages = ("torch", "transformers", "numpy")
    return {"reportgen": __version__} | {name: version(name) for name in packages} | {"python": python_version()}


def _predict_prompt(
    predictor: Predictor, logits: Logits, prompt_ids: list[int], vocabulary: int
) -> tuple[Prediction, ...]:
    next_ids = prompt_ids[1:]
    predictions: list[Prediction] = []
    num_rows = max(1, _CELLS // vocabulary)
    for first in range(0, len(next_ids), num_rows):
        chosen = next_ids[first : first + num_rows]
        predictions += predictor.predict_all(logits.read(slice(first, first + len(chosen)))[0], chosen)
    return tuple(predictions)


def _predict_steps(
    predictor: Predictor, logits: Logits, generated: GenerationResult, num_prompt_tokens: int
) -> tuple[Step, ...]:
    if not generated.token_ids:
        return ()
    raw = predictor.predict_all(torch.stack(generated.raw), generated.token_ids)
    filtered: list[Prediction | None] = [None] * len(raw)
    if generated.filtered:
        filtered = [*predictor.predict_all(torch.stack(generated.filtered), generated.token_ids)]
    rows = slice(num_prompt_tokens - 1, num_prompt_tokens - 1 + len(raw))
    replayed = widen(logits.read(rows)[0]).log_softmax(-1).cpu()
    steps = []
    for step, token_id in enumerate(generated.token_ids):
        difference = abs(raw[step].logprob - float(replayed[step, token_id]))
        if isnan(difference):
            raise ValueError(
                "the logits of the attention pass are not finite; float16 may overflow, try --dtype bfloat16 or float32"
            )
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
    """Turn errors of the model inside a ``with`` block into errors of a prompt, so that other prompts still run."""
    where = prompt.place.of()
    try:
        yield
    except CaptureMismatch as error:
        raise CaptureMismatch(f"{where}: {error}") from error
    except ReportgenError:
        raise
    except BaseException as error:  # custom code of a model may raise any exception
        if isinstance(error, KeyboardInterrupt | GeneratorExit):
            raise
        if is_out_of_memory(error):
            advice = "shorten it, select fewer layers, or use --dtype bfloat16 or another --device"
            raise NotEnoughMemory(f"{where}: out of memory; {advice}") from error
        raise PromptError(f"{where}: the run failed, {first_line(error)}; -v shows where") from error
