"""Prompts, generation settings and comparisons."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen.records.address import parse_address
from reportgen.records.choices import DEFAULT_MODEL, DEFAULT_NEW_TOKENS
from reportgen.records.claim import Claim, explain_head, find_wrong_claims, parse_claim
from reportgen.records.errors import PromptError
from reportgen.records.foil import Foil, find_wrong_foil
from reportgen.records.generation import SAMPLING_KEYS, Generation
from reportgen.records.model import name_with_adapter
from reportgen.records.selection import ALL, Selection
from reportgen.records.short_repr import ShortRepr
from reportgen.records.span import Span
from reportgen.records.story import StoryStep, explain_place, find_wrong_steps, name_step

if TYPE_CHECKING:
    from typing import Unpack

    from reportgen.records.arguments import PromptArguments

CHAT_KEYS = {
    "tools": "tools need a chat, write messages",
    "chat_template": "only a chat has a template, write messages",
    "chat_template_kwargs": "only a chat has a template, write messages",
    "continue_final_message": "only a chat has messages to continue, write messages",
}
"""Keys of a prompt that need messages, with the advice where there are none."""
NOTHING_TO_CONTINUE = (
    "'continue_final_message' needs a message of the assistant at the end; leave it out, or write how the assistant's "
    "message begins"
)
NOT_GENERATED = "a continuation is given, not generated"
_TEXTS = (
    "text", "title", "note", "tags", "messages", "tools", "chat_template", "chat_template_kwargs", "model", "adapter",
    "continuation", "foils", "spans", "claims", "story",
)  # fmt: skip
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class SourceLocation:
    """Location of a prompt in its file, for error messages.

    Attributes:
        file: name of the file as the user wrote it; empty for a prompt created in Python.
        line: 1-based line of the prompt's first character.
        key_lines: 1-based line of each key of the prompt.
        options: keys that are overridden on the command line, with the names of the options.
    """

    file: str = ""
    line: int = 0
    key_lines: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    def of(self, key: str = "") -> str:
        """Return ``file:line`` of a key, or of the prompt if the key is not in it; or the option that overrides it."""
        if key in self.options:
            return self.options[key]
        return f"{self.file}:{self.line_of(key)}" if self.file else "prompt"

    def line_of(self, key: str = "") -> int:
        """Return the 1-based line of a key, or of the prompt if the key is not in it; 0 for an option."""
        return 0 if key in self.options else self.key_lines.get(key, self.line)


@dataclass(frozen=True, repr=False)
class Prompt(ShortRepr):
    """One prompt and how to run it; ``Prompt(text="…")`` is enough.

    The constructor checks all values and raises ``PromptError`` for a wrong one, so that it is reported before the run
    starts. Layers and heads may be given as a text, a number or a list, as in ``parse_selection``.

    Attributes:
        text: the text that the model reads; empty if ``messages`` is given.
        messages: chat messages, ``{"role": …, "content": …}`` each, for the tokenizer's chat template. A content is a
            text, a list of parts ``{"type": "text", "text": …}``, or ``None``. Other keys are ``name``, ``tool_calls``
            and ``tool_call_id``.
        tools: functions that the model may call, as JSON Schema, for the chat template; only with ``messages``.
        chat_template: name of the chat template, if the tokenizer has several; empty for the one that it would take.
        chat_template_kwargs: variables of the chat template; only with ``messages``.
        continue_final_message: whether the model continues the last message, of the assistant, instead of answering it.
        spans: named parts of the text, each as a text that is in it once, or ``{"text": …, "nth": 2}``.
        title: heading of the page; empty for the start of the text.
        slug: name of the page's file, without ``.html``; unique within a run; empty until ``name_pages`` gives one.
        tags: free words, shown on the index.
        note: the author's note on the prompt.
        model: name of the model, as in ``load_model``.
        adapter: name of the adapter to merge, as in ``load_model``; empty for none.
        layers: layers whose attention is captured.
        heads: heads whose attention is captured.
        max_new_tokens: maximum number of tokens to generate; 0 generates nothing, and measures the most probable next
            token as a generated one (``Capture.is_forecast``).
        generation: how tokens are chosen.
        add_special_tokens: whether the tokenizer adds its special tokens to ``text``.
        evidence: additional evidence to measure, of ``EXTRA_EVIDENCE``.
        continuation: a text behind the prompt that is scored as if it had been generated, in a tuple; several stand for
            a prompt each, which ``name_pages`` makes. Without one, tokens are generated.
        foils: tokens that the written tokens are compared with; a text stands for a foil of the first step.
        without: what to leave out, of ``OPTIONAL``: kinds of evidence, and ``predictions`` of the prompt's tokens.
        claims: what the build checks against its numbers, each such as ``{"head": "L21H6", "effect": "> 1"}``.
        story: a text in steps with a figure each, which the page shows below its answer.
        place: location of the prompt in its file; ignored when prompts are compared.
    """

    text: str = ""
    messages: tuple[Mapping[str, Any], ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    chat_template: str = ""
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    continue_final_message: bool = False
    spans: Mapping[str, str | Mapping[str, Any]] = field(default_factory=dict)
    title: str = ""
    slug: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    model: str = DEFAULT_MODEL
    adapter: str = ""
    layers: Selection = ALL
    heads: Selection = ALL
    max_new_tokens: int = DEFAULT_NEW_TOKENS
    generation: Generation = Generation()
    add_special_tokens: bool = True
    evidence: tuple[str, ...] = ()
    continuation: tuple[str, ...] = ()
    foils: tuple[Foil, ...] = ()
    without: tuple[str, ...] = ()
    claims: tuple[Mapping[str, Any], ...] = ()
    story: tuple[StoryStep, ...] = ()
    place: SourceLocation = field(default_factory=SourceLocation, compare=False, repr=False)

    if TYPE_CHECKING:  # what is given is converted to the types of the fields

        def __init__(self, text: str = "", **keys: Unpack[PromptArguments]) -> None: ...

    def __post_init__(self) -> None:
        for key in _TEXTS:
            if (value := getattr(self, key)) and any(_HALF_CHARACTER.search(text) for text in _texts_in(value)):
                raise self._wrong(f"{key} holds half a character, a lone surrogate; remove it", key)
        from reportgen.records.key_messages import check_record  # imports pydantic, which --help need not wait for
        from reportgen.records.prompt_keys import PromptKeys

        values = check_record(self, PromptKeys)
        if "generation" in values:
            values["generation"] = Generation(**values["generation"])
        if "foils" in values:
            values["foils"] = tuple(Foil(**foil) for foil in values["foils"])
        if "story" in values:
            values["story"] = tuple(StoryStep(**step) for step in values["story"])
        for name, value in values.items():
            object.__setattr__(self, name, value)
        for key, wrong in self._find_mistakes():
            raise self._wrong(wrong, key)

    def _find_mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield each key that does not fit the others, and what is wrong."""
        if self.text and self.messages:
            yield "messages", "both 'text' and 'messages' are given; keep one"
        for key, needs in CHAT_KEYS.items():
            if getattr(self, key) and not self.messages:
                yield key, f"{key!r} {'are' if key == 'tools' else 'is'} given without 'messages'; {needs}"
        if self.continue_final_message and self.messages[-1]["role"] != "assistant":
            yield "continue_final_message", NOTHING_TO_CONTINUE
        if clash := explain_clash(self.evidence, self.without):
            yield "without", clash
        for key in () if self.generation.do_sample else SAMPLING_KEYS:
            if getattr(self.generation, key) is not None:
                yield "generation", f"generation.{key} does nothing without sampling; add do_sample=True"
        for key, message in self.generation.find_problems(self.max_new_tokens):
            yield "generation", f"generation.{key} {message}"
        yield from self._find_wrong_steps()
        yield from self._find_wrong_items()

    def _find_wrong_items(self) -> Iterator[tuple[str, str]]:
        """Yield each claim and each step of the story that the prompt cannot answer, and why."""
        for index, wrong in list_wrong_claims(self, None if self.continuation else self.max_new_tokens):
            yield name_claim(index), f"{name_claim(index)} {wrong}"
        for index, wrong in list_wrong_steps(self, None if self.continuation else self.max_new_tokens):
            yield name_step(index), f"{name_step(index)} {wrong}"

    def _find_wrong_steps(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong about the tokens behind the prompt."""
        if not self.continuation:
            if wrong := find_wrong_foil(self.foils, self.max_new_tokens):
                yield "foils", wrong
            return
        if self.max_new_tokens != DEFAULT_NEW_TOKENS:
            yield "continuation", f"{NOT_GENERATED}, and max_new_tokens is {self.max_new_tokens}; leave one of them out"
        if self.generation != Generation():
            yield "continuation", f"{NOT_GENERATED}, so that generation does nothing; leave one of them out"

    @property
    def parsed_claims(self) -> tuple[Claim, ...]:
        """The claims as records."""
        return tuple(parse_claim(claim) for claim in self.claims)

    @property
    def runs_on(self) -> str:
        """Name of the model, followed by that of its adapter if it has one."""
        return name_with_adapter(self.model, self.adapter)

    def with_name(self, slug: str, title: str) -> Prompt:
        """Return the prompt with a slug and a title that were derived from it; its values are not checked again."""
        named = copy(self)  # unlike dataclasses.replace, which would check a hundred thousand prompts twice
        object.__setattr__(named, "slug", slug)
        object.__setattr__(named, "title", title)
        return named

    def _wrong(self, message: str, key: str) -> PromptError:
        return PromptError(f"{self.place.of(key)}: {message}")


def name_claim(index: int) -> str:
    """Return what a claim is called in messages, and in the lines of a place, by its 0-based index."""
    return f"claims[{index + 1}]"


def list_wrong_claims(
    prompt: Prompt, num_steps: int | None, advice: str = "raise max_new_tokens"
) -> Iterator[tuple[int, str]]:
    """Yield the index of each claim that a prompt cannot answer, and why; see ``claim.find_wrong_claims``."""
    return find_wrong_claims(
        prompt.parsed_claims,
        evidence=prompt.evidence,
        without=prompt.without,
        foils=prompt.foils,
        num_steps=num_steps,
        advice=advice,
    )


def list_wrong_heads(prompt: Prompt, num_layers: int, num_heads: int) -> Iterator[tuple[int, str]]:
    """Yield the index of each claim on a head that a model or the selection of a prompt lacks, and why."""
    for index, claim in enumerate(prompt.parsed_claims):
        if claim.head and (wrong := explain_head(claim.head, num_layers, num_heads, prompt.layers, prompt.heads)):
            yield index, wrong


def list_wrong_steps(
    prompt: Prompt, num_steps: int | None, advice: str = "raise max_new_tokens"
) -> Iterator[tuple[int, str]]:
    """Yield the index of each step of a story that a prompt cannot show, and why; see ``story.find_wrong_steps``."""
    return find_wrong_steps(
        prompt.story,
        evidence=prompt.evidence,
        without=prompt.without,
        num_foils=len(prompt.foils),
        num_steps=num_steps,
        advice=advice,
    )


def list_wrong_views(prompt: Prompt, num_layers: int, num_heads: int) -> Iterator[tuple[int, str]]:
    """Yield the index of each step of a story on a head that a model or the selection of a prompt lacks, and why."""
    for index, step in enumerate(prompt.story):
        if wrong := explain_place(parse_address(step.view), num_layers, num_heads, prompt.layers, prompt.heads):
            yield index, wrong


def explain_clash(evidence: Sequence[str], without: Sequence[str]) -> str:
    """Return what is wrong if a prompt asks for evidence that it leaves out; empty if it does not."""
    both = [name for name in evidence if name in without]
    return f"{both[0]!r} is given under 'evidence' and under 'without'; keep one" if both else ""


def _texts_in(value: Any) -> Iterable[str]:
    """Yield every text in a nested value of lists and mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from _texts_in(pair)
    elif isinstance(value, Foil):
        yield value.token
    elif isinstance(value, StoryStep):
        yield value.text
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt and its tokens for one model.

    Attributes:
        prompt: the prompt.
        token_ids: ids of its tokens; empty if the prompt cannot be encoded.
        error: error if the prompt cannot be encoded or its tokens do not fit into the context window; otherwise
            ``None``.
        warnings: what the author may not have meant, such as a special token that the model reads twice, and the key
            that changes it.
        continuation_ids: ids of the tokens of the given continuation; empty if tokens are generated.
        foil_ids: token id of each foil of the prompt.
        spans: the messages of a chat and the named parts of the text.
        unplaced: why a message of a chat has no span, by its name.
    """

    prompt: Prompt
    token_ids: Sequence[int] = ()
    error: PromptError | None = None
    warnings: tuple[str, ...] = ()
    continuation_ids: Sequence[int] = ()
    foil_ids: tuple[int, ...] = ()
    spans: tuple[Span, ...] = ()
    unplaced: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Comparison(ShortRepr):
    """Two prompts of a run to show side by side on an additional page, or more of them as a series.

    Attributes:
        prompts: slugs of two prompts, or of up to ``MOST_COMPARED`` in the order of the series.
        title: heading of the page; empty for one made from the titles of the prompts.
        slug: name of the page's file, without ``.html``; empty for one made from their slugs.
        tags: free words, shown on the index.
        note: the author's note on the comparison.
        evidence: evidence to measure that needs both of two prompts, of ``COMPARED_EVIDENCE``.
        answers: two tokens whose log-probabilities patching compares, as exact texts; empty for the first token behind
            each prompt.
        place: location of the comparison in the prompt file; ignored when comparisons are compared.
    """

    prompts: tuple[str, ...]
    title: str = ""
    slug: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    evidence: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    place: SourceLocation = field(default_factory=SourceLocation, compare=False, repr=False)

    def __post_init__(self) -> None:
        from reportgen.records.key_messages import check_record  # as in Prompt
        from reportgen.records.prompt_keys import CompareKeys

        for name, value in check_record(self, CompareKeys, {"prompts": "compare"}).items():
            object.__setattr__(self, name, value)
