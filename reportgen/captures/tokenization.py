"""Tokenize prompts, and check that they fit into the context window and into memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psutil

from reportgen.captures.attention import count_bytes
from reportgen.captures.chat import Chat, check_messages, check_variables, find_chat_warnings, make_chat
from reportgen.captures.places import check_places, check_views
from reportgen.captures.spans import place_spans
from reportgen.captures.tokens import make_token, make_tokens
from reportgen.models.model import LoadedModel
from reportgen.records import EncodedPrompt, Foil, Prompt
from reportgen.records.errors import NotEnoughMemory, PromptError, PromptTooLong, first_line
from reportgen.records.foil import find_wrong_foil
from reportgen.records.prompt import list_wrong_claims, list_wrong_steps, name_claim
from reportgen.records.story import name_step


def encode_prompt(model: LoadedModel, prompt: Prompt) -> EncodedPrompt:
    """Return a prompt with its token ids and warnings about them, or with the error of why it has none.

    Args:
        model: the model with its tokenizer.
        prompt: a prompt with text or messages.

    Returns:
        The encoded prompt. Its error says that the tokenizer cannot encode the prompt or returns no tokens, that the
        chat template leaves something out, that the network has no embedding of a token, or that the tokens do not fit
        into the context window.
    """
    try:
        token_ids, warnings, chat = _encode_chat(model, prompt) if prompt.messages else _encode_text(model, prompt)
        where = prompt.place.of(_key(prompt))
        if not token_ids:
            raise PromptError(f"{where}: it has no tokens in {model.info.name}; write some text")
        _check_embedding(model, prompt, token_ids)
        _check_window(model, prompt, len(token_ids))
        text = prompt.text if chat is None else chat.text or ""
        with _encoding_errors(model, prompt):
            spans, unplaced = place_spans(model.tokenizer, prompt, text, token_ids, chat)
        continuation_ids, joined = _encode_continuation(model, prompt, text, token_ids)
        foil_ids = tuple(_find_foil(model, prompt, foil) for foil in prompt.foils)
        _check_positions(model, prompt, [*token_ids, *continuation_ids])
    except PromptError as error:
        return EncodedPrompt(prompt, error=error)
    return EncodedPrompt(
        prompt,
        array("L", token_ids),
        warnings=(*warnings, *joined),
        continuation_ids=continuation_ids,
        foil_ids=foil_ids,
        spans=spans,
        unplaced=unplaced,
    )


def _encode_text(model: LoadedModel, prompt: Prompt) -> tuple[list[int], list[str], None]:
    with _encoding_errors(model, prompt):
        token_ids = _tokenize(model.tokenizer, prompt.text, prompt.add_special_tokens)
        tokenizer: Any = model.tokenizer
        special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
        if not prompt.add_special_tokens or special.isdisjoint([*token_ids[:1], *token_ids[-1:]]):
            return token_ids, [], None
        return token_ids, _find_special_warnings(tokenizer, token_ids, _tokenize(tokenizer, prompt.text)), None


def _tokenize(tokenizer: Any, text: str, add_special_tokens: bool = False) -> list[int]:
    return list(tokenizer(text, add_special_tokens=add_special_tokens, verbose=False)["input_ids"])


def _encode_continuation(
    model: LoadedModel, prompt: Prompt, before: str, token_ids: Sequence[int]
) -> tuple[list[int], list[str]]:
    """Return the token ids of the given continuation of a prompt, and warnings about them; none if it has none.

    ``before`` is the text of the prompt, in a chat as the template writes it.
    """
    if not prompt.continuation:
        return [], []
    where, (text,) = prompt.place.of("continuation"), prompt.continuation
    with _encoding_errors(model, prompt, "continuation"):
        adds_special = prompt.add_special_tokens and not prompt.messages  # a template writes them itself
        whole, count = _tokenize(model.tokenizer, before + text, adds_special), len(token_ids)
        found, warnings = whole[count:], []
        if whole[:count] != list(token_ids):
            found = _tokenize_behind(model.tokenizer, text)
            warnings.append(
                "the tokenizer reads the end of the prompt and the beginning of the continuation together; they are "
                "read apart here, as a model that generates would write them"
            )
    if not found:
        raise PromptError(f"{where}: the continuation has no tokens in {model.info.name}; write some text")
    _check_embedding(model, prompt, found)
    _check_window(model, prompt, count, len(found))
    if wrong := find_wrong_foil(prompt.foils, len(found), "lengthen the continuation"):
        raise PromptError(f"{prompt.place.of('foils')}: {wrong}")
    for index, wrong in list_wrong_claims(prompt, len(found), "lengthen the continuation"):
        raise PromptError(f"{prompt.place.of(name_claim(index))}: {name_claim(index)} {wrong}")
    for index, wrong in list_wrong_steps(prompt, len(found), "lengthen the continuation"):
        raise PromptError(f"{prompt.place.of(name_step(index))}: {name_step(index)} {wrong}")
    return found, warnings


def _tokenize_behind(tokenizer: Any, text: str) -> list[int]:
    """Return the token ids of a text that stands behind another one.

    Some tokenizers put a space before the first word of a text, and some drop it. So the text is first read behind a
    letter or a point, and alone only where it joins both.
    """
    for before in (".", "a"):
        begun, whole = (_tokenize(tokenizer, part) for part in (before, before + text))
        if begun == whole[: len(begun)]:
            return whole[len(begun) :]
    return _tokenize(tokenizer, text)


def find_token(model: LoadedModel, text: str) -> int | None:
    """Return the id of the one token that a text is behind another text; ``None`` if it is several or none."""
    found = _tokenize_behind(model.tokenizer, text)
    return found[0] if len(found) == 1 else None


def _find_foil(model: LoadedModel, prompt: Prompt, foil: Foil) -> int:
    """Return the id of the one token that a foil is."""
    with _encoding_errors(model, prompt, "foils"):
        found = _tokenize_behind(model.tokenizer, foil.token)
    if len(found) != 1:
        tokens = ", ".join(_name(model.tokenizer, token_id) for token_id in found) or "none"
        raise PromptError(
            f"{prompt.place.of('foils')}: the foil {foil.token!r} must be one token of {model.info.name}, and is "
            f"{len(found)}: {tokens}; write one of its tokens, with its leading space"
        )
    return found[0]


def _check_positions(model: LoadedModel, prompt: Prompt, token_ids: Sequence[int]) -> None:
    """Raise if a claim or a story names a token or a position that the text does not have."""
    behind = 0 if prompt.continuation else max(prompt.max_new_tokens, 1)
    if prompt.claims:
        with _encoding_errors(model, prompt, "claims"):
            tokens = make_tokens(model.tokenizer, token_ids)
        check_places(prompt, tokens, len(tokens) + behind)
    check_views(prompt, len(token_ids) + behind)


def _find_special_warnings(tokenizer: Any, whole: list[int], bare: list[int]) -> list[str]:
    """Return warnings about tokens that the tokenizer adds to a text, whose ids are ``bare`` without them."""
    starts = [start for start in range(len(whole) - len(bare) + 1) if whole[start : start + len(bare)] == bare]
    if not starts or not bare:
        return []
    start, warnings = starts[-1], []
    if start and bare[0] in {whole[0], whole[start - 1]}:
        warnings.append(
            f"the text begins with {_name(tokenizer, bare[0])}, which the tokenizer adds as well, so that the model "
            "reads it twice; set add_special_tokens: false, or leave it out of the text"
        )
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id in whole[start + len(bare) :]:
        warnings.append(
            f"the tokenizer adds {_name(tokenizer, tokenizer.eos_token_id)}, the end of the text, behind the prompt; "
            "set add_special_tokens: false, and write into the text the special tokens that it needs"
        )
    return warnings


def _encode_chat(model: LoadedModel, prompt: Prompt) -> tuple[list[int], list[str], Chat]:
    tokenizer: Any = model.tokenizer
    _check_template(tokenizer.chat_template, prompt, model.info.name)
    with _encoding_errors(model, prompt):
        if prompt.chat_template_kwargs:
            check_variables(model, prompt)
        chat = make_chat(tokenizer, prompt)
        token_ids = chat.encode()
    check_messages(model, chat)
    if prompt.tools and replace(chat, prompt=replace(prompt, tools=())).text == chat.text:
        where = prompt.place.of("tools")
        raise PromptError(
            f"{where}: {model.info.name}'s chat template does not use tools; leave them out, or use a model that was "
            "trained to call them"
        )
    return token_ids, find_chat_warnings(chat), chat


def _check_template(template: Any, prompt: Prompt, name: str) -> None:
    """Raise if a tokenizer has no chat template for a prompt; several can have names, and one may be for tools."""
    subject = f"{prompt.place.of('messages')}: {name}"
    if template and prompt.chat_template:
        subject = f"{prompt.place.of('chat_template')}: {name}"
        if not isinstance(template, dict):
            raise PromptError(f"{subject} has one chat template, without a name; leave chat_template out")
        if prompt.chat_template not in template:
            names = ", ".join(sorted(template))
            raise PromptError(f"{subject} has no chat template {prompt.chat_template!r}; it has {names}")
        return
    if not template:
        raise PromptError(f"{subject} has no chat template; write text, or use a chat model")
    if isinstance(template, dict) and "default" not in template and not (prompt.tools and "tool_use" in template):
        raise PromptError(
            f"{subject} has chat templates of the names {', '.join(sorted(template))}, and none is named 'default'; "
            "rename the one to use to 'default' in its tokenizer_config.json, or write text"
        )


@contextmanager
def _encoding_errors(model: LoadedModel, prompt: Prompt, key: str = "") -> Iterator[None]:
    """Convert errors of a tokenizer or a template to ``PromptError``."""
    try:
        yield
    except BaseException as error:  # tokenizers and templates may raise anything, including Rust panics
        if isinstance(error, KeyboardInterrupt | GeneratorExit | PromptError):
            raise
        where = prompt.place.of(key or _key(prompt))
        raise PromptError(f"{where}: {model.info.name}'s tokenizer cannot encode it, {first_line(error)}") from error


def _check_embedding(model: LoadedModel, prompt: Prompt, token_ids: Sequence[int]) -> None:
    embedding: Any = model.network.get_input_embeddings()
    num_rows = embedding.weight.shape[0]
    for token_id in token_ids:
        if token_id >= num_rows:
            raise PromptError(
                f"{prompt.place.of(_key(prompt))}: {_name(model.tokenizer, token_id)} has the id {token_id}, and the "
                f"embedding of {model.info.name} has {num_rows} rows, 0 to {num_rows - 1}; leave the token out, or "
                "use the tokenizer that the model was trained with"
            )


def _name(tokenizer: Any, token_id: int) -> str:
    return repr(make_token(tokenizer, token_id).text)


def _key(prompt: Prompt) -> str:
    return "messages" if prompt.messages else "text"


def _check_window(model: LoadedModel, prompt: Prompt, num_prompt_tokens: int, given: int = 0) -> None:
    """Raise if the tokens of a prompt and those behind it, ``given`` or generated, do not fit."""
    window, behind = model.info.context_window, given or (0 if prompt.continuation else prompt.max_new_tokens)
    if window is None or num_prompt_tokens + behind <= window:
        return
    where = prompt.place.of("continuation" if given else _key(prompt))
    what, advice = (
        ("of the continuation", "the continuation") if given else ("to generate", "the text or lower max_new_tokens")
    )
    raise PromptTooLong(
        f"{where}: {num_prompt_tokens} prompt tokens and {behind} {what} do not fit into {model.info.name}'s context "
        f"window of {window}; shorten {advice}"
    )


def check_memory(
    prompt: Prompt, length: int, num_layers: int, num_heads: int, *, fast: bool, evidence: int = 0, others: int = 0
) -> int:
    """Estimate the memory of a capture, and check that it is free.

    Args:
        prompt: the prompt, named in the error message.
        length: number of prompt and generated tokens.
        num_layers: number of captured layers.
        num_heads: number of captured heads.
        fast: whether fast attention is used, as in ``count_bytes``.
        evidence: memory of the evidence that is measured beside the attention, in bytes.
        others: memory of the other prompts of the batch, in bytes.

    Returns:
        The estimate in bytes, without the other prompts.

    Raises:
        NotEnoughMemory: there is not enough free memory.
    """
    needed, free = count_bytes(length, num_layers, num_heads, fast=fast) + evidence, psutil.virtual_memory().available
    if needed + others > free:
        what = f"attention of {num_layers} layers × {num_heads} heads over {length} tokens"
        takes = "and its evidence take" if evidence else "takes"
        raise NotEnoughMemory(
            f"{prompt.place.of(_key(prompt))}: {what} {takes} about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are "
            "free; select fewer layers or heads, or shorten the text"
        )
    return needed
