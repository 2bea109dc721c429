"""The values that the stages of the pipeline hand to one another.

Every record is frozen. Positions are 0-based indices into prompt plus generated tokens; steps are 0-based generation
steps; layers and heads carry the model's own 0-based numbers. Logarithms are natural.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from reportgen.errors import PromptError
from reportgen.selection import ALL, Selection, parse_selection

DEFAULT_MODEL = "smollm2-135m"
DEFAULT_NEW_TOKENS = 10
DEVICE_MAPS = ("auto", "balanced", "sequential")
EXPORT_FORMATS = ("csv", "parquet")
EXTRA_EVIDENCE = ("ablation", "mean-ablation")
"""Evidence that takes so long that it is measured only where it is asked for."""
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Generation:
    """How tokens are chosen; the names are those of ``transformers.GenerationConfig``.

    ``None`` leaves a setting out: nothing is filtered that was not asked for. The model's shipped generation config is
    never used, so that two models under one prompt file are sampled alike.
    """

    do_sample: bool = False
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    num_beams: int = 1
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """Return the settings that were given, as keywords, the seed left out."""
        given = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "seed"}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Place:
    """Where a prompt stands in its file, for error messages.

    Attributes:
        file: name of the file as the user wrote it; empty for a prompt made by hand.
        line: 1-based line of the prompt's first character.
        key_lines: 1-based line of each key of the prompt.
        options: the keys that an option of the command line has overruled, with the name of that option.
    """

    file: str = ""
    line: int = 0
    key_lines: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    def of(self, key: str = "") -> str:
        """Return ``file:line`` of a key, or of the prompt where the key is not written there; or the key's option."""
        if key in self.options:
            return self.options[key]
        return f"{self.file}:{self.line_of(key)}" if self.file else "prompt"

    def line_of(self, key: str = "") -> int:
        """Return the 1-based line of a key, or of the prompt where the key is not written there; 0 for an option."""
        return 0 if key in self.options else self.key_lines.get(key, self.line)


