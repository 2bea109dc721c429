"""Generate new tokens with the model's ``generate`` method and fast attention, the first half of a capture.

Of a prompt without generation, the most probable next token is found in the same way. A given continuation is scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedModel
from transformers.generation.stopping_criteria import StopStringCriteria

from reportgen.instrumentation.inputs import generating, make_inputs, make_prompts
from reportgen.instrumentation.logits import takes_rows
from reportgen.instrumentation.recording import Recording, record
from reportgen.models.model import LoadedModel
from reportgen.records import EncodedPrompt, Generation
from reportgen.records.errors import UnsupportedModel, first_line, is_out_of_memory

_RUNNERS_UP = 3
"""Number of alternative tokens that the chosen token of a step is compared with."""


@dataclass(frozen=True)
class GenerationResult:
    """Generated tokens of one prompt, or the token that the model would write next.

    Attributes:
        token_ids: ids of the new tokens, including a stop token.
        raw: logits of each step before sampling filters, ``[vocabulary]`` each.
        filtered: logits of each step after sampling filters, ``[vocabulary]`` each; empty with beam search.
        no_tokens: why there are no new tokens; empty if there are.
        recording: recording of the run, which all prompts of a batch share; ``None`` if it was not recorded.
        row: row of the recording that is this text's.
    """

    token_ids: tuple[int, ...] = ()
    raw: tuple[torch.Tensor, ...] = ()
    filtered: tuple[torch.Tensor, ...] = ()
    no_tokens: str = ""
    recording: Recording | None = None
    row: int = 0


def count_new_tokens(encoded: EncodedPrompt, context_window: int | None) -> int:
    """Return the maximum number of tokens behind a prompt: those given, those to generate, or the one that is next.

    Args:
        encoded: the prompt and its tokens.
        context_window: maximum number of positions of the model; ``None`` if it has none.
    """
    fits = context_window is None or len(encoded.token_ids) < context_window
    return len(encoded.continuation_ids) or encoded.prompt.max_new_tokens or int(fits)


def can_share(generation: Generation) -> bool:
    """Return whether batching leaves the generated tokens unchanged.

    Sampling uses one random number generator for the whole batch, and beam search, repetition penalty and stop strings
    include the padding; all four change the tokens.
    """
    plain = generation.num_beams == 1 and generation.repetition_penalty is None and not generation.stop_strings
    return plain and not generation.do_sample


def generate(
    model: LoadedModel,
    texts: Sequence[list[int]],
    max_new_tokens: int,
    generation: Generation,
    *,
    recorded: bool = False,
    streams: bool = True,
) -> list[GenerationResult]:
    """Continue a batch of prompts.

    Args:
        model: the model, in evaluation mode.
        texts: token ids of each prompt, at least one prompt; several only if ``can_share`` returns true, so never with
            several return sequences.
        max_new_tokens: maximum number of new tokens, at least 1.
        generation: generation settings; the caller's random state is not changed.
        recorded: record the run, unless it is a beam search.
        streams: record the residual stream too.

    Returns:
        The new tokens of each prompt with their logits; of one prompt with return sequences, of each sequence.

    Raises:
        UnsupportedModel: the model appends tokens to the text before it predicts the next one.
    """
    network, length, config = model.network, max(map(len, texts)), _make_config(model)
    prompts = make_prompts(network, texts, config.pad_token_id)

    def run() -> Any:
        return network.generate(  # pyright: ignore[reportCallIssue]
            **prompts,
            max_new_tokens=max_new_tokens,
            return_dict_in_generate=True,
            output_logits=True,
            output_scores=True,
            tokenizer=model.tokenizer if generation.stop_strings else None,
            **_settings(generation),
        )

    with generating(network, config), _seeded(network, generation.seed), _checked_inputs(network, length):
        # The beams of a search change places between steps.
        output, recording = (
            record(network, run, streams=streams) if recorded and generation.num_beams == 1 else (run(), None)
        )
    ends = _find_ends(output.sequences, length, model, config, generation.stop_strings)
    made = [_take(output, row, output.sequences[row, length:end].tolist()) for row, end in enumerate(ends)]
    return [replace(one, recording=recording, row=row) for row, one in enumerate(made)]


def score(model: LoadedModel, token_ids: Sequence[int], continuation: Sequence[int]) -> GenerationResult:
    """Return a given continuation of a text with its logits, as if the model had generated it.

    Args:
        model: the model, in evaluation mode.
        token_ids: token ids of the prompt.
        continuation: token ids behind it, at least one.
    """
    network, count = model.network, len(continuation)
    # The logits of a whole long text may not fit into memory.
    options: dict[str, Any] = {"logits_to_keep": count} if takes_rows(network) else {}
    with torch.inference_mode():
        logits = network(**make_inputs(network, [[*token_ids, *continuation[:-1]]]), **options).logits[0, -count:]
    return GenerationResult(token_ids=tuple(continuation), raw=tuple(logits))


def _find_ends(
    sequences: torch.Tensor, start: int, model: LoadedModel, config: GenerationConfig, stop_strings: Sequence[str]
) -> list[int]:
    """Return where each text ends, behind its first stop token or stop string; padding may follow.

    Args:
        sequences: token ids of prompts and new tokens, ``[text, position]``.
        start: position of the first new token.
        model: the model, with the tokenizer.
        config: generation config with the stop tokens.
        stop_strings: texts at which the generation ends.
    """
    stops = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    criterion: Any = StopStringCriteria(model.tokenizer, list(stop_strings)) if stop_strings else None

    def stops_at(row: int, end: int) -> bool:
        found = criterion is not None and bool(criterion(sequences[row : row + 1, :end], None))
        return found or int(sequences[row, end - 1]) in stops

    rows, length = sequences.shape
    return [next((end for end in range(start + 1, length + 1) if stops_at(row, end)), length) for row in range(rows)]


def find_next_tokens(
    model: LoadedModel, texts: Sequence[list[int]], *, recorded: bool = False, streams: bool = True
) -> list[GenerationResult]:
    """Find the most probable next token of each prompt of a batch, by the distribution before sampling filters.

    Args:
        model: the model, in evaluation mode.
        texts: token ids of each prompt.
        recorded: record the run.
        streams: record the residual stream too.

    Returns:
        For each prompt one token, or the reason why it cannot be had: the prompt fills the context window, or the model
        cannot generate. A forward pass over the prompt alone may work all the same.
    """
    window = model.info.context_window
    fitting = [token_ids for token_ids in texts if window is None or len(token_ids) < window]
    try:
        options = {"recorded": recorded, "streams": streams}
        found = iter(generate(model, fitting, 1, Generation(), **options) if fitting else ())
    except Exception as error:
        # Each prompt of a batch is then run alone. What does not lie in the generation fails in the attention pass too.
        if len(texts) > 1 or is_out_of_memory(error):
            raise
        reason = str(error).partition(";")[0] if isinstance(error, UnsupportedModel) else first_line(error)
        return [GenerationResult(no_tokens=f"the next token could not be found, {reason}")]
    full = GenerationResult(no_tokens=f"the prompt fills the context window of {window} tokens")
    return [full if window is not None and len(token_ids) >= window else next(found) for token_ids in texts]


def _take(output: Any, place: int, token_ids: list[int]) -> GenerationResult:
    """Return one text of the output of ``generate``, with these new tokens."""
    rows = _rows_of(output, place, len(token_ids))
    # The scores of beam search are log-probabilities of which a penalty leaves no distribution, and the token is not
    # chosen by them alone but by their sum over the whole text, among all beams.
    scores = () if _has_beams(output) else output.scores
    return GenerationResult(
        token_ids=tuple(token_ids),
        raw=tuple(logits[row] for logits, row in zip(output.logits, rows, strict=False)),
        filtered=tuple(logits[row] for logits, row in zip(scores, rows, strict=False)),
    )


def find_runners_up(generated: GenerationResult, device: torch.device) -> torch.Tensor:
    """Return the most probable tokens of each step, without the chosen token.

    Args:
        generated: the generated tokens of one prompt.
        device: device of the result.

    Returns:
        Token ids, best first, ``[step, runner-up]``; no rows if nothing was generated.
    """
    rows = [
        [token_id for token_id in raw.topk(min(_RUNNERS_UP + 1, len(raw))).indices.tolist() if token_id != chosen][
            :_RUNNERS_UP
        ]
        for raw, chosen in zip(generated.raw, generated.token_ids, strict=True)
    ]
    return torch.tensor(rows, dtype=torch.long, device=device).reshape(len(rows), len(rows[0]) if rows else 0)


def _settings(generation: Generation) -> dict[str, Any]:
    """Return the arguments of ``generate``; its default of ``top_k=50`` is disabled."""
    settings = generation.settings()
    if "stop_strings" in settings:
        settings["stop_strings"] = list(settings["stop_strings"])
    return {"top_k": 0, **settings} if generation.do_sample else settings


def _rows_of(output: Any, place: int, count: int) -> list[int]:
    """Return the row of each step's logits that belongs to the sequence; beams change rows between steps."""
    return output.beam_indices[place, :count].tolist() if _has_beams(output) else [place] * count


