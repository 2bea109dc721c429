"""Tokenize prompts, and check that they fit into the context window and into memory."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

import psutil

from reportgen.captures.attention import count_bytes
from reportgen.models.model import LoadedModel
from reportgen.records import EncodedPrompt, Prompt
from reportgen.records.errors import NotEnoughMemory, PromptError, PromptTooLong, first_line


def tokenize(model: LoadedModel, prompt: Prompt) -> list[int]:
    """Return the token ids of a prompt.

    Args:
        model: the model with its tokenizer.
        prompt: a prompt with text or messages.

    Raises:
        PromptError: the tokenizer cannot encode it, or returns no tokens.
        PromptTooLong: prompt and generated tokens do not fit into the model's context window.
    """
    where = prompt.place.of(_key(prompt))
    tokenizer: Any = model.tokenizer
    if prompt.messages:
        _check_template(tokenizer.chat_template, prompt, f"{where}: {model.info.name}")
    try:
        if prompt.messages:
            encoded = _apply_template(tokenizer, prompt)
        else:
            encoded = tokenizer(prompt.text, add_special_tokens=prompt.add_special_tokens, verbose=False)
    except BaseException as error:  # tokenizers and templates may raise anything, including Rust panics
        if isinstance(error, KeyboardInterrupt | GeneratorExit):
            raise
        raise PromptError(f"{where}: {model.info.name}'s tokenizer cannot encode it, {first_line(error)}") from error
    token_ids = list(encoded["input_ids"])
    if not token_ids:
        raise PromptError(f"{where}: it has no tokens in {model.info.name}; write some text")
    if prompt.tools and token_ids == list(_apply_template(tokenizer, replace(prompt, tools=()))["input_ids"]):
        where = prompt.place.of("tools")
        raise PromptError(
            f"{where}: {model.info.name}'s chat template does not use tools; leave them out, or use a model that was "
            "trained to call them"
        )
    _check_window(model, prompt, len(token_ids))
    return token_ids


def _check_template(template: Any, prompt: Prompt, subject: str) -> None:
    """Raise if a tokenizer has no chat template for a prompt; several can have names, and one may be for tools."""
    if not template:
        raise PromptError(f"{subject} has no chat template; write text, or use a chat model")
    if isinstance(template, dict) and "default" not in template and not (prompt.tools and "tool_use" in template):
        raise PromptError(
            f"{subject} has chat templates of the names {', '.join(sorted(template))}, and none is named 'default'; "
            "rename the one to use to 'default' in its tokenizer_config.json, or write text"
        )


def encode_prompt(model: LoadedModel, prompt: Prompt) -> EncodedPrompt:
    """Return a prompt with its token ids, or with the error that ``tokenize`` raises for it."""
    try:
        return EncodedPrompt(prompt, array("L", tokenize(model, prompt)))
    except PromptError as error:
        return EncodedPrompt(prompt, error=error)


def _apply_template(tokenizer: Any, prompt: Prompt) -> Any:
    return tokenizer.apply_chat_template(
        [dict(message) for message in prompt.messages],
        tools=[dict(tool) for tool in prompt.tools] or None,
        add_generation_prompt=True,
        return_dict=True,
    )


def _key(prompt: Prompt) -> str:
    return "messages" if prompt.messages else "text"


def _check_window(model: LoadedModel, prompt: Prompt, num_prompt_tokens: int) -> None:
    where, window = prompt.place.of(_key(prompt)), model.info.context_window
    if window is not None and num_prompt_tokens + prompt.max_new_tokens > window:
        raise PromptTooLong(
            f"{where}: {num_prompt_tokens} prompt tokens and {prompt.max_new_tokens} to generate do not fit into "
            f"{model.info.name}'s context window of {window}; shorten the text or lower max_new_tokens"
        )


def check_memory(prompt: Prompt, length: int, num_layers: int, num_heads: int, *, fast: bool, others: int = 0) -> int:
    """Estimate the memory of a capture, and check that it is free.

    Args:
        prompt: the prompt, named in the error message.
        length: number of prompt and generated tokens.
        num_layers: number of captured layers.
        num_heads: number of captured heads.
        fast: whether fast attention is used, as in ``count_bytes``.
        others: memory of the other prompts of the batch, in bytes.

    Returns:
        The estimate in bytes, without the other prompts.

    Raises:
        NotEnoughMemory: there is not enough free memory.
    """
    needed, free = count_bytes(length, num_layers, num_heads, fast=fast), psutil.virtual_memory().available
    if needed + others > free:
        raise NotEnoughMemory(
            f"{prompt.place.of(_key(prompt))}: attention of {num_layers} layers × {num_heads} heads over {length} "
            f"tokens takes about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; select fewer layers or "
            "heads, or shorten the text"
        )
    return needed