@dataclass(frozen=True)
class Prompt:
    """One prompt and how to run it; ``Prompt(text="…")`` is enough.

    What is made by hand is checked here, so that a wrong value is told where it is written and not in the middle of a
    run: ``PromptError`` says what is wrong. Layers and heads may be given as ``parse_selection`` takes them, as a text,
    a number or a list.

    Attributes:
        text: the text that the model reads; empty where ``messages`` is given.
        messages: chat messages, ``{"role": …, "content": …}`` each, for the tokenizer's chat template.
        tools: functions that the model may call, as JSON Schema, for the chat template; beside ``messages`` alone.
        title: heading of the page; the text stands in for it where it is empty.
        slug: name of the page's file, without ``.html``; unique within a run; empty until ``name_pages`` gives one.
        tags: free words, for the index.
        note: what the author says about the prompt.
        model: name of the model, as ``load_model`` takes it.
        adapter: name of the adapter that is put on it, as ``load_model`` takes it; empty for none.
        layers: the layers whose attention is kept.
        heads: the heads whose attention is kept.
        max_new_tokens: how many tokens to generate at most; 0 is the forward pass alone.
        generation: how tokens are chosen.
        add_special_tokens: whether the tokenizer adds its special tokens to ``text``.
        evidence: what to measure beyond what every page has, of ``EXTRA_EVIDENCE``.
        place: where the prompt stands in its file; not part of its identity.
    """

    text: str = ""
    messages: tuple[Mapping[str, str], ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
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
    place: Place = field(default_factory=Place, compare=False, repr=False)

    def __post_init__(self) -> None:
        for key in ("layers", "heads"):
            object.__setattr__(self, key, self._select(key))
        for key in ("text", "adapter"):
            if not isinstance(value := getattr(self, key), str):
                raise self._wrong(key, f"must be text, got {value!r}")
        for key in ("text", "title", "note", "tags", "messages", "tools", "model", "adapter"):
            if any(_HALF_CHARACTER.search(text) for text in _texts_in(getattr(self, key))):
                raise self._wrong(key, "holds half a character, a lone surrogate, which no file can; take it out")
        if self.text and self.messages:
            raise self._wrong("messages", "and text are both given; keep one")
        if self.tools and not self.messages:
            raise self._wrong("tools", "are for messages, whose chat template writes them out; give messages")
        if isinstance(self.max_new_tokens, bool) or not isinstance(self.max_new_tokens, int) or self.max_new_tokens < 0:
            raise self._wrong("max_new_tokens", f"must be a whole number from 0 on, got {self.max_new_tokens!r}")
        if isinstance(self.evidence, str) or not set(self.evidence) <= set(EXTRA_EVIDENCE):
            raise self._wrong("evidence", f"must be some of {EXTRA_EVIDENCE}, got {self.evidence!r}")

    @property
    def runs_on(self) -> str:
        """Model and adapter in words."""
        return name_with_adapter(self.model, self.adapter)

    def _select(self, key: str) -> Selection:
        value = getattr(self, key)
        if isinstance(value, Selection):
            return value
        try:
            return parse_selection(list(value) if isinstance(value, tuple | range) else value)
        except ValueError as error:
            advice = "write numbers, ranges such as '0-4, -1', or 'all'"
            raise self._wrong(key, f"cannot be read: {error}; {advice}") from error

    def _wrong(self, key: str, what: str) -> PromptError:
        return PromptError(f"{self.place.of(key)}: {key} {what}")


def _texts_in(value: Any) -> Iterable[str]:
    """Yield every text in a value of lists and mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from _texts_in(pair)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)


@dataclass(frozen=True)
class Comparison:
    """Two prompts of a run whose pages are to be put beside one another on a page of their own.

    Attributes:
        prompts: slugs of the two prompts.
        title: heading of the page; made of the titles of both where it is empty.
        slug: name of the page's file, without ``.html``; made of the slugs of both where it is empty.
        tags: free words, for the index.
        note: what the author says about the comparison.
        place: where it stands in the prompt file; not part of its identity.
    """

    prompts: tuple[str, str]
    title: str = ""
    slug: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    place: Place = field(default_factory=Place, compare=False, repr=False)


@dataclass(frozen=True)
class ModelInfo:
    """What a page says about its model.

    Attributes:
        name: the name that the user gave.
        revision: commit of a hub model; empty for a folder, a file or a model made by hand.
        architecture: class name in transformers.
        num_layers: all layers, with attention or without.
        num_heads: query heads of a layer.
        num_kv_heads: key/value heads of a layer; fewer than ``num_heads`` where they are shared.
        context_window: most positions that the model takes; ``None`` where it states no bound.
        num_parameters: count of weights; ``None`` as long as only the config is known.
        dtype: of the weights, as ``float32``, and what quantised them; empty as long as only the config is known.
        device: where the weights are, as ``cpu`` or ``cuda:0, cuda:1``; empty as long as only the config is known.
        adapter: the name that the user gave to the adapter merged into it; empty for none.
        traits: what a reader must know about its attention, by the names of ``traits.TRAITS``; empty as long as the
            network has not run.
    """

    name: str
    revision: str
    architecture: str
    num_layers: int
    num_heads: int
    num_kv_heads: int
    context_window: int | None
    num_parameters: int | None = None
    dtype: str = ""
    device: str = ""
    adapter: str = ""
    traits: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Model and adapter in words."""
        return name_with_adapter(self.name, self.adapter)


def name_with_adapter(model: str, adapter: str) -> str:
    """Return how a model and what is put on it are called together."""
    return f"{model} + {adapter}" if adapter else model


@dataclass(frozen=True)
class LayerKind:
    """What one layer of a model is, as far as a reader of its attention must know.

    Attributes:
        layer: its number.
        has_attention: whether it has heads at all.
        num_kv_heads: its key/value heads; 0 where it has none, or only those of the model are known.
        window: how many tokens a query sees, itself the last of them; ``None`` where it sees all.
        chunk: length of the pieces of text that no query sees beyond; ``None`` where there are none.
        has_sink: whether a learned sink takes a part of each row, which no token gets.
        what: what else passes tokens on in this layer, such as ``Mamba``; empty where there is nothing or it is not
            known.
        note: why something that the model's config says is not believed; mostly empty.
    """

    layer: int
    has_attention: bool = True
    num_kv_heads: int = 0
    window: int | None = None
    chunk: int | None = None
    has_sink: bool = False
    what: str = ""
    note: str = ""

    def first_key(self, query_pos: int) -> int:
        """Return the first position that a query can see."""
        of_window = 0 if self.window is None else max(0, query_pos - self.window + 1)
        of_chunk = 0 if self.chunk is None else query_pos // self.chunk * self.chunk
        return max(of_window, of_chunk)


@dataclass(frozen=True)
class Token:
    """One token in place.

    Attributes:
        token_id: number in the vocabulary.
        text: exact decoded text; the texts of all tokens joined are the decoded whole, so a token that holds only
            part of a character has the empty text and the last one of that character has it all.
        shown: what a person sees: spaces as ``␣``, line ends as ``↵``, part of a character as its bytes.
        special: whether the tokenizer calls it a special token.
    """

    token_id: int
    text: str
    shown: str
    special: bool = False


@dataclass(frozen=True)
class Prediction:
    """A distribution over the vocabulary, and the token that came next in it.

    Attributes:
        logprob: natural logarithm of the probability of the token that came next; ``-inf`` where it was ruled out.
        rank: 0 where that token is the most probable one.
        entropy: of the whole distribution, in nats.
        alternatives: the most probable tokens with their log-probabilities, at most ten, best first; tokens of
            probability 0 are left out.
    """

    logprob: float
    rank: int
    entropy: float
    alternatives: tuple[tuple[Token, float], ...]


@dataclass(frozen=True)
class Step:
    """One generation step.

    Attributes:
        step: 0-based.
        raw: the model's own distribution.
        filtered: the distribution after sampling filters, the one the token was drawn from.
        replay_difference: absolute difference between the raw log-probability of the chosen token during generation
            and in the pass that attention was taken from.
    """

    step: int
    raw: Prediction
    filtered: Prediction
    replay_difference: float


@dataclass(frozen=True)
class Failure:
    """A prompt that gave no page, and why; ``details`` says where in the program."""

    prompt: Prompt
    error: str
    details: str = field(default="", compare=False, repr=False)

    @classmethod
    def of(cls, prompt: Prompt, error: BaseException) -> Failure:
        """Return why a prompt failed."""
        return cls(prompt, str(error), "".join(traceback.format_exception(error)))


@dataclass(frozen=True)
class Share:
    """A part of a run, which others end: every so-manieth batch.

    Attributes:
        number: which part, from 1 on.
        count: how many there are.
    """

    number: int
    count: int

    def takes(self, place: int) -> bool:
        """Say whether what has this place, from 0 on, is of this part."""
        return place % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