def _has_beams(output: object) -> bool:
    return getattr(output, "beam_indices", None) is not None


def _make_config(model: LoadedModel) -> GenerationConfig:
    """Return a generation config with only the special tokens of the one that comes with the model."""
    shipped = model.network.generation_config
    return GenerationConfig(
        eos_token_id=_first(getattr(shipped, "eos_token_id", None), model.tokenizer.eos_token_id),
        bos_token_id=_first(getattr(shipped, "bos_token_id", None), model.tokenizer.bos_token_id),
        pad_token_id=_first(model.tokenizer.pad_token_id, getattr(shipped, "pad_token_id", None), 0),
    )


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


@contextmanager
def _checked_inputs(network: PreTrainedModel, num_prompt_tokens: int) -> Iterator[None]:
    """Check inside a ``with`` block that the model reads only the prompt.

    XLM and XLNet append a token to the text and predict the next token at its position.
    """

    def check(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hook.remove()  # later steps read only the new tokens
        input_ids = args[0] if args else kwargs.get("input_ids")
        if isinstance(input_ids, torch.Tensor) and input_ids.shape[-1] > num_prompt_tokens:
            raise UnsupportedModel(
                f"{type(network).__name__}: it predicts after a token that is not in the text, so that no row of "
                "attention belongs to a step; set max_new_tokens to 0, or use a decoder such as GPT-2 or Llama"
            )

    hook = network.register_forward_pre_hook(check, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _seeded(network: PreTrainedModel, seed: int) -> Iterator[None]:
    """Seed the devices of a network inside a ``with`` block, and restore the caller's random state after it.

    ``torch.manual_seed`` would seed every device, and CUDA even when it is first used after the block.
    """
    fresh = not torch.cuda.is_initialized()
    devices = {torch.device("cpu"), *_devices_of(network)}
    before = {device: _generator_module(device).get_rng_state(*_index(device)) for device in devices}
    try:
        for device in devices:
            state = torch.Generator(device).manual_seed(seed).get_state()
            _generator_module(device).set_rng_state(state, *_index(device))
        yield
    finally:
        if fresh and torch.cuda.is_initialized():  # by code of the model: start again from the caller's seed
            torch.cuda.manual_seed_all(torch.cuda.initial_seed())
        for device, state in before.items():
            _generator_module(device).set_rng_state(state, *_index(device))


def _devices_of(network: PreTrainedModel) -> set[torch.device]:
    """Return the devices on which a network computes, also those to which its weights are loaded for a call."""
    held = {weight.device for weight in (*network.parameters(), *network.buffers())}
    hooks = [getattr(module, "_hf_hook", None) for module in network.modules()]
    loaded = [device for hook in hooks if (device := getattr(hook, "execution_device", None)) is not None]
    return {_numbered(device) for device in (*held, *loaded) if torch.device(device).type != "meta"}


def _numbered(device: torch.device | str | int) -> torch.device:
    """Return a device with its number, so that it is counted once."""
    device = torch.device(device)
    if device.type in ("cpu", "mps") or device.index is not None:
        return torch.device(device.type) if device.type in ("cpu", "mps") else device
    return torch.device(device.type, torch.get_device_module(device).current_device())


def _generator_module(device: torch.device) -> Any:
    return torch if device.type == "cpu" else torch.get_device_module(device)


def _index(device: torch.device) -> tuple[torch.device, ...]:
    """Return the device as an argument; the CPU and Metal have one generator, and their functions take none."""
    return () if device.type in ("cpu", "mps") else (device,)
